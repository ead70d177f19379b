//! What became of an operation whose answer never arrived.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};
use time::OffsetDateTime;

use crate::{
    error::{ErrorCode, Result, SandboxError},
    handle::{BackupId, DirectoryBackup},
    progress::OperationKind,
    schema,
};

/// Longest id of an operation, in bytes.
const MAX_OPERATION_ID_BYTES: usize = 64;

/// A name for one call, chosen by whoever makes it: up to 64 letters, digits,
/// `-` and `_`. A UUID is one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[schemars(
    inline,
    description = "Up to 64 letters, digits, `-` and `_`.",
    extend("pattern" = "^[A-Za-z0-9_-]{1,64}$")
)]
pub struct OperationId(String);

impl OperationId {
    /// Checks the form.
    pub fn parse(text: &str) -> Result<Self> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if (1..=MAX_OPERATION_ID_BYTES).contains(&text.len()) && text.bytes().all(is_allowed) {
            return Ok(Self(text.to_owned()));
        }
        Err(SandboxError::invalid_config(format!(
            "operationId must be 1 to {MAX_OPERATION_ID_BYTES} letters, digits, - or _"
        )))
    }

    /// A new one: a random UUID.
    pub fn random() -> Self {
        (&BackupId::random()).into()
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&BackupId> for OperationId {
    fn from(id: &BackupId) -> Self {
        Self(id.as_str().to_owned())
    }
}

impl<'de> Deserialize<'de> for OperationId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| de::Error::custom(error.message))
    }
}

/// Options of the call itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallOptions {
    /// By this the caller can ask for `operationOutcome`, even if it is itself interrupted: up to 64
    /// letters, digits, `-` and `_`, another for each call. A random UUID when absent.
    #[serde(default)]
    pub operation_id: Option<OperationId>,
}

/// What `operationOutcome` takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationById {
    /// As it was given with the call: as `operationId`, or in the header `Operation-Id`.
    pub operation_id: OperationId,
}

/// How far an operation got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OperationState {
    /// It is under way.
    Running,
    /// It has taken effect: the backup exists, the directory is restored.
    Committed,
    /// It has not, and nothing is left of it.
    NotCommitted,
    /// It was interrupted, and whether it has taken effect cannot be told. It is safe to repeat.
    Uncertain,
    /// Nothing is known of it: it never began, or ended long ago.
    Unknown,
}

impl OperationState {
    /// Whether it has taken effect, if that can be told.
    pub fn committed(self) -> Option<bool> {
        match self {
            Self::Committed => Some(true),
            Self::NotCommitted | Self::Unknown => Some(false),
            Self::Running | Self::Uncertain => None,
        }
    }
}

/// What `operationOutcome` returns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationOutcome {
    /// As it was given.
    pub operation_id: OperationId,
    /// How far it got.
    pub state: OperationState,
    /// Whether it has taken effect; `null` if that cannot be told, or not yet.
    pub committed: Option<bool>,
    /// Which method it is of.
    #[schemars(with = "Option<schema::JournaledKind>")]
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<OperationKind>,
    /// The backup that it made or restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<DirectoryBackup>,
    /// When it began.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "time::serde::rfc3339::option"
    )]
    #[schemars(with = "Option<schema::Moment>")]
    pub started_at: Option<OffsetDateTime>,
}

impl OperationOutcome {
    /// That of an operation that nothing is known of.
    pub fn unknown(operation_id: OperationId) -> Self {
        Self::bare(operation_id, OperationState::Unknown)
    }

    /// That of an operation that cannot be asked about.
    pub fn uncertain(operation_id: OperationId) -> Self {
        Self::bare(operation_id, OperationState::Uncertain)
    }

    fn bare(operation_id: OperationId, state: OperationState) -> Self {
        Self {
            operation_id,
            state,
            committed: state.committed(),
            kind: None,
            backup: None,
            started_at: None,
        }
    }

    /// What a caller is told instead of the answer, which was lost for `reason`.
    pub fn interrupted(&self, reason: &str) -> SandboxError {
        let effect = match self.committed {
            Some(true) => "it had taken effect",
            Some(false) => "it had not taken effect and nothing is left of it: try again",
            None => "it may have taken effect; it is safe to try again",
        };
        let committed = self.committed.map_or(serde_json::Value::Null, Into::into);
        let mut error = SandboxError::new(
            ErrorCode::OperationInterrupted,
            format!("the sandbox went away in the middle of the operation ({reason}); {effect}"),
        )
        .with("committed", committed)
        .with("operationId", self.operation_id.as_str());
        if let Some(backup) = &self.backup
            && self.committed != Some(false)
        {
            let backup = serde_json::json!({ "id": backup.id, "dir": backup.dir });
            error = error.with("backup", backup);
        }
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_words() {
        for good in ["a", "A-1_b", "01234567-89ab-4cde-8f01-23456789abcd"] {
            assert_eq!(OperationId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "é", "../x", &"x".repeat(65)] {
            assert!(OperationId::parse(bad).is_err(), "{bad}");
            let json = serde_json::json!(bad);
            assert!(
                serde_json::from_value::<OperationId>(json).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_caller_learns_whether_it_had_committed() {
        let id = OperationId::parse("x").unwrap();
        let outcome = OperationOutcome::unknown(id);
        let error = outcome.interrupted("reset");
        assert_eq!(error.context["committed"], false);
        assert!(!error.context.contains_key("backup"));
        let committed = OperationOutcome {
            state: OperationState::Committed,
            committed: OperationState::Committed.committed(),
            backup: Some(DirectoryBackup {
                id: BackupId::from_random([1; 16]),
                dir: "/app".into(),
            }),
            ..outcome
        };
        let error = committed.interrupted("reset");
        assert_eq!(error.context["committed"], true);
        assert_eq!(error.context["backup"]["dir"], "/app");
    }
}
