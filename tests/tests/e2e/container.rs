//! The container goes away: killed by the host, or stopped by its user.

use std::{sync::Arc, time::Duration};

use futures::future::join;
use sandbox_shared::{
    DirectoryBackup,
    operation::{OperationOutcome, OperationState},
};
use sandbox_tests::{
    consumer::{Called, Sandbox, Setup},
    faulty_gateway::Fault,
    stage::{INACTIVITY_TIMEOUT, Stage},
    tree,
};
use serde_json::json;

crate::tests![
    the_next_call_starts_another,
    a_call_under_way_says_so,
    a_backup_under_way_is_not_a_success,
    an_idle_container_is_kept,
    a_backup_is_of_the_container_that_was_meant,
    a_replaced_container_is_not_backed_up_before_somebody_knows,
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
    let codes = ["CONTAINER_UNAVAILABLE", "BACKUP_CREATE_FAILED"];
    assert!(codes.contains(&error.code()), "{error:?}");
    sandbox.run("echo x > file").await;
    is_refused_once(&sandbox).await;
    let backup = sandbox.backup("/workspace").await;
    sandbox.restore_backup(&backup).await.unwrap();
    assert_eq!(sandbox.read("/workspace/file").await, "x\n");
}

/// The first backup of a container that has taken another's place.
async fn is_refused_once(sandbox: &Sandbox) {
    let refused = sandbox.create_backup(json!({ "dir": "/workspace" })).await;
    let error = refused.unwrap_err();
    assert_eq!(error.code(), "OPERATION_INTERRUPTED", "{error:?}");
    assert_eq!(error.context.unwrap()["committed"], false);
}

async fn an_idle_container_is_kept(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("idle");
    sandbox.run("echo x > file").await;
    // Nothing is to happen.
    tokio::time::sleep(2 * INACTIVITY_TIMEOUT).await;
    assert!(sandbox.exists("/workspace/file").await);
}

async fn a_replaced_container_is_not_backed_up_before_somebody_knows(stage: Arc<Stage>) {
    let _turn = stage.faulty_gateway(Fault::None).await;
    let sandbox = stage.consumer.sandbox_of(Setup::Faulty, "replaced");
    for meanwhile in [
        "nothing",
        "status",
        "alarm",
        "reset",
        "exec",
        "killed again",
    ] {
        sandbox.run("echo x > file").await;
        sandbox.backup("/workspace").await;
        stage.kill_container(&sandbox).await;
        match meanwhile {
            "status" => drop(sandbox.status().await),
            "alarm" => drop(sandbox.ring_alarm().await),
            "reset" => sandbox.reset().await,
            "exec" => drop(sandbox.run("echo y > other").await),
            "killed again" => {
                sandbox.run("echo y > other").await;
                stage.kill_container(&sandbox).await;
                sandbox.reset().await;
            }
            _ => {}
        }
        is_refused_once(&sandbox).await;
        let backup = sandbox.backup("/workspace").await;
        let counts = stage.bucket.metadata(&backup.id).await.counts.unwrap();
        assert_eq!(counts.files, u64::from(meanwhile == "exec"), "{meanwhile}");
    }

    // What a caller has restored is what he backs up.
    sandbox.run("echo x > file").await;
    let backup = sandbox.backup("/workspace").await;
    stage.kill_container(&sandbox).await;
    sandbox.restore_backup(&backup).await.unwrap();
    sandbox.backup("/workspace").await;
    let elsewhere = sandbox.create_backup(json!({ "dir": "/home" })).await;
    assert_eq!(elsewhere.unwrap_err().code(), "OPERATION_INTERRUPTED");
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
