//! Decompressing a block, whatever made it.
//!
//! What comes in is untrusted: the caller says how much may come out, and no
//! decompressor here writes or allocates more than that and a few megabytes.
//!
//! Gzip and zstd have two implementations: C libraries, which are faster, with the
//! feature `native`; and others in Rust alone, which build for WebAssembly, too.
//! Both accept the same blocks, but that the ones in Rust take no zstd frame with a
//! window above [`MAX_BLOCK_SIZE`](crate::format::MAX_BLOCK_SIZE), nor does Linux's
//! driver.

use std::io::{self, Read};

use lzma_rust2::{LzmaReader, XzReader};

use crate::format::compressor::Compressor;

mod pure;

/// Memory that a block may ask xz and lzma for, in KiB. Their dictionaries are
/// no larger than a block, which is at most 1 MiB.
const LZMA_MEMORY: u32 = 4 << 10;

/// Decompresses blocks, one at a time, with memory that is used again.
pub struct Decoder(Algorithm);

enum Algorithm {
    #[cfg(feature = "native")]
    Libdeflate(libdeflater::Decompressor),
    #[cfg(feature = "native")]
    Libzstd(zstd::bulk::Decompressor<'static>),
    Gzip(pure::Gzip),
    Lzma,
    Lzo,
    Xz,
    Lz4,
    Zstd(pure::Zstd),
}

/// The bytes are not what the compressor makes, or decompress to too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it does not decompress")]
pub struct Corrupt;

impl Decoder {
    /// The fastest decompressor for what `compressor` makes that this build has.
    ///
    /// # Errors
    /// Memory is short.
    pub fn new(compressor: Compressor) -> io::Result<Self> {
        #[cfg(feature = "native")]
        match compressor {
            Compressor::Gzip => {
                let decoder = libdeflater::Decompressor::new();
                return Ok(Self(Algorithm::Libdeflate(decoder)));
            }
            Compressor::Zstd => {
                let decoder = zstd::bulk::Decompressor::new()?;
                return Ok(Self(Algorithm::Libzstd(decoder)));
            }
            _ => {}
        }
        Ok(Self::pure(compressor))
    }

    /// One in Rust alone: what [`Self::new`] gives without the feature `native`.
    pub fn pure(compressor: Compressor) -> Self {
        Self(match compressor {
            Compressor::Gzip => Algorithm::Gzip(pure::Gzip::default()),
            Compressor::Lzma => Algorithm::Lzma,
            Compressor::Lzo => Algorithm::Lzo,
            Compressor::Xz => Algorithm::Xz,
            Compressor::Lz4 => Algorithm::Lz4,
            Compressor::Zstd => Algorithm::Zstd(pure::Zstd::default()),
        })
    }

    /// Decompresses `stored` to the start of `output`. Gives the number of bytes.
    ///
    /// # Errors
    /// [`Corrupt`]; what is in `output` then means nothing.
    pub fn decompress(&mut self, stored: &[u8], output: &mut [u8]) -> Result<usize, Corrupt> {
        match &mut self.0 {
            #[cfg(feature = "native")]
            Algorithm::Libdeflate(decoder) => {
                decoder.zlib_decompress(stored, output).map_err(|_| Corrupt)
            }
            #[cfg(feature = "native")]
            Algorithm::Libzstd(decoder) => decoder
                .decompress_to_buffer(stored, output)
                .map_err(|_| Corrupt),
            Algorithm::Gzip(decoder) => decoder.decompress(stored, output),
            Algorithm::Lzma => LzmaReader::new_mem_limit(stored, LZMA_MEMORY, None)
                .and_then(|reader| read_all(reader, output))
                .map_err(|_| Corrupt),
            Algorithm::Lzo => lzokay::decompress::decompress(stored, output).map_err(|_| Corrupt),
            Algorithm::Xz => {
                let reader = XzReader::new_mem_limit(stored, false, LZMA_MEMORY);
                read_all(reader, output).map_err(|_| Corrupt)
            }
            Algorithm::Lz4 => lz4_flex::block::decompress_into(stored, output).map_err(|_| Corrupt),
            Algorithm::Zstd(decoder) => decoder.decompress(stored, output),
        }
    }
}

/// Reads to the end, where checksums are compared.
fn read_all(mut reader: impl Read, output: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < output.len() {
        match reader.read(&mut output[filled..])? {
            0 => return Ok(filled),
            more => filled += more,
        }
    }
    match reader.read(&mut [0])? {
        0 => Ok(filled),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(feature = "native")]
#[cfg(test)]
mod tests;
