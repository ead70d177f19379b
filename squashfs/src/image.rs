//! What can be done with a finished archive in a file: describing, listing,
//! verifying and unpacking it. All of it blocks.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    format::superblock::Superblock,
    reader::{self, Archive, FileSource, Kind, Options, ReadError, Walk},
};

mod unpack;
mod verify;

pub use unpack::{LeftOut, unpack, unpack_into};
pub use verify::{Examination, examine, read_through, verify};

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

fn source(image: &Path) -> Result<FileSource, ArchiveError> {
    FileSource::open(image).map_err(|source| ArchiveError::Unreadable {
        path: image.to_owned(),
        source,
    })
}

/// Opens the archive in a file.
pub fn open(image: &Path) -> Result<Archive, ArchiveError> {
    let source = Arc::new(source(image)?);
    Ok(Archive::open(source, &Options::default())?)
}

/// Reads the superblock of an archive, which also says whether it is one and
/// whether its end is there.
pub fn describe(image: &Path) -> Result<Description, ArchiveError> {
    let superblock = reader::read_superblock(&source(image)?)?;
    Ok(Description::from(&superblock))
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

/// Counts the names in an image.
pub fn list(image: &Path) -> Result<Listing, ArchiveError> {
    let archive = open(image)?;
    let walk = Walk::new(&archive);
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
