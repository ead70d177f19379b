//! Metadata blocks: the unit in which all tables are stored.
//!
//! A block holds 8 KiB of a table, compressed if that is smaller, after a
//! header of two bytes. All blocks of a table but the last are full.

/// Bytes of a table in one block.
pub const BLOCK_SIZE: usize = 8192;

/// In a block's header: its bytes are stored as they are.
pub const RAW: u16 = 1 << 15;

/// Where something is in a table: the position of its block, relative to the
/// table's first, and the offset in the block once decompressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Of the block's header, in bytes from the table's start.
    pub block: u64,
    /// In the block's content, in bytes; below [`BLOCK_SIZE`].
    pub offset: u16,
}

impl Position {
    /// The form in which inodes and xattrs are referred to: 48 bits of block
    /// and 16 of offset.
    pub const fn to_reference(self) -> u64 {
        self.block << 16 | self.offset as u64
    }

    /// The reverse of [`Self::to_reference`].
    pub const fn from_reference(reference: u64) -> Self {
        Self {
            block: reference >> 16,
            offset: reference as u16,
        }
    }
}
