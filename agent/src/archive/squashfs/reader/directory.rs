//! Directory listings.

use std::marker::PhantomData;

use super::{Archive, InodeRef, Kind, ReadError};

/// A name in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DirEntry<'a> {
    /// 1 to 256 bytes without `/` and NUL, and neither `.` nor `..`.
    pub name: &'a [u8],
    /// What it names.
    pub kind: Kind,
    /// Whom it names.
    pub inode: InodeRef,
    /// The number of that inode.
    pub inode_number: u32,
    /// Where to go on after this entry: see [`Archive::read_dir`].
    pub next: u64,
}

/// Reads a directory: see [`Archive::read_dir`].
#[derive(Debug)]
pub struct ReadDir<'a>(PhantomData<&'a Archive>);

impl ReadDir<'_> {
    /// The next entry, in ascending order of names.
    ///
    /// # Errors
    /// See [`ReadError`]. After an error the listing has ended.
    pub fn next_entry(&mut self) -> Result<Option<DirEntry<'_>>, ReadError> {
        todo!()
    }
}
