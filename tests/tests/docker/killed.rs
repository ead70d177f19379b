//! Containers that are killed, or whose agent dies: the operation under way
//! says so, nothing is left of it, and the next one works.

use std::sync::Arc;

use futures::future::join;
use sandbox_shared::{DirectoryBackup, RestoreBackupResult};
use sandbox_tests::{
    consumer::{Called, Sandbox, Thrown},
    docker_stage::DockerStage,
    tree,
};
use serde_json::json;

sandbox_tests::tests![
    while_idle,
    during_a_command,
    during_a_backup,
    during_a_restore,
    an_agent_that_dies_takes_its_container_with_it,
];

/// Incompressible, and enough to be killed in the middle.
const FILL: &str = "for n in $(seq 40); do head -c 3000000 /dev/urandom > $n; done";

/// Kills the container as soon as an operation is under way.
async fn kill_during_operation(stage: &DockerStage, sandbox: &Sandbox) {
    while sandbox.status().await["operation"].is_null() {
        tokio::task::yield_now().await;
    }
    stage.kill_container(sandbox).await;
}

fn assert_says_so(error: &Thrown) {
    let codes = [
        "CONTAINER_UNAVAILABLE",
        "BACKUP_CREATE_FAILED",
        "BACKUP_RESTORE_FAILED",
        "OPERATION_INTERRUPTED",
    ];
    assert!(codes.contains(&error.code()), "{error:?}");
}

async fn while_idle(stage: Arc<DockerStage>) {
    let sandbox = stage.consumer.sandbox("killed");
    sandbox.run("echo x > file").await;
    stage.kill_container(&sandbox).await;
    assert_eq!(sandbox.run("ls").await, "", "its disk went with it");
}

async fn during_a_command(stage: Arc<DockerStage>) {
    let sandbox = stage.consumer.sandbox("killed-during-exec");
    sandbox.run("mkfifo /tmp/started").await;
    let long = sandbox.exec("echo > /tmp/started; sleep 60", json!({}));
    let kill = async {
        sandbox.run("cat /tmp/started").await;
        stage.kill_container(&sandbox).await;
    };
    let (result, ()) = join(long, kill).await;
    assert_eq!(result.unwrap_err().code(), "CONTAINER_UNAVAILABLE");
    assert_eq!(sandbox.run("echo works").await, "works\n");
}

async fn during_a_backup(stage: Arc<DockerStage>) {
    let sandbox = stage.consumer.sandbox("killed-during-backup");
    sandbox.run(FILL).await;
    let before = stage.bucket.keys("backups/").await;
    let backup = sandbox.create_backup(json!({ "dir": "/workspace" }));
    let killed = join(backup, kill_during_operation(&stage, &sandbox)).await;
    let (result, ()): (Called<DirectoryBackup>, ()) = killed;
    assert_says_so(&result.unwrap_err());

    sandbox.run("echo x > file").await;
    let refused = sandbox.create_backup(json!({ "dir": "/workspace" })).await;
    assert_eq!(refused.unwrap_err().code(), "OPERATION_INTERRUPTED");
    let backup = sandbox.backup("/workspace").await;
    sandbox.restore_backup(&backup).await.unwrap();
    assert_eq!(sandbox.read("/workspace/file").await, "x\n");
    // Other tests add theirs; of ours there is only the one that succeeded.
    let listed: serde_json::Value = sandbox.call("listBackups", json!([])).await.unwrap();
    assert_eq!(listed["backups"].as_array().unwrap().len(), 1, "{listed}");
    let mut orphans = stage.bucket.keys("backups/").await;
    orphans.retain(|key| key.ends_with("data.sqsh") && !before.contains(key));
    for archive in orphans {
        let metadata = archive.replace("data.sqsh", "meta.json");
        assert!(stage.bucket.get(&metadata).await.is_some(), "{archive}");
    }
}

async fn during_a_restore(stage: Arc<DockerStage>) {
    let sandbox = stage.consumer.sandbox("killed-during-restore");
    sandbox.run(FILL).await;
    let before = tree::digest(&sandbox, "/workspace").await;
    let backup = sandbox.backup("/workspace").await;
    // The strategy that takes its time.
    let args = json!([backup, { "strategy": "extract" }]);
    let restore = sandbox.call("restoreBackup", args);
    let killed = join(restore, kill_during_operation(&stage, &sandbox)).await;
    let (result, ()): (Called<RestoreBackupResult>, ()) = killed;
    assert_says_so(&result.unwrap_err());

    sandbox.restore_backup(&backup).await.unwrap();
    assert_eq!(tree::digest(&sandbox, "/workspace").await, before);
}

/// The engine starts a container again whose process 1 has failed, with the
/// same disk and environment, but without what was restored.
async fn an_agent_that_dies_takes_its_container_with_it(stage: Arc<DockerStage>) {
    let sandbox = stage.consumer.sandbox("agent-dies");
    sandbox.run("echo kept > file").await;
    let backup = sandbox.backup("/workspace").await;
    let args = json!([backup, { "autoRestore": true }]);
    let _: RestoreBackupResult = sandbox.call("restoreBackup", args).await.unwrap();
    sandbox.run("echo changed > file").await;
    // The brackets keep it from finding itself.
    let kill = "for found in $(grep -lsxz '\\(.*/\\)\\?[s]andbox-agent' /proc/[0-9]*/cmdline); do \
                  process=${found%/cmdline}; kill -9 ${process#/proc/}; done";
    assert_says_so(&sandbox.exec(kill, json!({})).await.unwrap_err());

    // The platform takes a moment to see that it has ended.
    let content = loop {
        match sandbox.read_file("/workspace/file").await {
            Ok(file) => break file.content,
            Err(error) => assert_eq!(error.code(), "CONTAINER_UNAVAILABLE", "{error:?}"),
        }
    };
    assert_eq!(content, "kept\n");
    let status = sandbox.status().await;
    assert_eq!(status["mounts"][0]["id"], json!(backup.id), "{status}");
    assert_eq!(stage.containers(&sandbox).await.len(), 1);
}
