//! Giving out work to the workers.

use std::sync::Arc;

use super::{Placer, Unit};
use crate::{
    source::XattrSet,
    writer::{
        plan::{Plan, Step},
        read::{FoundFile, Loss, OpenFile},
    },
};

/// Results that may be outstanding: as some hold a file open, this keeps the
/// number of open files well below the usual limit of 1024.
const MOST_UNITS: usize = 256;

/// Bytes of a large file that one job reads and compresses, at least a block.
const CHUNK: usize = 512 << 10;

impl Placer<'_, '_, '_> {
    /// Gives out as much work as may be in flight. Says whether that was all.
    pub(super) fn generate(&mut self, plan: &mut Plan<'_>) -> bool {
        while self.in_flight < self.limit && self.units.len() < MOST_UNITS {
            if let Some((file, offset)) = self.generated.take() {
                self.generate_chunk(file, offset);
                continue;
            }
            match plan.next() {
                Some(Step::Small(files)) => {
                    let bytes = files.iter().map(|(file, _)| file.size as usize + 1).sum();
                    let batch = self.queue.submit(move |worker| worker.read_batch(&files));
                    self.in_flight += bytes;
                    self.units.push_back(Unit::Batch(batch, bytes));
                }
                Some(Step::Large(found)) if self.large.twins.contains_key(&found.node) => {
                    self.units.push_back(Unit::Twin(found));
                }
                Some(Step::Large(found)) => {
                    let unit = match self.open_large(&found) {
                        Ok((file, xattrs)) => {
                            self.generated = Some((Arc::clone(&file), 0));
                            Unit::Begin(file, xattrs)
                        }
                        Err(loss) => Unit::Lost(found, loss),
                    };
                    self.units.push_back(unit);
                }
                None => return true,
            }
        }
        false
    }

    pub(super) fn open_large(
        &mut self,
        found: &FoundFile,
    ) -> Result<(Arc<OpenFile>, XattrSet), Loss> {
        let hashed = self.large.firsts.contains_key(&found.node);
        let (file, xattrs) = self.own.open_large(found, hashed)?;
        Ok((Arc::new(file), xattrs))
    }

    pub(super) fn chunk_length(&self, file: &OpenFile, offset: u64) -> usize {
        let most = CHUNK.max(self.shared.block_size) as u64;
        most.min(file.size() - offset) as usize
    }

    fn generate_chunk(&mut self, file: Arc<OpenFile>, offset: u64) {
        if offset >= file.size() || self.is_auditing() {
            self.units.push_back(Unit::End);
            return;
        }
        let hole = file.hole_blocks(offset, self.shared.block_size);
        if hole > 0 {
            let after = offset + hole * self.shared.block_size as u64;
            self.units.push_back(Unit::Hole(hole));
            self.generated = Some((file, after));
            return;
        }
        let length = self.chunk_length(&file, offset);
        let read = Arc::clone(&file);
        let chunk = self
            .queue
            .submit(move |worker| worker.read_chunk(&read, offset, length));
        self.in_flight += length;
        self.units.push_back(Unit::Chunk(chunk, length));
        self.generated = Some((file, offset + length as u64));
    }
}
