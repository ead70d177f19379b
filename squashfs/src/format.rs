//! What is on disk, field by field. Everything is little-endian. The layout of an
//! archive, from its start:
//!
//! 1. the [superblock], 96 bytes;
//! 2. optionally the [compressor]'s options, in one [metadata] block;
//! 3. data blocks of files, and blocks of [fragments](fragment) between them;
//! 4. the [inode] table and the [directory] table, in [metadata] blocks;
//! 5. the fragment, export and id tables, each followed by an index of its
//!    metadata blocks, which the superblock points to;
//! 6. the [xattr] table, likewise.
//!
//! The authority is Linux's driver (`fs/squashfs/squashfs_fs.h`) and its
//! documentation (`Documentation/filesystems/squashfs.rst`).

pub mod compressor;
pub mod directory;
pub mod fragment;
pub mod inode;
pub mod metadata;
pub mod superblock;
pub mod xattr;

/// Smallest block size that Linux's driver accepts, in bytes.
pub const MIN_BLOCK_SIZE: u32 = 4096;
/// Largest block size that Linux's driver accepts, in bytes.
pub const MAX_BLOCK_SIZE: u32 = 1 << 20;
/// The usual block size, in bytes.
pub const DEFAULT_BLOCK_SIZE: u32 = 128 << 10;

/// In place of the position of a table that is absent.
pub const NO_TABLE: u64 = u64::MAX;
/// In place of a fragment's number, for a file that has none.
pub const NO_FRAGMENT: u32 = u32::MAX;
/// In place of the number of a set of extended attributes, for an inode without.
pub const NO_XATTRS: u32 = u32::MAX;

/// The size of a stored data block or fragment block: bytes in the archive and,
/// in bit 24, whether they are stored as they are. Zero stands for a block of
/// zeros, of which nothing is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockSize(u32);

impl BlockSize {
    const RAW: u32 = 1 << 24;

    /// A block of zeros.
    pub const HOLE: Self = Self(0);

    /// A block of `bytes` that went through the compressor.
    pub const fn compressed(bytes: usize) -> Self {
        Self(bytes as u32)
    }

    /// A block of `bytes` stored as they are.
    pub const fn raw(bytes: usize) -> Self {
        Self(bytes as u32 | Self::RAW)
    }

    /// As it is on disk.
    pub const fn to_disk(self) -> u32 {
        self.0
    }

    /// From what is on disk.
    pub const fn from_disk(word: u32) -> Self {
        Self(word)
    }

    /// Bytes in the archive.
    pub const fn stored(self) -> u32 {
        self.0 & (Self::RAW - 1)
    }

    /// Whether the bytes are stored as they are.
    pub const fn is_raw(self) -> bool {
        self.0 & Self::RAW != 0
    }
}
