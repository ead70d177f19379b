//! The tables in a sandbox's database have a version: those of older Workers become
//! what this one needs, and those of newer ones are left alone.

use std::sync::Arc;

use sandbox_shared::{
    catalogue::BackupPage,
    log::OperationLogPage,
    operation::{OperationOutcome, OperationState},
    progress::OperationKind,
};
use sandbox_tests::{
    consumer::{Called, Sandbox, Setup},
    stage::Stage,
};
use serde_json::{Value, json};
use time::Duration;

crate::tests![
    tables_of_an_older_worker,
    tables_of_a_newer_worker_are_left_alone,
];

/// What a Worker from before there were versions has left of two backups, a
/// restore, and a backup that failed: `sqlite3 … .dump`, without the runtime's own
/// tables.
const BEFORE_VERSIONS: &str = include_str!("stored_tables/before_versions.sql");

async fn sql(sandbox: &Sandbox, statements: &[&str]) -> Value {
    let stub = sandbox.clone().bare_stub();
    stub.call("sql", json!([statements])).await.unwrap()
}

async fn expiries(sandbox: &Sandbox) -> Value {
    let query = "SELECT id, expires_at FROM backups ORDER BY created_at";
    sql(sandbox, &[query]).await
}

async fn tables_of_an_older_worker(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox_of(Setup::Faulty, "older-tables");
    sql(&sandbox, &[BEFORE_VERSIONS]).await;
    let before = expiries(&sandbox).await;

    let query = json!([{ "order": "asc" }]);
    let list: BackupPage = sandbox.call("listBackups", query).await.unwrap();
    let names: Vec<_> = list.backups.iter().map(|it| it.name.as_deref()).collect();
    assert_eq!(names, [Some("first"), Some("second")]);
    let now = expiries(&sandbox).await;
    for (index, backup) in list.backups.iter().enumerate() {
        let created = backup.created_at;
        let expires = created + Duration::seconds_f64(backup.ttl.seconds());
        let expires = expires.unix_timestamp_nanos() / 1_000_000;
        let stored = |rows: &Value| rows[index]["expires_at"].as_f64().unwrap() as i128;
        assert_eq!(stored(&now), expires, "the margin is no data");
        assert_eq!(stored(&before), expires - 60_000, "it was");
    }

    let log: OperationLogPage = sandbox.call("operationLog", json!([])).await.unwrap();
    let logged: Vec<_> = log.operations.iter().map(|it| it.operation.kind).collect();
    let (create, restore) = (OperationKind::CreateBackup, OperationKind::RestoreBackup);
    assert_eq!(logged, [create, restore, create, create]);
    let outcome = async |id: &str| -> OperationOutcome {
        let outcome = sandbox.call("operationOutcome", json!([id])).await;
        outcome.unwrap()
    };
    let first = outcome("op-first").await;
    assert_eq!(first.state, OperationState::Committed);
    assert_eq!(first.kind, Some(create));
    assert_eq!(outcome("op-restore").await.kind, Some(restore));
    assert_eq!(
        outcome("op-failed").await.state,
        OperationState::NotCommitted
    );

    // Once is enough.
    sandbox.reset().await;
    let again: BackupPage = sandbox.call("listBackups", json!([])).await.unwrap();
    assert_eq!(again.backups.len(), 2);
    assert_eq!(expiries(&sandbox).await, now);
}

async fn tables_of_a_newer_worker_are_left_alone(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox_of(Setup::Faulty, "newer-tables");
    let _: BackupPage = sandbox.call("listBackups", json!([])).await.unwrap();
    sql(&sandbox, &["INSERT INTO versions VALUES (1000)"]).await;
    sandbox.reset().await;
    let list: Called<BackupPage> = sandbox.call("listBackups", json!([])).await;
    let error = list.unwrap_err();
    assert_eq!(error.code(), "INTERNAL_ERROR", "{error:?}");
    assert!(error.message.contains("version 1000"), "{error:?}");
    // The container can be used all the same.
    assert_eq!(sandbox.run("echo works").await, "works\n");
}
