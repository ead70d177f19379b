//! Compressors: their numbers, their options on disk, and compressing a block.
//! [`super::decoder`] does the reverse.

use libdeflater::CompressionLvl;
use lz4_flex::block::{CompressTable, compress_into_with_table};
use sandbox_shared::{Compression, CompressionFormat};
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U16, U32},
};

use super::MAX_BLOCK_SIZE;

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

/// The number of a format in the superblock: see [`Compressor`].
pub const fn compressor_id(format: CompressionFormat) -> u16 {
    match format {
        CompressionFormat::Gzip => 1,
        CompressionFormat::Lz4 => 5,
        CompressionFormat::Zstd => 6,
    }
}

/// The level used when none is asked for: where more time stops buying much
/// room, by our measurements.
pub const fn default_level(format: CompressionFormat) -> u32 {
    match format {
        CompressionFormat::Gzip => 6,
        CompressionFormat::Lz4 => 1,
        CompressionFormat::Zstd => 3,
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

/// The options of a compressor as they are on disk.
pub fn options_to_disk(compression: &Compression) -> Vec<u8> {
    let level = U32::new(level(compression));
    match compression.format {
        CompressionFormat::Gzip => GzipOptions {
            level,
            window_log: U16::new(15),
            strategies: U16::new(0),
        }
        .as_bytes()
        .to_vec(),
        CompressionFormat::Lz4 => Lz4Options {
            version: U32::new(1),
            flags: U32::new(0),
        }
        .as_bytes()
        .to_vec(),
        CompressionFormat::Zstd => ZstdOptions { level }.as_bytes().to_vec(),
    }
}

fn level(compression: &Compression) -> u32 {
    compression
        .level
        .unwrap_or_else(|| default_level(compression.format))
}

/// Compresses blocks, one at a time, with memory that is used again.
pub struct Encoder {
    algorithm: Algorithm,
    /// Room for the worst that a compressor makes of the largest block.
    scratch: Vec<u8>,
}

enum Algorithm {
    Gzip(libdeflater::Compressor),
    Lz4(CompressTable),
    Zstd(zstd::bulk::Compressor<'static>),
}

/// The compressor could not be set up: the level is none of its own, or memory
/// is short.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the {} compressor: {reason}", format.as_str())]
pub struct EncoderError {
    format: CompressionFormat,
    reason: String,
}

impl Encoder {
    /// A compressor for blocks of at most `block_size` bytes.
    pub fn new(compression: &Compression, block_size: u32) -> Result<Self, EncoderError> {
        let format = compression.format;
        let level = level(compression);
        let error = |reason: String| EncoderError { format, reason };
        if format
            .levels()
            .is_some_and(|levels| !levels.contains(&level))
        {
            return Err(error(format!("no level {level}")));
        }
        debug_assert!(block_size <= MAX_BLOCK_SIZE);
        let size = block_size as usize;
        let (algorithm, bound) = match format {
            CompressionFormat::Gzip => {
                let level = CompressionLvl::new(level as i32)
                    .map_err(|_| error(format!("no level {level}")))?;
                let mut compressor = libdeflater::Compressor::new(level);
                let bound = compressor.zlib_compress_bound(size);
                (Algorithm::Gzip(compressor), bound)
            }
            CompressionFormat::Lz4 => {
                let bound = lz4_flex::block::get_maximum_output_size(size);
                (Algorithm::Lz4(CompressTable::large()), bound)
            }
            CompressionFormat::Zstd => {
                let compressor = zstd::bulk::Compressor::new(level as i32)
                    .map_err(|reason| error(reason.to_string()))?;
                let bound = zstd::zstd_safe::compress_bound(size);
                (Algorithm::Zstd(compressor), bound)
            }
        };
        Ok(Self {
            algorithm,
            scratch: vec![0; bound],
        })
    }

    /// The compressed form of `block`, if it is smaller than the block.
    pub fn compress(&mut self, block: &[u8]) -> Option<&[u8]> {
        let output = &mut self.scratch;
        // All three fail when the output does not fit, which cannot be.
        let length = match &mut self.algorithm {
            Algorithm::Gzip(compressor) => compressor.zlib_compress(block, output).ok()?,
            Algorithm::Lz4(table) => compress_into_with_table(block, output, table).ok()?,
            Algorithm::Zstd(compressor) => compressor.compress_to_buffer(block, output).ok()?,
        };
        (length < block.len()).then(|| &self.scratch[..length])
    }
}
