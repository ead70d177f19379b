//! Decompressing a block, whatever made it.
//!
//! What comes in is untrusted: the caller says how much may come out, and no
//! compressor here gives or allocates more than that and a few megabytes.

use std::io::{self, Read};

use lzma_rust2::{LzmaReader, XzReader};

use crate::format::compressor::Compressor;

/// Memory that a block may ask xz and lzma for, in KiB. Their dictionaries are
/// no larger than a block, which is at most 1 MiB.
const LZMA_MEMORY: u32 = 4 << 10;

/// Decompresses blocks, one at a time, with memory that is used again.
pub struct Decoder(Algorithm);

enum Algorithm {
    Gzip(libdeflater::Decompressor),
    Lzma,
    Lzo,
    Xz,
    Lz4,
    Zstd(zstd::bulk::Decompressor<'static>),
}

/// The bytes are not what the compressor makes, or decompress to too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it does not decompress")]
pub struct Corrupt;

impl Decoder {
    /// A decompressor for what `compressor` makes.
    ///
    /// # Errors
    /// Memory is short.
    pub fn new(compressor: Compressor) -> io::Result<Self> {
        Ok(Self(match compressor {
            Compressor::Gzip => Algorithm::Gzip(libdeflater::Decompressor::new()),
            Compressor::Lzma => Algorithm::Lzma,
            Compressor::Lzo => Algorithm::Lzo,
            Compressor::Xz => Algorithm::Xz,
            Compressor::Lz4 => Algorithm::Lz4,
            Compressor::Zstd => Algorithm::Zstd(zstd::bulk::Decompressor::new()?),
        }))
    }

    /// Decompresses `stored` to the start of `output`. Gives the number of bytes.
    ///
    /// # Errors
    /// [`Corrupt`]; what is in `output` then means nothing.
    pub fn decompress(&mut self, stored: &[u8], output: &mut [u8]) -> Result<usize, Corrupt> {
        match &mut self.0 {
            Algorithm::Gzip(decoder) => {
                decoder.zlib_decompress(stored, output).map_err(|_| Corrupt)
            }
            Algorithm::Lzma => LzmaReader::new_mem_limit(stored, LZMA_MEMORY, None)
                .and_then(|reader| read_all(reader, output))
                .map_err(|_| Corrupt),
            Algorithm::Lzo => lzokay::decompress::decompress(stored, output).map_err(|_| Corrupt),
            Algorithm::Xz => {
                let reader = XzReader::new_mem_limit(stored, false, LZMA_MEMORY);
                read_all(reader, output).map_err(|_| Corrupt)
            }
            Algorithm::Lz4 => lz4_flex::block::decompress_into(stored, output).map_err(|_| Corrupt),
            Algorithm::Zstd(decoder) => decoder
                .decompress_to_buffer(stored, output)
                .map_err(|_| Corrupt),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::writer::Encoder;

    #[test]
    fn blocks_come_back_and_no_more_than_there_is_room_for() {
        let block = b"all work and no play ".repeat(300);
        for compressor in [Compressor::Gzip, Compressor::Lz4, Compressor::Zstd] {
            let mut encoder = Encoder::new(compressor, None, 8192).unwrap();
            let stored = encoder.compress(&block).unwrap().to_vec();
            let mut decoder = Decoder::new(compressor).unwrap();
            let mut output = vec![0; 8192];
            let length = decoder.decompress(&stored, &mut output).unwrap();
            assert!(output[..length] == block, "{compressor:?}");
            let too_small = &mut output[..block.len() - 1];
            assert_eq!(decoder.decompress(&stored, too_small), Err(Corrupt));
            let half = &stored[..stored.len() / 2];
            assert_eq!(decoder.decompress(half, &mut output), Err(Corrupt));
            // It still works after a failure.
            assert!(decoder.decompress(&stored, &mut output).is_ok());
        }
    }
}
