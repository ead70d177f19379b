//! What can be done with a finished archive as a whole: describing, listing,
//! verifying and unpacking it. All of it blocks.

use crate::{
    format::superblock::Superblock,
    reader::{Archive, Kind, ReadError, Walk},
};

#[cfg(feature = "native")]
mod file;
#[cfg(feature = "native")]
mod unpack;
mod verify;

#[cfg(feature = "native")]
pub use file::{ArchiveError, describe, list, open, read_through};
#[cfg(feature = "native")]
pub use unpack::{LeftOut, unpack, unpack_into};
pub use verify::{Examination, examine, verify};

/// What a superblock says, for people and programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// `gzip`, `lz4`, `zstd`, …
    pub compression: &'static str,
    /// Bytes of a data block.
    pub block_size: u32,
    /// Inodes: hard links count once.
    pub inodes: u32,
    /// Blocks that hold the ends of several files.
    pub fragments: u32,
    /// Seconds since 1970.
    pub modified_at: u32,
    /// Bytes of the image, without padding.
    pub bytes_used: u64,
}

impl From<&Superblock> for Description {
    fn from(superblock: &Superblock) -> Self {
        Self {
            compression: superblock.compressor().map_or("unknown", |c| c.name()),
            block_size: superblock.block_size.get(),
            inodes: superblock.inode_count.get(),
            fragments: superblock.fragment_count.get(),
            modified_at: superblock.modified.get(),
            bytes_used: superblock.bytes_used.get(),
        }
    }
}

/// Names in an image, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Regular files; each name of a hard-linked file counts.
    pub files: u64,
    /// Directories, the top one included.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// FIFOs, sockets and device nodes.
    pub special: u64,
}

impl Listing {
    fn count(&mut self, kind: Kind) {
        let names = match kind {
            Kind::Directory => &mut self.directories,
            Kind::File => &mut self.files,
            Kind::Symlink => &mut self.symlinks,
            _ => &mut self.special,
        };
        *names += 1;
    }
}

/// Counts the names in an archive.
///
/// # Errors
/// See [`ReadError`].
pub fn count(archive: &Archive) -> Result<Listing, ReadError> {
    let walk = Walk::new(archive);
    let mut counts = Listing::default();
    let mut pending = vec![archive.root()];
    counts.count(Kind::Directory);
    while let Some(directory) = pending.pop() {
        let mut entries = walk.enter(directory)?;
        while let Some(entry) = entries.next_entry()? {
            counts.count(entry.kind);
            if entry.kind == Kind::Directory {
                pending.push(entry.inode);
            }
        }
    }
    Ok(counts)
}
