//! The superblock: the first 96 bytes of an archive.

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U16, U32, U64},
};

use super::{MAX_BLOCK_SIZE, MIN_BLOCK_SIZE, compressor::Compressor};

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
    /// See [`super::compressor::Compressor`].
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

    /// Takes what an archive of `size` bytes begins with, if it is one.
    pub fn parse(bytes: &[u8; Self::SIZE], size: u64) -> Result<Self, Invalid> {
        let superblock: Self = zerocopy::transmute!(*bytes);
        superblock.check(size).map_err(Invalid)?;
        Ok(superblock)
    }

    /// The compressor, unless the number means nothing.
    pub const fn compressor(&self) -> Option<Compressor> {
        Compressor::from_id(self.compressor.get())
    }

    fn check(&self, size: u64) -> Result<(), &'static str> {
        let block_size = self.block_size.get();
        let bytes_used = self.bytes_used.get();
        let inode_table = self.inode_table.get();
        let directory_table = self.directory_table.get();
        let rules = [
            (
                self.magic.get() == Self::MAGIC,
                "it does not begin with its magic",
            ),
            (
                (self.version_major.get(), self.version_minor.get()) == (4, 0),
                "it is of another version",
            ),
            (self.compressor().is_some(), "its compressor is unknown"),
            (
                block_size.is_power_of_two()
                    && (MIN_BLOCK_SIZE..=MAX_BLOCK_SIZE).contains(&block_size)
                    && u32::from(self.block_log.get()) == block_size.ilog2(),
                "its block size makes no sense",
            ),
            (bytes_used <= size, "its end is missing"),
            (
                Self::SIZE as u64 <= inode_table
                    && inode_table < directory_table
                    && directory_table <= bytes_used,
                "its tables are not where they can be",
            ),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, wrong)) => Err(wrong),
            None => Ok(()),
        }
    }
}

/// Why some bytes are no superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a SquashFS 4.0 archive: {0}")]
pub struct Invalid(pub &'static str);

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

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    fn plausible() -> Superblock {
        let mut superblock = Superblock::new_zeroed();
        superblock.magic.set(Superblock::MAGIC);
        superblock.version_major.set(4);
        superblock.compressor.set(6);
        superblock.block_size.set(4096);
        superblock.block_log.set(12);
        superblock.inode_table.set(100);
        superblock.directory_table.set(200);
        superblock.bytes_used.set(4096);
        superblock
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        let parse = |superblock: &Superblock, size| {
            let bytes = superblock.as_bytes().try_into().unwrap();
            Superblock::parse(bytes, size).map(|parsed| parsed.bytes_used.get())
        };
        assert_eq!(parse(&plausible(), 4096), Ok(4096));
        assert_eq!(
            parse(&plausible(), 4095),
            Err(Invalid("its end is missing"))
        );
        let changes: [fn(&mut Superblock); 8] = [
            |s| s.magic.set(0),
            |s| s.version_minor.set(1),
            |s| s.compressor.set(7),
            |s| s.block_size.set(4097),
            |s| s.block_size.set(2048),
            |s| s.block_log.set(13),
            |s| s.inode_table.set(200),
            |s| s.directory_table.set(5000),
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut superblock = plausible();
            change(&mut superblock);
            assert!(parse(&superblock, 4096).is_err(), "change {number}");
        }
    }
}
