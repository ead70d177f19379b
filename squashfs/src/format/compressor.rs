//! Compressors: their numbers, and their options on disk.

use std::ops::RangeInclusive;

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U16, U32},
};

/// The compressors that the format knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compressor {
    /// Deflate in zlib's format (RFC 1950).
    Gzip,
    /// LZMA in the `.lzma` format, which Linux's driver never read.
    Lzma,
    /// LZO1X.
    Lzo,
    /// LZMA2 in the `.xz` format.
    Xz,
    /// LZ4 blocks.
    Lz4,
    /// Zstandard (RFC 8878).
    Zstd,
}

impl Compressor {
    /// By its number in the superblock.
    pub const fn from_id(id: u16) -> Option<Self> {
        Some(match id {
            1 => Self::Gzip,
            2 => Self::Lzma,
            3 => Self::Lzo,
            4 => Self::Xz,
            5 => Self::Lz4,
            6 => Self::Zstd,
            _ => return None,
        })
    }

    /// Its number in the superblock.
    pub const fn id(self) -> u16 {
        match self {
            Self::Gzip => 1,
            Self::Lzma => 2,
            Self::Lzo => 3,
            Self::Xz => 4,
            Self::Lz4 => 5,
            Self::Zstd => 6,
        }
    }

    /// The levels that the writer knows, and the one that it uses when none is
    /// asked for: where more time stops buying much room, by our measurements.
    /// `None` if there are none, as of lz4 and of compressors that are only read.
    pub const fn levels(self) -> Option<(RangeInclusive<u32>, u32)> {
        match self {
            Self::Gzip => Some((1..=9, 6)),
            Self::Zstd => Some((1..=22, 3)),
            Self::Lzma | Self::Lzo | Self::Xz | Self::Lz4 => None,
        }
    }

    /// As `mksquashfs -comp` calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Lzma => "lzma",
            Self::Lzo => "lzo",
            Self::Xz => "xz",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// Options of gzip (deflate in zlib's format, RFC 1950).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct GzipOptions {
    /// 1 to 9.
    pub level: U32,
    /// Logarithm of the window's size.
    pub window_log: U16,
    /// Set of strategies that were tried; 0 is the default one only.
    pub strategies: U16,
}

/// Options of lz4, which Linux's driver insists on.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Lz4Options {
    /// 1: blocks without a frame.
    pub version: U32,
    /// 1 if the slow compressor was used, which makes no difference to readers.
    pub flags: U32,
}

/// Options of zstd (RFC 8878).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct ZstdOptions {
    /// 1 to 22.
    pub level: U32,
}
