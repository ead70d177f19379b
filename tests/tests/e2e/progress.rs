//! Following an operation, and ending it.

use std::sync::Arc;

use sandbox_tests::{
    consumer::{Sandbox, Setup},
    faulty_gateway::Fault,
    http_api::ServerSentEvents,
    stage::Stage,
    tree,
};
use serde_json::{Value, json};

crate::tests![
    a_backup_and_a_restore_can_be_followed,
    bad_input_is_refused_before_anything_is_streamed,
    a_cancelled_backup_leaves_nothing,
    a_backup_whose_follower_goes_away_is_cancelled,
    nothing_to_cancel,
];

/// Several parts: this does not compress.
const RANDOM: &str = "for n in 1 2 3 4; do head -c 6000000 /dev/urandom > $n; done";

async fn a_backup_and_a_restore_can_be_followed(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("follow");
    sandbox.run(RANDOM).await;
    let before = tree::digest(&sandbox, "/workspace").await;
    let http = stage.http("follow");

    let mut events = http
        .follow("backups", &json!({ "dir": "/workspace" }))
        .await;
    let mut last = Value::Null;
    let created = loop {
        let event = events.next().await.unwrap();
        if event["type"] == "result" {
            break event["result"].clone();
        }
        assert_eq!(event["type"], "progress", "{event}");
        let operation = event["operation"].clone();
        assert_eq!(operation["type"], "createBackup");
        assert_eq!(operation["dir"], "/workspace");
        last = operation;
    };
    assert!(events.next().await.is_none());
    assert_eq!(last["id"], created["id"]);
    assert_eq!(last["bytesDone"], 24_000_000, "{last}");
    assert_eq!(last["bytesTotal"], 24_000_000, "{last}");
    assert_eq!(last["filesRead"], 4, "{last}");
    assert_eq!(last["entriesScanned"], 4, "{last}");
    assert_eq!(last["bytesUploaded"], created["sizeBytes"], "{last}");
    assert_eq!(created["counts"]["files"], 4);

    sandbox.run("rm *").await;
    let mut events = http.follow("restore", &created).await;
    let restored = events.find(|event| event["type"] == "result").await;
    assert_eq!(restored["result"]["success"], true);
    assert_eq!(tree::digest(&sandbox, "/workspace").await, before);

    let absent = json!({ "id": "00000000-0000-4000-8000-000000000000", "dir": "/workspace" });
    let mut events = http.follow("restore", &absent).await;
    let failed = events.find(|event| event.get("error").is_some()).await;
    assert_eq!(failed["error"]["code"], "BACKUP_NOT_FOUND");
}

async fn bad_input_is_refused_before_anything_is_streamed(stage: Arc<Stage>) {
    let http = stage.http("follow-badly");
    let request = http
        .request(reqwest::Method::POST, "backups")
        .header("accept", "text/event-stream")
        .json(&json!({ "dir": "/etc" }));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 400);
}

/// A backup that cannot get on, followed until its upload has begun.
async fn stuck(stage: &Stage, sandbox: &Sandbox) -> (ServerSentEvents, String) {
    sandbox.run(RANDOM).await;
    let http = stage.http_with(Setup::Faulty, sandbox.name(), Some(stage.api_token()));
    let mut events = http
        .follow("backups", &json!({ "dir": "/workspace" }))
        .await;
    let uploading = |event: &Value| {
        let operation = &event["operation"];
        operation["phase"] == "uploading" && operation["bytesCompressed"].as_u64() > Some(8 << 20)
    };
    let event = events.find(uploading).await;
    let id = event["operation"]["id"].as_str().unwrap().to_owned();
    (events, id)
}

async fn leaves_nothing(stage: &Stage, sandbox: &Sandbox, id: &str) {
    let left = stage.bucket.keys(&format!("backups/{id}/")).await;
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(sandbox.status().await["operation"], Value::Null);
}

async fn a_cancelled_backup_leaves_nothing(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox_of(Setup::Faulty, "cancelled");
    let gateway = stage.faulty_gateway(Fault::HoldsParts).await;
    let (mut events, id) = stuck(&stage, &sandbox).await;
    let status = sandbox.status().await;
    assert_eq!(status["operation"]["id"], id.as_str());

    let cancelled: Value = sandbox.call("cancelOperation", json!([])).await.unwrap();
    assert_eq!(cancelled["cancelled"]["id"], id.as_str());
    leaves_nothing(&stage, &sandbox, &id).await;
    let last = events.find(|event| event.get("error").is_some()).await;
    assert_eq!(last["error"]["code"], "BACKUP_CREATE_FAILED");
    assert_eq!(last["error"]["context"]["cancelled"], true);

    gateway.set(Fault::None);
    let backup = sandbox.backup("/workspace").await;
    assert_eq!(stage.bucket.keys_of(&backup.id).await.len(), 2);
}

async fn a_backup_whose_follower_goes_away_is_cancelled(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox_of(Setup::Faulty, "hung-up");
    let gateway = stage.faulty_gateway(Fault::HoldsParts).await;
    let (events, id) = stuck(&stage, &sandbox).await;
    drop(events);
    // Its turn comes when the cancelled one has ended, and it is not stuck.
    gateway.set(Fault::None);
    let backup = sandbox.backup("/workspace").await;
    assert_ne!(backup.id.as_str(), id);
    leaves_nothing(&stage, &sandbox, &id).await;
}

async fn nothing_to_cancel(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("nothing-to-cancel");
    let cancelled: Value = sandbox.call("cancelOperation", json!([])).await.unwrap();
    assert_eq!(cancelled, json!({ "cancelled": null }));
    let response = stage
        .http("nothing-to-cancel")
        .request(reqwest::Method::DELETE, "operation")
        .send()
        .await
        .unwrap();
    assert_eq!(response.json::<Value>().await.unwrap(), cancelled);
}
