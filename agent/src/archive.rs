//! Archives: making them, looking at finished ones, and whether they can be read.
//!
//! [`scan`] finds what goes into one, [`squashfs::writer`] makes it.

use std::{io, path::PathBuf};

use sandbox_shared::{
    SandboxError,
    methods::{Failure, Row},
};

use squashfs::reader::ReadError;

pub mod image;
pub mod scan;
pub mod squashfs;

/// Why an archive is not what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The file cannot be opened.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said about it.
        source: io::Error,
    },
    /// It is none, or it is damaged.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It cannot be unpacked.
    #[error("cannot unpack {}: {source}", path.display())]
    Unwritable {
        /// What was to be made, below the directory that is unpacked to.
        path: PathBuf,
        /// What the operating system said about it.
        source: io::Error,
    },
    /// There is not enough room.
    #[error("{needed} bytes are needed to unpack the archive, but only {available} are free")]
    NoSpace {
        /// Bytes.
        needed: u64,
        /// Bytes.
        available: u64,
    },
    /// A file of our own failed.
    #[error("{0}")]
    Local(#[from] io::Error),
}

impl Failure for ArchiveError {
    fn of(self, method: &Row) -> SandboxError {
        let described = method.failed(self.to_string());
        match self {
            Self::NoSpace { needed, available } => described
                .with("neededBytes", needed)
                .with("availableBytes", available),
            _ => described,
        }
    }
}
