//! A presigned URL that a sandbox keeps is worth nothing when what it was made
//! for is over, though its signature still holds.

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use sandbox_tests::{
    bucket::archive_key,
    consumer::{Sandbox, Setup},
    faulty_gateway::Fault,
    stage::Stage,
    tree,
};
use serde_json::{Value, json};

use crate::failed_backup::with_random_files;

crate::tests![
    of_a_part_after_its_upload_is_complete,
    of_a_part_after_its_upload_is_aborted,
    of_a_deleted_backup,
];

/// One whose backups have several parts.
async fn sandbox(stage: &Stage, name: &str) -> Sandbox {
    let sandbox = stage.consumer.sandbox_of(Setup::Faulty, name);
    with_random_files(&sandbox).await;
    sandbox
}

/// That the store takes other bytes under none of these URLs.
async fn are_refused(stage: &Stage, urls: &[String]) {
    assert!(!urls.is_empty());
    for url in urls {
        let put = stage.client.put(url).body("other bytes").send().await;
        let put = put.unwrap();
        assert_eq!(put.status(), StatusCode::NOT_FOUND);
        let answer = put.text().await.unwrap();
        assert!(answer.contains("NoSuchUpload"), "{answer}");
    }
}

async fn of_a_part_after_its_upload_is_complete(stage: Arc<Stage>) {
    let gateway = stage.faulty_gateway(Fault::None).await;
    let sandbox = sandbox(&stage, "replay-after-completion").await;
    let backup = sandbox.backup("/workspace").await;
    let stored = stage.bucket.get(&archive_key(&backup.id)).await;
    let before = tree::digest(&sandbox, "/workspace").await;

    are_refused(&stage, &gateway.urls(&Method::PUT)).await;

    assert_eq!(stage.bucket.get(&archive_key(&backup.id)).await, stored);
    assert_eq!(sandbox.open_uploads().await, 0);
    sandbox.restore_backup(&backup).await.unwrap();
    assert_eq!(tree::digest(&sandbox, "/workspace").await, before);
}

async fn of_a_part_after_its_upload_is_aborted(stage: Arc<Stage>) {
    let gateway = stage.faulty_gateway(Fault::RefusesLaterParts).await;
    let sandbox = sandbox(&stage, "replay-after-abort").await;
    let options = json!({ "dir": "/workspace" });
    let error = sandbox.create_backup(options).await.unwrap_err();
    assert_eq!(error.code(), "BACKUP_CREATE_FAILED", "{error:?}");
    let urls = gateway.urls(&Method::PUT);
    let ids = gateway.archive_ids();
    gateway.set(Fault::None);

    are_refused(&stage, &urls).await;

    for id in ids {
        let keys = stage.bucket.keys(&format!("backups/{id}/")).await;
        assert!(keys.is_empty(), "{keys:?}");
    }
    assert_eq!(sandbox.open_uploads().await, 0);
}

async fn of_a_deleted_backup(stage: Arc<Stage>) {
    let gateway = stage.faulty_gateway(Fault::None).await;
    let sandbox = sandbox(&stage, "replay-after-deletion").await;
    let backup = sandbox.backup("/workspace").await;
    sandbox.restore_backup(&backup).await.unwrap();
    let reads = gateway.urls(&Method::GET);
    let read = stage.client.get(&reads[0]).send().await.unwrap();
    assert_eq!(read.status(), StatusCode::OK);
    for (method, argument) in [
        ("unmountBackup", json!("/workspace")),
        ("deleteBackup", json!(backup.id)),
    ] {
        let _: Value = sandbox.call(method, json!([argument])).await.unwrap();
    }

    let read = stage.client.get(&reads[0]).send().await.unwrap();
    assert_eq!(read.status(), StatusCode::NOT_FOUND);
    are_refused(&stage, &gateway.urls(&Method::PUT)).await;
    assert!(stage.bucket.keys_of(&backup.id).await.is_empty());
}
