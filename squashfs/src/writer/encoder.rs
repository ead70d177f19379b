//! Compressing a block: levels, options on disk, and the work. [`crate::decoder`]
//! does the reverse.

use std::ops::RangeInclusive;

use libdeflater::CompressionLvl;
use lz4_flex::block::{CompressTable, compress_into_with_table};
use zerocopy::{
    Immutable, IntoBytes, Unaligned,
    little_endian::{U16, U32},
};

use crate::format::{MAX_BLOCK_SIZE, compressor::Compressor};

/// Options of gzip (deflate in zlib's format, RFC 1950).
#[derive(IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct GzipOptions {
    /// 1 to 9.
    level: U32,
    /// Logarithm of the window's size.
    window_log: U16,
    /// Set of strategies that were tried; 0 is the default one only.
    strategies: U16,
}

/// Options of lz4, which Linux's driver insists on.
#[derive(IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct Lz4Options {
    /// 1: blocks without a frame.
    version: U32,
    /// 1 if the slow compressor was used, which makes no difference to readers.
    flags: U32,
}

/// Options of zstd (RFC 8878).
#[derive(IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct ZstdOptions {
    /// 1 to 22.
    level: U32,
}

/// The levels that the writer knows, and the one that it uses when none is
/// asked for: where more time stops buying much room, by our measurements.
/// `None` if there are none, as of lz4 and of compressors that are only read.
pub const fn levels(compressor: Compressor) -> Option<(RangeInclusive<u32>, u32)> {
    match compressor {
        Compressor::Gzip => Some((1..=9, 6)),
        Compressor::Zstd => Some((1..=22, 3)),
        Compressor::Lzma | Compressor::Lzo | Compressor::Xz | Compressor::Lz4 => None,
    }
}

/// The options of a compressor as they are on disk.
///
/// # Errors
/// As those of [`Encoder::new`].
pub(super) fn options_to_disk(
    compressor: Compressor,
    level: Option<u32>,
) -> Result<Vec<u8>, EncoderError> {
    let level = check_level(compressor, level)?;
    Ok(match compressor {
        Compressor::Gzip => GzipOptions {
            level: U32::new(level),
            window_log: U16::new(15),
            strategies: U16::new(0),
        }
        .as_bytes()
        .to_vec(),
        Compressor::Lz4 => Lz4Options {
            version: U32::new(1),
            flags: U32::new(0),
        }
        .as_bytes()
        .to_vec(),
        Compressor::Zstd => ZstdOptions {
            level: U32::new(level),
        }
        .as_bytes()
        .to_vec(),
        Compressor::Lzma | Compressor::Lzo | Compressor::Xz => return Err(only_read(compressor)),
    })
}

/// The level to use; without meaning where there are none.
fn check_level(compressor: Compressor, level: Option<u32>) -> Result<u32, EncoderError> {
    let Some((levels, default)) = levels(compressor) else {
        return Ok(level.unwrap_or_default());
    };
    match level.unwrap_or(default) {
        level if levels.contains(&level) => Ok(level),
        level => Err(EncoderError {
            compressor,
            reason: format!("no level {level}"),
        }),
    }
}

fn only_read(compressor: Compressor) -> EncoderError {
    EncoderError {
        compressor,
        reason: "archives of this kind are only read".to_owned(),
    }
}

/// Compresses blocks, one at a time, with memory that is used again.
pub(crate) struct Encoder {
    algorithm: Algorithm,
    /// Room for the worst that a compressor makes of the largest block.
    scratch: Vec<u8>,
}

enum Algorithm {
    Gzip(libdeflater::Compressor),
    Lz4(CompressTable),
    Zstd(zstd::bulk::Compressor<'static>),
}

/// The compressor could not be set up: it is one that is only read, the level is
/// none of its own, or memory is short.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the {} compressor: {reason}", compressor.name())]
pub struct EncoderError {
    compressor: Compressor,
    reason: String,
}

impl Encoder {
    /// A compressor for blocks of at most `block_size` bytes.
    ///
    /// # Errors
    /// See [`EncoderError`].
    pub(crate) fn new(
        compressor: Compressor,
        level: Option<u32>,
        block_size: u32,
    ) -> Result<Self, EncoderError> {
        let level = check_level(compressor, level)?;
        let error = |reason: String| EncoderError { compressor, reason };
        debug_assert!(block_size <= MAX_BLOCK_SIZE);
        let size = block_size as usize;
        let (algorithm, bound) = match compressor {
            Compressor::Gzip => {
                let level = CompressionLvl::new(level as i32)
                    .map_err(|_| error(format!("no level {level}")))?;
                let mut encoder = libdeflater::Compressor::new(level);
                let bound = encoder.zlib_compress_bound(size);
                (Algorithm::Gzip(encoder), bound)
            }
            Compressor::Lz4 => {
                let bound = lz4_flex::block::get_maximum_output_size(size);
                (Algorithm::Lz4(CompressTable::large()), bound)
            }
            Compressor::Zstd => {
                let encoder = zstd::bulk::Compressor::new(level as i32)
                    .map_err(|reason| error(reason.to_string()))?;
                let bound = zstd::zstd_safe::compress_bound(size);
                (Algorithm::Zstd(encoder), bound)
            }
            Compressor::Lzma | Compressor::Lzo | Compressor::Xz => {
                return Err(only_read(compressor));
            }
        };
        Ok(Self {
            algorithm,
            scratch: vec![0; bound],
        })
    }

    /// The compressed form of `block`, if it is smaller than the block.
    pub(crate) fn compress(&mut self, block: &[u8]) -> Option<&[u8]> {
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
