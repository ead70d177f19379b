//! Writing tables as metadata blocks.

use std::io;

use super::{Encoder, EncoderError, Options, output::Output};
use crate::format::metadata::{BLOCK_SIZE, Position, RAW};

/// Packs a table into metadata blocks, each compressed as soon as it is full.
pub(super) struct MetadataWriter {
    encoder: Encoder,
    /// Not yet a full block.
    open: Vec<u8>,
    /// Blocks that have not been taken yet.
    closed: Vec<u8>,
    /// Bytes of all blocks so far, taken or not.
    closed_bytes: u64,
    /// Where each block begins.
    blocks: Vec<u64>,
}

impl MetadataWriter {
    pub(super) fn new(options: &Options) -> Result<Self, EncoderError> {
        Ok(Self {
            encoder: options.encoder(BLOCK_SIZE as u32)?,
            open: Vec::with_capacity(BLOCK_SIZE),
            closed: Vec::new(),
            closed_bytes: 0,
            blocks: Vec::new(),
        })
    }

    /// Where the next byte goes.
    pub(super) fn position(&self) -> Position {
        Position {
            block: self.closed_bytes,
            offset: self.open.len() as u16,
        }
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = BLOCK_SIZE - self.open.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.open.extend_from_slice(now);
            bytes = later;
            if self.open.len() == BLOCK_SIZE {
                self.close();
            }
        }
    }

    fn close(&mut self) {
        self.blocks.push(self.closed_bytes);
        let before = self.closed.len();
        let (header, body) = match self.encoder.compress(&self.open) {
            Some(compressed) => (compressed.len() as u16, compressed),
            None => (self.open.len() as u16 | RAW, self.open.as_slice()),
        };
        self.closed.extend_from_slice(&header.to_le_bytes());
        self.closed.extend_from_slice(body);
        self.closed_bytes += (self.closed.len() - before) as u64;
        self.open.clear();
    }

    /// Hands over the blocks that are full. Call when a table goes to the
    /// archive while it is being made.
    pub(super) fn drain_to(&mut self, output: &mut Output<'_>) -> io::Result<()> {
        output.write(&self.closed)?;
        self.closed.clear();
        Ok(())
    }

    /// Ends the table and hands over what is left of it. Gives where each of
    /// its blocks is, relative to the first.
    pub(super) fn finish(mut self, output: &mut Output<'_>) -> io::Result<Vec<u64>> {
        if !self.open.is_empty() {
            self.close();
        }
        self.drain_to(output)?;
        Ok(self.blocks)
    }
}

/// Writes a table of fixed-size entries and, after it, its index: `header` and
/// the positions of its blocks. Gives the position of the index, to which the
/// superblock points.
pub(super) fn write_indexed_table(
    output: &mut Output<'_>,
    table: MetadataWriter,
    header: &[u8],
) -> io::Result<u64> {
    let start = output.position();
    let blocks = table.finish(output)?;
    let index = output.position();
    let mut bytes = header.to_vec();
    for block in blocks {
        bytes.extend_from_slice(&(start + block).to_le_bytes());
    }
    output.write(&bytes)?;
    Ok(index)
}
