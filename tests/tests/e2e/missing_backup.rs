//! A backup without its metadata, or without its archive, does not exist.

use std::sync::Arc;

use sandbox_shared::DirectoryBackup;
use sandbox_tests::{
    bucket::{archive_key, metadata_key},
    consumer::Setup,
    stage::Stage,
};
use serde_json::{Value, json};

crate::tests![
    without_metadata,
    without_archive,
    looked_for,
    of_a_bucket_that_fails,
];

async fn a_lost_object_is_not_found(
    stage: &Stage,
    name: &str,
    lost: fn(&DirectoryBackup) -> String,
) {
    let sandbox = stage.consumer.sandbox(name);
    sandbox.run("echo backed up > file").await;
    let backup = sandbox.backup("/workspace").await;
    stage.bucket.delete(&lost(&backup)).await;
    sandbox.run("echo as it was > file").await;

    let error = sandbox.restore_backup(&backup).await.unwrap_err();
    assert_eq!(
        (error.code(), error.status),
        ("BACKUP_NOT_FOUND", Some(404))
    );
    assert!(error.message.contains(backup.id.as_str()), "{error:?}");
    assert_eq!(sandbox.read("/workspace/file").await, "as it was\n");
    assert_eq!(sandbox.status().await["mounts"], json!([]));
    // The list has forgotten it.
    let page: Value = sandbox.call("listBackups", json!([])).await.unwrap();
    assert_eq!(page, json!({ "backups": [] }));
}

async fn looked_for(stage: Arc<Stage>) {
    for (method, name) in [
        ("getBackup", "get-missing-backup"),
        ("verifyBackup", "verify-missing-backup"),
    ] {
        let sandbox = stage.consumer.sandbox(name);
        for lost in [metadata_key, archive_key] {
            let backup = sandbox.backup("/workspace").await;
            stage.bucket.delete(&lost(&backup.id)).await;
            let error = sandbox
                .call::<Value>(method, json!([backup]))
                .await
                .unwrap_err();
            assert_eq!(error.code(), "BACKUP_NOT_FOUND", "{method}: {error:?}");
            let page: Value = sandbox.call("listBackups", json!([])).await.unwrap();
            assert_eq!(page, json!({ "backups": [] }), "{method}");
        }
    }
}

/// A bucket that cannot be asked has not lost anything.
async fn of_a_bucket_that_fails(stage: Arc<Stage>) {
    let sandbox = stage
        .consumer
        .sandbox_of(Setup::Faulty, "missing-for-a-moment");
    let backup = sandbox.backup("/workspace").await;
    for (operation, key) in [("get", "meta.json"), ("head", "data.sqsh")] {
        sandbox
            .plan_faults("throw", &[(operation, key, "before")])
            .await;
        let error = sandbox
            .call::<Value>("getBackup", json!([backup]))
            .await
            .unwrap_err();
        assert_eq!(error.code(), "INTERNAL_ERROR", "{operation}: {error:?}");
    }
    let record: Value = sandbox.call("getBackup", json!([backup])).await.unwrap();
    let page: Value = sandbox.call("listBackups", json!([])).await.unwrap();
    assert_eq!(page["backups"], json!([record]));
}

async fn without_metadata(stage: Arc<Stage>) {
    let lost = |backup: &DirectoryBackup| metadata_key(&backup.id);
    a_lost_object_is_not_found(&stage, "without-metadata", lost).await;
}

async fn without_archive(stage: Arc<Stage>) {
    let lost = |backup: &DirectoryBackup| archive_key(&backup.id);
    a_lost_object_is_not_found(&stage, "without-archive", lost).await;
}
