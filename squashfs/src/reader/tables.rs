//! Tables of entries of one size, with an index of their metadata blocks.

use zerocopy::{FromBytes, IntoBytes, little_endian::U64};

use super::{ReadError, metadata::Table, store::Store};
use crate::format::{
    metadata::{BLOCK_SIZE, Position},
    superblock::Superblock,
};

/// A table whose entries are found by number.
#[derive(Debug, Default)]
pub(super) struct IndexedTable {
    /// Positions of its metadata blocks, in ascending order.
    blocks: Vec<u64>,
    count: u64,
    /// Where the index begins, and with it the table ends.
    end: u64,
}

impl IndexedTable {
    /// Reads the index at `index` of a table of `count` entries of `entry_size`
    /// bytes each. The table ends at `end`.
    pub(super) fn open(
        store: &Store,
        index: u64,
        end: u64,
        count: u64,
        entry_size: usize,
    ) -> Result<Self, ReadError> {
        let damaged = |what| ReadError::damaged(what, index);
        let blocks = (count * entry_size as u64).div_ceil(BLOCK_SIZE as u64);
        // No more than the archive has, hence not too many to allocate.
        if store.end().saturating_sub(index) / 8 < blocks {
            return Err(damaged("a table's index does not fit"));
        }
        let mut positions = vec![U64::ZERO; blocks as usize];
        store.read(positions.as_mut_bytes(), index)?;
        let blocks: Vec<_> = positions.iter().map(|position| position.get()).collect();
        let in_order = blocks.is_sorted_by(|a, b| a < b)
            && blocks.first().is_none_or(|&b| b >= Superblock::SIZE as u64)
            && blocks.last().is_none_or(|&b| b < end);
        if !in_order {
            return Err(damaged("a table's index points to where no table is"));
        }
        Ok(Self { blocks, count, end })
    }

    /// Position of its first metadata block, if it has one.
    pub(super) fn start(&self) -> Option<u64> {
        self.blocks.first().copied()
    }

    /// Decodes all of its metadata blocks.
    pub(super) fn read_through(&self, store: &Store) -> Result<(), ReadError> {
        for &block in &self.blocks {
            store.metadata(block, self.end)?;
        }
        Ok(())
    }

    /// The entry of that number; `T` is what it was opened for.
    pub(super) fn entry<T: FromBytes + IntoBytes>(
        &self,
        store: &Store,
        number: u64,
    ) -> Result<T, ReadError> {
        if number >= self.count {
            return Err(ReadError::damaged("it points beyond a table", self.end));
        }
        let offset = number * size_of::<T>() as u64;
        let table = Table {
            start: self.blocks[(offset / BLOCK_SIZE as u64) as usize],
            end: self.end,
        };
        let position = Position {
            block: 0,
            offset: (offset % BLOCK_SIZE as u64) as u16,
        };
        table.at(store, position)?.value()
    }
}
