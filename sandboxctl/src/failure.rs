//! Why a command failed, what a person can do about it, and the exit code.
//!
//! The codes are those of restic (restic, "Scripting", "Exit codes"): scripts
//! that back up with one can back up with the other.

use std::io;

use sandbox_shared::{ErrorCode, SandboxError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Something failed.
pub(crate) const FAILED: u8 = 1;
/// A backup was made, but lacks entries that could not be read.
pub(crate) const PARTIAL: u8 = 3;
/// The backup does not exist.
pub(crate) const NO_SUCH_BACKUP: u8 = 10;
/// The token is missing or wrong.
pub(crate) const UNAUTHORIZED: u8 = 12;
/// A command in a sandbox could not be run: what the command itself says is
/// passed on, and this is not likely to be among it. `env`, `timeout` and
/// `docker run` do the same.
pub(crate) const NOT_RUN: u8 = 125;
/// Interrupted, as a shell reports it.
pub(crate) const INTERRUPTED: u8 = 130;
/// Whoever read our output has gone, as a shell reports it.
const BROKEN_PIPE: u8 = 141;

/// An error that the Worker answered with. Its code is text: a Worker that is
/// newer than this program may have others.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ApiError {
    pub(crate) code: String,
    pub(crate) message: String,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) context: Map<String, Value>,
}

impl ApiError {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code: code.as_str().to_owned(),
            message: message.into(),
            context: Map::new(),
        }
    }

    pub(crate) fn is(&self, code: ErrorCode) -> bool {
        self.code == code.as_str()
    }
}

impl From<SandboxError> for ApiError {
    fn from(error: SandboxError) -> Self {
        Self {
            code: error.code.as_str().to_owned(),
            message: error.message,
            context: error.context,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{}", .0.message)]
    Api(ApiError),
    #[error("{0}")]
    Usage(String),
    #[error("cannot reach {url}: {reason}")]
    Unreachable { url: String, reason: String },
    #[error("the connection broke: {0}")]
    Broken(String),
    #[error("this is not the answer of a sandbox Worker: {0}")]
    NotOurs(String),
    #[error("{what}: {error}")]
    Local { what: String, error: io::Error },
    #[error("interrupted")]
    Interrupted,
    #[error("interrupted: {0}")]
    Cancelled(&'static str),
    #[error("the command could not be run: {0}")]
    NotRun(Box<Failure>),
}

impl Failure {
    /// About a file, or another thing of this machine.
    pub(crate) fn local(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::Local { what, error }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Api(error) if error.is(ErrorCode::BackupNotFound) => NO_SUCH_BACKUP,
            Self::Api(error) if error.is(ErrorCode::Unauthorized) => UNAUTHORIZED,
            Self::Interrupted | Self::Cancelled(_) => INTERRUPTED,
            Self::NotRun(failure) if matches!(**failure, Self::Interrupted) => INTERRUPTED,
            Self::NotRun(_) => NOT_RUN,
            _ if self.reader_has_gone() => BROKEN_PIPE,
            _ => FAILED,
        }
    }

    /// Whether nobody reads our output any more, so that there is nothing to tell.
    pub(crate) fn reader_has_gone(&self) -> bool {
        matches!(self, Self::Local { error, .. } if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// As the Worker would have said it; our own failures have no code.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Api(error) => Some(&error.code),
            Self::NotRun(failure) => failure.code(),
            _ => None,
        }
    }

    /// What to do, where the message does not say so already.
    pub(crate) fn advice(&self) -> Option<&'static str> {
        let error = match self {
            Self::Api(error) => error,
            Self::NotRun(failure) => return failure.advice(),
            Self::Unreachable { .. } => {
                return Some("--url, or SANDBOX_URL, is the address of the Worker");
            }
            Self::NotOurs(_) => {
                return Some(
                    "look at --url: it is the Worker's address, without a path of its routes",
                );
            }
            Self::Broken(_) => {
                return Some("`sandboxctl logs` tells whether the operation came to its end");
            }
            _ => return None,
        };
        if error.is(ErrorCode::BackupNotFound) {
            Some("`sandboxctl list` shows what is stored")
        } else if error.is(ErrorCode::BackupExpired) {
            Some("it can no longer be restored; give backups that matter a longer --ttl")
        } else if error.is(ErrorCode::ContainerUnavailable) {
            Some("try again: nothing was changed")
        } else if error.is(ErrorCode::OperationInterrupted) {
            Some("`sandboxctl logs` and `sandboxctl list` show what took effect")
        } else if error.is(ErrorCode::Unauthorized) {
            Some("--token, or SANDBOX_API_TOKEN, is the Worker's secret of that name")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_restic() {
        let api = |code| Failure::Api(ApiError::new(code, ""));
        assert_eq!(api(ErrorCode::BackupNotFound).exit_code(), 10);
        assert_eq!(api(ErrorCode::Unauthorized).exit_code(), 12);
        assert_eq!(api(ErrorCode::BackupExpired).exit_code(), 1);
        assert_eq!(Failure::Interrupted.exit_code(), 130);
        assert_eq!(Failure::Usage(String::new()).exit_code(), 1);
    }

    #[test]
    fn a_command_that_was_not_run_is_told_from_one_that_failed() {
        let not_run = |failure| Failure::NotRun(Box::new(failure)).exit_code();
        assert_eq!(not_run(Failure::Usage(String::new())), 125);
        assert_eq!(not_run(Failure::Interrupted), 130);
    }
}
