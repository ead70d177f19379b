//! Backups at the same time, of one sandbox and of several.

use std::sync::Arc;

use futures::future::{join, join_all, join4};
use sandbox_tests::{stage::Stage, tree};
use serde_json::{Value, json};

crate::tests![
    two_backups_of_one_sandbox,
    backups_of_two_sandboxes,
    many_first_calls_start_one_container,
    all_operations_of_one_sandbox,
];

async fn two_backups_of_one_sandbox(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("two-backups-of-one");
    sandbox
        .run(
            "mkdir a b && head -c 3000000 /dev/urandom > a/f && head -c 2000000 /dev/urandom > b/f",
        )
        .await;
    let digests = join(
        tree::digest(&sandbox, "/workspace/a"),
        tree::digest(&sandbox, "/workspace/b"),
    )
    .await;
    let (a, b) = join(
        sandbox.backup("/workspace/a"),
        sandbox.backup("/workspace/b"),
    )
    .await;
    assert_ne!(a.id, b.id);
    sandbox.run("rm -r a b").await;
    let (restored_a, restored_b) =
        join(sandbox.restore_backup(&a), sandbox.restore_backup(&b)).await;
    assert_eq!(
        (restored_a.unwrap().id, restored_b.unwrap().id),
        (a.id, b.id)
    );
    let after = join(
        tree::digest(&sandbox, "/workspace/a"),
        tree::digest(&sandbox, "/workspace/b"),
    )
    .await;
    assert_eq!(after, digests);
}

async fn backups_of_two_sandboxes(stage: Arc<Stage>) {
    let round_trip = async |name: &str| {
        let sandbox = stage.consumer.sandbox(name);
        sandbox
            .run(&format!(
                "echo {name} > name && head -c 3000000 /dev/urandom > random"
            ))
            .await;
        let before = tree::digest(&sandbox, "/workspace").await;
        let backup = sandbox.backup("/workspace").await;
        sandbox.run("rm *").await;
        sandbox.restore_backup(&backup).await.unwrap();
        assert_eq!(tree::digest(&sandbox, "/workspace").await, before);
        assert_eq!(sandbox.read("/workspace/name").await, format!("{name}\n"));
    };
    join(round_trip("of-two-one"), round_trip("of-two-two")).await;
}

async fn many_first_calls_start_one_container(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("many-first-calls");
    let calls = (0..8).map(|n| {
        let sandbox = sandbox.clone();
        async move {
            sandbox
                .exec(&format!("echo {n} >> all"), json!({}))
                .await
                .unwrap()
        }
    });
    let results = join_all(calls).await;
    assert!(results.iter().all(|result| result.success));
    assert_eq!(sandbox.run("wc -l < all").await, "8\n");
}

/// Whatever the order, each does all of its work or none, and says which.
async fn all_operations_of_one_sandbox(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("all-at-once");
    sandbox
        .run("mkdir d; head -c 3000000 /dev/urandom > d/file; echo x > y")
        .await;
    let before = tree::digest(&sandbox, "/workspace").await;
    for round in 0..5 {
        let backup = sandbox.backup("/workspace").await;
        let (created, restored, unmounted, deleted) = join4(
            sandbox.create_backup(json!({ "dir": "/workspace" })),
            sandbox.restore_backup(&backup),
            sandbox.call::<Value>("unmountBackup", json!(["/workspace"])),
            sandbox.call::<Value>("deleteBackup", json!([backup.id])),
        )
        .await;
        deleted.unwrap();
        assert!(stage.bucket.keys_of(&backup.id).await.is_empty(), "{round}");
        if let Err(error) = &restored {
            let may_be = ["BACKUP_NOT_FOUND", "BACKUP_RESTORE_FAILED"];
            assert!(may_be.contains(&error.code()), "{round}: {error:?}");
        }
        if let Err(error) = &unmounted {
            assert_eq!(error.code(), "INVALID_BACKUP_CONFIG", "{round}: {error:?}");
        }
        // What lay below comes back, or was there all the time.
        if restored.is_ok() && unmounted.is_err() {
            let _: Value = sandbox
                .call("unmountBackup", json!(["/workspace"]))
                .await
                .unwrap();
        }
        assert_eq!(sandbox.status().await["mounts"], json!([]), "{round}");
        assert_eq!(
            tree::digest(&sandbox, "/workspace").await,
            before,
            "{round}"
        );
        match created {
            Ok(created) => {
                let elsewhere = json!({ "id": created.id, "dir": "/tmp/restored" });
                sandbox.restore_backup(&elsewhere).await.unwrap();
                let restored = tree::digest(&sandbox, "/tmp/restored").await;
                assert_eq!(restored, before, "{round}");
                let _: Value = sandbox
                    .call("unmountBackup", json!(["/tmp/restored"]))
                    .await
                    .unwrap();
            }
            // Of a directory whose archive had just been deleted.
            Err(error) => {
                assert_eq!(error.code(), "BACKUP_CREATE_FAILED", "{round}: {error:?}");
                assert!(restored.is_ok(), "{round}: {error:?}");
            }
        }
    }
}
