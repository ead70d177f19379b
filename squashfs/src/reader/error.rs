//! Why something in an archive could not be read.

use std::{io, ops::Range};

/// Why something in an archive could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The source does not have these bytes yet: see [`super::ReadAt`]. Once it has
    /// them, the same call gets further.
    #[error("bytes {} to {} of the archive are not here yet", range.start, range.end)]
    Missing {
        /// In the archive.
        range: Range<u64>,
    },
    /// The bytes could not be had. Trying again may help.
    #[error("cannot read the archive at byte {at}: {source}")]
    Source {
        /// Where in the archive.
        at: u64,
        /// What the source said.
        source: io::Error,
    },
    /// The bytes make no sense: no writer makes such an archive.
    #[error("the archive is damaged at byte {at}: {what}")]
    Damaged {
        /// What is wrong.
        what: &'static str,
        /// Where in the archive: the position of the table, metadata block or
        /// data block in question.
        at: u64,
    },
    /// It is something else than a SquashFS 4.0 archive.
    #[error("not a SquashFS 4.0 archive: {0}")]
    NotAnArchive(&'static str),
    /// A directory was expected.
    #[error("not a directory")]
    NotADirectory,
    /// A regular file was expected.
    #[error("not a regular file")]
    NotAFile,
    /// A symbolic link was expected.
    #[error("not a symbolic link")]
    NotALink,
}

impl ReadError {
    /// What a source said that was asked for `length` bytes at `at`.
    pub(super) fn of_source(source: io::Error, at: u64, length: usize) -> Self {
        match source.kind() {
            io::ErrorKind::WouldBlock => Self::Missing {
                range: at..at + length as u64,
            },
            _ => Self::Source { at, source },
        }
    }

    pub(super) const fn damaged(what: &'static str, at: u64) -> Self {
        Self::Damaged { what, at }
    }
}
