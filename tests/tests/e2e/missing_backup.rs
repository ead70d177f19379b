//! A backup without its metadata, or without its archive, does not exist.

use std::sync::Arc;

use sandbox_shared::DirectoryBackup;
use sandbox_tests::{
    bucket::{archive_key, metadata_key},
    stage::Stage,
};

crate::tests![without_metadata, without_archive];

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
    assert_eq!(sandbox.status().await["mounts"], serde_json::json!([]));
}

async fn without_metadata(stage: Arc<Stage>) {
    let lost = |backup: &DirectoryBackup| metadata_key(&backup.id);
    a_lost_object_is_not_found(&stage, "without-metadata", lost).await;
}

async fn without_archive(stage: Arc<Stage>) {
    let lost = |backup: &DirectoryBackup| archive_key(&backup.id);
    a_lost_object_is_not_found(&stage, "without-archive", lost).await;
}
