//! How far an operation is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::{handle::BackupId, protocol::CreateProgress, strategy::Strategy};

/// The method that an operation is of.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    JsonSchema,
    IntoStaticStr,
    EnumString,
    VariantArray,
)]
#[strum(serialize_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub enum OperationKind {
    /// `createBackup`.
    CreateBackup,
    /// `restoreBackup`, or a restore because of `autoRestore`.
    RestoreBackup,
    /// `verifyBackup`.
    VerifyBackup,
}

impl OperationKind {
    /// The one that is called `name` in JSON; none if a newer writer has made that up.
    pub fn from_name(name: &str) -> Option<Self> {
        name.parse().ok()
    }

    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What an operation does.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    IntoStaticStr,
    VariantArray,
)]
#[strum(serialize_all = "lowercase")]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Phase {
    /// The container starts.
    Starting,
    /// The tree is walked.
    Scanning,
    /// Files are read, compressed and uploaded.
    Uploading,
    /// The parts become an archive, and the backup is recorded.
    Committing,
    /// The archive is fetched and mounted.
    Mounting,
    /// The archive is fetched and read.
    Verifying,
}

impl Phase {
    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A backup, restore or verification under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Which method it is of.
    #[serde(rename = "type")]
    pub kind: OperationKind,
    /// Which backup.
    pub id: BackupId,
    /// The directory.
    pub dir: String,
    /// ISO 8601, UTC.
    #[schemars(extend("format" = "date-time"))]
    pub started_at: String,
    /// What it does now.
    pub phase: Phase,
    /// Of a restore: how the directory is served, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// Bytes of files (backup) or of the archive (otherwise) that are done.
    pub bytes_done: u64,
    /// Bytes there are, when that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_total: Option<u64>,
    /// Bytes of `bytesDone` in a second, lately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u64>,
    /// Seconds until all bytes are done, at that rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
    /// Regular files, once their number is known.
    #[serde(skip)]
    pub files: Option<u64>,
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
            files: None,
            backup: None,
        }
    }
}

/// One event of an operation that is streamed. A stream that ends
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
        /// What the method returns.
        result: T,
    },
}

/// What `cancelOperation` returns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CancelResult {
    /// The operation that was under way, if there was one. It has ended.
    pub cancelled: Option<Operation>,
}

#[cfg(test)]
mod tests {
    use super::*;

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
