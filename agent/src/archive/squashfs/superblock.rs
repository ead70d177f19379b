//! The superblock: the first 96 bytes of an archive.

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U16, U32, U64},
};

/// The superblock as it is on disk.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Superblock {
    /// [`Superblock::MAGIC`].
    pub magic: U32,
    /// Number of inodes.
    pub inode_count: U32,
    /// When the archive was made, in seconds since 1970.
    pub modified: U32,
    /// Bytes of a data block: a power of two.
    pub block_size: U32,
    /// Number of fragment blocks.
    pub fragment_count: U32,
    /// See [`super::compressor::CompressorId`].
    pub compressor: U16,
    /// Logarithm of the block size, base 2.
    pub block_log: U16,
    /// See [`flags`].
    pub flags: U16,
    /// Number of distinct user and group ids.
    pub id_count: U16,
    /// 4.
    pub version_major: U16,
    /// 0.
    pub version_minor: U16,
    /// Reference to the root directory's inode.
    pub root_inode: U64,
    /// Length of the archive without the padding at its end.
    pub bytes_used: U64,
    /// Position of the id table's index.
    pub id_table: U64,
    /// Position of the xattr table's header, or [`super::NO_TABLE`].
    pub xattr_table: U64,
    /// Position of the first block of inodes.
    pub inode_table: U64,
    /// Position of the first block of directory listings.
    pub directory_table: U64,
    /// Position of the fragment table's index, or [`super::NO_TABLE`].
    pub fragment_table: U64,
    /// Position of the export table's index, or [`super::NO_TABLE`].
    pub export_table: U64,
}

impl Superblock {
    /// Length on disk, in bytes.
    pub const SIZE: usize = size_of::<Self>();

    /// "hsqs".
    pub const MAGIC: u32 = 0x7371_7368;
}

const _: () = assert!(Superblock::SIZE == 96);

/// Bits of [`Superblock::flags`].
pub mod flags {
    /// Files of equal content were stored once.
    pub const DUPLICATES: u16 = 0x40;
    /// There is an export table.
    pub const EXPORTABLE: u16 = 0x80;
    /// There is no xattr table.
    pub const NO_XATTRS: u16 = 0x200;
    /// The compressor's options follow the superblock.
    pub const COMPRESSOR_OPTIONS: u16 = 0x400;
}
