//! An archive in a file, by its path.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Description, Listing, count, verify};
use crate::reader::{self, Archive, FileSource, Options, ReadError};

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

fn source(image: &Path) -> Result<FileSource, ArchiveError> {
    FileSource::open(image).map_err(|source| ArchiveError::Unreadable {
        path: image.to_owned(),
        source,
    })
}

/// Opens the archive in a file.
///
/// # Errors
/// See [`ArchiveError`].
pub fn open(image: &Path) -> Result<Archive, ArchiveError> {
    let source = Arc::new(source(image)?);
    Ok(Archive::open(source, &Options::default())?)
}

/// Reads the superblock of an archive, which also says whether it is one and
/// whether its end is there.
///
/// # Errors
/// See [`ArchiveError`].
pub fn describe(image: &Path) -> Result<Description, ArchiveError> {
    let superblock = reader::read_superblock(&source(image)?)?;
    Ok(Description::from(&superblock))
}

/// Counts the names in an archive.
///
/// # Errors
/// See [`ArchiveError`].
pub fn list(image: &Path) -> Result<Listing, ArchiveError> {
    Ok(count(&open(image)?)?)
}

/// Reads everything that is in an archive: see [`verify()`].
///
/// # Errors
/// See [`ArchiveError`].
pub fn read_through(image: &Path) -> Result<(), ArchiveError> {
    Ok(verify(&open(image)?)?)
}
