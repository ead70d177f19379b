//! The Durable Object is restarted in the middle: its caller learns whether
//! the operation had taken effect, and nothing else is left of it.

use std::sync::Arc;

use futures::future::join;
use sandbox_shared::{
    DirectoryBackup,
    operation::{OperationOutcome, OperationState},
    progress::OperationKind,
};
use sandbox_tests::{
    consumer::{Called, Sandbox, Setup},
    faulty_gateway::Fault,
    stage::Stage,
};
use serde_json::{Value, json};

crate::tests![
    before_the_commit_nothing_is_left,
    after_the_commit_the_backup_is_there,
    over_http_the_caller_learns_the_same,
    the_alarm_removes_what_nobody_asks_about,
    a_restore_can_be_repeated,
    the_outcome_of_any_operation_can_be_asked_for,
    ids_of_operations_are_checked,
];

async fn sandbox(stage: &Stage, name: &str) -> Sandbox {
    let sandbox = stage.consumer.sandbox_of(Setup::Faulty, name);
    sandbox.run("echo before > file").await;
    sandbox
}

async fn create(sandbox: &Sandbox, operation: &str) -> Called<DirectoryBackup> {
    let arguments = json!([{ "dir": "/workspace" }, { "operationId": operation }]);
    sandbox.call("createBackup", arguments).await
}

async fn outcome(sandbox: &Sandbox, operation: &str) -> OperationOutcome {
    let outcome = sandbox.call("operationOutcome", json!([operation])).await;
    outcome.unwrap()
}

/// The next backup works and restores.
async fn goes_on(sandbox: &Sandbox) {
    let backup = sandbox.backup("/workspace").await;
    sandbox.run("rm file").await;
    sandbox.restore_backup(&backup).await.unwrap();
    assert_eq!(sandbox.read("/workspace/file").await, "before\n");
}

async fn before_the_commit_nothing_is_left(stage: Arc<Stage>) {
    let _turn = stage.faulty_gateway(Fault::None).await;
    let sandbox = sandbox(&stage, "reset-before-commit").await;
    for (number, (operation, key, when)) in [
        ("createMultipartUpload", "", "before"),
        ("complete", "", "before"),
        ("complete", "", "after"),
        ("head", "data.sqsh", "after"),
        ("put", "meta.json", "before"),
    ]
    .into_iter()
    .enumerate()
    {
        let step = format!("{operation}, {when}");
        sandbox
            .plan_faults("reset", &[(operation, key, when)])
            .await;
        let id = format!("op-{number}");
        let error = create(&sandbox, &id).await.expect_err(&step);
        assert_eq!(
            (error.code(), error.status),
            ("OPERATION_INTERRUPTED", Some(409)),
            "{step}: {error:?}"
        );
        assert_eq!(error.context.unwrap()["committed"], false, "{step}");
        let outcome = outcome(&sandbox, &id).await;
        assert_eq!(outcome.state, OperationState::NotCommitted, "{step}");
        let left = stage.bucket.keys_of(&outcome.backup.unwrap().id).await;
        assert!(left.is_empty(), "{step}: {left:?}");
        assert_eq!(sandbox.open_uploads().await, 0, "{step}");
    }
    goes_on(&sandbox).await;
}

async fn after_the_commit_the_backup_is_there(stage: Arc<Stage>) {
    let _turn = stage.faulty_gateway(Fault::None).await;
    let sandbox = sandbox(&stage, "reset-after-commit").await;
    sandbox
        .plan_faults("reset", &[("put", "meta.json", "after")])
        .await;
    let error = create(&sandbox, "op").await.unwrap_err();
    assert_eq!(error.code(), "OPERATION_INTERRUPTED");
    let context = error.context.unwrap();
    assert_eq!(context["committed"], true);
    let backup: DirectoryBackup = serde_json::from_value(context["backup"].clone()).unwrap();

    // The index, which was not written any more, knows it, too.
    let list: Value = sandbox.call("listBackups", json!([])).await.unwrap();
    assert_eq!(list["backups"][0]["id"], backup.id.as_str());
    sandbox.run("rm file").await;
    sandbox.restore_backup(&backup).await.unwrap();
    assert_eq!(sandbox.read("/workspace/file").await, "before\n");
}

async fn over_http_the_caller_learns_the_same(stage: Arc<Stage>) {
    let name = "reset-over-http";
    let _turn = stage.faulty_gateway(Fault::None).await;
    let sandbox = sandbox(&stage, name).await;
    let http = stage.http_with(Setup::Faulty, name, Some(stage.api_token()));
    for (when, committed) in [("before", false), ("after", true)] {
        sandbox
            .plan_faults("reset", &[("put", "meta.json", when)])
            .await;
        let body = json!({ "dir": "/workspace" });
        let response = http.post("backups", &body).await;
        assert_eq!(response.status(), 409);
        let answer: Value = response.json().await.unwrap();
        let error = &answer["error"];
        assert_eq!(error["code"], "OPERATION_INTERRUPTED");
        assert_eq!(error["context"]["committed"], committed, "{answer}");
        let id = error["context"]["operationId"].as_str().unwrap();
        let response = http.get(&format!("operations/{id}")).await;
        let outcome: Value = response.json().await.unwrap();
        assert_eq!(outcome["committed"], committed, "{outcome}");
    }
    goes_on(&sandbox).await;
}

async fn the_alarm_removes_what_nobody_asks_about(stage: Arc<Stage>) {
    let sandbox = sandbox(&stage, "reset-and-alarm").await;
    let gateway = stage.faulty_gateway(Fault::HoldsParts).await;
    let reset = async {
        gateway.held().await;
        let stub = sandbox.clone().bare_stub();
        stub.call::<Value>("resetNow", json!([])).await.unwrap_err();
    };
    // Through the bare stub, whose caller does not ask what became of it.
    let stub = sandbox.clone().bare_stub();
    let (lost, ()) = join(create(&stub, "op"), reset).await;
    lost.unwrap_err();
    let id = gateway.archive_ids().pop_first().unwrap();
    drop(gateway);

    let in_ms: Option<i64> = stub.call("ringAlarm", json!([])).await.unwrap();
    assert!(in_ms.is_some_and(|ms| ms <= 60_000), "{in_ms:?}");
    assert_eq!(sandbox.open_uploads().await, 0);
    let left = stage.bucket.keys(&format!("backups/{id}/")).await;
    assert!(left.is_empty(), "{left:?}");
    let outcome = outcome(&sandbox, "op").await;
    assert_eq!(outcome.state, OperationState::NotCommitted);
    goes_on(&sandbox).await;
}

async fn a_restore_can_be_repeated(stage: Arc<Stage>) {
    let _turn = stage.faulty_gateway(Fault::None).await;
    let sandbox = sandbox(&stage, "reset-restore").await;
    let backup = sandbox.backup("/workspace").await;
    for operation in ["get", "head"] {
        sandbox
            .plan_faults("reset", &[(operation, "", "after")])
            .await;
        let error = sandbox.restore_backup(&backup).await.unwrap_err();
        assert_eq!(error.code(), "OPERATION_INTERRUPTED", "{operation}");
        assert_eq!(error.context.unwrap()["committed"], false, "{operation}");
        assert_eq!(sandbox.status().await["mounts"], json!([]));
    }
    sandbox.run("rm file").await;
    sandbox.restore_backup(&backup).await.unwrap();
    assert_eq!(sandbox.read("/workspace/file").await, "before\n");

    // What is there already looks the same afterwards.
    sandbox.plan_faults("reset", &[("get", "", "after")]).await;
    let error = sandbox.restore_backup(&backup).await.unwrap_err();
    assert_eq!(error.context.unwrap()["committed"], Value::Null);
    sandbox.restore_backup(&backup).await.unwrap();
}

async fn the_outcome_of_any_operation_can_be_asked_for(stage: Arc<Stage>) {
    let _turn = stage.faulty_gateway(Fault::None).await;
    let sandbox = sandbox(&stage, "outcomes").await;
    let backup = create(&sandbox, "made").await.unwrap();
    let made = outcome(&sandbox, "made").await;
    assert_eq!(made.state, OperationState::Committed);
    assert_eq!(made.backup, Some(backup));
    assert_eq!(made.kind, Some(OperationKind::CreateBackup));

    let missing = json!({ "id": "00000000-0000-4000-8000-000000000000", "dir": "/workspace" });
    let restore = sandbox.call(
        "restoreBackup",
        json!([missing, { "operationId": "failed" }]),
    );
    let error = restore.await.map(|_: Value| ()).unwrap_err();
    assert_eq!(error.code(), "BACKUP_NOT_FOUND");
    let failed = outcome(&sandbox, "failed").await;
    assert_eq!(failed.committed, Some(false));

    let unknown = outcome(&sandbox, "never-begun").await;
    assert_eq!(
        (unknown.state, unknown.committed),
        (OperationState::Unknown, Some(false))
    );
}

async fn ids_of_operations_are_checked(stage: Arc<Stage>) {
    let _turn = stage.faulty_gateway(Fault::None).await;
    let sandbox = sandbox(&stage, "operation-ids").await;
    for bad in [json!(""), json!("a b"), json!(7), json!("x".repeat(65))] {
        let arguments = json!([{ "dir": "/workspace" }, { "operationId": bad }]);
        let error = sandbox.call::<Value>("createBackup", arguments).await;
        assert_eq!(error.unwrap_err().code(), "INVALID_BACKUP_CONFIG", "{bad}");
    }
    create(&sandbox, "twice").await.unwrap();
    let error = create(&sandbox, "twice").await.unwrap_err();
    assert_eq!(error.code(), "INVALID_BACKUP_CONFIG", "{error:?}");
}
