//! Writing content, and sharing large files among threads.

use std::{
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::{
    fs::ftruncate,
    io::{Errno, pwrite},
};

use super::{New, Task, Unpacker, at, queue::Queue};
use crate::{
    image::ArchiveError,
    reader::{Pieces, Scratch},
};

/// Files above this many bytes are written by several threads.
pub(super) const LARGE: u64 = 4 << 20;

/// Bytes of a large file that a thread writes at a time: a multiple of any
/// block size.
const SHARE: u64 = 4 << 20;

/// A file that several threads write.
pub(super) struct LargeFile {
    new: New,
    path: Vec<u8>,
    /// Where the next thread is to begin.
    next: AtomicU64,
    /// Bytes that are not written yet.
    left: AtomicU64,
}

impl Unpacker<'_> {
    /// Writes a large file, together with whoever has nothing else to do.
    pub(super) fn share_out(
        &self,
        new: New,
        path: Vec<u8>,
        queue: &Queue<Task>,
        scratch: &mut Scratch,
    ) -> Result<(), ArchiveError> {
        self.tree.content(new.inode)?;
        let size = new.attributes.size;
        ftruncate(&new.handle, size).map_err(at(&path))?;
        let file = Arc::new(LargeFile {
            new,
            path,
            next: AtomicU64::new(0),
            left: AtomicU64::new(size),
        });
        let helpers = size.div_ceil(SHARE).min(self.threads as u64) - 1;
        for _ in 0..helpers {
            queue.push(Task::Share(Arc::downgrade(&file)));
        }
        self.share(&file, scratch)
    }

    /// Writes shares of a large file until there are none left. Who writes the
    /// last byte finishes the file.
    pub(super) fn share(
        &self,
        file: &LargeFile,
        scratch: &mut Scratch,
    ) -> Result<(), ArchiveError> {
        let size = file.new.attributes.size;
        let path = || file.path.clone();
        loop {
            let start = file.next.fetch_add(SHARE, Ordering::Relaxed);
            if start >= size {
                return Ok(());
            }
            let end = size.min(start.saturating_add(SHARE));
            let pieces = self.archive.pieces_from(file.new.inode, start)?;
            if let Err(error) = self.write(&file.new, pieces, end, scratch, &path) {
                // No need for the others to go on.
                file.next.store(size, Ordering::Relaxed);
                return Err(error);
            }
            let left = file.left.fetch_sub(end - start, Ordering::AcqRel);
            if left == end - start {
                self.finish(&file.new, &path)?;
            }
        }
    }

    /// Writes pieces, up to an offset. Gives where the last data ends.
    pub(super) fn write(
        &self,
        file: &New,
        mut pieces: Pieces<'_>,
        until: u64,
        scratch: &mut Scratch,
        path: &dyn Fn() -> Vec<u8>,
    ) -> Result<u64, ArchiveError> {
        let mut end = 0;
        while let Some(piece) = pieces.next_piece()? {
            if piece.offset >= until {
                break;
            }
            if let Some(content) = self.archive.piece_content(&piece, scratch)? {
                write_all(&file.handle, content, piece.offset).map_err(|e| at(&path())(e))?;
                end = piece.offset + piece.length as u64;
            }
        }
        Ok(end)
    }
}

fn write_all(file: &OwnedFd, mut content: &[u8], mut offset: u64) -> Result<(), Errno> {
    while !content.is_empty() {
        match pwrite(file, content, offset) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => {
                content = &content[written..];
                offset += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
