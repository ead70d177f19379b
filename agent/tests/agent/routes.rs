use reqwest::{Method, StatusCode};
use sandbox_shared::{ErrorCode, protocol::paths};
use serde_json::json;

use crate::{
    harness::{Agent, PROGRAM, answer, error},
    playground::Playground,
};

#[tokio::test]
async fn every_route_asks_for_the_token() {
    let playground = Playground::new();
    let agent = Agent::start(&playground);
    for (method, path) in [
        (Method::GET, paths::STATUS),
        (Method::POST, paths::EXEC),
        (Method::POST, paths::BACKUPS),
        (Method::GET, "/v1/files?path=/etc/passwd"),
        (Method::GET, "/no/such/route"),
        (Method::DELETE, paths::STATUS),
    ] {
        for token in [
            None,
            Some(""),
            Some("a token for test"),
            Some("a token for testsx"),
        ] {
            let mut request = agent.request_without_token(method.clone(), path);
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            let response = request.send().await.unwrap();
            assert_eq!(
                response.status(),
                StatusCode::UNAUTHORIZED,
                "{path} {token:?}"
            );
            assert_eq!(response.headers()["www-authenticate"], "Bearer");
            assert_eq!(error(response).await.code, ErrorCode::Unauthorized);
        }
    }
}

#[tokio::test]
async fn unknown_routes_and_methods_are_named() {
    let playground = Playground::new();
    let agent = Agent::start(&playground);
    let response = agent
        .request(Method::GET, "/v1/nothing")
        .send()
        .await
        .unwrap();
    assert_eq!(error(response).await.code, ErrorCode::RouteNotFound);
    let response = agent
        .request(Method::DELETE, paths::EXEC)
        .send()
        .await
        .unwrap();
    assert_eq!(error(response).await.code, ErrorCode::MethodNotAllowed);
}

#[tokio::test]
async fn a_malformed_body_names_its_field() {
    let playground = Playground::new();
    let agent = Agent::start(&playground);
    let response = agent.post(paths::EXEC, &json!({ "command": 7 })).await;
    let wrong = error(response).await;
    assert_eq!(wrong.code, ErrorCode::InvalidRequest);
    assert!(wrong.message.contains("command"), "{wrong}");

    let response = agent
        .post(paths::BACKUPS, &json!({ "id": "no", "dir": "/tmp" }))
        .await;
    let wrong = error(response).await;
    assert_eq!(wrong.code, ErrorCode::InvalidBackupConfig);
    assert!(wrong.message.contains("id"), "{wrong}");
}

#[tokio::test]
async fn status_answers() {
    let playground = Playground::new();
    let agent = Agent::start(&playground);
    let response = agent
        .request(Method::GET, paths::STATUS)
        .send()
        .await
        .unwrap();
    let status: sandbox_shared::protocol::AgentStatus = answer(response).await;
    assert_eq!(status.version, env!("CARGO_PKG_VERSION"));
    assert!(status.mounts.is_empty());
    playground.leaves_nothing().await;
}

#[test]
fn nothing_is_served_without_a_token() {
    let output = std::process::Command::new(PROGRAM)
        .arg("serve")
        .env_remove("SANDBOX_AGENT_TOKEN")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("SANDBOX_AGENT_TOKEN"), "{said}");
}
