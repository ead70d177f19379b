//! The position in the archive, kept while bytes go to the sink.

use std::io;

use super::{Control, Sink};
use crate::format::superblock::Superblock;

pub(super) struct Output<'a> {
    sink: &'a mut dyn Sink,
    control: &'a Control,
    position: u64,
}

impl<'a> Output<'a> {
    pub(super) fn new(sink: &'a mut dyn Sink, control: &'a Control) -> Self {
        Self {
            sink,
            control,
            position: Superblock::SIZE as u64,
        }
    }

    /// Where the next byte goes, in bytes from the archive's start.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        Control::add(&self.control.written_bytes, bytes.len() as u64);
        self.sink.write(bytes)?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn skip_to(&mut self, position: u64) -> io::Result<()> {
        let bytes = position
            .checked_sub(self.position)
            .ok_or(io::ErrorKind::InvalidInput)?;
        if bytes > 0 {
            self.sink.skip(bytes)?;
            self.position = position;
        }
        Ok(())
    }

    pub(super) fn finish(self, superblock: &[u8; Superblock::SIZE]) -> io::Result<()> {
        Control::add(&self.control.written_bytes, superblock.len() as u64);
        self.sink.finish(superblock)
    }
}
