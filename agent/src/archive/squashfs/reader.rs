//! Reading an archive: lazily, from several threads, trusting nothing in it.
//!
//! [`Archive::open`] takes a source of bytes that can be read at any position
//! ([`ReadAt`]) and reads the superblock and the ends of the tables; all else is
//! read when it is asked for. Guarantees:
//!
//! * **Whatever the bytes are**, every call ends, with a [`ReadError`] if they
//!   make no sense: no panic, no endless loop, no memory beyond the budget and
//!   some blocks for each thread.
//! * **Concurrent.** All calls take `&self` and may run at the same time. No lock
//!   is held while bytes are read or decompressed. Threads that want the same
//!   block wait for one of them to decode it.
//! * **Bounded memory**: see [`Options`].

use std::sync::Arc;

use super::superblock::Superblock;

mod directory;
mod error;
mod inode;
mod source;

pub use directory::{DirEntry, ReadDir};
pub use error::ReadError;
pub use inode::{Attributes, InodeRef, Kind};
pub use source::{FileSource, ReadAt};

/// How to read an archive.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of decoded blocks to keep.
    pub cache_bytes: usize,
    /// Tables together below this many bytes are read at once when the archive
    /// is opened, and kept in their compressed form; larger ones are read
    /// block by block.
    pub preload_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes: 48 << 20,
            preload_bytes: 16 << 20,
        }
    }
}

/// An archive that is open for reading.
#[derive(Debug)]
pub struct Archive {
    superblock: Superblock,
}

/// An extended attribute: its full name and its value.
pub type Xattr = (Vec<u8>, Vec<u8>);

#[allow(unused_variables)]
impl Archive {
    /// Opens the archive that `source` holds.
    ///
    /// # Errors
    /// See [`ReadError`]. That it opens says little about the rest of it.
    pub fn open(source: Arc<dyn ReadAt>, options: &Options) -> Result<Self, ReadError> {
        todo!()
    }

    /// The superblock.
    pub const fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// The top directory.
    pub fn root(&self) -> InodeRef {
        InodeRef(self.superblock.root_inode.get())
    }

    /// What an inode says.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn attributes(&self, inode: InodeRef) -> Result<Attributes, ReadError> {
        todo!()
    }

    /// Whom `name` names in a directory.
    ///
    /// # Errors
    /// [`ReadError::NotADirectory`] and others.
    pub fn lookup(&self, directory: InodeRef, name: &[u8]) -> Result<Option<InodeRef>, ReadError> {
        todo!()
    }

    /// Reads a directory from its start, if `from` is 0, or from after the entry
    /// that gave `from` as its [`DirEntry::next`]. Such a number stays good for
    /// ever, and going on from it takes the time of a few entries. There are no
    /// entries for `.` and `..`.
    ///
    /// # Errors
    /// [`ReadError::NotADirectory`] and others.
    pub fn read_dir(&self, directory: InodeRef, from: u64) -> Result<ReadDir<'_>, ReadError> {
        todo!()
    }

    /// A symbolic link's target.
    ///
    /// # Errors
    /// [`ReadError::NotALink`] and others.
    pub fn read_link(&self, inode: InodeRef) -> Result<Vec<u8>, ReadError> {
        todo!()
    }

    /// Reads content from byte `offset` on. Gives how many bytes of `buffer`
    /// were filled: all, unless the file ends first.
    ///
    /// # Errors
    /// [`ReadError::NotAFile`] and others.
    pub fn read(
        &self,
        inode: InodeRef,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize, ReadError> {
        todo!()
    }

    /// Where data is next, at `offset` or after it, as `SEEK_DATA` has it: in
    /// whole blocks. `None` if there is only a hole up to the file's end, or
    /// `offset` is not before that.
    ///
    /// # Errors
    /// [`ReadError::NotAFile`] and others.
    pub fn seek_data(&self, inode: InodeRef, offset: u64) -> Result<Option<u64>, ReadError> {
        todo!()
    }

    /// Where a hole is next, at `offset` or after it, as `SEEK_HOLE` has it: the
    /// file's end counts as one. `None` if `offset` is not before that.
    ///
    /// # Errors
    /// [`ReadError::NotAFile`] and others.
    pub fn seek_hole(&self, inode: InodeRef, offset: u64) -> Result<Option<u64>, ReadError> {
        todo!()
    }

    /// All extended attributes, ACLs under their own names: see
    /// [`super::xattr`].
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn xattrs(&self, inode: InodeRef) -> Result<Vec<Xattr>, ReadError> {
        todo!()
    }

    /// The value of one extended attribute.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn xattr(&self, inode: InodeRef, name: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        todo!()
    }
}
