//! One container from start to sleep: commands, files, backups, restores.

use std::sync::Arc;

use sandbox_tests::{docker_stage::DockerStage, tree};
use serde_json::json;

sandbox_tests::tests![commands_and_files, backups_travel_through_the_gateway];

async fn commands_and_files(stage: Arc<DockerStage>) {
    let sandbox = stage.consumer.sandbox("commands");
    assert_eq!(
        sandbox.run("pwd; id -u; . /etc/os-release; echo $ID").await,
        "/workspace\n0\ndebian\n"
    );
    let options = json!({ "cwd": "/tmp", "env": { "GREETING": "hello" }, "stdin": "in" });
    let result = sandbox
        .exec("pwd; echo $GREETING; cat; exit 3", options)
        .await
        .unwrap();
    assert_eq!(
        (result.exit_code, result.stdout.as_str()),
        (3, "/tmp\nhello\nin")
    );
    assert_eq!(sandbox.run("env | grep -c TOKEN || true").await, "0\n");

    sandbox.write("/workspace/d/file", "content").await;
    assert_eq!(sandbox.run("cat d/file").await, "content");
    assert_eq!(sandbox.read("/workspace/d/file").await, "content");
    assert_eq!(sandbox.status().await["container"]["state"], "running");
    assert_eq!(stage.containers(&sandbox).await.len(), 1);
}

async fn backups_travel_through_the_gateway(stage: Arc<DockerStage>) {
    let sandbox = stage.consumer.sandbox("backups");
    // More than one part.
    sandbox
        .run("mkdir -p a/b && head -c 20000000 /dev/urandom > a/random && ln -s random a/link && echo x > a/b/file && chmod 640 a/b/file")
        .await;
    let before = tree::digest(&sandbox, "/workspace").await;
    let backup = sandbox.backup("/workspace").await;
    assert_eq!(stage.bucket.keys_of(&backup.id).await.len(), 2);

    sandbox.run("rm -rf a && echo y > other").await;
    let restored = sandbox.restore_backup(&backup).await.unwrap();
    println!("{restored:?} {}", sandbox.status().await);
    assert_eq!(tree::digest(&sandbox, "/workspace").await, before);
}
