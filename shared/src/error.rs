//! The one error type that users meet, whichever way they reach a sandbox.
//!
//! How a failure gets its code:
//! - The method decides, not the type of what has failed: a store that cannot be
//!   reached is `BACKUP_CREATE_FAILED` to a backup and `BACKUP_RESTORE_FAILED` to
//!   a restore. The table of `methods` has the codes. A type that several methods
//!   can meet is a `methods::Failure`, which cannot become an error without one of
//!   them; only a type that a single method can meet has a `From`.
//! - What was asked for and is not there has a code of its own where a caller asks
//!   for one thing. A store that does not answer is not that.
//! - Some reasons are the same to every method, and get their code where they are
//!   noticed: what the caller or the operator has to mend
//!   (`INVALID_BACKUP_CONFIG`, `INVALID_REQUEST`, `BACKUP_EXPIRED`), a container or
//!   a Durable Object that went away (`CONTAINER_UNAVAILABLE`,
//!   `OPERATION_INTERRUPTED`), what is wrong before there is a method
//!   (`UNAUTHORIZED`, `NOT_CONFIGURED`, `ROUTE_NOT_FOUND`, `METHOD_NOT_ALLOWED`),
//!   and a defect of ours or of the Durable Object's storage (`INTERNAL_ERROR`).
//! - An error that has a code keeps it, from the agent through the Durable Object
//!   to the caller. Whoever passes it on may add to its message and context.
//! - A message is for people, who may paste it anywhere: it holds no URL, token or
//!   credential. What a program may want to know is in the context.

use std::{convert::Infallible, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, error::Category};
use strum::{Display, IntoStaticStr, VariantArray};

/// What a fallible operation of the product returns.
pub type Result<T, E = SandboxError> = std::result::Result<T, E>;

/// Machine-readable reason of a failure. The names are part of the public
/// contract and never change meaning.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    IntoStaticStr,
    VariantArray,
    Display,
)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum ErrorCode {
    /// A binding or credential is missing (the message names which), or an option, handle or id is
    /// unacceptable or not known: `context.field`, and `context.nearest` if one is close to it.
    InvalidBackupConfig,
    /// Making the archive or uploading it failed. Nothing is left behind.
    BackupCreateFailed,
    /// There is no metadata, or no archive, for the id.
    BackupNotFound,
    /// The backup's time to live has elapsed; `context.expiredAt` says when.
    BackupExpired,
    /// Download, integrity check or mount failed. The target is as it was.
    BackupRestoreFailed,
    /// The container could not be started or went away. Safe to retry.
    ContainerUnavailable,
    /// The Durable Object or the container restarted in the middle;
    /// `context.committed` says whether the operation had taken effect.
    OperationInterrupted,
    /// A request to run a command or touch a file is malformed or has an option that is not known
    /// (`context.field`, `context.nearest`), or there are more arguments than the method takes.
    InvalidRequest,
    /// The file or directory does not exist.
    FileNotFound,
    /// The operating system refused a file operation.
    FileOperationFailed,
    /// A command could not be started at all.
    ExecFailed,
    /// The bearer token is missing or wrong.
    Unauthorized,
    /// The Worker lacks the secret that guards its HTTP routes.
    NotConfigured,
    /// No such HTTP route.
    RouteNotFound,
    /// The route exists, the method does not.
    MethodNotAllowed,
    /// A defect in this product, or the Durable Object's storage failed; or the
    /// bucket did, in a method that has no other code for that. Also what a code of
    /// a newer writer is read as.
    #[serde(other)]
    InternalError,
}

impl ErrorCode {
    /// The HTTP status that the code travels with.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::InvalidBackupConfig | Self::BackupExpired | Self::InvalidRequest => 400,
            Self::Unauthorized => 401,
            Self::BackupNotFound | Self::FileNotFound | Self::RouteNotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::OperationInterrupted => 409,
            // Asking again gives the same answer, which a 500 would not tell.
            Self::FileOperationFailed | Self::ExecFailed => 422,
            Self::BackupCreateFailed | Self::BackupRestoreFailed | Self::InternalError => 500,
            Self::ContainerUnavailable | Self::NotConfigured => 503,
        }
    }

    /// The name as it is written in JSON and in `error.code`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A failure: its code, a message that says what happened and what to do, and facts that a program
/// may want.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Failure")]
pub struct SandboxError {
    /// Machine-readable reason.
    pub code: ErrorCode,
    /// For people. Never holds a URL, a token or a credential.
    pub message: String,
    /// Facts about this failure, by name.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub context: Map<String, Value>,
}

impl SandboxError {
    /// An error without context.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            context: Map::new(),
        }
    }

    /// Adds one fact.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.context.insert(key.to_owned(), value.into());
        self
    }

    /// An [`ErrorCode::InvalidBackupConfig`].
    pub fn invalid_config(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidBackupConfig, message)
    }

    /// An [`ErrorCode::InvalidRequest`].
    pub fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRequest, message)
    }
}

impl fmt::Display for SandboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for SandboxError {}

impl From<Infallible> for SandboxError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Reads a `T`; a mismatch becomes an error of `code` that names the offending
/// field.
pub fn deserialize<'de, T, D>(deserializer: D, code: ErrorCode) -> Result<T>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    serde_path_to_error::deserialize(deserializer)
        .map_err(|error| mismatch(code, &error.path().to_string(), &error.inner().to_string()))
}

/// Reads `json`, all of it, as [`deserialize`] does.
pub fn from_json<'de, T: Deserialize<'de>>(json: &'de str, code: ErrorCode) -> Result<T> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let (path, inner) = (error.path().to_string(), error.into_inner());
        let position = format!(" at line {} column {}", inner.line(), inner.column());
        let text = inner.to_string();
        // Where a value of the wrong kind stands, its field says better.
        let problem = match inner.classify() {
            Category::Data => text.strip_suffix(&position).unwrap_or(&text),
            _ => &text,
        };
        mismatch(code, &path, problem)
    })?;
    reader
        .end()
        .map_err(|error| SandboxError::new(code, error.to_string()))?;
    Ok(value)
}

/// Says that there is a `problem` with the field at `path`, which is `.` for all of them.
pub(crate) fn mismatch(code: ErrorCode, path: &str, problem: &str) -> SandboxError {
    // Our own types name their field in what they say.
    let message = if path == "." || problem.starts_with(path) {
        problem.to_owned()
    } else {
        format!("{path}: {problem}")
    };
    SandboxError::new(code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_those_of_the_contract() {
        let status = |code: ErrorCode| code.http_status();
        assert_eq!(status(ErrorCode::InvalidBackupConfig), 400);
        assert_eq!(status(ErrorCode::BackupCreateFailed), 500);
        assert_eq!(status(ErrorCode::BackupNotFound), 404);
        assert_eq!(status(ErrorCode::BackupExpired), 400);
        assert_eq!(status(ErrorCode::BackupRestoreFailed), 500);
        assert_eq!(status(ErrorCode::ContainerUnavailable), 503);
        assert_eq!(status(ErrorCode::OperationInterrupted), 409);
    }

    #[test]
    fn a_mismatch_names_the_field() {
        #[derive(Debug, Deserialize)]
        struct Outer {
            #[allow(dead_code)]
            ttl: u32,
        }
        let error =
            from_json::<Outer>(r#"{"ttl": "soon"}"#, ErrorCode::InvalidBackupConfig).unwrap_err();
        assert_eq!(
            error.message,
            "ttl: invalid type: string \"soon\", expected u32"
        );
        assert!(from_json::<Outer>(r#"{"ttl": 1} x"#, ErrorCode::InvalidBackupConfig).is_err());
    }
}
