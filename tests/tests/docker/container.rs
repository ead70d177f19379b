//! One container from start to sleep: commands, files, backups, restores.

use std::{sync::Arc, time::Duration};

use sandbox_shared::{RestoreBackupResult, Strategy};
use sandbox_tests::{
    consumer::Setup,
    docker_stage::{DockerStage, SLEEP_AFTER},
    tree,
};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

sandbox_tests::tests![
    commands_and_files,
    backups_travel_through_the_gateway,
    with_each_strategy_that_works,
    sleeps_and_wakes_with_what_was_restored,
    is_kept_for_as_long_as_it_may_idle,
    is_gone_when_it_has_idled_for_longer,
];

/// What works where there is `/dev/fuse`, `CAP_SYS_ADMIN`, and a root that is
/// itself an overlay.
const STRATEGIES: [Strategy; 2] = [Strategy::Fuse, Strategy::Extract];

async fn commands_and_files(stage: Arc<DockerStage>) {
    let sandbox = stage.consumer.sandbox("commands");
    let who = sandbox.run("pwd; id -u; . /etc/os-release; echo $ID").await;
    assert_eq!(who, "/workspace\n0\ndebian\n");
    let options = json!({ "cwd": "/tmp", "env": { "GREETING": "hello" }, "stdin": "in" });
    let result = sandbox.exec("pwd; echo $GREETING; cat; exit 3", options);
    let result = result.await.unwrap();
    assert_eq!(result.exit_code, 3);
    assert_eq!(result.stdout, "/tmp\nhello\nin");
    let environment = sandbox.run("env").await;
    assert!(!environment.contains("TOKEN"), "{environment}");

    sandbox.write("/workspace/d/file", "content").await;
    assert_eq!(sandbox.run("cat d/file").await, "content");
    assert_eq!(sandbox.read("/workspace/d/file").await, "content");
    // Connections to a container are used again, also after an empty body.
    sandbox.write("/workspace/empty", "").await;
    assert_eq!(sandbox.read("/workspace/empty").await, "");
    assert_eq!(sandbox.run("stat -c %s empty").await, "0\n");
    let _: Value = sandbox
        .call("deleteFile", json!(["/workspace/d/file"]))
        .await
        .unwrap();
    assert!(!sandbox.exists("/workspace/d/file").await);
    assert_eq!(sandbox.status().await["container"]["state"], "running");
    assert_eq!(stage.containers(&sandbox).await.len(), 1);
}

async fn backups_travel_through_the_gateway(stage: Arc<DockerStage>) {
    let sandbox = stage.consumer.sandbox("backups");
    // More than one part.
    sandbox
        .run(
            "mkdir -p a/b && head -c 20000000 /dev/urandom > a/random && ln -s random a/link && \
             echo x > a/b/file && chmod 640 a/b/file && chown 1000:1000 a/b",
        )
        .await;
    let before = tree::digest(&sandbox, "/workspace").await;
    let backup = sandbox.backup("/workspace").await;
    assert_eq!(stage.bucket.keys_of(&backup.id).await.len(), 2);

    sandbox.run("rm -rf a && echo y > other").await;
    let restored = sandbox.restore_backup(&backup).await.unwrap();
    assert_eq!(restored.strategy, STRATEGIES[0]);
    assert_eq!(tree::digest(&sandbox, "/workspace").await, before);

    // A directory of the archive is renamed, and what was written discarded.
    sandbox.run("mv a c && rm c/random && echo z > d").await;
    assert_eq!(sandbox.run("ls").await, "c\nd\n");
    sandbox.restore_backup(&backup).await.unwrap();
    assert_eq!(tree::digest(&sandbox, "/workspace").await, before);

    let _: Value = sandbox
        .call("unmountBackup", json!(["/workspace"]))
        .await
        .unwrap();
    assert_eq!(sandbox.run("ls").await, "other\n");
}

async fn with_each_strategy_that_works(stage: Arc<DockerStage>) {
    let sandbox = stage.consumer.sandbox("strategies");
    sandbox.run("mkdir d && seq 100000 > d/file").await;
    let before = tree::digest(&sandbox, "/workspace").await;
    let backup = sandbox.backup("/workspace").await;
    for strategy in Strategy::ALL {
        let args = json!([backup, { "strategy": strategy }]);
        let restored = sandbox.call::<RestoreBackupResult>("restoreBackup", args);
        match restored.await {
            Ok(restored) => {
                assert!(STRATEGIES.contains(&strategy), "{strategy} works");
                assert_eq!(restored.strategy, strategy);
                sandbox.run("mv d e && echo changed > e/file").await;
                sandbox.restore_backup(&backup).await.unwrap();
            }
            Err(error) => {
                assert!(!STRATEGIES.contains(&strategy), "{strategy}: {error:?}");
                assert_eq!(error.code(), "BACKUP_RESTORE_FAILED", "{error:?}");
            }
        }
        assert_eq!(tree::digest(&sandbox, "/workspace").await, before);
    }
}

async fn sleeps_and_wakes_with_what_was_restored(stage: Arc<DockerStage>) {
    let sandbox = stage.consumer.sandbox("sleep");
    sandbox.run("mkdir d && echo kept > d/file").await;
    let backup = sandbox.backup("/workspace").await;
    let args = json!([backup, { "autoRestore": true }]);
    let _: Value = sandbox.call("restoreBackup", args).await.unwrap();
    sandbox.run("echo lost > other").await;

    let asleep = async {
        // Nobody is told when the alarm stops it.
        while sandbox.status().await["container"]["state"] != "stopped" {
            sleep(Duration::from_millis(500)).await;
        }
    };
    timeout(Duration::from_secs(120), asleep).await.unwrap();
    assert_eq!(stage.containers(&sandbox).await, [""; 0]);
    assert_eq!(sandbox.run("ls; cat d/file").await, "d\nkept\n");
    let status = sandbox.status().await;
    assert_eq!(status["mounts"][0]["id"], json!(backup.id), "{status}");
}

/// The platform ends a container a minute or two after its object has left
/// memory, unless the object has asked for more.
async fn is_kept_for_as_long_as_it_may_idle(stage: Arc<DockerStage>) {
    let sandbox = stage.consumer.sandbox_of(Setup::Patient, "patient");
    sandbox.run("echo kept > file").await;
    // Nobody calls, and nothing is to happen.
    sleep(Duration::from_secs(120)).await;
    assert_eq!(stage.containers(&sandbox).await.len(), 1);
    assert_eq!(sandbox.read("/workspace/file").await, "kept\n");
}

async fn is_gone_when_it_has_idled_for_longer(stage: Arc<DockerStage>) {
    let sandbox = stage.consumer.sandbox("idle");
    // Its idle time begins with the end of the command.
    let seconds = (SLEEP_AFTER + Duration::from_secs(3)).as_secs();
    sandbox
        .run(&format!("echo x > file; sleep {seconds}"))
        .await;
    assert_eq!(sandbox.read("/workspace/file").await, "x\n");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(stage.containers(&sandbox).await, [""; 0]);
}
