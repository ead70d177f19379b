//! A directory that was restored with `autoRestore` is there again when the
//! container has started again, before anything looks for it.

use std::sync::Arc;

use sandbox_tests::{
    consumer::{Sandbox, Setup},
    faulty_gateway::Fault,
    stage::Stage,
};
use serde_json::{Value, json};

crate::tests![
    comes_back_after_the_container_is_gone,
    is_forgotten_when_unmounted_or_restored_without,
    what_is_gone_for_good_is_reported_once_in_each_container,
    what_may_pass_is_tried_again,
];

async fn restore(sandbox: &Sandbox, options: Value) -> Value {
    let backup = sandbox.backup("/workspace").await;
    let args = json!([backup, options]);
    let _: Value = sandbox.call("restoreBackup", args).await.unwrap();
    json!(backup)
}

async fn comes_back_after_the_container_is_gone(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("auto-restore");
    sandbox.run("mkdir d && echo kept > d/file").await;
    let backup = restore(&sandbox, json!({ "autoRestore": true })).await;
    let status = sandbox.status().await;
    assert_eq!(status["autoRestore"], json!([backup]), "{status}");

    stage.kill_container(&sandbox).await;
    assert_eq!(sandbox.run("cat d/file").await, "kept\n");
    assert_eq!(sandbox.status().await["mounts"][0]["id"], backup["id"]);

    stage.kill_container(&sandbox).await;
    assert_eq!(sandbox.read("/workspace/d/file").await, "kept\n");

    sandbox.call::<Value>("stop", json!([])).await.unwrap();
    let again = sandbox.backup("/workspace").await;
    sandbox.restore_backup(&again).await.unwrap();
    assert_eq!(sandbox.read("/workspace/d/file").await, "kept\n");
}

async fn is_forgotten_when_unmounted_or_restored_without(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("auto-restore-forgotten");
    sandbox.run("echo kept > file").await;
    for by in ["unmount", "restore"] {
        let backup = restore(&sandbox, json!({ "autoRestore": true })).await;
        match by {
            "unmount" => {
                let args = json!(["/workspace"]);
                let _: Value = sandbox.call("unmountBackup", args).await.unwrap();
            }
            _ => drop(sandbox.restore_backup(&backup).await.unwrap()),
        }
        assert_eq!(sandbox.status().await["autoRestore"], json!([]), "{by}");
    }
    stage.kill_container(&sandbox).await;
    assert!(!sandbox.exists("/workspace/file").await);
}

async fn what_is_gone_for_good_is_reported_once_in_each_container(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("auto-restore-expired");
    sandbox.run("echo kept > file").await;
    let backup = restore(&sandbox, json!({ "autoRestore": true })).await;
    let other = json!([{ "id": backup["id"], "dir": "/home/x" }, { "autoRestore": true }]);
    let _: Value = sandbox.call("restoreBackup", other).await.unwrap();
    let id = sandbox_shared::BackupId::parse(backup["id"].as_str().unwrap()).unwrap();
    stage
        .bucket
        .edit_metadata(&id, |metadata| {
            metadata["createdAt"] = "2020-01-01T00:00:00Z".into();
        })
        .await;
    for _ in 0..2 {
        stage.kill_container(&sandbox).await;
        for dir in ["/home/x", "/workspace"] {
            let error = sandbox.exec("ls", json!({})).await.unwrap_err();
            assert_eq!(error.code(), "BACKUP_EXPIRED", "{error:?}");
            assert_eq!(error.context.unwrap()["autoRestore"], dir);
        }
        assert_eq!(sandbox.run("ls -A").await, "");
        let status = sandbox.status().await;
        for number in 0..2 {
            let failure = &status["autoRestore"][number]["error"];
            assert_eq!(failure["code"], "BACKUP_EXPIRED", "{status}");
        }
    }
    for dir in ["/workspace", "/home/x"] {
        let _: Value = sandbox.call("unmountBackup", json!([dir])).await.unwrap();
    }
    assert_eq!(sandbox.status().await["autoRestore"], json!([]));
    stage.kill_container(&sandbox).await;
    assert_eq!(sandbox.run("ls -A").await, "");
}

async fn what_may_pass_is_tried_again(stage: Arc<Stage>) {
    let gateway = stage.faulty_gateway(Fault::None).await;
    let sandbox = stage
        .consumer
        .sandbox_of(Setup::Faulty, "auto-restore-again");
    sandbox.run("echo kept > file").await;
    restore(&sandbox, json!({ "autoRestore": true })).await;
    gateway.set(Fault::RefusesReads);
    stage.kill_container(&sandbox).await;
    for _ in 0..2 {
        let error = sandbox.exec("cat file", json!({})).await.unwrap_err();
        assert_eq!(error.code(), "BACKUP_RESTORE_FAILED", "{error:?}");
        let status = sandbox.status().await;
        let failure = &status["autoRestore"][0]["error"];
        assert_eq!(failure["code"], "BACKUP_RESTORE_FAILED", "{status}");
    }
    gateway.set(Fault::None);
    assert_eq!(sandbox.run("cat file").await, "kept\n");
    assert!(sandbox.status().await["autoRestore"][0]["error"].is_null());
}
