//! The TTL is enforced at restore, with a margin of 60 seconds. Time does not
//! pass here: the backup is made older in its metadata.

use std::sync::Arc;

use sandbox_shared::{DirectoryBackup, metadata::iso8601};
use sandbox_tests::stage::Stage;
use serde_json::json;
use time::{Duration, OffsetDateTime};

crate::tests![
    restorable_until_the_margin,
    expired_within_the_margin,
    long_expired,
    ttl_not_longer_than_the_margin,
    default_is_three_days,
];

/// How exactly the age of a backup is known when its restore begins.
const SLACK: i64 = 20;

/// A backup with a TTL of 600 s, made so long ago.
async fn backup_aged(stage: &Stage, name: &str, seconds: i64) -> DirectoryBackup {
    let sandbox = stage.consumer.sandbox(name);
    let options = json!({ "dir": "/workspace", "ttl": 600 });
    let backup = sandbox.create_backup(options).await.unwrap();
    let created = OffsetDateTime::now_utc() - Duration::seconds(seconds);
    stage
        .bucket
        .edit_metadata(&backup.id, |metadata| {
            metadata["createdAt"] = iso8601(created).into();
        })
        .await;
    backup
}

async fn restorable_until_the_margin(stage: Arc<Stage>) {
    let name = "restorable-until-the-margin";
    let backup = backup_aged(&stage, name, 600 - 60 - SLACK).await;
    let sandbox = stage.consumer.sandbox(name);
    assert!(sandbox.restore_backup(&backup).await.unwrap().success);
}

async fn expired_within_the_margin(stage: Arc<Stage>) {
    let name = "expired-within-the-margin";
    let backup = backup_aged(&stage, name, 600 - 60 + 1).await;
    let sandbox = stage.consumer.sandbox(name);
    sandbox.run("echo as it was > file").await;
    let error = sandbox.restore_backup(&backup).await.unwrap_err();
    assert_eq!((error.code(), error.status), ("BACKUP_EXPIRED", Some(400)));

    let metadata = stage.bucket.metadata(&backup.id).await;
    let expired_at = &error.context.unwrap()["expiredAt"];
    assert_eq!(*expired_at, iso8601(metadata.expires_at()));
    // Nothing is deleted by its TTL, and the directory was not touched.
    assert_eq!(stage.bucket.keys_of(&backup.id).await.len(), 2);
    assert_eq!(sandbox.read("/workspace/file").await, "as it was\n");
}

async fn long_expired(stage: Arc<Stage>) {
    let backup = backup_aged(&stage, "long-expired", 100_000_000).await;
    let sandbox = stage.consumer.sandbox("long-expired");
    let error = sandbox.restore_backup(&backup).await.unwrap_err();
    assert_eq!(error.code(), "BACKUP_EXPIRED");
}

async fn ttl_not_longer_than_the_margin(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("ttl-not-longer-than-the-margin");
    let options = json!({ "dir": "/workspace", "ttl": 59 });
    let backup = sandbox.create_backup(options).await.unwrap();
    let error = sandbox.restore_backup(&backup).await.unwrap_err();
    assert_eq!(error.code(), "BACKUP_EXPIRED");
}

async fn default_is_three_days(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("default-ttl");
    let backup = sandbox.backup("/workspace").await;
    let metadata = stage.bucket.metadata(&backup.id).await;
    assert_eq!(metadata.ttl.seconds(), 259_200.0);
}
