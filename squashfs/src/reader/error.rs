//! Why something in an archive could not be read.

use std::io;

/// Why something in an archive could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
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
    pub(super) const fn damaged(what: &'static str, at: u64) -> Self {
        Self::Damaged { what, at }
    }
}
