//! One of everything, with every field set.

use std::collections::BTreeMap;

use sandbox_shared::{
    RestoreRequest, Strategy,
    catalogue::{
        BackupPage, BackupState, DeleteBackupResult, ListBackups, PruneBackups, PruneResult,
        ReindexResult, SortBy, SortOrder, StoredSandbox, StoredSandboxes,
    },
    files::{
        Encoding, ExecEvent, ExecRequest, ExecResult, ExistsResult, FileContent, FileInfo,
        FileOperationResult, FileType, ListFiles, ListFilesResult, MakeDirectory, ReadFileResult,
    },
    log::{LogEntry, LoggedOperation, OperationLogPage, OperationLogQuery},
    operation::{OperationId, OperationOutcome, OperationState},
    progress::{CancelResult, OperationEvent, OperationKind, Phase},
    protocol::{MountState, MountStatus, UnmountBackup, UnmountResult},
    report::{BackupPreview, CreatedBackup, ExcludedEntry, Exclusion},
    status::{AutoRestore, AutoRestoreStatus, ContainerState, ContainerStatus, SandboxStatus},
    verification::{ArchiveVerification, ChecksumVerdict, VerifyBackupResult},
};
use serde::Serialize;
use serde_json::Value;
use strum::VariantArray;

use crate::values::{
    counts, created, error, handle, id, left_out, metadata, moment, one, operation, options,
    record, report, restored,
};

pub(crate) type Samples = BTreeMap<&'static str, Value>;

fn samples<const N: usize>(samples: [(&'static str, Value); N]) -> Samples {
    samples.into()
}

fn value(of: impl Serialize) -> Value {
    serde_json::to_value(of).unwrap()
}

/// Bodies of HTTP requests, by their operation.
pub(crate) fn requests() -> Samples {
    samples([
        ("createBackup", value(options())),
        ("previewBackup", value(options())),
        (
            "pruneBackups",
            value(PruneBackups {
                dir: Some("/workspace".into()),
                keep_last: Some(1),
                keep_hourly: Some(1),
                keep_daily: Some(1),
                keep_weekly: Some(1),
                keep_monthly: Some(1),
                keep_yearly: Some(1),
                keep_within: Some(1.0),
                expired: true,
                dry_run: true,
            }),
        ),
        (
            "restoreBackup",
            value(RestoreRequest {
                strategy: Some(Strategy::Extract),
                force: true,
                auto_restore: true,
                id: handle().id,
                dir: handle().dir,
            }),
        ),
        (
            "unmountBackup",
            value(UnmountBackup {
                dir: "/workspace".into(),
                force: true,
            }),
        ),
        (
            "exec",
            value(ExecRequest {
                command: "true".into(),
                cwd: Some("/workspace".parse().unwrap()),
                env: Some([("A_VARIABLE".into(), "1".into())].into()),
                timeout: Some(1000),
                stdin: Some("text".into()),
            }),
        ),
    ])
}

/// Queries of HTTP requests, by their operation.
pub(crate) fn queries() -> Samples {
    samples([
        (
            "listBackups",
            value(ListBackups {
                dir: Some("/workspace".into()),
                name: Some("name".into()),
                state: Some(BackupState::Active),
                sort: Some(SortBy::CreatedAt),
                order: Some(SortOrder::Asc),
                limit: Some(1),
                cursor: Some("cursor".into()),
            }),
        ),
        (
            "operationLog",
            value(OperationLogQuery {
                limit: Some(1),
                cursor: Some("1".into()),
            }),
        ),
        (
            "listFiles",
            value(ListFiles {
                path: "/workspace".parse().unwrap(),
                recursive: true,
                include_hidden: true,
            }),
        ),
        (
            "mkdir",
            value(MakeDirectory {
                path: "/workspace/sub".parse().unwrap(),
                recursive: true,
            }),
        ),
    ])
}

/// Results of HTTP requests, by their operation.
pub(crate) fn results() -> Samples {
    let done = FileOperationResult {
        success: true,
        path: "/workspace/file".into(),
    };
    samples([
        (
            "listBackups",
            value(BackupPage {
                backups: vec![record()],
                cursor: Some("cursor".into()),
            }),
        ),
        ("createBackup", value(created())),
        ("getBackup", value(record())),
        (
            "deleteBackup",
            value(DeleteBackupResult {
                success: true,
                id: id(),
                existed: true,
            }),
        ),
        (
            "verifyBackup",
            value(VerifyBackupResult {
                id: id(),
                valid: true,
                size_bytes: 1,
                archive: ArchiveVerification {
                    problems: vec!["a block cannot be read".into()],
                    checksum: ChecksumVerdict::NotRecorded,
                    files: 1,
                    directories: 1,
                    symlinks: 1,
                    special: 1,
                    bytes: 1,
                },
            }),
        ),
        (
            "previewBackup",
            value(BackupPreview {
                dir: "/workspace".into(),
                counts: counts(),
                included: one("file".to_owned()),
                excluded: one(ExcludedEntry {
                    path: "cache".into(),
                    rule: Exclusion::ExcludeCaches,
                }),
                report: report(),
            }),
        ),
        (
            "pruneBackups",
            value(PruneResult {
                dry_run: true,
                kept: 1,
                deleted: one(record()),
                freed_bytes: 1,
                missing: one(record()),
            }),
        ),
        (
            "reindexBackups",
            value(ReindexResult {
                indexed: 1,
                unreadable: one("key".to_owned()),
            }),
        ),
        ("restoreBackup", value(restored())),
        (
            "unmountBackup",
            value(UnmountResult {
                success: true,
                dir: "/workspace".into(),
            }),
        ),
        (
            "cancelOperation",
            value(CancelResult {
                cancelled: Some(operation()),
            }),
        ),
        (
            "operationLog",
            value(OperationLogPage {
                operations: vec![LogEntry {
                    number: 1,
                    operation: LoggedOperation {
                        kind: OperationKind::CreateBackup,
                        id: id(),
                        dir: "/workspace".into(),
                        started_at: "2026-03-01T12:00:00Z".into(),
                        outcome: "ok".into(),
                        error: Some("none".into()),
                        strategy: Some(Strategy::Extract),
                        bytes: 1,
                        bytes_uploaded: Some(1),
                        duration_ms: 1,
                        phases_ms: Phase::VARIANTS.iter().map(|phase| (*phase, 1)).collect(),
                    },
                }],
                cursor: Some("1".into()),
            }),
        ),
        (
            "operationOutcome",
            value(OperationOutcome {
                operation_id: OperationId::parse("nightly").unwrap(),
                state: OperationState::NotCommitted,
                committed: Some(false),
                kind: Some(OperationKind::CreateBackup),
                backup: Some(handle()),
                started_at: Some(moment()),
            }),
        ),
        (
            "exec",
            value(ExecResult {
                success: true,
                exit_code: 1,
                stdout: "out".into(),
                stderr: "err".into(),
                duration: 1,
                timed_out: true,
                truncated: true,
            }),
        ),
        ("writeFile", value(done.clone())),
        ("deleteFile", value(done.clone())),
        ("mkdir", value(done)),
        (
            "listFiles",
            value(ListFilesResult {
                success: true,
                path: "/workspace".into(),
                files: vec![FileInfo {
                    name: "file".into(),
                    absolute_path: "/workspace/file".into(),
                    relative_path: "file".into(),
                    kind: FileType::File,
                    size: 1,
                    mode: "644".into(),
                    modified_at: "2026-03-01T12:00:00Z".into(),
                }],
                count: 1,
            }),
        ),
        (
            "exists",
            value(ExistsResult {
                success: true,
                path: "/workspace/file".into(),
                exists: true,
            }),
        ),
        (
            "status",
            value(SandboxStatus {
                container: ContainerStatus {
                    state: ContainerState::Running,
                    strategies: vec![Strategy::Kernel],
                },
                mounts: vec![MountStatus {
                    id: id(),
                    dir: "/workspace".into(),
                    strategy: Strategy::Extract,
                    state: MountState::Active,
                    size_bytes: 1,
                    cached_bytes: 1,
                    verified: true,
                    url_expires_at: Some(moment()),
                    problem: Some("refused".into()),
                    left_out: left_out(),
                }],
                auto_restore: vec![AutoRestoreStatus {
                    entry: AutoRestore {
                        backup: handle(),
                        strategy: Some(Strategy::Fuse),
                    },
                    error: Some(error()),
                }],
                operation: Some(operation()),
            }),
        ),
        (
            "listSandboxes",
            value(StoredSandboxes {
                sandboxes: vec![StoredSandbox {
                    sandbox: Some("00ff".into()),
                    name: Some("mine".into()),
                    backups: 1,
                    size_bytes: 1,
                    newest_at: moment(),
                }],
            }),
        ),
    ])
}

/// What is not the body of a request or a result over HTTP: events, options and
/// results over RPC, and the object in the bucket.
pub(crate) fn others() -> Samples {
    samples([
        ("handle", value(handle())),
        ("error", value(error())),
        (
            "progress",
            value(OperationEvent::<CreatedBackup>::Progress {
                operation: Box::new(operation()),
            }),
        ),
        (
            "result",
            value(OperationEvent::Result { result: restored() }),
        ),
        ("start", value(ExecEvent::Start { pid: 1 })),
        ("stdout", value(ExecEvent::Stdout { data: "out".into() })),
        ("stderr", value(ExecEvent::Stderr { data: "err".into() })),
        (
            "exit",
            value(ExecEvent::Exit {
                exit_code: 0,
                timed_out: true,
                duration: 1,
            }),
        ),
        (
            "file",
            value(ReadFileResult {
                success: true,
                path: "/workspace/file".into(),
                content: "text".into(),
                encoding: Encoding::Utf8,
                size: 4,
            }),
        ),
        (
            "file content",
            value(FileContent {
                path: "/workspace/file".parse().unwrap(),
                encoding: Some(Encoding::Base64),
            }),
        ),
        ("metadata", value(metadata())),
    ])
}
