//! Handing what is stored to the sink, in order.

use zerocopy::little_endian::{U32, U64};

use super::{Extent, Placer, Stored};
use crate::{
    format::{BlockSize, fragment::FragmentEntry},
    writer::WriteError,
};

impl Placer<'_, '_, '_> {
    pub(super) fn new_extent(&mut self) -> u32 {
        let number = self.placed.extents.len() as u32;
        self.placed.extents.push(Extent {
            first_block: self.placed.block_sizes.len() as u64,
            ..Extent::default()
        });
        number
    }

    /// Adds content to the open fragment, or to a new one if there is not
    /// enough room, and gives the fragment's number and the offset.
    pub(super) fn add_to_fragment(&mut self, content: &[u8]) -> (u32, u32) {
        if self.fragment.len() + content.len() > self.shared.block_size {
            self.close_fragment();
        }
        let place = (
            self.placed.fragments.len() as u32,
            self.fragment.len() as u32,
        );
        self.fragment.extend_from_slice(content);
        place
    }

    pub(super) fn close_fragment(&mut self) {
        if self.fragment.is_empty() {
            return;
        }
        let block = std::mem::replace(&mut self.fragment, self.shared.empty_block());
        let length = block.len();
        // Everything that follows waits for it.
        let stored = self
            .queue
            .submit_first(move |worker| worker.compress_fragment(block));
        self.in_flight += length;
        self.stored.push_back(Stored::Fragment(stored, length));
        self.placed.fragments.push(FragmentEntry {
            start: U64::new(0),
            size: U32::new(0),
            unused: U32::new(0),
        });
    }

    /// Stores what is ready.
    pub(super) fn store_ready(&mut self) -> Result<(), WriteError> {
        while let Some(stored) = self.stored.pop_front() {
            match stored {
                Stored::Fragment(later, length) => match later.poll()? {
                    Ok(fragment) => self.store_fragment(fragment, length)?,
                    Err(later) => {
                        self.stored.push_front(Stored::Fragment(later, length));
                        return Ok(());
                    }
                },
                blocks => self.store(blocks)?,
            }
        }
        Ok(())
    }

    /// Stores everything that was given to it so far, waiting where necessary.
    pub(super) fn store_all(&mut self) -> Result<(), WriteError> {
        while let Some(stored) = self.stored.pop_front() {
            self.store(stored)?;
        }
        Ok(())
    }

    /// Stores what comes next, waiting for it.
    pub(super) fn store(&mut self, stored: Stored) -> Result<(), WriteError> {
        match stored {
            Stored::Fragment(later, length) => {
                let fragment = later.wait()?;
                self.store_fragment(fragment, length)
            }
            Stored::Blocks {
                bytes,
                begins,
                in_flight,
            } => {
                if let Some(extent) = begins {
                    self.placed.extents[extent as usize].start = self.output.position();
                }
                self.output.write(&bytes)?;
                self.in_flight -= in_flight;
                self.shared.blocks.give(bytes);
                Ok(())
            }
        }
    }

    fn store_fragment(
        &mut self,
        (size, bytes): (BlockSize, Vec<u8>),
        length: usize,
    ) -> Result<(), WriteError> {
        let fragment = &mut self.placed.fragments[self.stored_fragments];
        self.stored_fragments += 1;
        fragment.start = U64::new(self.output.position());
        fragment.size = U32::new(size.to_disk());
        self.output.write(&bytes)?;
        self.in_flight -= length;
        self.shared.blocks.give(bytes);
        Ok(())
    }
}
