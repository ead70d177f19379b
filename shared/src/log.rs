//! What is kept of operations that have ended.

use std::{borrow::Cow, collections::BTreeMap};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use strum::VariantArray;

use crate::{
    error::{ErrorCode, Result, SandboxError},
    handle::BackupId,
    progress::{OperationKind, Phase},
    strategy::Strategy,
};

/// Entries of a page of the log when nothing else is asked for.
pub const DEFAULT_LOG_PAGE: u32 = 100;
/// Entries that are kept of a sandbox, which are also the most of one page.
pub const MAX_LOG_ENTRIES: u32 = 1000;

/// The outcome of an operation that has succeeded.
pub const OK: &str = "ok";

/// A backup, restore or verification that has ended. Holds neither URLs nor secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoggedOperation {
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
    /// `ok`, or the code of the error.
    #[schemars(with = "Outcome")]
    pub outcome: String,
    /// The message of the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Of a restore: how the directory is served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// Bytes of files (backup) or of the archive (otherwise) that were done.
    pub bytes: u64,
    /// Of a backup: bytes of archive that R2 has taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_uploaded: Option<u64>,
    /// Milliseconds from start to end; of an interrupted one, until that was found.
    pub duration_ms: u64,
    /// Milliseconds of each phase.
    #[schemars(with = "PhaseTimes")]
    pub phases_ms: BTreeMap<Phase, u64>,
}

/// How an operation ended.
enum Outcome {}

impl JsonSchema for Outcome {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Outcome".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let code = generator.subschema_for::<ErrorCode>();
        json_schema!({ "anyOf": [{ "type": "string", "const": "ok" }, code] })
    }
}

/// Milliseconds by [`Phase`], of those that there were.
enum PhaseTimes {}

impl JsonSchema for PhaseTimes {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "PhaseTimes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let time = json_schema!({ "type": "integer", "minimum": 0 });
        let phases = Phase::VARIANTS.iter().map(|phase| phase.as_str());
        let properties: serde_json::Map<_, _> = phases
            .map(|phase| (phase.to_owned(), time.clone().into()))
            .collect();
        json_schema!({ "type": "object", "properties": properties })
    }
}

impl LoggedOperation {
    /// The code of the error, if it has failed.
    pub fn error_code(&self) -> Option<&str> {
        (self.outcome != OK).then_some(&self.outcome)
    }
}

/// An operation in the log of its sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogEntry {
    /// Counts the operations of a sandbox, from 1.
    #[schemars(range(min = 1))]
    pub number: u64,
    /// What happened.
    #[serde(flatten)]
    pub operation: LoggedOperation,
}

/// What `operationLog` takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OperationLogQuery {
    /// Entries of a page: 1 to 1000, 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_LOG_ENTRIES), extend("default" = DEFAULT_LOG_PAGE))]
    pub limit: Option<u32>,
    /// `cursor` of the page before.
    #[schemars(regex(pattern = "^[0-9]{1,15}$"))]
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
                    SandboxError::invalid_request("cursor is not one that operationLog returned")
                })
            })
            .transpose()
    }
}

/// What `operationLog` returns: operations that have ended, the last one first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
}
