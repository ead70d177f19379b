//! The same methods over HTTP, behind a bearer token.

use std::{collections::BTreeMap, sync::Arc};

use reqwest::{Method, Response, StatusCode};
use sandbox_shared::DirectoryBackup;
use sandbox_tests::{consumer::Setup, stage::Stage};
use serde_json::{Value, json};

crate::tests![
    backup_and_restore,
    commands,
    raw_files,
    directories_and_status,
    without_the_token_nothing_answers,
    without_a_configured_token_nothing_answers,
    unknown_routes_and_methods,
    names_of_sandboxes,
    the_gateway_wants_a_signature,
    every_described_route_exists,
    what_is_stored_of_all_sandboxes,
    every_answer_says_what_it_took,
];

async fn json_of(response: Response, status: u16) -> Value {
    let got = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(got, status, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// The code of an error, whose status must belong to it.
async fn code_of(response: Response) -> String {
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    let error = &body["error"];
    assert!(!error["message"].as_str().unwrap().is_empty(), "{body}");
    let code: sandbox_shared::ErrorCode = serde_json::from_value(error["code"].clone()).unwrap();
    assert_eq!(code.http_status(), status, "{body}");
    code.to_string()
}

async fn backup_and_restore(stage: Arc<Stage>) {
    let http = stage.http("http-backup");
    let put = http.request(Method::PUT, "files?path=/workspace/file");
    put.body("content").send().await.unwrap();

    let options = json!({ "dir": "/workspace", "name": "by HTTP" });
    let created = json_of(http.post("backups", &options).await, 201).await;
    let backup: DirectoryBackup = serde_json::from_value(created.clone()).unwrap();
    assert_eq!(backup.dir, "/workspace");
    let metadata = stage.bucket.metadata(&backup.id).await;
    assert_eq!(metadata.name.as_deref(), Some("by HTTP"));
    assert_eq!(created["sizeBytes"], metadata.size_bytes);

    http.request(Method::DELETE, "files?path=/workspace/file")
        .send()
        .await
        .unwrap();
    let restored = json_of(http.post("restore", &created).await, 200).await;
    assert_eq!(restored["success"], true);
    assert_eq!(restored["id"], backup.id.as_str());
    let file = http.get("files?path=/workspace/file").await;
    assert_eq!(file.text().await.unwrap(), "content");

    let unmounted = http.post("unmount", &json!({ "dir": "/workspace" })).await;
    assert_eq!(json_of(unmounted, 200).await["dir"], "/workspace");
    let gone = http.get("files?path=/workspace/file").await;
    assert_eq!(code_of(gone).await, "FILE_NOT_FOUND");

    let absent = json!({ "id": "00000000-0000-4000-8000-000000000000", "dir": "/workspace" });
    assert_eq!(
        code_of(http.post("restore", &absent).await).await,
        "BACKUP_NOT_FOUND"
    );
}

async fn commands(stage: Arc<Stage>) {
    let http = stage.http("http-exec");
    let body = json!({ "command": "cat; echo $A; exit 2", "stdin": "in ", "env": { "A": "b" } });
    let result = json_of(http.post("exec", &body).await, 200).await;
    assert_eq!(
        (&result["stdout"], &result["exitCode"], &result["success"]),
        (&json!("in b\n"), &json!(2), &json!(false))
    );
}

async fn raw_files(stage: Arc<Stage>) {
    let http = stage.http("http-files");
    // More than one read of any buffer, and every byte there is.
    let content: Vec<u8> = (0..3_000_000_u32).map(|n| (n ^ (n >> 8)) as u8).collect();
    let path = "files?path=%2Fworkspace%2Fsub%2F%C5%BElu%C5%A5%20%26%20%23.bin";
    let put = http.request(Method::PUT, path).body(content.clone());
    let put = json_of(put.send().await.unwrap(), 200).await;
    assert_eq!(put["path"], "/workspace/sub/žluť & #.bin");
    let got = http.get(path).await;
    assert_eq!(got.status(), 200);
    assert!(got.bytes().await.unwrap() == content);
    let deleted = http.request(Method::DELETE, path).send().await.unwrap();
    assert_eq!(json_of(deleted, 200).await["success"], true);
    assert_eq!(code_of(http.get(path).await).await, "FILE_NOT_FOUND");
    assert_eq!(code_of(http.get("files").await).await, "INVALID_REQUEST");
}

async fn directories_and_status(stage: Arc<Stage>) {
    let http = stage.http("http-directories");
    let made = http.request(Method::POST, "mkdir?path=/workspace/a/b&recursive=true");
    json_of(made.send().await.unwrap(), 200).await;
    let list = http.get("list?path=/workspace&recursive=true").await;
    let list = json_of(list, 200).await;
    assert_eq!(list["count"], 2);
    assert_eq!(list["files"][1]["relativePath"], "a/b");
    let exists = async |path: &str| {
        let answer = http.get(&format!("exists?path={path}")).await;
        json_of(answer, 200).await["exists"].as_bool().unwrap()
    };
    assert!(exists("/workspace/a").await);
    assert!(!exists("/workspace/c").await);
    let status = json_of(http.get("status").await, 200).await;
    assert_eq!(status["container"]["state"], "running");

    let deleted = http
        .request(Method::DELETE, "container")
        .send()
        .await
        .unwrap();
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    let status = json_of(http.get("status").await, 200).await;
    assert_eq!(status["container"]["state"], "stopped");
    assert!(!exists("/workspace/a").await, "a new container is empty");
}

const ROUTES: [(Method, &str); 11] = [
    (Method::POST, "backups"),
    (Method::POST, "restore"),
    (Method::POST, "unmount"),
    (Method::POST, "exec"),
    (Method::GET, "files?path=/etc/hostname"),
    (Method::PUT, "files?path=/tmp/x"),
    (Method::DELETE, "files?path=/tmp/x"),
    (Method::GET, "list?path=/"),
    (Method::POST, "mkdir?path=/tmp/x"),
    (Method::GET, "status"),
    (Method::DELETE, "container"),
];

async fn without_the_token_nothing_answers(stage: Arc<Stage>) {
    for token in [None, Some("wrong"), Some("")] {
        let http = stage.http_with(Setup::Main, "http-no-token", token);
        for (method, route) in ROUTES {
            let response = http.request(method.clone(), route).send().await.unwrap();
            assert_eq!(response.headers()["www-authenticate"], "Bearer", "{route}");
            let code = code_of(response).await;
            assert_eq!(code, "UNAUTHORIZED", "{method} {route} with {token:?}");
        }
    }
    let basic = stage
        .http_with(Setup::Main, "http-no-token", None)
        .request(Method::GET, "status")
        .header("authorization", format!("Basic {}", stage.api_token()));
    assert_eq!(code_of(basic.send().await.unwrap()).await, "UNAUTHORIZED");
}

async fn without_a_configured_token_nothing_answers(stage: Arc<Stage>) {
    for token in [None, Some(""), Some("undefined"), Some(stage.api_token())] {
        let http = stage.http_with(Setup::Unconfigured, "http-unconfigured", token);
        for (method, route) in ROUTES {
            let response = http.request(method, route).send().await.unwrap();
            assert_eq!(response.status(), 503);
            let body: Value = response.json().await.unwrap();
            assert_eq!(body["error"]["code"], "NOT_CONFIGURED");
            let message = body["error"]["message"].as_str().unwrap();
            assert!(message.contains("SANDBOX_API_TOKEN"), "{message}");
        }
    }
}

async fn unknown_routes_and_methods(stage: Arc<Stage>) {
    let http = stage.http("http-unknown");
    for (method, route, code) in [
        (Method::GET, "nonsense", "ROUTE_NOT_FOUND"),
        (Method::GET, "", "ROUTE_NOT_FOUND"),
        (Method::PUT, "backups", "METHOD_NOT_ALLOWED"),
        (Method::PATCH, "files?path=/tmp/x", "METHOD_NOT_ALLOWED"),
        (Method::POST, "status", "METHOD_NOT_ALLOWED"),
    ] {
        let response = http.request(method.clone(), route).send().await.unwrap();
        assert_eq!(code_of(response).await, code, "{method} {route}");
    }
    let broken = http.request(Method::POST, "exec").body("{").send().await;
    assert_eq!(code_of(broken.unwrap()).await, "INVALID_REQUEST");
    let broken = http.request(Method::POST, "backups").body("{").send().await;
    assert_eq!(code_of(broken.unwrap()).await, "INVALID_BACKUP_CONFIG");
    let flag = http.get("list?path=/tmp&recursive=perhaps").await;
    assert_eq!(code_of(flag).await, "INVALID_REQUEST");
}

async fn names_of_sandboxes(stage: Arc<Stage>) {
    let odd = stage.http("%C5%BElu%C5%A5%20%2F%20%F0%9F%9A%80");
    odd.request(Method::PUT, "files?path=/workspace/file")
        .body("odd")
        .send()
        .await
        .unwrap();
    let same = stage.consumer.sandbox("žluť / 🚀");
    assert_eq!(same.read("/workspace/file").await, "odd");

    for bad in ["", "%00", "%0A", "%FF", &"x".repeat(257)] {
        let response = stage.http(bad).get("status").await;
        let code = code_of(response).await;
        assert!(
            ["INVALID_REQUEST", "ROUTE_NOT_FOUND"].contains(&code.as_str()),
            "{bad}: {code}"
        );
    }
}

/// The gateway is open to the network: it must not answer anything unsigned.
async fn the_gateway_wants_a_signature(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("gateway-signature");
    let backup = sandbox.backup("/workspace").await;
    let id = &backup.id;
    let signed = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20260101T000000Z&X-Amz-Expires=600\
                  &X-Amz-Credential=gateway%2F20260101%2Fauto%2Fs3%2Faws4_request\
                  &X-Amz-SignedHeaders=host&X-Amz-Signature=";
    let forged = format!("{signed}{}", "0".repeat(64));
    for query in ["", signed, &forged] {
        for object in ["data.sqsh", "meta.json"] {
            let url = format!("{}/gateway/backups/{id}/{object}?{query}", stage.address());
            let get = stage.client.get(&url).send().await.unwrap();
            assert!([400, 403].contains(&get.status().as_u16()), "{url}");
            let put = stage.client.put(&url).body("x").send().await.unwrap();
            assert!([400, 403].contains(&put.status().as_u16()), "{url}");
        }
    }
    assert_eq!(sandbox.restore_backup(&backup).await.unwrap().id, backup.id);
}

async fn every_described_route_exists(stage: Arc<Stage>) {
    let description = reqwest::get(format!("{}/openapi.json", stage.address()));
    let description = json_of(description.await.unwrap(), 200).await;
    assert_eq!(description["openapi"], "3.1.0");
    let http = stage.http("described");
    let mut operations = 0;
    for (path, methods) in description["paths"].as_object().unwrap() {
        let Some(route) = path.strip_prefix("/v1/sandboxes/{name}/") else {
            continue;
        };
        let route = route.replace("{id}", "00000000-0000-4000-8000-000000000000");
        for method in ["get", "put", "post", "delete"] {
            let described = methods.get(method).is_some();
            operations += usize::from(described);
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let response = http.request(method.clone(), &route).send().await.unwrap();
            let exists = !matches!(response.status().as_u16(), 404 | 405)
                || ["BACKUP_NOT_FOUND", "FILE_NOT_FOUND"]
                    .contains(&code_of(response).await.as_str());
            assert_eq!(exists, described, "{method} {route}");
        }
    }
    assert_eq!(operations, 22);
}

async fn what_is_stored_of_all_sandboxes(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("stored-one");
    let sizes = [
        sandbox.backup("/workspace").await,
        sandbox.backup("/workspace").await,
    ];
    let mut bytes = 0;
    for backup in &sizes {
        bytes += stage.bucket.metadata(&backup.id).await.size_bytes;
    }
    let sandbox = sandbox.object_id().await;
    let address = format!("{}/v1/sandboxes", stage.address());
    let client = reqwest::Client::new();
    let response = client.get(&address).bearer_auth(stage.api_token()).send();
    let listed = json_of(response.await.unwrap(), 200).await;
    let sandboxes = listed["sandboxes"].as_array().unwrap();
    let stored = sandboxes
        .iter()
        .find(|stored| stored["sandbox"] == sandbox.as_str())
        .unwrap();
    assert_eq!(stored["backups"], 2);
    assert_eq!(stored["sizeBytes"], bytes);
    assert_eq!(stored["name"], "stored-one");

    let refused = client.get(&address).send().await.unwrap();
    assert_eq!(code_of(refused).await, "UNAUTHORIZED");
    let wrong = client
        .delete(&address)
        .bearer_auth(stage.api_token())
        .send();
    assert_eq!(code_of(wrong.await.unwrap()).await, "METHOD_NOT_ALLOWED");
}

/// The metrics of the `Server-Timing` header, by name, in milliseconds.
fn server_timing(response: &Response) -> BTreeMap<String, u64> {
    let headers = response.headers().get_all("server-timing");
    let metrics = headers
        .iter()
        .flat_map(|value| value.to_str().unwrap().split(", "));
    metrics
        .map(|metric| {
            let (name, duration) = metric.split_once(";dur=").unwrap();
            (name.to_owned(), duration.parse().unwrap())
        })
        .collect()
}

async fn every_answer_says_what_it_took(stage: Arc<Stage>) {
    let http = stage.http("server-timing");
    let names = |response: &Response| server_timing(response).into_keys().collect::<Vec<_>>();
    let exec = json!({ "command": "sleep 0.3" });
    let timing = server_timing(&http.post("exec", &exec).await);
    let [agent, container, total] = ["agent", "container", "total"].map(|part| timing[part]);
    assert_eq!(timing.len(), 3, "{timing:?}");
    assert!(agent >= 300, "{timing:?}");
    // A sandbox that is new has to start.
    assert!(container > 0, "{timing:?}");
    // The Worker's clock and its object's have a resolution of a millisecond.
    assert!(agent + container <= total + 2, "{timing:?}");

    let options = json!({ "dir": "/workspace" });
    let backup = http.post("backups", &options).await;
    assert_eq!(names(&backup), ["agent", "container", "store", "total"]);
    let missing = http
        .get("backups/00000000-0000-4000-8000-000000000000")
        .await;
    assert_eq!(missing.status(), 404);
    assert_eq!(names(&missing), ["store", "total"]);
    let refused = stage.http_with(Setup::Main, "server-timing", None);
    assert_eq!(names(&refused.get("status").await), ["total"]);
    let events = http.request(Method::POST, "exec").json(&exec);
    let events = events.header("accept", "text/event-stream").send();
    assert!(names(&events.await.unwrap()).contains(&"total".into()));
    let stored = reqwest::Client::new()
        .get(format!("{}/v1/sandboxes", stage.address()))
        .bearer_auth(stage.api_token())
        .send();
    assert_eq!(names(&stored.await.unwrap()), ["store", "total"]);
}
