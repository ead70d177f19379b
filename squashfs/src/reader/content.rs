//! The content of files.

use std::sync::Arc;

use parking_lot::Mutex;
use zerocopy::{IntoBytes, little_endian::U32};

use super::{
    Archive, InodeRef, ReadError,
    inode::{Body, File},
    store::StoredBlock,
};
use crate::format::{BlockSize, fragment::FragmentEntry, metadata::Position};

/// Every so many blocks of a file it is noted where they are.
const STRIDE: u64 = 2048;

/// Content that is stored in one place: a block, or the end of a file in a
/// fragment, or nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    /// Where in the file it starts.
    pub(crate) offset: u64,
    /// Bytes of content, at most those of a block.
    pub(crate) length: usize,
    pub(crate) stored: Stored,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Stored {
    /// Zeros, of which nothing is stored.
    Hole,
    Block(StoredBlock),
    Fragment {
        number: u32,
        /// In the decoded fragment.
        start: u32,
    },
}

/// Room for [`Archive::piece_content`], to be used again.
#[cfg(feature = "native")]
#[derive(Default)]
pub(crate) struct Scratch {
    bytes: Vec<u8>,
    /// The last one.
    fragment: Option<(StoredBlock, Arc<Vec<u8>>)>,
}

/// Goes through the content of a file.
#[derive(Clone)]
pub(crate) struct Pieces<'a> {
    archive: &'a Archive,
    file: File<'a>,
    /// Of the next block.
    number: u64,
    /// Of the next block in the archive.
    position: u64,
}

/// Where in the archive every [`STRIDE`]th block of a long file is, and where
/// its size is, as far as somebody has been there.
#[derive(Default)]
pub(super) struct Waypoints(Mutex<Vec<(Position, u64)>>);

impl Waypoints {
    /// The last one that is known, up to the `most`th.
    fn last(&self, most: u64) -> Option<(u64, (Position, u64))> {
        let known = self.0.lock();
        let count = known.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        Some((count as u64, known[count.checked_sub(1)?]))
    }

    fn add(&self, number: u64, waypoint: (Position, u64)) {
        let mut known = self.0.lock();
        if known.len() as u64 + 1 == number {
            known.push(waypoint);
        }
    }

    /// Bytes that it takes for so many blocks.
    pub(super) const fn weight(block_count: u64) -> u64 {
        block_count / STRIDE * size_of::<(Position, u64)>() as u64
    }
}

impl Pieces<'_> {
    /// Bytes of content.
    pub(crate) fn size(&self) -> u64 {
        self.file.size
    }

    /// Number of blocks, the end in a fragment aside.
    pub(crate) fn block_count(&self) -> u64 {
        self.file.block_count
    }

    /// The next piece.
    pub(crate) fn next_piece(&mut self) -> Result<Option<Piece>, ReadError> {
        let stored = if self.number < self.file.block_count {
            let size = BlockSize::from_disk(self.file.sizes.value::<U32>()?.get());
            let position = self.position;
            self.pass(size)?;
            match size.stored() {
                0 => Stored::Hole,
                _ => Stored::Block(StoredBlock { position, size }),
            }
        } else {
            match self.file.fragment {
                Some((number, start)) if self.number == self.file.block_count => {
                    Stored::Fragment { number, start }
                }
                _ => return Ok(None),
            }
        };
        let block_size = self.archive.store.block_size() as u64;
        let offset = self.number * block_size;
        let length = (self.file.size - offset).min(block_size) as usize;
        self.number += 1;
        Ok(Some(Piece {
            offset,
            length,
            stored,
        }))
    }

    fn pass(&mut self, size: BlockSize) -> Result<(), ReadError> {
        self.position = self
            .position
            .checked_add(size.stored().into())
            .ok_or_else(|| self.file.sizes.damaged("a file's blocks are nowhere"))?;
        Ok(())
    }

    /// Goes from the start to the piece with byte `offset`, which is in the file.
    fn go_to(&mut self, inode: InodeRef, offset: u64) -> Result<(), ReadError> {
        let block = offset / self.archive.store.block_size() as u64;
        // If it is in a fragment, no other block matters.
        if block >= self.file.block_count {
            self.number = block;
            return Ok(());
        }
        let waypoints =
            (block >= STRIDE).then(|| self.archive.waypoints(inode, self.file.block_count));
        if let Some(waypoints) = &waypoints
            && let Some((number, (place, position))) = waypoints.last(block / STRIDE)
        {
            self.file.sizes = self.archive.inodes.at(&self.archive.store, place)?;
            self.position = position;
            self.number = number * STRIDE;
        }
        while self.number < block {
            self.advance(block)?;
            if let Some(waypoints) = &waypoints
                && self.number.is_multiple_of(STRIDE)
            {
                let place = self.file.sizes.place(&self.archive.inodes);
                waypoints.add(self.number / STRIDE, (place, self.position));
            }
        }
        Ok(())
    }

    /// Passes over some blocks, up to `block` and never over a waypoint.
    fn advance(&mut self, block: u64) -> Result<(), ReadError> {
        const AT_ONCE: u64 = 128;
        const { assert!(STRIDE.is_multiple_of(AT_ONCE)) };
        let mut sizes = [U32::ZERO; AT_ONCE as usize];
        let to_boundary = AT_ONCE - self.number % AT_ONCE;
        let count = (block - self.number).min(to_boundary);
        let sizes = &mut sizes[..count as usize];
        self.file.sizes.read(sizes.as_mut_bytes())?;
        for size in sizes {
            self.pass(BlockSize::from_disk(size.get()))?;
        }
        self.number += count;
        Ok(())
    }
}

impl Archive {
    /// The content of a file in pieces.
    pub(crate) fn pieces(&self, inode: InodeRef) -> Result<Pieces<'_>, ReadError> {
        match self.inode(inode)?.body {
            Body::File(file) => Ok(Pieces {
                archive: self,
                position: file.start,
                file,
                number: 0,
            }),
            _ => Err(ReadError::NotAFile),
        }
    }

    /// The pieces from the one with byte `offset` on.
    pub(crate) fn pieces_from(
        &self,
        inode: InodeRef,
        offset: u64,
    ) -> Result<Pieces<'_>, ReadError> {
        let mut pieces = self.pieces(inode)?;
        if offset >= pieces.size() {
            pieces.number = u64::MAX;
        } else {
            pieces.go_to(inode, offset)?;
        }
        Ok(pieces)
    }

    fn waypoints(&self, inode: InodeRef, block_count: u64) -> Arc<Waypoints> {
        self.waypoints
            .get_or_insert_with(&(inode.0, block_count), || Ok(Arc::default()))
            .unwrap_or_else(|never: std::convert::Infallible| match never {})
    }

    /// Reads content from byte `offset` on. Gives how many bytes of `buffer`
    /// were filled: all, unless the file ends first.
    ///
    /// # Errors
    /// [`ReadError::NotAFile`] and others.
    pub fn read(
        &self,
        inode: InodeRef,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize, ReadError> {
        let mut pieces = self.pieces_from(inode, offset)?;
        let mut filled = 0;
        while filled < buffer.len() {
            let Some(piece) = pieces.next_piece()? else {
                break;
            };
            let skip = (offset + filled as u64 - piece.offset) as usize;
            let now = (piece.length - skip).min(buffer.len() - filled);
            self.copy_piece(&piece, skip, &mut buffer[filled..filled + now])?;
            filled += now;
        }
        Ok(filled)
    }

    /// Fills `buffer` with what is in a piece from its byte `skip` on.
    fn copy_piece(&self, piece: &Piece, skip: usize, buffer: &mut [u8]) -> Result<(), ReadError> {
        match piece.stored {
            Stored::Hole => buffer.fill(0),
            Stored::Block(block) if block.size.is_raw() => {
                check_length(block, piece.length, block.size.stored() as usize)?;
                self.read_raw(block, skip as u64, buffer)?;
            }
            Stored::Block(block) => {
                let content = self.store.block(block, piece.length)?;
                check_length(block, piece.length, content.len())?;
                buffer.copy_from_slice(&content[skip..skip + buffer.len()]);
            }
            Stored::Fragment { number, start } => {
                let block = self.fragment(number)?;
                if block.size.is_raw() {
                    check_tail(block, start, piece.length, block.size.stored() as usize)?;
                    self.read_raw(block, u64::from(start) + skip as u64, buffer)?;
                } else {
                    let content = self.store.block(block, self.store.block_size())?;
                    check_tail(block, start, piece.length, content.len())?;
                    let start = start as usize + skip;
                    buffer.copy_from_slice(&content[start..start + buffer.len()]);
                }
            }
        }
        Ok(())
    }

    fn read_raw(&self, block: StoredBlock, skip: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let position = block.position.checked_add(skip);
        let position = position
            .ok_or_else(|| ReadError::damaged("a file's blocks are nowhere", block.position))?;
        self.store.read(buffer, position)
    }

    /// All of a piece, past the cache but for fragments; `None` for a hole.
    #[cfg(feature = "native")]
    pub(crate) fn piece_content<'s>(
        &self,
        piece: &Piece,
        scratch: &'s mut Scratch,
    ) -> Result<Option<&'s [u8]>, ReadError> {
        match piece.stored {
            Stored::Hole => Ok(None),
            Stored::Block(block) => {
                self.decode(block, piece.length, &mut scratch.bytes)?;
                check_length(block, piece.length, scratch.bytes.len())?;
                Ok(Some(&scratch.bytes))
            }
            Stored::Fragment { number, start } => {
                let block = self.fragment(number)?;
                if scratch.fragment.as_ref().is_none_or(|(of, _)| *of != block) {
                    let content = self.store.block(block, self.store.block_size())?;
                    scratch.fragment = Some((block, content));
                }
                let content = scratch.fragment.as_ref().map_or(&[][..], |(_, c)| c);
                check_tail(block, start, piece.length, content.len())?;
                let start = start as usize;
                Ok(Some(&content[start..start + piece.length]))
            }
        }
    }

    /// Puts the content of a block, at most `room` bytes, into `content`, past
    /// the cache.
    pub(crate) fn decode(
        &self,
        block: StoredBlock,
        room: usize,
        content: &mut Vec<u8>,
    ) -> Result<(), ReadError> {
        self.store.decode(block, room, content)
    }

    /// Where a fragment is.
    pub(crate) fn fragment(&self, number: u32) -> Result<StoredBlock, ReadError> {
        let entry: FragmentEntry = self.fragments.entry(&self.store, number.into())?;
        Ok(StoredBlock {
            position: entry.start.get(),
            size: BlockSize::from_disk(entry.size.get()),
        })
    }

    /// Where data is next, at `offset` or after it, as `SEEK_DATA` has it: in
    /// whole blocks. `None` if there is only a hole up to the file's end, or
    /// `offset` is not before that.
    ///
    /// # Errors
    /// [`ReadError::NotAFile`] and others.
    pub fn seek_data(&self, inode: InodeRef, offset: u64) -> Result<Option<u64>, ReadError> {
        let mut pieces = self.pieces_from(inode, offset)?;
        while let Some(piece) = pieces.next_piece()? {
            if !matches!(piece.stored, Stored::Hole) {
                return Ok(Some(offset.max(piece.offset)));
            }
        }
        Ok(None)
    }

    /// Where a hole is next, at `offset` or after it, as `SEEK_HOLE` has it: the
    /// file's end counts as one. `None` if `offset` is not before that.
    ///
    /// # Errors
    /// [`ReadError::NotAFile`] and others.
    pub fn seek_hole(&self, inode: InodeRef, offset: u64) -> Result<Option<u64>, ReadError> {
        let mut pieces = self.pieces_from(inode, offset)?;
        while let Some(piece) = pieces.next_piece()? {
            if matches!(piece.stored, Stored::Hole) {
                return Ok(Some(offset.max(piece.offset)));
            }
        }
        Ok((offset < pieces.size()).then_some(pieces.size()))
    }
}

fn check_length(block: StoredBlock, expected: usize, found: usize) -> Result<(), ReadError> {
    if expected != found {
        let what = "a block has another length than its file says";
        return Err(ReadError::damaged(what, block.position));
    }
    Ok(())
}

/// Whether `length` bytes from `start` on are in a fragment of `found` bytes.
fn check_tail(
    block: StoredBlock,
    start: u32,
    length: usize,
    found: usize,
) -> Result<(), ReadError> {
    if u64::from(start) + length as u64 > found as u64 {
        let what = "a file's end lies beyond its fragment";
        return Err(ReadError::damaged(what, block.position));
    }
    Ok(())
}
