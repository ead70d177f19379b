//! Taking the workers' results, in the tree's order.

use std::sync::Arc;

use rustix::io::Errno;

use super::{Content, Current, Placer, Stored, Unit};
use crate::{
    format::BlockSize,
    source::XattrSet,
    writer::{
        Control, WriteError,
        dedup::{BlockHasher, Digest},
        read::{Chunk, FoundFile, Loss, OpenFile, SmallContent, SmallFile, is_zero},
    },
};

impl Placer<'_, '_, '_> {
    pub(super) fn take_unit(&mut self, unit: Unit) -> Result<(), WriteError> {
        match unit {
            Unit::Batch(batch, bytes) => {
                let batch = batch.wait()?;
                self.in_flight -= bytes;
                for file in batch.files {
                    self.take_small(file, &batch.content)?;
                }
                self.shared.batches.give(batch.content);
            }
            Unit::Begin(file, xattrs) => self.begin(file, &xattrs),
            Unit::Chunk(chunk, length) => {
                let chunk = chunk.wait()?;
                self.take_chunk(chunk, length)?;
            }
            Unit::Hole(blocks) => self.take_hole(blocks),
            Unit::End => self.end(),
            Unit::Twin(found) => self.take_twin(found)?,
            Unit::Lost(found, loss) => self.lost(&found, loss),
        }
        Ok(())
    }

    fn take_small(&mut self, file: SmallFile, content: &[u8]) -> Result<(), WriteError> {
        let found = file.found;
        let node = found.node;
        let (start, size, digest, xattrs, changed) = match file.outcome {
            Err(loss) => {
                self.lost(&found, loss);
                return Ok(());
            }
            Ok(_) if self.is_auditing() => return Ok(()),
            Ok(SmallContent::Outgrown) => return self.place_at_once(&found),
            Ok(SmallContent::Read {
                start,
                size,
                digest,
                xattrs,
                changed,
            }) => (start, size, digest, xattrs, changed),
        };
        self.note_xattrs(&found, &xattrs);
        self.note_change(&found, changed, size as u64);
        self.archived(size as u64);
        let first = digest.map_or(node, |digest| self.small.first(digest, node));
        let content = &content[start..start + size];
        self.placed.contents[node.index()] = if first != node {
            self.placed.duplicates += 1;
            self.placed.contents[first.index()]
        } else if size == 0 {
            Content::Empty
        } else if is_zero(content) {
            let extent = self.new_extent();
            self.placed.block_sizes.push(BlockSize::HOLE);
            let extent_mut = &mut self.placed.extents[extent as usize];
            extent_mut.size = size as u64;
            extent_mut.sparse = size as u64;
            extent_mut.block_count = 1;
            Content::Blocks { extent }
        } else {
            let (number, offset) = self.add_to_fragment(content);
            Content::Fragment { number, offset }
        };
        Ok(())
    }

    fn begin(&mut self, file: Arc<OpenFile>, xattrs: &XattrSet) {
        let found = *file.found();
        self.note_xattrs(&found, xattrs);
        let extent = self.new_extent();
        self.stored.push_back(Stored::Blocks {
            bytes: Vec::new(),
            begins: Some(extent),
            in_flight: 0,
        });
        self.current = Some(Current {
            file,
            extent,
            hasher: BlockHasher::default(),
            ended: false,
            lost: None,
        });
    }

    fn take_chunk(&mut self, chunk: Result<Chunk, Errno>, length: usize) -> Result<(), WriteError> {
        let auditing = self.is_auditing();
        let Some(current) = self.current.as_mut().filter(|c| !c.ended && !auditing) else {
            self.in_flight -= length;
            return Ok(());
        };
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(errno) => {
                current.ended = true;
                current.lost = Some(Loss::Unreadable(errno));
                self.in_flight -= length;
                return Ok(());
            }
        };
        current.ended = chunk.read < length;
        for digest in chunk.digests {
            current.hasher.add(digest);
        }
        let extent = &mut self.placed.extents[current.extent as usize];
        extent.size += chunk.read as u64;
        extent.sparse += chunk.sparse as u64;
        extent.block_count += chunk.blocks.len() as u32;
        self.placed.block_sizes.extend(chunk.blocks);
        let extent = current.extent;
        self.stored.push_back(Stored::Blocks {
            bytes: chunk.stored,
            begins: None,
            in_flight: length,
        });
        if !chunk.tail.is_empty() {
            let fragment = self.add_to_fragment(&chunk.tail);
            self.placed.extents[extent as usize].fragment = Some(fragment);
        }
        Control::add(&self.control.read_bytes, chunk.read as u64);
        Ok(())
    }

    fn take_hole(&mut self, blocks: u64) {
        let Some(current) = self.current.as_mut().filter(|current| !current.ended) else {
            return;
        };
        let bytes = blocks * self.shared.block_size as u64;
        if current.file.is_hashed() {
            let zeros = Digest::of(&vec![0; self.shared.block_size]);
            for _ in 0..blocks {
                current.hasher.add(zeros);
            }
        }
        let extent = &mut self.placed.extents[current.extent as usize];
        extent.size += bytes;
        extent.sparse += bytes;
        extent.block_count += blocks as u32;
        let count = self.placed.block_sizes.len() + blocks as usize;
        self.placed.block_sizes.resize(count, BlockSize::HOLE);
    }

    fn end(&mut self) {
        let Some(current) = self.current.take() else {
            return;
        };
        if self.is_auditing() {
            return;
        }
        let found = *current.file.found();
        let extent = self.placed.extents[current.extent as usize];
        let loss = current.lost.map(Err);
        let changed = loss.unwrap_or_else(|| {
            let changed = current.file.changed(extent.size);
            changed.map_err(Loss::Unreadable)
        });
        let changed = match changed {
            Ok(changed) => changed,
            Err(loss) => {
                self.lost(&found, loss);
                return;
            }
        };
        self.note_change(&found, changed, extent.size);
        self.placed.contents[found.node.index()] = match extent.size {
            0 => Content::Empty,
            _ => Content::Blocks {
                extent: current.extent,
            },
        };
        if current.file.is_hashed() {
            let digest = current.hasher.finish();
            self.large.firsts.insert(found.node, Some(digest));
        }
        Control::add(&self.control.archived_files, 1);
    }

    /// A file that was the same as an earlier one when they were compared. If
    /// either has changed since, it is read after all.
    fn take_twin(&mut self, found: FoundFile) -> Result<(), WriteError> {
        let (file, xattrs) = match self.open_large(&found) {
            Ok(opened) => opened,
            Err(loss) => {
                self.lost(&found, loss);
                return Ok(());
            }
        };
        let (first, digest) = self.large.twins[&found.node];
        let same = self.large.firsts.get(&first) == Some(&Some(digest))
            && matches!(file.changed(found.size), Ok(None));
        if !same {
            return self.place_at_once(&found);
        }
        self.note_xattrs(&found, &xattrs);
        self.archived(found.size);
        self.placed.duplicates += 1;
        self.placed.contents[found.node.index()] = self.placed.contents[first.index()];
        Ok(())
    }

    /// Reads a file of any size here and now, which is slow, but happens only
    /// when a file changes at a bad moment.
    fn place_at_once(&mut self, found: &FoundFile) -> Result<(), WriteError> {
        let (file, xattrs) = match self.open_large(found) {
            Ok(opened) => opened,
            Err(loss) => {
                self.lost(found, loss);
                return Ok(());
            }
        };
        self.begin(Arc::clone(&file), &xattrs);
        let mut offset = 0;
        while offset < file.size() && self.current.as_ref().is_some_and(|c| !c.ended) {
            self.check_cancelled()?;
            let length = self.chunk_length(&file, offset);
            let chunk = self.own.read_chunk(&file, offset, length);
            self.in_flight += length;
            self.take_chunk(chunk, length)?;
            self.store_all()?;
            offset += length as u64;
        }
        self.end();
        Ok(())
    }
}
