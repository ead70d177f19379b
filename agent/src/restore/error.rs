//! Why a directory could not be restored or unmounted.

use std::{io, path::PathBuf};

use sandbox_shared::{
    ErrorCode, SandboxError,
    methods::{Failure, Row},
};
use squashfs::image::ArchiveError;

use super::users::User;
use crate::{convert, transfer::TransferError};

/// Why a directory could not be restored or taken away.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MountError {
    /// A system call failed.
    #[error("cannot {call}: {source}")]
    System {
        /// What it was to do.
        call: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// A program failed.
    #[error("{program} failed: {reason}")]
    Program {
        /// Its name.
        program: &'static str,
        /// What it said last.
        reason: String,
    },
    /// What was built does not show what is in the archive.
    #[error("the mount does not show the content of the archive")]
    Unreadable,
    /// Processes use the restored directory.
    #[error(
        "{dir} is in use by {}; end them, or ask with force to take it away under them",
        list(users)
    )]
    Busy {
        /// Which directory.
        dir: String,
        /// Some of the processes.
        users: Vec<User>,
    },
    /// A directory cannot be exchanged with the unpacked copy.
    #[error("{} cannot be replaced, because it is a mount point or lies on another layer: {source}", dir.display())]
    CannotReplace {
        /// Which.
        dir: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Directories above a target are being moved.
    #[error("{} is being moved about by another process; try again", .0.display())]
    Moving(PathBuf),
    /// No strategy works here, or not the one asked for.
    #[error("{0}")]
    NoStrategy(String),
    /// The agent is about to end.
    #[error("the agent is stopping")]
    Closed,
    /// The directory is not a restored one.
    #[error("{0} is not a restored directory")]
    NotMounted(String),
    /// The archive is not one, or cannot be unpacked.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The download failed.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// A request that must not be served, or what a daemon has said.
    #[error("{}", .0.message)]
    Refused(#[from] SandboxError),
    /// A file of our own failed.
    #[error("{0}")]
    Local(#[from] io::Error),
}

impl Failure for MountError {
    fn of(self, method: &Row) -> SandboxError {
        let message = self.to_string();
        match self {
            Self::Refused(error) => error,
            Self::Archive(error) => convert::archive_error(&error, method),
            Self::Transfer(error) => error.of(method),
            Self::Busy { users, .. } => {
                let users = users
                    .into_iter()
                    .map(|user| serde_json::json!({ "pid": user.pid, "command": user.command }));
                method
                    .failed(message)
                    .with("processes", users.collect::<Vec<_>>())
            }
            Self::NotMounted(_) => SandboxError::invalid_config(message),
            Self::Closed => SandboxError::new(ErrorCode::ContainerUnavailable, message),
            _ => method.failed(message),
        }
    }
}

fn list(users: &[User]) -> String {
    let users: Vec<_> = users.iter().map(User::to_string).collect();
    users.join(", ")
}
