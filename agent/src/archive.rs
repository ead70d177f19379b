//! Archives: a directory tree as a SquashFS 4.0 image.
//!
//! What is guaranteed: exactly the entries that the rules choose are in the
//! archive, whatever bytes their names consist of, with mode, owner, times,
//! hard links and extended attributes; a file that cannot be read, or that
//! changes its size under the reader, fails the archive and is named.

use std::{io, path::PathBuf};

use sandbox_shared::{ErrorCode, SandboxError};

pub mod image;
mod pack;
mod rules;
mod scan;
mod tree;

pub use pack::{Progress, pack};
pub use rules::Rules;
pub use scan::{Scan, scan};

/// Why there is no archive, or not the one expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// An exclude pattern is not one.
    #[error("excludes: {0}")]
    BadPattern(ignore::Error),
    /// Files that cannot be read.
    #[error("cannot read {}{}: {source}", path.display(), others(*more))]
    Unreadable {
        /// The first of them.
        path: PathBuf,
        /// What the operating system said about it.
        source: io::Error,
        /// How many there are besides.
        more: usize,
    },
    /// A file became shorter while it was read.
    #[error("{} changed while it was read", .0.display())]
    Changed(PathBuf),
    /// A program that makes or reads archives failed.
    #[error("{program} failed: {reason}")]
    Tool {
        /// Its name.
        program: &'static str,
        /// What it said last.
        reason: String,
    },
    /// The image is not an archive.
    #[error("not a SquashFS 4.0 archive: {0}")]
    Malformed(&'static str),
    /// Nobody wants the archive any more.
    #[error("cancelled")]
    Cancelled,
    /// A file of our own failed.
    #[error("{0}")]
    Local(#[from] io::Error),
}

fn others(more: usize) -> String {
    match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    }
}

impl From<ArchiveError> for SandboxError {
    fn from(error: ArchiveError) -> Self {
        let message = error.to_string();
        match error {
            ArchiveError::BadPattern(_) => Self::invalid_config(message),
            ArchiveError::Unreadable { path, more, .. } => {
                Self::new(ErrorCode::BackupCreateFailed, message)
                    .with("path", path.to_string_lossy())
                    .with("unreadable", more + 1)
            }
            ArchiveError::Changed(path) => Self::new(ErrorCode::BackupCreateFailed, message)
                .with("path", path.to_string_lossy()),
            _ => Self::new(ErrorCode::BackupCreateFailed, message),
        }
    }
}
