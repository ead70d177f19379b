//! A directory's listing and its index.

use zerocopy::{
    IntoBytes,
    little_endian::{I16, U16, U32},
};

use crate::{
    format::{
        directory::{Entry, Header, IndexEntry, MAX_RUN},
        metadata::{self, Position},
    },
    writer::metadata_writer::MetadataWriter,
};

/// An entry to be listed.
pub(super) struct Listed<'a> {
    pub(super) name: &'a [u8],
    pub(super) inode: Position,
    pub(super) number: u32,
    pub(super) kind: u16,
}

/// A directory's listing while it is being written.
pub(super) struct Listing {
    pub(super) start: Position,
    /// Bytes written so far.
    pub(super) length: u32,
    /// The entries of the open run.
    run: Vec<u8>,
    run_count: usize,
    run_block: u32,
    run_number: u32,
    /// Of the open run's first entry.
    run_name: Vec<u8>,
    pub(super) index: Vec<u8>,
    pub(super) index_count: u16,
    /// The block that the last index entry points to, or the first block.
    indexed_block: u64,
}

impl Listing {
    pub(super) fn begin(start: Position) -> Self {
        Self {
            start,
            length: 0,
            run: Vec::new(),
            run_count: 0,
            run_block: 0,
            run_number: 0,
            run_name: Vec::new(),
            index: Vec::new(),
            index_count: 0,
            indexed_block: start.block,
        }
    }

    pub(super) fn add(&mut self, entry: &Listed<'_>, table: &mut MetadataWriter) {
        let block = entry.inode.block as u32;
        let fits = self.run_count < MAX_RUN
            && self.run_block == block
            && self.delta(entry.number).is_some()
            // So that a run begins in each block, for the index to point to.
            && usize::from(table.position().offset) + self.run.len() < metadata::BLOCK_SIZE;
        if self.run_count > 0 && !fits {
            self.end_run(table);
        }
        if self.run_count == 0 {
            self.run_block = block;
            self.run_number = entry.number;
            self.run_name = entry.name.to_vec();
        }
        let listed = Entry {
            offset: U16::new(entry.inode.offset),
            inode_delta: I16::new(self.delta(entry.number).unwrap_or_default()),
            kind: U16::new(entry.kind),
            name_length: U16::new(entry.name.len() as u16 - 1),
        };
        self.run.extend_from_slice(listed.as_bytes());
        self.run.extend_from_slice(entry.name);
        self.run_count += 1;
    }

    fn delta(&self, number: u32) -> Option<i16> {
        i16::try_from(i64::from(number) - i64::from(self.run_number)).ok()
    }

    pub(super) fn end_run(&mut self, table: &mut MetadataWriter) {
        if self.run_count == 0 {
            return;
        }
        let block = table.position().block;
        if block != self.indexed_block && self.index_count < u16::MAX {
            let entry = IndexEntry {
                offset: U32::new(self.length),
                block: U32::new(block as u32),
                name_length: U32::new(self.run_name.len() as u32 - 1),
            };
            self.index.extend_from_slice(entry.as_bytes());
            self.index.extend_from_slice(&self.run_name);
            self.index_count += 1;
            self.indexed_block = block;
        }
        let header = Header {
            count: U32::new(self.run_count as u32 - 1),
            block: U32::new(self.run_block),
            inode_number: U32::new(self.run_number),
        };
        table.write(header.as_bytes());
        table.write(&self.run);
        self.length += (size_of::<Header>() + self.run.len()) as u32;
        self.run.clear();
        self.run_count = 0;
    }
}
