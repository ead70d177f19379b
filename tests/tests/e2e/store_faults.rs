//! Every call that an operation makes to the store fails once, in every way.
//! After each the same is true: the operation has succeeded and all of it reads
//! back, or it has failed with its code and nothing of it is left; and the next
//! one works.

use std::{sync::Arc, time::Duration};

use sandbox_shared::operation::{OperationOutcome, OperationState};
use sandbox_tests::{
    bucket::{archive_key, metadata_key},
    consumer::{Called, Sandbox, Setup},
    faulty_gateway::Fault,
    stage::Stage,
    tree,
};
use serde_json::{Value, json};

/// How long it may take to look at an archive of a few megabytes.
const PATIENCE: Duration = Duration::from_secs(60);

crate::tests![
    of_the_bucket_while_a_backup_is_made,
    of_the_bucket_that_tells_other_things,
    of_the_bucket_while_cleaning_up,
    of_the_bucket_while_restoring,
    of_the_bucket_at_every_other_verb,
    of_the_bucket_while_asking_what_became_of_a_backup,
    of_the_network_that_pass,
    of_the_network_that_spoil_a_backup,
    of_the_network_that_spoil_a_restore,
    objects_that_go_under_a_running_restore,
    objects_that_go_under_what_is_put_back,
];

async fn sandbox(stage: &Stage, name: &str) -> Sandbox {
    let sandbox = stage.consumer.sandbox_of(Setup::Faulty, name);
    sandbox
        .run("head -c 9000000 /dev/urandom > data; mkdir d; echo x > d/file")
        .await;
    sandbox
}

/// That all that was planned has happened.
async fn all_happened(sandbox: &Sandbox, step: &str) {
    let stub = sandbox.clone().bare_stub();
    let left: u64 = stub.call("faultsLeft", json!([])).await.unwrap();
    assert_eq!(left, 0, "{step} did not fail");
}

/// Makes a backup under faults and checks what must be true afterwards.
/// Gives whether it succeeded.
async fn all_or_nothing(stage: &Stage, sandbox: &Sandbox, step: &str) -> bool {
    let operation = step.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let arguments = json!([{ "dir": "/workspace" }, { "operationId": operation }]);
    let created = sandbox.call("createBackup", arguments).await;
    let outcome: OperationOutcome = sandbox
        .call("operationOutcome", json!([operation]))
        .await
        .unwrap();
    let keys = stage.bucket.keys_of(&outcome.backup.unwrap().id).await;
    let open = sandbox.open_uploads().await;
    assert_eq!(open, 0, "{step} leaves an upload");
    match created {
        Ok(backup) => {
            assert_eq!(keys.len(), 2, "{step}");
            restores(sandbox, &backup).await;
            true
        }
        Err(error) => {
            assert_eq!(error.code(), "BACKUP_CREATE_FAILED", "{step}: {error:?}");
            assert!(keys.is_empty(), "{step} leaves {keys:?}");
            false
        }
    }
}

async fn restores(sandbox: &Sandbox, backup: &Value) {
    let before = tree::digest(sandbox, "/workspace").await;
    let elsewhere = json!({ "id": backup["id"], "dir": "/tmp/restored" });
    sandbox.restore_backup(&elsewhere).await.unwrap();
    assert_eq!(tree::digest(sandbox, "/tmp/restored").await, before);
    let _: Value = sandbox
        .call("unmountBackup", json!(["/tmp/restored"]))
        .await
        .unwrap();
}

async fn of_the_bucket_while_a_backup_is_made(stage: Arc<Stage>) {
    let _turn = stage.faulty_gateway(Fault::None).await;
    let sandbox = sandbox(&stage, "bucket-faults").await;
    for (operation, key, when, succeeds) in [
        ("createMultipartUpload", "", "before", false),
        ("complete", "", "before", false),
        ("complete", "", "after", false),
        ("head", "data.sqsh", "before", false),
        ("put", "meta.json", "before", false),
        // The answer is lost, the metadata is there.
        ("put", "meta.json", "after", true),
    ] {
        let step = format!("{operation} {key} {when}");
        sandbox
            .plan_faults("throw", &[(operation, key, when)])
            .await;
        assert_eq!(
            all_or_nothing(&stage, &sandbox, &step).await,
            succeeds,
            "{step}"
        );
        all_happened(&sandbox, &step).await;
    }
    let backup = serde_json::to_value(sandbox.backup("/workspace").await).unwrap();
    restores(&sandbox, &backup).await;
}

async fn of_the_bucket_that_tells_other_things(stage: Arc<Stage>) {
    let _turn = stage.faulty_gateway(Fault::None).await;
    let sandbox = sandbox(&stage, "bucket-disagrees").await;
    for what in ["size", "etag"] {
        let step = format!("head with another {what}");
        let fault = ("head", "data.sqsh", "after");
        sandbox.plan_faults(what, &[fault]).await;
        assert!(!all_or_nothing(&stage, &sandbox, &step).await, "{step}");
        all_happened(&sandbox, &step).await;
    }
    let backup = sandbox.backup("/workspace").await;
    sandbox
        .plan_faults("size", &[("head", "data.sqsh", "after")])
        .await;
    let error = sandbox.restore_backup(&backup).await.unwrap_err();
    assert_eq!(error.code(), "BACKUP_RESTORE_FAILED", "{error:?}");
    assert_eq!(sandbox.status().await["mounts"], json!([]));
    restores(&sandbox, &json!(backup)).await;
}

async fn of_the_bucket_while_cleaning_up(stage: Arc<Stage>) {
    let _turn = stage.faulty_gateway(Fault::None).await;
    let sandbox = sandbox(&stage, "cleaning-up").await;
    for (operation, key) in [
        ("abort", ""),
        ("delete", "meta.json"),
        ("delete", "data.sqsh"),
    ] {
        // Completed, so that there is an archive to delete.
        let spoilt = ("head", "data.sqsh", "before");
        sandbox
            .plan_faults("throw", &[spoilt, (operation, key, "before")])
            .await;
        let options = json!({ "dir": "/workspace" });
        let error = sandbox.create_backup(options).await.unwrap_err();
        assert_eq!(error.code(), "BACKUP_CREATE_FAILED", "{operation}");
        all_happened(&sandbox, operation).await;
        // What could not be removed then goes before the next one is made.
        let step = format!("after a failed {operation} of {key}");
        assert!(all_or_nothing(&stage, &sandbox, &step).await, "{step}");
    }
}

async fn of_the_bucket_while_restoring(stage: Arc<Stage>) {
    let _turn = stage.faulty_gateway(Fault::None).await;
    let sandbox = sandbox(&stage, "restore-faults").await;
    let backup = sandbox.backup("/workspace").await;
    let before = tree::digest(&sandbox, "/workspace").await;
    for (operation, key) in [("get", "meta.json"), ("head", "data.sqsh")] {
        sandbox
            .plan_faults("throw", &[(operation, key, "before")])
            .await;
        let error = sandbox.restore_backup(&backup).await.unwrap_err();
        assert_eq!(error.code(), "BACKUP_RESTORE_FAILED", "{operation}");
        assert_eq!(sandbox.status().await["mounts"], json!([]), "{operation}");
        assert_eq!(tree::digest(&sandbox, "/workspace").await, before);
    }
    sandbox.restore_backup(&backup).await.unwrap();
    assert_eq!(tree::digest(&sandbox, "/workspace").await, before);
}

/// A failing bucket says nothing about the backups in it, and each method has its
/// own code for it.
async fn of_the_bucket_at_every_other_verb(stage: Arc<Stage>) {
    let _turn = stage.faulty_gateway(Fault::None).await;
    let sandbox = sandbox(&stage, "every-other-verb").await;
    let older = sandbox.backup("/workspace").await;
    let newer = sandbox.backup("/workspace").await;
    let of_it = json!([older]);
    let rules = json!([{ "keepLast": 1 }]);
    for (method, arguments, (operation, key), code) in [
        ("getBackup", &of_it, ("get", "meta.json"), "INTERNAL_ERROR"),
        (
            "verifyBackup",
            &of_it,
            ("get", "meta.json"),
            "BACKUP_RESTORE_FAILED",
        ),
        (
            "verifyBackup",
            &of_it,
            ("head", "data.sqsh"),
            "BACKUP_RESTORE_FAILED",
        ),
        ("deleteBackup", &of_it, ("head", ""), "INTERNAL_ERROR"),
        ("deleteBackup", &of_it, ("delete", ""), "INTERNAL_ERROR"),
        ("pruneBackups", &rules, ("delete", ""), "INTERNAL_ERROR"),
        ("reindexBackups", &json!([]), ("list", ""), "INTERNAL_ERROR"),
        ("reindexBackups", &json!([]), ("get", ""), "INTERNAL_ERROR"),
    ] {
        let step = format!("{method}, {operation} {key}");
        sandbox
            .plan_faults("throw", &[(operation, key, "before")])
            .await;
        let failed: Called<Value> = sandbox.call(method, arguments.clone()).await;
        let error = failed.unwrap_err();
        assert_eq!(
            (error.code(), error.status),
            (code, Some(500)),
            "{step}: {error:?}"
        );
        assert!(error.message.contains("R2 failed"), "{step}: {error:?}");
        all_happened(&sandbox, &step).await;
    }
    // The same calls do what they could not do then.
    let _: Value = sandbox.call("reindexBackups", json!([])).await.unwrap();
    let _: Value = sandbox.call("pruneBackups", rules).await.unwrap();
    assert!(stage.bucket.keys_of(&older.id).await.is_empty());
    restores(&sandbox, &json!(newer)).await;
}

async fn of_the_bucket_while_asking_what_became_of_a_backup(stage: Arc<Stage>) {
    let _turn = stage.faulty_gateway(Fault::None).await;
    let sandbox = sandbox(&stage, "asking-what-became").await;
    // The backup fails, and so does removing what there is of it, both at once and
    // when somebody asks.
    let removal = ("delete", "meta.json", "before");
    let spoilt = ("head", "data.sqsh", "before");
    sandbox
        .plan_faults("throw", &[spoilt, removal, removal])
        .await;
    let arguments = json!([{ "dir": "/workspace" }, { "operationId": "asked-for" }]);
    let created: Called<Value> = sandbox.call("createBackup", arguments).await;
    assert_eq!(created.unwrap_err().code(), "BACKUP_CREATE_FAILED");
    let ask = json!(["asked-for"]);
    let asked: Called<Value> = sandbox.call("operationOutcome", ask.clone()).await;
    let error = asked.unwrap_err();
    assert_eq!(error.code(), "INTERNAL_ERROR", "{error:?}");
    all_happened(&sandbox, "asking").await;
    let outcome: OperationOutcome = sandbox.call("operationOutcome", ask).await.unwrap();
    assert_eq!(outcome.state, OperationState::NotCommitted);
}

async fn of_the_network_that_pass(stage: Arc<Stage>) {
    let sandbox = sandbox(&stage, "passing-network-faults").await;
    for fault in [
        Fault::AnswersOnce(500),
        Fault::AnswersOnce(503),
        Fault::AnswersOnce(429),
        Fault::CutsReadsOnce,
        Fault::RefusesFirstPart,
        Fault::DripsReads,
    ] {
        let gateway = stage.faulty_gateway(fault).await;
        let step = format!("{fault:?}");
        assert!(all_or_nothing(&stage, &sandbox, &step).await, "{step}");
        assert!(gateway.failures() >= 1, "{step}");
    }
}

async fn of_the_network_that_spoil_a_backup(stage: Arc<Stage>) {
    let sandbox = sandbox(&stage, "spoilt-backups").await;
    let gateway = stage.faulty_gateway(Fault::None).await;
    for fault in [Fault::LosesParts, Fault::ChangesEtags] {
        gateway.set(fault);
        let step = format!("{fault:?}");
        assert!(!all_or_nothing(&stage, &sandbox, &step).await, "{step}");
        assert!(gateway.failures() >= 1, "{step}");
        gateway.set(Fault::None);
        let step = format!("after {step}");
        assert!(all_or_nothing(&stage, &sandbox, &step).await, "{step}");
    }
}

/// Waits until the only mount is known to be damaged, for which there is no event.
async fn is_damaged(sandbox: &Sandbox) {
    let found = tokio::time::timeout(PATIENCE, async {
        while sandbox.status().await["mounts"][0]["state"] != "damaged" {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    found.await.expect("nobody has noticed");
}

async fn of_the_network_that_spoil_a_restore(stage: Arc<Stage>) {
    let gateway = stage.faulty_gateway(Fault::None).await;
    let sandbox = sandbox(&stage, "spoilt-restores").await;
    let backup = sandbox.backup("/workspace").await;
    let before = tree::digest(&sandbox, "/workspace").await;
    for fault in [Fault::RefusesReads, Fault::ChangesReads] {
        gateway.set(fault);
        match sandbox.restore_backup(&backup).await {
            Err(error) => {
                assert_eq!(error.code(), "BACKUP_RESTORE_FAILED", "{fault:?}");
                assert_eq!(sandbox.status().await["mounts"], json!([]), "{fault:?}");
                assert_eq!(tree::digest(&sandbox, "/workspace").await, before);
            }
            // What is wrong with an archive may show after the answer.
            Ok(_) => {
                assert_eq!(fault, Fault::ChangesReads);
                is_damaged(&sandbox).await;
            }
        }
        assert!(gateway.failures() >= 1, "{fault:?}");
        gateway.set(Fault::None);
        sandbox.restore_backup(&backup).await.unwrap();
        assert_eq!(tree::digest(&sandbox, "/workspace").await, before);
        let _: Value = sandbox
            .call("unmountBackup", json!(["/workspace"]))
            .await
            .unwrap();
    }
}

async fn objects_that_go_under_a_running_restore(stage: Arc<Stage>) {
    let gateway = stage.faulty_gateway(Fault::None).await;
    let sandbox = sandbox(&stage, "deleted-under-a-restore").await;
    let before = tree::digest(&sandbox, "/workspace").await;
    for key in [archive_key, metadata_key] {
        let backup = sandbox.backup("/workspace").await;
        gateway.set(Fault::HoldsLongReads);
        sandbox.restore_backup(&backup).await.unwrap();
        gateway.held().await;
        stage.bucket.delete(&key(&backup.id)).await;
        gateway.set(Fault::None);
        let read = sandbox.exec("cat data | wc -c", json!({})).await.unwrap();
        if key(&backup.id) == archive_key(&backup.id) {
            // No bytes that were made up, no hanging.
            assert_ne!(read.stdout.trim(), "9000000");
            assert!(read.stderr.contains("Input/output error"), "{read:?}");
        } else {
            // Its bytes are all there.
            assert_eq!(tree::digest(&sandbox, "/workspace").await, before);
        }
        let error = sandbox.restore_backup(&backup).await.unwrap_err();
        assert_eq!(error.code(), "BACKUP_NOT_FOUND", "{error:?}");
        let _: Value = sandbox
            .call("unmountBackup", json!(["/workspace"]))
            .await
            .unwrap();
        assert_eq!(tree::digest(&sandbox, "/workspace").await, before);
        let _: Value = sandbox
            .call("deleteBackup", json!([backup.id]))
            .await
            .unwrap();
        assert!(stage.bucket.keys_of(&backup.id).await.is_empty());
    }
    let backup = sandbox.backup("/workspace").await;
    restores(&sandbox, &json!(backup)).await;
}

async fn objects_that_go_under_what_is_put_back(stage: Arc<Stage>) {
    let _turn = stage.faulty_gateway(Fault::None).await;
    let sandbox = sandbox(&stage, "deleted-under-auto-restore").await;
    for key in [archive_key, metadata_key] {
        sandbox.run("echo x > file").await;
        let backup = sandbox.backup("/workspace").await;
        let arguments = json!([backup, { "autoRestore": true }]);
        let _: Value = sandbox.call("restoreBackup", arguments).await.unwrap();
        stage.bucket.delete(&key(&backup.id)).await;
        stage.kill_container(&sandbox).await;
        let error = sandbox.exec("true", json!({})).await.unwrap_err();
        assert_eq!(error.code(), "BACKUP_NOT_FOUND", "{error:?}");
        // It fails one call, and not all.
        assert_eq!(sandbox.run("ls -A").await, "");
        let status = sandbox.status().await;
        let failure = &status["autoRestore"][0]["error"];
        assert_eq!(failure["code"], "BACKUP_NOT_FOUND", "{status}");
        let _: Value = sandbox
            .call("unmountBackup", json!(["/workspace"]))
            .await
            .unwrap();
        assert_eq!(sandbox.status().await["autoRestore"], json!([]));
        // The first backup says that the container is another one.
        let refused = sandbox.create_backup(json!({ "dir": "/workspace" })).await;
        assert_eq!(refused.unwrap_err().code(), "OPERATION_INTERRUPTED");
    }
    sandbox.run("echo x > file").await;
    let backup = sandbox.backup("/workspace").await;
    restores(&sandbox, &json!(backup)).await;
}
