//! A damaged archive is never restored, and the directory stays as it was.

use std::sync::Arc;

use sandbox_tests::{stage::Stage, tree};

crate::tests![
    first_byte_flipped,
    middle_byte_flipped,
    last_table_byte_flipped,
    cut_short,
    metadata_unreadable,
];

async fn damage_is_refused(stage: &Stage, name: &str, damage: impl FnOnce(&mut Vec<u8>)) {
    let sandbox = stage.consumer.sandbox(name);
    sandbox
        .run("mkdir d && head -c 300000 /dev/urandom > d/random && echo text > d/text")
        .await;
    let backup = sandbox.backup("/workspace").await;
    stage.bucket.edit_archive(&backup.id, damage).await;
    sandbox.run("rm -r d && echo as it was > file").await;
    let before = tree::digest(&sandbox, "/workspace").await;

    let error = sandbox.restore_backup(&backup).await.unwrap_err();
    assert_eq!(
        (error.code(), error.status),
        ("BACKUP_RESTORE_FAILED", Some(500)),
        "{error:?}"
    );
    assert_eq!(tree::digest(&sandbox, "/workspace").await, before);
    assert_eq!(sandbox.status().await["mounts"], serde_json::json!([]));
}

async fn first_byte_flipped(stage: Arc<Stage>) {
    damage_is_refused(&stage, "first-byte-flipped", |archive| archive[0] ^= 1).await;
}

async fn middle_byte_flipped(stage: Arc<Stage>) {
    let damage = |archive: &mut Vec<u8>| {
        let middle = archive.len() / 2;
        archive[middle] ^= 1;
    };
    damage_is_refused(&stage, "middle-byte-flipped", damage).await;
}

async fn last_table_byte_flipped(stage: Arc<Stage>) {
    // The superblock's bytes_used: what follows is padding (SquashFS 4.0).
    let damage = |archive: &mut Vec<u8>| {
        let used = u64::from_le_bytes(archive[40..48].try_into().unwrap());
        archive[used as usize - 1] ^= 0x40;
    };
    damage_is_refused(&stage, "last-table-byte-flipped", damage).await;
}

async fn cut_short(stage: Arc<Stage>) {
    let damage = |archive: &mut Vec<u8>| archive.truncate(archive.len() - 1);
    damage_is_refused(&stage, "cut-short", damage).await;
}

async fn metadata_unreadable(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("metadata-unreadable");
    let backup = sandbox.backup("/workspace").await;
    stage
        .bucket
        .edit_metadata(&backup.id, |metadata| metadata["ttl"] = "soon".into())
        .await;
    let error = sandbox.restore_backup(&backup).await.unwrap_err();
    assert_eq!(error.code(), "BACKUP_RESTORE_FAILED", "{error:?}");
}
