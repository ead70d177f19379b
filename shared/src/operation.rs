//! Backups and restores while they run, and what is kept of them afterwards.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    backup::{BackupId, Strategy},
    error::{Result, SandboxError},
    protocol::CreateProgress,
};

/// Entries of a page of the log when nothing else is asked for.
pub const DEFAULT_LOG_PAGE: u32 = 100;
/// Entries that are kept of a sandbox, which are also the most of one page.
pub const MAX_LOG_ENTRIES: u32 = 1000;

/// What kind of operation it is, named after its method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum OperationKind {
    /// `createBackup`
    CreateBackup,
    /// `restoreBackup`, or what puts a directory back when the container has
    /// started again.
    RestoreBackup,
}

impl OperationKind {
    /// The name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CreateBackup => "createBackup",
            Self::RestoreBackup => "restoreBackup",
        }
    }
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Phase {
    /// The container comes up.
    Starting,
    /// The tree is walked.
    Scanning,
    /// Files are read, compressed and uploaded.
    Uploading,
    /// The parts become an archive, and the backup comes into being.
    Committing,
    /// The archive is fetched and mounted.
    Mounting,
}

impl Phase {
    /// The name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Scanning => "scanning",
            Self::Uploading => "uploading",
            Self::Committing => "committing",
            Self::Mounting => "mounting",
        }
    }
}

/// The operation that runs, as `status` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Which method it is of.
    #[serde(rename = "type")]
    pub kind: OperationKind,
    /// The backup.
    pub id: BackupId,
    /// The directory.
    pub dir: String,
    /// ISO 8601.
    pub started_at: String,
    /// What it does now.
    pub phase: Phase,
    /// How a restored directory is served, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// Bytes of files (backup) or of the archive (restore) that are done.
    pub bytes_done: u64,
    /// Bytes there are, when that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_total: Option<u64>,
    /// Of `bytes_done`, lately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u64>,
    /// Until all bytes are done, at that rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
    /// More about a backup.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub backup: Option<CreateProgress>,
}

impl Operation {
    /// One that has just begun, at a moment in ISO 8601.
    pub fn new(kind: OperationKind, id: BackupId, dir: &str, started_at: String) -> Self {
        Self {
            kind,
            id,
            dir: dir.to_owned(),
            started_at,
            phase: Phase::Starting,
            strategy: None,
            bytes_done: 0,
            bytes_total: None,
            bytes_per_second: None,
            seconds_left: None,
            backup: None,
        }
    }
}

/// One event of a backup or restore that is streamed. A stream that ends
/// without a result ends with `{"error"}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum OperationEvent<T> {
    /// It got further.
    Progress {
        /// How far it is.
        operation: Box<Operation>,
    },
    /// It is done.
    Result {
        /// What the method gives.
        result: T,
    },
}

/// What `cancelOperation` gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CancelResult {
    /// The operation that was under way, if there was one. It has ended.
    pub cancelled: Option<Operation>,
}

/// An operation that has ended. Holds neither URLs nor secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoggedOperation {
    /// Which method it is of.
    #[serde(rename = "type")]
    pub kind: OperationKind,
    /// The backup.
    pub id: BackupId,
    /// The directory.
    pub dir: String,
    /// ISO 8601.
    pub started_at: String,
    /// `ok`, or the code of the error.
    pub outcome: String,
    /// The message of the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How the restored directory is served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// Bytes of files (backup) or of the archive (restore) that were done.
    pub bytes: u64,
    /// Bytes of archive that the store has taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_uploaded: Option<u64>,
    /// Milliseconds from start to end.
    pub duration_ms: u64,
    /// Milliseconds of each phase.
    pub phases_ms: BTreeMap<Phase, u64>,
}

/// An operation in the log of its sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Counts the operations of a sandbox from 1, without a gap.
    pub number: u64,
    /// What happened.
    #[serde(flatten)]
    pub operation: LoggedOperation,
}

/// What `operationLog` takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationLogQuery {
    /// Entries of a page: 1 to [`MAX_LOG_ENTRIES`], [`DEFAULT_LOG_PAGE`] when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

impl OperationLogQuery {
    /// How many entries to give.
    pub fn page_size(&self) -> Result<u32> {
        match self.limit.unwrap_or(DEFAULT_LOG_PAGE) {
            limit @ 1..=MAX_LOG_ENTRIES => Ok(limit),
            _ => Err(SandboxError::invalid_request(format!(
                "limit must be 1 to {MAX_LOG_ENTRIES}"
            ))),
        }
    }

    /// Entries with this number and above are not wanted.
    pub fn before(&self) -> Result<Option<u64>> {
        self.cursor
            .as_deref()
            .map(|cursor| {
                cursor.parse().map_err(|_| {
                    SandboxError::invalid_request("cursor is not one that operationLog gave")
                })
            })
            .transpose()
    }
}

/// What `operationLog` gives: operations that have ended, the last one first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationLogPage {
    /// At most as many as were asked for.
    pub operations: Vec<LogEntry>,
    /// For the next page; absent from the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_asked_for_in_pages() {
        let query = |limit, cursor: Option<&str>| OperationLogQuery {
            limit,
            cursor: cursor.map(str::to_owned),
        };
        assert_eq!(query(None, None).page_size(), Ok(DEFAULT_LOG_PAGE));
        assert_eq!(query(Some(1000), None).page_size(), Ok(1000));
        for limit in [0, 1001] {
            assert!(query(Some(limit), None).page_size().is_err());
        }
        assert_eq!(query(None, Some("17")).before(), Ok(Some(17)));
        for cursor in ["", "-1", "x"] {
            assert!(query(None, Some(cursor)).before().is_err(), "{cursor}");
        }
    }

    #[test]
    fn only_a_backup_has_the_progress_of_one() {
        let restore = serde_json::json!({
            "type": "restoreBackup", "id": "00000000-0000-4000-8000-000000000000",
            "dir": "/app", "startedAt": "2026-01-01T00:00:00Z", "phase": "mounting", "bytesDone": 0,
        });
        let operation: Operation = serde_json::from_value(restore.clone()).unwrap();
        assert_eq!(operation.backup, None);
        assert_eq!(serde_json::to_value(operation).unwrap(), restore);
    }
}
