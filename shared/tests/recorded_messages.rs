//! The Worker and the agent of different versions: messages as they were sent by
//! older ones are read, and so is what a newer one may add.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use sandbox_shared::{
    ErrorCode, SandboxError, Strategy,
    files::{ExecEvent, ExecRequest},
    protocol::{
        AgentStatus, CreateBackup, CreateEvent, MountState, PreviewEvent, RestoreBackup,
        RestoreEvent, VerifyEvent,
    },
    report::{ChangeKind, ChangedEntry, ExcludedEntry, Exclusion},
};
use serde::de::DeserializeOwned;

fn read<T: DeserializeOwned>(message: &str) -> T {
    serde_json::from_str(message).unwrap_or_else(|error| panic!("{message}: {error}"))
}

/// What agents of version 0.1.0 said before the protocol had a version.
mod from_an_old_agent {
    pub(super) const STATUS: &str = r#"{"version":"0.1.0","strategies":["kernel","overlay","fuse","extract"],"mounts":[{"id":"0b5d6a2e-6f3c-4b52-9d1e-8a4f7c3b2a10","dir":"/workspace","strategy":"kernel","state":"active","sizeBytes":4096,"cachedBytes":4096,"verified":true}]}"#;
    pub(super) const SCANNED: &str = r#"{"type":"scanned","counts":{"files":1,"directories":1,"symlinks":0,"special":0,"bytes":2,"excluded":0,"unreadable":0,"changed":0}}"#;
    pub(super) const UPLOADED: &str = r#"{"type":"uploaded","sizeBytes":4096,"sha256":"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d","partSizeBytes":8388608,"etag":"bf25bdcd9ec1ea4eb4b9dfeffeb17c7a-1","parts":[{"number":1,"etag":"e99a18c428cb38d5f260853678922e03"}],"counts":{"files":1,"directories":1,"symlinks":0,"special":0,"bytes":2,"excluded":0,"unreadable":0,"changed":0},"report":{"unreadable":{"count":0,"first":[]},"changed":{"count":0,"first":[]},"otherFileSystems":{"count":0,"first":[]},"droppedXattrs":{"count":0,"first":[]}}}"#;
    pub(super) const MOUNTED: &str = r#"{"type":"mounted","id":"0b5d6a2e-6f3c-4b52-9d1e-8a4f7c3b2a10","dir":"/workspace","strategy":"extract","state":"active","sizeBytes":4096,"cachedBytes":4096,"verified":true,"leftOut":{"count":1,"first":[{"path":"dev","what":"device"}]}}"#;
    pub(super) const VERIFIED: &str = r#"{"type":"verified","problems":[],"checksum":"matches","files":1,"directories":1,"symlinks":0,"special":0,"bytes":2}"#;
}

/// What Workers of version 0.1.0 asked for.
mod from_an_old_worker {
    pub(super) const CREATE: &str = r#"{"id":"0b5d6a2e-6f3c-4b52-9d1e-8a4f7c3b2a10","dir":"/workspace","selection":{"excludes":["*.log"],"gitignore":true,"excludeCaches":false,"crossFileSystems":false,"onUnreadable":"fail"},"compression":{"format":"zstd"}}"#;
    pub(super) const RESTORE: &str = r#"{"id":"0b5d6a2e-6f3c-4b52-9d1e-8a4f7c3b2a10","dir":"/workspace","source":{"url":"https://store.example/archive","urlExpiresAt":"2026-11-28T12:00:00Z","sizeBytes":4096,"sha256":"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d","partSizeBytes":8388608},"force":false}"#;
    pub(super) const EXEC: &str = r#"{"command":"ls","cwd":"/tmp","timeout":1000}"#;
}

#[test]
fn a_new_worker_understands_an_old_agent() {
    let status: AgentStatus = read(from_an_old_agent::STATUS);
    assert_eq!(status.protocol, 0);
    assert_eq!(status.strategies, Strategy::ALL);
    assert!(status.mounts[0].verified);
    let scanned = read::<CreateEvent>(from_an_old_agent::SCANNED);
    assert!(matches!(scanned, CreateEvent::Scanned { counts } if counts.files == 1));
    let CreateEvent::Uploaded(archive) = read(from_an_old_agent::UPLOADED) else {
        panic!("it is another event");
    };
    assert_eq!((archive.size_bytes, archive.parts.len()), (4096, 1));
    assert!(archive.report.unread_indexes.is_empty());
    let RestoreEvent::Mounted(mount) = read(from_an_old_agent::MOUNTED) else {
        panic!("it is another event");
    };
    assert_eq!(mount.left_out.count, 1);
    let verified = read::<VerifyEvent>(from_an_old_agent::VERIFIED);
    assert!(matches!(verified, VerifyEvent::Verified(_)), "{verified:?}");
}

#[test]
fn a_new_agent_understands_an_old_worker() {
    let create: CreateBackup = read(from_an_old_worker::CREATE);
    assert!(create.selection.gitignore);
    assert_eq!(create.selection.excludes, ["*.log"]);
    let restore: RestoreBackup = read(from_an_old_worker::RESTORE);
    assert_eq!(restore.source.size_bytes, 4096);
    assert!(restore.source.checksum.is_some());
    let exec: ExecRequest = read(from_an_old_worker::EXEC);
    assert_eq!(exec.timeout, Some(1000));
}

#[test]
fn an_old_worker_understands_a_newer_agent() {
    let event = r#"{"type":"paused","until":{"moon":"full"},"list":[1]}"#;
    assert_eq!(read::<CreateEvent>(event), CreateEvent::Unknown);
    assert_eq!(read::<PreviewEvent>(event), PreviewEvent::Unknown);
    assert_eq!(read::<RestoreEvent>(event), RestoreEvent::Unknown);
    assert_eq!(read::<VerifyEvent>(event), VerifyEvent::Unknown);
    assert_eq!(read::<ExecEvent>(event), ExecEvent::Unknown);

    let newer = from_an_old_agent::STATUS
        .replace(r#"{"version""#, r#"{"protocol":99,"mood":"good","version""#)
        .replace(r#"["kernel""#, r#"["composefs","kernel""#)
        .replace(r#""active""#, r#""paused""#)
        .replace(r#""strategy":"kernel""#, r#""strategy":"composefs""#);
    let status: AgentStatus = read(&newer);
    assert_eq!(status.protocol, 99);
    assert_eq!(status.strategies, Strategy::ALL);
    assert_eq!(status.mounts[0].state, MountState::Unknown);
    assert_eq!(status.mounts[0].strategy, Strategy::Unknown);

    let error: SandboxError = read(r#"{"code":"OUT_OF_LUCK","message":"it rains","help":1}"#);
    assert_eq!(error.code, ErrorCode::InternalError);
    assert_eq!(error.message, "it rains");
    let changed: ChangedEntry = read(r#"{"path":"a","change":"renamed"}"#);
    assert_eq!(changed.change, ChangeKind::Unknown);
    let excluded: ExcludedEntry = read(r#"{"path":"a","rule":"size"}"#);
    assert_eq!(excluded.rule, Exclusion::Unknown);
}

#[test]
fn an_old_agent_understands_a_newer_worker() {
    let create = from_an_old_worker::CREATE
        .replace(r#"{"id""#, r#"{"base":{"id":"x"},"id""#)
        .replace(r#"{"format""#, r#"{"window":9,"format""#)
        .replace(r#"{"excludes""#, r#"{"includes":[],"excludes""#);
    assert_eq!(
        read::<CreateBackup>(&create),
        read::<CreateBackup>(from_an_old_worker::CREATE)
    );
    let restore = from_an_old_worker::RESTORE.replace(r#"{"url""#, r#"{"mirror":"x","url""#);
    assert_eq!(
        read::<RestoreBackup>(&restore),
        read::<RestoreBackup>(from_an_old_worker::RESTORE)
    );
}
