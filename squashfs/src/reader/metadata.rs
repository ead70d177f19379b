//! Reading tables, which run through metadata blocks.

use std::sync::Arc;

use zerocopy::{FromBytes, IntoBytes};

use super::{
    ReadError,
    store::{MetadataBlock, Store},
};
use crate::format::metadata::{BLOCK_SIZE, Position};

/// Where a table is in the archive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    /// Position of its first metadata block.
    pub(super) start: u64,
    /// Where the last one ends, or later.
    pub(super) end: u64,
}

impl Table {
    /// More bytes than can be in the table, whatever is in its blocks: no block
    /// is stored in less than three bytes.
    pub(super) const fn most_bytes(&self) -> u64 {
        (self.end - self.start).div_ceil(3) * BLOCK_SIZE as u64
    }

    /// Starts to read at a position.
    pub(super) fn at<'s>(
        &self,
        store: &'s Store,
        position: Position,
    ) -> Result<Cursor<'s>, ReadError> {
        let block = self
            .start
            .checked_add(position.block)
            .filter(|&block| block < self.end)
            .ok_or_else(|| ReadError::damaged("it points out of a table", self.start))?;
        let cursor = Cursor {
            store,
            end: self.end,
            position: block,
            block: store.metadata(block, self.end)?,
            offset: position.offset.into(),
        };
        // At its end is as good as at the start of the next.
        if cursor.offset > cursor.block.content.len() {
            return Err(cursor.damaged("it points beyond a metadata block"));
        }
        Ok(cursor)
    }
}

/// Reads a table from some place on.
#[derive(Clone)]
pub(super) struct Cursor<'s> {
    store: &'s Store,
    end: u64,
    /// Of the block, in the archive.
    position: u64,
    block: Arc<MetadataBlock>,
    /// In the block's content, at most its length.
    offset: usize,
}

impl Cursor<'_> {
    /// Where it is, for [`Table::at`].
    pub(super) fn place(&self, table: &Table) -> Position {
        Position {
            block: self.position - table.start,
            offset: self.offset as u16,
        }
    }

    /// What is wrong here.
    pub(super) fn damaged(&self, what: &'static str) -> ReadError {
        ReadError::damaged(what, self.position)
    }

    /// What is left of the current block, at least a byte.
    fn available(&mut self) -> Result<&[u8], ReadError> {
        if self.offset == self.block.content.len() {
            if self.block.next >= self.end {
                return Err(self.damaged("a table ends too early"));
            }
            self.position = self.block.next;
            self.block = self.store.metadata(self.position, self.end)?;
            self.offset = 0;
        }
        Ok(&self.block.content[self.offset..])
    }

    /// Passes over bytes.
    pub(super) fn skip(&mut self, mut bytes: u64) -> Result<(), ReadError> {
        while bytes > 0 {
            let available = self.available()?.len();
            let now = available.min(usize::try_from(bytes).unwrap_or(usize::MAX));
            self.offset += now;
            bytes -= now as u64;
        }
        Ok(())
    }

    /// Fills `buffer`.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<(), ReadError> {
        let mut filled = 0;
        while filled < buffer.len() {
            let available = self.available()?;
            let now = available.len().min(buffer.len() - filled);
            buffer[filled..filled + now].copy_from_slice(&available[..now]);
            filled += now;
            self.offset += now;
        }
        Ok(())
    }

    /// Reads a structure.
    pub(super) fn value<T: FromBytes + IntoBytes>(&mut self) -> Result<T, ReadError> {
        let mut value = T::new_zeroed();
        self.read(value.as_mut_bytes())?;
        Ok(value)
    }

    /// Reads `length` bytes. The caller has checked that this is not many.
    pub(super) fn bytes(&mut self, length: usize) -> Result<Vec<u8>, ReadError> {
        let mut bytes = vec![0; length];
        self.read(&mut bytes)?;
        Ok(bytes)
    }
}
