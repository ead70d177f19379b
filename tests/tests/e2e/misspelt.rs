//! Requests say what they mean: a field that a method does not know is refused
//! before anything is done, over RPC and over HTTP, in every place where one may
//! stand.

use std::sync::Arc;

use reqwest::Method;
use sandbox_shared::methods;
use sandbox_tests::{consumer::Sandbox, stage::Stage};
use serde_json::{Value, json};

crate::tests![
    pruning_deletes_nothing,
    a_backup_is_not_made,
    options_of_every_method,
    arguments_that_no_method_takes,
    every_described_request_is_all_there_is,
    no_method_takes_whatever_it_is_given,
    handles_with_more_in_them,
    options_of_the_older_package,
];

const ID: &str = "00000000-0000-4000-8000-000000000000";

/// That over RPC this is refused for the field, with what may have been meant.
async fn refused(sandbox: &Sandbox, method: &str, args: Value, field: &str, nearest: &str) {
    let call = sandbox.call::<Value>(method, args.clone()).await;
    let error = call.expect_err(&format!("{method} {args}"));
    let code = match method {
        "exec" | "execStream" | "operationLog" => "INVALID_REQUEST",
        method if method.ends_with("File") || method.ends_with("Files") => "INVALID_REQUEST",
        "mkdir" | "exists" => "INVALID_REQUEST",
        _ => "INVALID_BACKUP_CONFIG",
    };
    assert_eq!((error.code(), error.status), (code, Some(400)), "{error:?}");
    let named = format!("`{field}` is not a field of ");
    assert!(error.message.starts_with(&named), "{error:?}");
    let meant = format!("; did you mean `{nearest}`?");
    assert!(error.message.ends_with(&meant), "{error:?}");
    let context = error.context.unwrap();
    assert_eq!(
        (&context["field"], &context["nearest"]),
        (&json!(field), &json!(nearest))
    );
}

async fn backups(sandbox: &Sandbox) -> usize {
    let page: Value = sandbox.call("listBackups", json!([])).await.unwrap();
    page["backups"].as_array().unwrap().len()
}

async fn pruning_deletes_nothing(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("misspelt-prune");
    sandbox.backup("/workspace").await;
    sandbox.backup("/workspace").await;
    let rules = json!({ "keepLast": 1, "dry_run": true });
    refused(
        &sandbox,
        "pruneBackups",
        json!([rules]),
        "dry_run",
        "dryRun",
    )
    .await;

    let http = stage.http("misspelt-prune");
    let response = http.post("prune", &rules).await;
    assert_eq!(response.status(), 400);
    let body: Value = response.json().await.unwrap();
    assert_eq!(
        body["error"],
        json!({
            "code": "INVALID_BACKUP_CONFIG",
            "message": "`dry_run` is not a field of pruneBackups; did you mean `dryRun`?",
            "context": { "field": "dry_run", "nearest": "dryRun" },
        })
    );
    // Where it is not looked for, twice, or by position.
    let keep_one = json!({ "keepLast": 1 });
    let beside = http.post("prune?dryRun=true", &keep_one).await;
    assert_eq!(beside.status(), 400);
    for body in [
        r#"{"keepLast": 1, "dryRun": true, "dryRun": false}"#,
        r#"["/workspace", 1]"#,
    ] {
        let request = http.request(Method::POST, "prune").body(body);
        assert_eq!(request.send().await.unwrap().status(), 400, "{body}");
    }
    assert_eq!(backups(&sandbox).await, 2);
    let pruned: Value = sandbox
        .call("pruneBackups", json!([keep_one]))
        .await
        .unwrap();
    assert_eq!(pruned["deleted"]["count"], 1);
}

async fn a_backup_is_not_made(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("misspelt-backup");
    let http = stage.http("misspelt-backup");
    for (options, field, nearest) in [
        (json!({ "exclude": [".env"] }), "exclude", "excludes"),
        (json!({ "git_ignore": true }), "git_ignore", "gitignore"),
        (
            json!({ "compression": { "blocksize": 4096 } }),
            "compression.blocksize",
            "compression.blockSize",
        ),
    ] {
        let mut options = options;
        options["dir"] = json!("/workspace");
        for method in ["createBackup", "previewBackup"] {
            refused(&sandbox, method, json!([options]), field, nearest).await;
        }
        for route in ["backups", "preview"] {
            let response = http.post(route, &options).await;
            let body: Value = response.json().await.unwrap();
            assert_eq!(body["error"]["context"]["nearest"], nearest, "{body}");
        }
        let request = http.request(Method::POST, "backups").json(&options);
        let stream = request.header("accept", "text/event-stream").send();
        assert_eq!(stream.await.unwrap().status(), 400);
    }
    assert_eq!(backups(&sandbox).await, 0);
    // Not even a container was started for it.
    assert_eq!(sandbox.status().await["container"]["state"], "stopped");
}

async fn options_of_every_method(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("misspelt-options");
    let handle = json!({ "id": ID, "dir": "/workspace" });
    for (method, args, field, nearest) in [
        (
            "createBackup",
            json!([{ "dir": "/app" }, { "operationid": "x" }]),
            "operationid",
            "operationId",
        ),
        (
            "restoreBackup",
            json!([handle, { "forced": true }]),
            "forced",
            "force",
        ),
        (
            "restoreBackup",
            json!([handle, { "operation_id": "x" }]),
            "operation_id",
            "operationId",
        ),
        (
            "unmountBackup",
            json!(["/workspace", { "forced": true }]),
            "forced",
            "force",
        ),
        ("listBackups", json!([{ "dri": "/app" }]), "dri", "dir"),
        ("operationLog", json!([{ "limits": 1 }]), "limits", "limit"),
        (
            "exec",
            json!(["ls", { "timeOut": 1 }]),
            "timeOut",
            "timeout",
        ),
        ("execStream", json!(["ls", { "envs": {} }]), "envs", "env"),
        (
            "writeFile",
            json!(["/tmp/x", "eA==", { "encodng": "base64" }]),
            "encodng",
            "encoding",
        ),
        (
            "readFile",
            json!(["/tmp/x", { "Encoding": "base64" }]),
            "Encoding",
            "encoding",
        ),
        (
            "listFiles",
            json!(["/tmp", { "include_hidden": true }]),
            "include_hidden",
            "includeHidden",
        ),
        (
            "mkdir",
            json!(["/tmp/a/b", { "recursiv": true }]),
            "recursiv",
            "recursive",
        ),
    ] {
        refused(&sandbox, method, args.clone(), field, nearest).await;
        refused(&sandbox.clone().bare_stub(), method, args, field, nearest).await;
    }
    let far: Value = json!([{ "keepForever": 3, "keepLast": 1 }]);
    let error = sandbox
        .call::<Value>("pruneBackups", far)
        .await
        .unwrap_err();
    assert!(
        error.message.contains("; there are `dir`, `keepLast`, "),
        "{error:?}"
    );
}

/// `deleteBackup(id, {dryRun: true})`
async fn arguments_that_no_method_takes(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("misspelt-arguments");
    let backup = sandbox.backup("/workspace").await;
    let dry = json!({ "dryRun": true });
    for sandbox in [&sandbox, &sandbox.clone().bare_stub()] {
        for (method, args) in [
            ("deleteBackup", json!([backup.id, dry])),
            ("pruneBackups", json!([{ "keepLast": 1 }, dry])),
            ("previewBackup", json!([{ "dir": "/workspace" }, dry])),
            ("createBackup", json!([{ "dir": "/workspace" }, {}, dry])),
            ("restoreBackup", json!([backup, {}, dry])),
            ("stop", json!([dry])),
        ] {
            let error = sandbox.call::<Value>(method, args).await.unwrap_err();
            assert_eq!(
                (error.code(), error.status),
                ("INVALID_REQUEST", Some(400)),
                "{error:?}"
            );
            assert!(
                error.message.starts_with(&format!("{method} takes ")),
                "{error:?}"
            );
        }
        let _: Value = sandbox
            .call("getBackup", json!([backup.id, { "$undefined": 1 }]))
            .await
            .unwrap();
    }
    let status = sandbox.status().await;
    assert_eq!(status["container"]["state"], "running");

    let http = stage.http("misspelt-arguments");
    for route in [format!("backups/{}", backup.id), "container".into()] {
        let with_body = http.request(Method::DELETE, &route).json(&dry);
        assert_eq!(with_body.send().await.unwrap().status(), 400, "{route}");
        let with_query = http.request(Method::DELETE, &format!("{route}?dryRun=true"));
        assert_eq!(with_query.send().await.unwrap().status(), 400, "{route}");
    }
    assert_eq!(backups(&sandbox).await, 1);
    // Nothing, said aloud.
    assert_eq!(http.post("reindex", &Value::Null).await.status(), 200);
    let empty = http
        .request(Method::DELETE, &format!("backups/{}", backup.id))
        .json(&json!({}));
    assert_eq!(empty.send().await.unwrap().status(), 200);
}

/// Whatever method is described, a field that is not described with it is refused:
/// also with methods that are yet to come.
async fn every_described_request_is_all_there_is(stage: Arc<Stage>) {
    let description = reqwest::get(format!("{}/openapi.json", stage.address()));
    let description: Value = description.await.unwrap().json().await.unwrap();
    let client = reqwest::Client::new();
    let (mut queries, mut bodies) = (0, 0);
    for (path, methods) in description["paths"].as_object().unwrap() {
        let path = path
            .replace("{name}", "misspelt-described")
            .replace("{id}", ID)
            .replace("{operationId}", "x");
        let address = format!("{}{path}", stage.address());
        for (method, operation) in methods.as_object().unwrap() {
            let Some(id) = operation["operationId"].as_str() else {
                continue;
            };
            let ask = |query: &str, body: Option<Value>| {
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                let address = format!("{address}?{query}");
                let request = client
                    .request(method, address)
                    .bearer_auth(stage.api_token());
                match body {
                    Some(body) => request.json(&body),
                    None => request,
                }
            };
            let check = async |request: reqwest::RequestBuilder, field: &str| {
                let response = request.send().await.unwrap();
                assert_eq!(response.status(), 400, "{id}: {field}");
                let body: Value = response.json().await.unwrap();
                assert_eq!(body["error"]["context"]["field"], field, "{id}: {body}");
                let meant = body["error"]["context"]["nearest"].clone();
                meant.as_str().map(str::to_owned)
            };
            let content = &operation["requestBody"]["content"];
            let json = content["application/json"].is_object().then(|| json!({}));
            check(ask("no_such=1", json.clone()), "no_such").await;
            queries += 1;
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap();
                if parameter["in"] == "query" {
                    let misspelt = format!("{name}_");
                    let meant = check(ask(&format!("{misspelt}=1"), None), &misspelt).await;
                    assert_eq!(meant.as_deref(), Some(name), "{id}");
                    queries += 1;
                }
            }
            if json.is_some() && id != "restoreBackup" {
                check(ask("", Some(json!({ "no_such": 1 }))), "no_such").await;
                bodies += 1;
            }
        }
    }
    assert!(queries > 30 && bodies > 4, "{queries} {bodies}");
}

/// Whatever methods there are, also those that are yet to come.
async fn no_method_takes_whatever_it_is_given(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("misspelt-any").bare_stub();
    for method in methods::names() {
        for args in [
            json!([{ "no_such": 1 }]),
            json!(["/tmp", { "no_such": 1 }]),
            json!(["/tmp/x", "content", { "no_such": 1 }]),
        ] {
            let call = sandbox.call::<Value>(method, args.clone()).await;
            let error = call.expect_err(&format!("{method} {args}"));
            assert_eq!(error.status, Some(400), "{method} {args}: {error:?}");
        }
    }
}

async fn handles_with_more_in_them(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("misspelt-handle");
    sandbox.write("/workspace/file", "kept").await;
    let options = json!([{ "dir": "/workspace" }]);
    let created: Value = sandbox.call("createBackup", options).await.unwrap();
    let record: Value = sandbox.call("getBackup", json!([created])).await.unwrap();
    let http = stage.http("misspelt-handle");
    for handle in [&created, &record] {
        let mut handle = handle.clone();
        handle["localBucket"] = json!(true);
        handle["_id"] = json!("of the owner");
        handle["autoRestore"] = json!(true);
        for misspelt in ["autorestore", "auto_restore", "stragegy", "forced"] {
            let mut handle = handle.clone();
            handle[misspelt] = json!(true);
            let nearest = match misspelt {
                "stragegy" => "strategy",
                "forced" => "force",
                _ => "autoRestore",
            };
            refused(
                &sandbox,
                "restoreBackup",
                json!([handle]),
                misspelt,
                nearest,
            )
            .await;
            let response = http.post("restore", &handle).await;
            assert_eq!(response.status(), 400, "{misspelt}");
        }
        sandbox.restore_backup(&handle).await.unwrap();
        assert_eq!(sandbox.status().await["autoRestore"][0]["id"], handle["id"]);
        assert_eq!(http.post("restore", &handle).await.status(), 200);
        for method in ["getBackup", "verifyBackup"] {
            let _: Value = sandbox.call(method, json!([handle])).await.unwrap();
        }
    }
    let deleted: Value = sandbox.call("deleteBackup", json!([record])).await.unwrap();
    assert_eq!(deleted["existed"], true);
}

async fn options_of_the_older_package(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("older-options");
    let options = json!({ "dir": "/workspace", "localBucket": true, "multipart": false });
    let backup = sandbox.create_backup(options.clone()).await.unwrap();
    assert_eq!(
        stage
            .http("older-options")
            .post("backups", &options)
            .await
            .status(),
        201
    );
    let handle = json!({ "id": backup.id, "dir": backup.dir, "localBucket": true });
    sandbox.restore_backup(handle).await.unwrap();
    let origin = json!({ "origin": "user" });
    assert!(sandbox.exec("true", origin).await.unwrap().success);
}
