//! The log of a sandbox's operations.

use std::sync::Arc;

use futures::{StreamExt, stream};
use sandbox_shared::log::{LogEntry, MAX_LOG_ENTRIES, OperationLogPage};
use sandbox_tests::{consumer::Sandbox, stage::Stage};
use serde_json::{Value, json};

crate::tests![
    the_last_operation_comes_first,
    only_the_last_thousand_are_kept,
    pages_of_other_sizes_are_refused,
];

const NO_SUCH_BACKUP: &str = "00000000-0000-4000-8000-000000000000";

async fn page(sandbox: &Sandbox, query: Value) -> OperationLogPage {
    sandbox.call("operationLog", json!([query])).await.unwrap()
}

async fn the_last_operation_comes_first(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("logged");
    assert_eq!(page(&sandbox, json!({})).await.operations, []);
    sandbox.write("/workspace/a", &"a".repeat(1000)).await;
    let backup = sandbox.backup("/workspace").await;
    let restored = sandbox.restore_backup(&backup).await.unwrap();
    let absent = json!({ "id": NO_SUCH_BACKUP, "dir": "/workspace" });
    let refused = sandbox.restore_backup(&absent).await.unwrap_err();

    let OperationLogPage { operations, cursor } = page(&sandbox, json!({})).await;
    assert_eq!(cursor, None);
    let summary: Vec<_> = operations
        .iter()
        .map(|LogEntry { number, operation }| {
            (*number, operation.kind.as_str(), operation.outcome.as_str())
        })
        .collect();
    assert_eq!(
        summary,
        [
            (3, "restoreBackup", "BACKUP_NOT_FOUND"),
            (2, "restoreBackup", "ok"),
            (1, "createBackup", "ok"),
        ]
    );
    let [failure, restore, create] = operations.as_slice() else {
        unreachable!("three were compared");
    };
    assert_eq!(failure.operation.error, Some(refused.message));
    assert_eq!(restore.operation.strategy, Some(restored.strategy));
    assert_eq!(restore.operation.id, backup.id);
    assert_eq!(create.operation.bytes, 1000);
    assert_eq!(create.operation.dir, "/workspace");
    let phases = &create.operation.phases_ms;
    assert_eq!(phases.values().sum::<u64>(), create.operation.duration_ms);

    // The same over HTTP, in pages.
    let http = stage.http("logged");
    let mut paged = Vec::new();
    let mut route = "log?limit=2".to_owned();
    loop {
        let page: OperationLogPage = http.get(&route).await.json().await.unwrap();
        paged.extend(page.operations);
        let Some(cursor) = page.cursor else { break };
        route = format!("log?limit=2&cursor={cursor}");
    }
    assert_eq!(paged, operations);
}

async fn only_the_last_thousand_are_kept(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("much-logged");
    let absent = json!({ "id": NO_SUCH_BACKUP, "dir": "/workspace" });
    let most = u64::from(MAX_LOG_ENTRIES);
    stream::iter(0..most + 3)
        .for_each_concurrent(16, async |_| {
            sandbox.restore_backup(&absent).await.unwrap_err();
        })
        .await;
    let OperationLogPage { operations, cursor } = page(&sandbox, json!({ "limit": most })).await;
    let numbers: Vec<_> = operations.iter().map(|entry| entry.number).collect();
    assert_eq!(numbers, (4..=most + 3).rev().collect::<Vec<_>>());
    assert_eq!(cursor, None);
}

async fn pages_of_other_sizes_are_refused(stage: Arc<Stage>) {
    let http = stage.http("not-logged");
    for query in ["limit=0", "limit=1001", "limit=x", "cursor=x"] {
        let response = http.get(&format!("log?{query}")).await;
        assert_eq!(response.status(), 400, "{query}");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"]["code"], "INVALID_REQUEST", "{query}");
    }
}
