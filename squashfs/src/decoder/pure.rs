//! Decompressors in Rust alone.

use std::io::Read;

use miniz_oxide::inflate::{
    TINFLStatus,
    core::{DecompressorOxide, decompress, inflate_flags},
};
use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

use super::Corrupt;
use crate::format::MAX_BLOCK_SIZE;

/// Deflate in zlib's format (RFC 1950).
#[derive(Default)]
pub(super) struct Gzip(Box<DecompressorOxide>);

impl Gzip {
    pub(super) fn decompress(
        &mut self,
        stored: &[u8],
        output: &mut [u8],
    ) -> Result<usize, Corrupt> {
        let flags = inflate_flags::TINFL_FLAG_PARSE_ZLIB_HEADER
            | inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        self.0.init();
        match decompress(&mut self.0, stored, output, 0, flags) {
            (TINFLStatus::Done, _, length) => Ok(length),
            _ => Err(Corrupt),
        }
    }
}

/// Zstandard (RFC 8878).
pub(super) struct Zstd(Box<FrameDecoder>);

impl Default for Zstd {
    fn default() -> Self {
        let mut decoder = FrameDecoder::new();
        // It keeps as many bytes in memory beside the output.
        decoder.set_max_window_size(MAX_BLOCK_SIZE.into());
        Self(Box::new(decoder))
    }
}

impl Zstd {
    /// Any number of frames.
    pub(super) fn decompress(
        &mut self,
        mut stored: &[u8],
        output: &mut [u8],
    ) -> Result<usize, Corrupt> {
        let mut filled = 0;
        while !stored.is_empty() {
            let frame = stored;
            match self.0.reset(&mut stored) {
                Ok(()) => {}
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    stored = stored.get(length as usize..).ok_or(Corrupt)?;
                    continue;
                }
                Err(_) => return Err(Corrupt),
            }
            let length = self.frame(&mut stored, &mut output[filled..])?;
            if states_its_size(frame) && self.0.content_size() != length as u64 {
                return Err(Corrupt);
            }
            filled += length;
        }
        Ok(filled)
    }

    /// The rest of a frame whose header has been read.
    fn frame(&mut self, stored: &mut &[u8], output: &mut [u8]) -> Result<usize, Corrupt> {
        /// Bytes that may be decoded at a time, more or less.
        const AT_ONCE: usize = 256 << 10;
        let decoder = &mut self.0;
        let mut filled = 0;
        while !decoder.is_finished() {
            let most = BlockDecodingStrategy::UptoBytes(AT_ONCE);
            decoder
                .decode_blocks(&mut *stored, most)
                .map_err(|_| Corrupt)?;
            filled += decoder.read(&mut output[filled..]).map_err(|_| Corrupt)?;
            if decoder.can_collect() > 0 {
                return Err(Corrupt);
            }
        }
        match decoder.get_checksum_from_data() {
            Some(stated) if decoder.get_calculated_checksum() != Some(stated) => Err(Corrupt),
            _ => Ok(filled),
        }
    }
}

/// Whether the header of a frame, which is complete, says how many bytes it holds.
fn states_its_size(frame: &[u8]) -> bool {
    const AFTER_MAGIC: usize = 4;
    const SIZE_OR_SINGLE_SEGMENT: u8 = 0b1110_0000;
    frame[AFTER_MAGIC] & SIZE_OR_SINGLE_SEGMENT != 0
}
