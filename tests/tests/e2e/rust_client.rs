//! Every method of a sandbox, called by a Worker in Rust.

use std::sync::Arc;

use sandbox_shared::{
    ErrorCode, RestoreBackupResult, Strategy,
    catalogue::{BackupPage, BackupRecord, PruneResult},
    files::{ExecEvent, ExecResult, ListFilesResult},
    log::OperationLogPage,
    operation::OperationOutcome,
    progress::OperationKind,
    report::{BackupPreview, CreatedBackup},
    status::{ContainerState, SandboxStatus},
    verification::VerifyBackupResult,
};
use sandbox_tests::{consumer::Setup, stage::Stage};
use serde_json::{Value, json};

crate::tests![
    backups_in_rust,
    commands_and_files_in_rust,
    failures_are_typed,
    an_interrupted_backup_tells_whether_it_committed,
];

async fn backups_in_rust(stage: Arc<Stage>) {
    let rust = &stage.rust_consumer;
    let name = "rust-backups";
    let _: Value = rust
        .call(name, "writeFile", ("/workspace/a", "first"))
        .await
        .unwrap();
    let options = json!({ "dir": "/workspace", "name": "né", "ttl": 3600, "excludes": ["*.log"] });
    let preview: BackupPreview = rust.call(name, "previewBackup", &options).await.unwrap();
    assert_eq!(preview.included.first, ["a"]);
    let created: CreatedBackup = rust.call(name, "createBackup", &options).await.unwrap();
    assert_eq!(created.counts.bytes, 5);

    let page: BackupPage = rust
        .call(name, "listBackups", json!({ "name": "né", "limit": 1 }))
        .await
        .unwrap();
    let [listed] = page.backups.as_slice() else {
        panic!("{page:?}");
    };
    let record: BackupRecord = rust
        .call(name, "getBackup", &created.backup.id)
        .await
        .unwrap();
    assert_eq!(&record, listed);
    assert_eq!(record.ttl.seconds(), 3600.0);

    let verified: VerifyBackupResult = rust
        .call(name, "verifyBackup", &created.backup.id)
        .await
        .unwrap();
    assert_eq!((verified.valid, verified.archive.bytes), (true, 5));

    let _: Value = rust
        .call(name, "writeFile", ("/workspace/a", "second"))
        .await
        .unwrap();
    let request = json!({
        "id": created.backup.id, "dir": "/workspace", "strategy": "extract", "autoRestore": true,
    });
    let restored: RestoreBackupResult = rust.call(name, "restoreBackup", &request).await.unwrap();
    assert_eq!(restored.strategy, Strategy::Extract);
    let content: Vec<u8> = rust.call(name, "readFile", "/workspace/a").await.unwrap();
    assert_eq!(content, b"first");
    let status: SandboxStatus = rust.call(name, "status", ()).await.unwrap();
    assert_eq!(status.container.state, ContainerState::Running);
    assert_eq!(status.mounts[0].id, created.backup.id);
    assert_eq!(
        status.auto_restore[0].entry.strategy,
        Some(Strategy::Extract)
    );
    assert_eq!(status.operation, None);

    let _: Value = rust
        .call(name, "unmountBackup", ("/workspace", false))
        .await
        .unwrap();
    let content: Vec<u8> = rust.call(name, "readFile", "/workspace/a").await.unwrap();
    assert_eq!(content, b"second");

    let log: OperationLogPage = rust.call(name, "operationLog", json!({})).await.unwrap();
    let kinds: Vec<_> = log
        .operations
        .iter()
        .map(|entry| entry.operation.kind)
        .collect();
    assert_eq!(
        kinds,
        [
            OperationKind::RestoreBackup,
            OperationKind::VerifyBackup,
            OperationKind::CreateBackup,
        ]
    );

    let named: CreatedBackup = rust
        .call(name, "createBackupAs", (&options, "step-1"))
        .await
        .unwrap();
    let outcome: OperationOutcome = rust.call(name, "operationOutcome", "step-1").await.unwrap();
    assert_eq!(outcome.committed, Some(true));
    assert_eq!(outcome.backup, Some(named.backup));

    let rules = json!({ "keepLast": 1, "dryRun": true });
    let pruned: PruneResult = rust.call(name, "pruneBackups", rules).await.unwrap();
    assert_eq!((pruned.kept, pruned.deleted.count), (1, 1));
    let cancelled: Value = rust.call(name, "cancelOperation", ()).await.unwrap();
    assert_eq!(cancelled, json!({ "cancelled": null }));
    let indexed: Value = rust.call(name, "reindexBackups", ()).await.unwrap();
    assert!(indexed["indexed"].as_u64() >= Some(1), "{indexed}");
    let deleted: Value = rust
        .call(name, "deleteBackup", &created.backup.id)
        .await
        .unwrap();
    assert_eq!(deleted["existed"], true);

    let stopped: Value = rust.call(name, "stop", ()).await.unwrap();
    assert_eq!(stopped, Value::Null);
    let status: SandboxStatus = rust.call(name, "status", ()).await.unwrap();
    assert_eq!(status.container.state, ContainerState::Stopped);
}

async fn commands_and_files_in_rust(stage: Arc<Stage>) {
    let rust = &stage.rust_consumer;
    let name = "rust-commands";
    let request = json!({
        "command": "pwd; echo $A; cat; exit 3",
        "cwd": "/tmp", "env": { "A": "b" }, "stdin": "c",
    });
    let result: ExecResult = rust.call(name, "exec", &request).await.unwrap();
    assert_eq!((result.exit_code, &*result.stdout), (3, "/tmp\nb\nc"));

    let events: Vec<ExecEvent> = rust
        .call(
            name,
            "execStream",
            json!({ "command": "echo é; echo x >&2; exit 4" }),
        )
        .await
        .unwrap();
    let stdout = ExecEvent::Stdout {
        data: "é\n".into()
    };
    let stderr = ExecEvent::Stderr { data: "x\n".into() };
    assert!(matches!(events[0], ExecEvent::Start { .. }));
    assert!(
        events.contains(&stdout) && events.contains(&stderr),
        "{events:?}"
    );
    assert!(matches!(
        events.last(),
        Some(ExecEvent::Exit { exit_code: 4, .. })
    ));

    let _: Value = rust.call(name, "mkdir", "/workspace/sub").await.unwrap();
    let write = ("/workspace/sub/file", "streamed");
    let _: Value = rust.call(name, "writeFileStream", write).await.unwrap();
    let listed: ListFilesResult = rust
        .call(name, "listFiles", "/workspace/sub")
        .await
        .unwrap();
    assert_eq!((listed.count, &*listed.files[0].name), (1, "file"));
    let _: Value = rust
        .call(
            name,
            "exec",
            json!({ "command": r"printf '\377\000' > bytes" }),
        )
        .await
        .unwrap();
    let content: Vec<u8> = rust
        .call(name, "readFile", "/workspace/bytes")
        .await
        .unwrap();
    assert_eq!(content, [0xff, 0]);
    let _: Value = rust
        .call(name, "deleteFile", "/workspace/sub/file")
        .await
        .unwrap();
    let exists: bool = rust
        .call(name, "exists", "/workspace/sub/file")
        .await
        .unwrap();
    assert!(!exists);
}

async fn failures_are_typed(stage: Arc<Stage>) {
    let rust = &stage.rust_consumer;
    let absent = json!({ "id": "00000000-0000-4000-8000-000000000000", "dir": "/workspace" });
    let error = rust
        .call::<Value>("rust-failures", "restoreBackup", absent)
        .await
        .unwrap_err();
    assert_eq!(error.code, ErrorCode::BackupNotFound);
    assert_eq!(error.context["id"], "00000000-0000-4000-8000-000000000000");
    let error = rust
        .call::<Value>("rust-failures", "createBackup", json!({ "dir": "/etc" }))
        .await
        .unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidBackupConfig);
    let error = rust
        .call_of::<Value>("Missing", "rust-failures", "status", ())
        .await
        .unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidBackupConfig);
    assert!(error.message.contains("Missing"), "{error}");
}

async fn an_interrupted_backup_tells_whether_it_committed(stage: Arc<Stage>) {
    let name = "rust-interrupted";
    let sandbox = stage.consumer.sandbox_of(Setup::Faulty, name);
    sandbox.write("/workspace/a", "a").await;
    for (when, committed) in [("before", false), ("after", true)] {
        let fault = json!({ "operation": "put", "key": "meta.json", "when": when, "how": "reset" });
        let stub = sandbox.clone().bare_stub();
        let _: Value = stub.call("planFaults", json!([[fault]])).await.unwrap();
        let options = json!({ "dir": "/workspace" });
        let error = stage
            .rust_consumer
            .call_of::<Value>("FAULTY_SANDBOX", name, "createBackup", &options)
            .await
            .unwrap_err();
        assert_eq!(error.code, ErrorCode::OperationInterrupted, "{error}");
        assert_eq!(error.context["committed"], committed, "{error}");
        assert_eq!(error.context.contains_key("backup"), committed, "{error}");

        // The sandbox's log has it, too.
        let log: OperationLogPage = sandbox.call("operationLog", json!([])).await.unwrap();
        let last = &log.operations[0].operation;
        assert_eq!(last.outcome, ErrorCode::OperationInterrupted.as_str());
        assert_eq!(last.kind, OperationKind::CreateBackup);
    }
}
