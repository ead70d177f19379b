//! The container goes away: killed by the host, or stopped by its user.

use std::{sync::Arc, time::Duration};

use futures::future::join;
use sandbox_shared::{
    DirectoryBackup,
    operation::{OperationOutcome, OperationState},
};
use sandbox_tests::{consumer::Called, stage::Stage, tree};
use serde_json::json;

crate::tests![
    the_next_call_starts_another,
    a_call_under_way_says_so,
    a_backup_under_way_is_not_a_success,
    a_backup_is_of_the_container_that_was_meant,
    mounts_are_gone_and_come_back_by_restoring_again,
];

async fn the_next_call_starts_another(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("killed");
    sandbox.run("echo x > file").await;
    stage.kill_container(&sandbox).await;
    assert_eq!(sandbox.status().await["container"]["state"], "stopped");
    assert_eq!(sandbox.run("echo works").await, "works\n");
    assert!(
        !sandbox.exists("/workspace/file").await,
        "its disk went with it"
    );
}

async fn a_call_under_way_says_so(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("killed-during-exec");
    sandbox.run("mkfifo /tmp/started").await;
    let long = sandbox.exec("echo > /tmp/started; sleep 60", json!({}));
    let kill = async {
        sandbox.run("cat /tmp/started").await;
        stage.kill_container(&sandbox).await;
    };
    let (result, ()) = join(long, kill).await;
    let error = result.unwrap_err();
    assert_eq!(
        (error.code(), error.status),
        ("CONTAINER_UNAVAILABLE", Some(503))
    );
    assert_eq!(sandbox.run("echo works").await, "works\n");
}

async fn a_backup_under_way_is_not_a_success(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("killed-during-backup");
    sandbox
        .run("for n in $(seq 30); do head -c 3000000 /dev/urandom > $n; done")
        .await;
    let backup = sandbox.create_backup(json!({ "dir": "/workspace", "name": "killed" }));
    let kill = async {
        // Until the backup has begun; then it takes a while.
        while sandbox.status().await["operation"].is_null() {
            tokio::task::yield_now().await;
        }
        stage.kill_container(&sandbox).await;
    };
    let (result, ()): (Called<DirectoryBackup>, ()) = join(backup, kill).await;
    let error = result.unwrap_err();
    let codes = [
        "CONTAINER_UNAVAILABLE",
        "BACKUP_CREATE_FAILED",
        "OPERATION_INTERRUPTED",
    ];
    assert!(codes.contains(&error.code()), "{error:?}");
    sandbox.run("echo x > file").await;
    let backup = sandbox.backup("/workspace").await;
    sandbox.restore_backup(&backup).await.unwrap();
    assert_eq!(sandbox.read("/workspace/file").await, "x\n");
}

async fn a_backup_is_of_the_container_that_was_meant(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("killed-before-a-backup");
    let files_of = async |backup: &DirectoryBackup| {
        let counts = stage.bucket.metadata(&backup.id).await.counts;
        counts.unwrap().files
    };
    sandbox.run("echo x > file").await;
    stage.kill_container(&sandbox).await;
    let options = json!({ "dir": "/workspace" });
    let error = sandbox.create_backup(options.clone()).await.unwrap_err();
    assert_eq!(error.code(), "OPERATION_INTERRUPTED", "{error:?}");
    let context = error.context.unwrap();
    assert_eq!(context["committed"], false);
    let operation = json!([context["operationId"]]);
    let outcome: OperationOutcome = sandbox.call("operationOutcome", operation).await.unwrap();
    assert_eq!(outcome.state, OperationState::NotCommitted);
    // Now its caller knows, and whoever still wants one gets it.
    let backup = sandbox.backup("/workspace").await;
    assert_eq!(files_of(&backup).await, 0);

    // While it begins.
    for milliseconds in 0..15 {
        sandbox.run("echo x > file").await;
        let kill = async {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            stage.kill_container(&sandbox).await;
        };
        let (created, ()) = join(sandbox.create_backup(options.clone()), kill).await;
        match created {
            Ok(backup) => assert_eq!(files_of(&backup).await, 1, "{milliseconds}"),
            Err(error) => {
                let codes = ["CONTAINER_UNAVAILABLE", "OPERATION_INTERRUPTED"];
                assert!(codes.contains(&error.code()), "{error:?}");
            }
        }
    }
}

async fn mounts_are_gone_and_come_back_by_restoring_again(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("mounts-gone");
    sandbox.run("mkdir d && echo x > d/file").await;
    let before = tree::digest(&sandbox, "/workspace").await;
    let backup = sandbox.backup("/workspace").await;
    sandbox.restore_backup(&backup).await.unwrap();
    for how in ["killed", "stopped"] {
        match how {
            "killed" => stage.kill_container(&sandbox).await,
            _ => sandbox.call("stop", json!([])).await.unwrap(),
        }
        assert_eq!(sandbox.status().await["mounts"], json!([]), "{how}");
        assert_eq!(sandbox.run("ls -A").await, "", "{how}");
        sandbox.restore_backup(&backup).await.unwrap();
        assert_eq!(tree::digest(&sandbox, "/workspace").await, before, "{how}");
    }
}
