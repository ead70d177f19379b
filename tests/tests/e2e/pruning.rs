//! What `pruneBackups` may delete: never the last backup that can be restored,
//! whatever has expired, and whatever something else has deleted meanwhile.

use std::sync::Arc;

use sandbox_shared::{BackupId, metadata::iso8601};
use sandbox_tests::{
    bucket::{archive_key, metadata_key},
    consumer::{Sandbox, Setup},
    stage::Stage,
};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

crate::tests![
    expired_backups_take_no_place,
    of_expired_backups_the_rules_keep_what_they_would,
    what_is_gone_from_the_bucket_takes_no_place,
    many_that_are_gone,
    half_a_backup_takes_no_place,
    the_bucket_says_what_has_expired,
    nothing_is_deleted_if_the_bucket_cannot_be_asked,
    the_newest_of_a_year_is_kept,
];

const DAY: i64 = 86400;

async fn call(sandbox: &Sandbox, method: &str, argument: Value) -> Value {
    sandbox.call(method, json!([argument])).await.unwrap()
}

async fn prune(sandbox: &Sandbox, rules: Value) -> Value {
    call(sandbox, "pruneBackups", rules).await
}

/// What a list of records names.
fn ids(records: &Value) -> Vec<BackupId> {
    let records = records.as_array().unwrap().iter();
    records
        .map(|record| serde_json::from_value(record["id"].clone()).unwrap())
        .collect()
}

/// What the sandbox lists, from the newest on.
async fn listed(sandbox: &Sandbox) -> Vec<BackupId> {
    ids(&call(sandbox, "listBackups", json!({ "dir": DIR })).await["backups"])
}

/// Of the backups that [`stored`] makes.
const DIR: &str = "/workspace/stored";

/// Puts backups into the bucket, made so many days ago with TTLs of so many
/// days, and has the sandbox index them.
async fn stored(stage: &Stage, sandbox: &Sandbox, backups: &[(i64, i64)]) -> Vec<BackupId> {
    let owner = sandbox.object_id().await;
    let mut ids = Vec::new();
    for (age, ttl) in backups {
        let id = BackupId::from_random(fastrand::u128(..).to_be_bytes());
        let created = OffsetDateTime::now_utc() - Duration::seconds(age * DAY + 60);
        let metadata = json!({
            "id": id, "dir": DIR, "name": null, "sizeBytes": 4, "ttl": ttl * DAY,
            "createdAt": iso8601(created), "sandbox": owner, "formatVersion": 1,
        });
        stage.bucket.put(&archive_key(&id), b"data".to_vec()).await;
        let metadata = metadata.to_string().into_bytes();
        stage.bucket.put(&metadata_key(&id), metadata).await;
        ids.push(id);
    }
    let _: Value = sandbox.call("reindexBackups", json!([])).await.unwrap();
    assert_eq!(listed(sandbox).await, ids);
    ids
}

async fn is_there(stage: &Stage, id: &BackupId) -> bool {
    !stage.bucket.keys_of(id).await.is_empty()
}

async fn expired_backups_take_no_place(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("prune-expired");
    sandbox.run("echo oldest > file").await;
    let oldest = sandbox.backup("/workspace").await;
    sandbox.run("echo kept > file").await;
    let kept = sandbox.backup("/workspace").await;
    let expired = json!({ "dir": "/workspace", "ttl": 1 });
    let expired = sandbox.create_backup(expired).await.unwrap();

    for rules in [json!({ "keepLast": 1 }), json!({ "keepWithin": 0.001 })] {
        let mut rules = rules;
        rules["dryRun"] = true.into();
        let foretold = prune(&sandbox, rules.clone()).await;
        assert_eq!(
            ids(&foretold["deleted"]["first"]),
            std::slice::from_ref(&oldest.id),
            "{rules}"
        );
        rules["expired"] = true.into();
        let foretold = prune(&sandbox, rules.clone()).await;
        assert_eq!(
            ids(&foretold["deleted"]["first"]),
            [expired.id.clone(), oldest.id.clone()],
            "{rules}"
        );
    }
    let pruned = prune(&sandbox, json!({ "keepLast": 1 })).await;
    assert_eq!(
        (&pruned["kept"], &pruned["deleted"]["count"]),
        (&json!(2), &json!(1))
    );
    assert!(is_there(&stage, &expired.id).await);

    let pruned = prune(&sandbox, json!({ "keepLast": 1, "expired": true })).await;
    assert_eq!(
        (&pruned["kept"], &pruned["deleted"]["count"]),
        (&json!(1), &json!(1))
    );
    assert!(!is_there(&stage, &expired.id).await);
    sandbox.restore_backup(&kept).await.unwrap();
    assert_eq!(sandbox.read("/workspace/file").await, "kept\n");
}

/// They go as they would if they had not expired, and not before: the last of a
/// sandbox that has slept for long stays.
async fn of_expired_backups_the_rules_keep_what_they_would(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("prune-all-expired");
    let made = stored(&stage, &sandbox, &[(10, 3), (11, 3), (12, 3)]).await;
    let pruned = prune(&sandbox, json!({ "keepLast": 2 })).await;
    assert_eq!(ids(&pruned["deleted"]["first"]), [made[2].clone()]);
    assert_eq!(listed(&sandbox).await, made[..2]);
    assert!(!is_there(&stage, &made[2]).await);
}

async fn what_is_gone_from_the_bucket_takes_no_place(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("prune-ghosts");
    sandbox.run("echo kept > file").await;
    let kept = sandbox.backup("/workspace").await;
    let by_another = sandbox.backup("/workspace").await;
    let by_the_binding = sandbox.backup("/workspace").await;
    let other = stage.consumer.sandbox("prune-ghosts-other");
    call(&other, "deleteBackup", json!(by_another.id)).await;
    for key in stage.bucket.keys_of(&by_the_binding.id).await {
        stage.bucket.delete(&key).await;
    }

    let gone = [by_the_binding.id, by_another.id];
    let foretold = prune(&sandbox, json!({ "keepLast": 1, "dryRun": true })).await;
    assert_eq!(
        (&foretold["kept"], &foretold["deleted"]["count"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(ids(&foretold["missing"]["first"]), gone);
    let page = call(&sandbox, "listBackups", json!({})).await;
    assert_eq!(ids(&page["backups"]), std::slice::from_ref(&kept.id));

    let pruned = prune(&sandbox, json!({ "keepLast": 1 })).await;
    assert_eq!(
        pruned,
        json!({ "dryRun": false, "kept": 1, "deleted": { "count": 0, "first": [] }, "freedBytes": 0 })
    );
    sandbox.restore_backup(&kept).await.unwrap();
    assert_eq!(sandbox.read("/workspace/file").await, "kept\n");
}

async fn many_that_are_gone(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("prune-many-ghosts");
    let backups: Vec<_> = (0..40).map(|age| (age, 1000)).collect();
    let made = stored(&stage, &sandbox, &backups).await;
    // One that is kept among them, so that rules of both kinds have to move on.
    for id in made[..30].iter().filter(|id| **id != made[7]) {
        for key in stage.bucket.keys_of(id).await {
            stage.bucket.delete(&key).await;
        }
    }
    let pruned = prune(&sandbox, json!({ "keepLast": 2, "keepDaily": 3 })).await;
    assert_eq!(pruned["missing"]["count"], 29);
    assert_eq!(
        (&pruned["kept"], &pruned["deleted"]["count"]),
        (&json!(3), &json!(8))
    );
    let kept = [7, 30, 31].map(|number| made[number].clone());
    assert_eq!(listed(&sandbox).await, kept);
    for id in &kept {
        assert_eq!(stage.bucket.keys_of(id).await.len(), 2);
    }
}

/// Each of them cannot be restored: without metadata, without an archive, and
/// with another archive than the metadata tells of.
async fn half_a_backup_takes_no_place(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("prune-halves");
    let made = stored(&stage, &sandbox, &[(0, 9), (1, 9), (2, 9), (3, 9), (4, 9)]).await;
    stage.bucket.delete(&metadata_key(&made[0])).await;
    stage.bucket.delete(&archive_key(&made[1])).await;
    stage
        .bucket
        .edit_archive(&made[2], |archive| archive.truncate(3))
        .await;

    let pruned = prune(&sandbox, json!({ "keepLast": 1 })).await;
    assert_eq!(ids(&pruned["missing"]["first"]), made[..3]);
    assert_eq!(ids(&pruned["deleted"]["first"]), made[4..]);
    assert_eq!(listed(&sandbox).await, made[3..4]);
    // What is left of them is not ours to judge.
    for id in &made[..3] {
        assert!(is_there(&stage, id).await);
    }
}

async fn the_bucket_says_what_has_expired(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("prune-other-ttl");
    let made = stored(&stage, &sandbox, &[(1, 9), (2, 9), (3, 9), (4, 1), (5, 1)]).await;
    let ttl = async |id: &BackupId, days: i64| {
        let set = |metadata: &mut Value| metadata["ttl"] = (days * DAY).into();
        stage.bucket.edit_metadata(id, set).await;
    };
    // The index knows of neither.
    ttl(&made[0], 1).await;
    ttl(&made[3], 9).await;

    let rules = json!({ "expired": true });
    let pruned = prune(&sandbox, rules).await;
    assert_eq!(
        ids(&pruned["deleted"]["first"]),
        made[4..],
        "the other can be restored"
    );
    let record = call(&sandbox, "listBackups", json!({ "dir": DIR })).await;
    assert_eq!(record["backups"][3]["state"], "active");

    let rules = json!({ "keepLast": 1, "expired": true });
    let pruned = prune(&sandbox, rules).await;
    assert_eq!(
        ids(&pruned["deleted"]["first"]),
        [0, 2, 3].map(|number| made[number].clone())
    );
    assert_eq!(listed(&sandbox).await, made[1..2]);
}

async fn nothing_is_deleted_if_the_bucket_cannot_be_asked(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox_of(Setup::Faulty, "prune-faults");
    let made = stored(&stage, &sandbox, &[(0, 9), (1, 9), (9, 1)]).await;
    let (metadata, archive) = (("get", "meta.json"), ("head", "data.sqsh"));
    for (rules, (operation, key)) in [
        (json!({ "keepLast": 1 }), metadata),
        (json!({ "keepLast": 1 }), archive),
        (json!({ "keepLast": 1, "dryRun": true }), metadata),
        (json!({ "keepLast": 1, "dryRun": true }), archive),
        (json!({ "keepLast": 1, "expired": true }), archive),
        (json!({ "expired": true }), metadata),
    ] {
        sandbox
            .plan_faults("throw", &[(operation, key, "before")])
            .await;
        let error = sandbox
            .call::<Value>("pruneBackups", json!([rules]))
            .await
            .unwrap_err();
        assert_eq!(
            error.code(),
            "INTERNAL_ERROR",
            "{operation} {rules}: {error:?}"
        );
        assert_eq!(listed(&sandbox).await, made, "{operation} {rules}");
        for id in &made {
            assert_eq!(stage.bucket.keys_of(id).await.len(), 2);
        }
    }
    let pruned = prune(&sandbox, json!({ "keepLast": 1 })).await;
    assert_eq!(ids(&pruned["deleted"]["first"]), made[1..]);
}

async fn the_newest_of_a_year_is_kept(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("prune-years");
    let made = stored(&stage, &sandbox, &[(0, 9999), (400, 9999), (800, 9999)]).await;
    let pruned = prune(&sandbox, json!({ "keepYearly": 2 })).await;
    assert_eq!(ids(&pruned["deleted"]["first"]), made[2..]);
    assert_eq!(listed(&sandbox).await, made[..2]);
}
