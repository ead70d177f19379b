//! The content of files.

use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc};

use rustix::{
    fs::{FallocateFlags, SeekFrom, copy_file_range, fallocate, fsync, futimens, seek},
    io::Errno,
};

use super::{
    Cow,
    attributes::timestamps,
    inode::{Content, Inode},
    journal::errno,
};
use crate::lower::{SEEK_DATA, SEEK_HOLE};

/// How much is copied at a time, in bytes.
const PIECE: usize = 1 << 20;

/// A stretch of a file for [`Cow::copy`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) node: u64,
    pub(super) offset: u64,
}

impl Cow {
    pub(super) fn read(&self, node: u64, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        if !self.tree().tree.has_content(node) {
            return self.lower.read(node, offset, buffer);
        }
        let file = self.store.file(node)?;
        let mut filled = 0;
        while filled < buffer.len() {
            match file.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(length) => filled += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(errno(&error)),
            }
        }
        Ok(filled)
    }

    /// Writes. Gives how much, which is less than all only if something is in
    /// the way of the rest.
    pub(super) fn write(&self, node: u64, offset: u64, data: &[u8]) -> Result<usize, Errno> {
        let file = self.own_content(node, u64::MAX)?;
        let mut done = 0;
        while done < data.len() {
            match file.write_at(&data[done..], offset + done as u64) {
                Ok(length) => done += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) if done > 0 => break,
                Err(error) => return Err(errno(&error)),
            }
        }
        Ok(done)
    }

    /// Takes the set-id bits away, as they have to be when others than root
    /// write.
    pub(super) fn drop_set_id(&self, node: u64) -> Result<(), Errno> {
        let known = self.inode(node)?;
        if known.has_set_id() {
            let mut change = self.change();
            change.inode(node, &known).drop_set_id();
            change.commit()?;
        }
        Ok(())
    }

    pub(super) fn truncate(&self, node: u64, size: u64) -> Result<(), Errno> {
        let file = self.own_content(node, size)?;
        file.set_len(size).map_err(|error| errno(&error))
    }

    pub(super) fn allocate(
        &self,
        node: u64,
        offset: u64,
        length: u64,
        how: FallocateFlags,
    ) -> Result<(), Errno> {
        let file = self.own_content(node, u64::MAX)?;
        fallocate(&file, how, offset, length)
    }

    /// `SEEK_DATA` and `SEEK_HOLE`.
    pub(super) fn seek(&self, node: u64, offset: u64, whence: i32) -> Result<u64, Errno> {
        if !self.tree().tree.has_content(node) {
            return self.lower.seek(node, offset, whence);
        }
        let whence = match whence {
            SEEK_DATA => SeekFrom::Data(offset),
            SEEK_HOLE => SeekFrom::Hole(offset),
            _ => return Err(Errno::INVAL),
        };
        seek(&self.store.file(node)?, whence)
    }

    /// Copies between files, without a detour through the caller where both are
    /// in the store. Gives how many bytes.
    pub(super) fn copy(&self, from: Place, to: Place, length: u64) -> Result<u64, Errno> {
        let target = self.own_content(to.node, u64::MAX)?;
        let length = length.min(64 << 20) as usize;
        if self.tree().tree.has_content(from.node) {
            let source = self.store.file(from.node)?;
            let (mut read, mut written) = (from.offset, to.offset);
            let copied = copy_file_range(
                &source,
                Some(&mut read),
                &target,
                Some(&mut written),
                length,
            )?;
            return Ok(copied as u64);
        }
        let mut buffer = vec![0; length.min(PIECE)];
        let filled = self.lower.read(from.node, from.offset, &mut buffer)?;
        target
            .write_all_at(&buffer[..filled], to.offset)
            .map_err(|error| errno(&error))?;
        Ok(filled as u64)
    }

    pub(super) fn sync(&self, node: u64, data_only: bool) -> Result<(), Errno> {
        if self.tree().tree.has_content(node) {
            let file = self.store.file(node)?;
            let done = if data_only {
                file.sync_data()
            } else {
                file.sync_all()
            };
            done.map_err(|error| errno(&error))?;
        }
        self.sync_journal()
    }

    pub(super) fn sync_journal(&self) -> Result<(), Errno> {
        let unsynced = self.tree().journal.unsynced();
        if let Some(journal) = unsynced.map_err(|error| errno(&error))? {
            fsync(journal)?;
        }
        Ok(())
    }

    /// A file's content in the store. If it is the lower tree's yet, its first
    /// `keep` bytes are copied.
    fn own_content(&self, node: u64, keep: u64) -> Result<Arc<File>, Errno> {
        if self.tree().tree.has_content(node) {
            return self.store.file(node);
        }
        let _copying = self.copying[node as usize % self.copying.len()].lock();
        let known = self.inode(node)?;
        if !known.is_file() {
            return Err(Errno::INVAL);
        }
        if known.is_stored() {
            return self.store.file(node);
        }
        self.copy_up(node, &known, keep)
            .inspect_err(|_| self.store.remove(node))
    }

    fn copy_up(&self, node: u64, known: &Inode, keep: u64) -> Result<Arc<File>, Errno> {
        let size = self.lower.attributes(node)?.size.min(keep);
        let file = self.store.create(node)?;
        let mut buffer = vec![0; PIECE.min(usize::try_from(size).unwrap_or(PIECE))];
        let mut at = 0;
        while at < size {
            // Holes stay holes.
            match self.lower.seek(node, at, SEEK_DATA) {
                Ok(data) => at = data,
                Err(Errno::NXIO) => break,
                Err(error) => return Err(error),
            }
            let hole = self.lower.seek(node, at, SEEK_HOLE)?.min(size);
            while at < hole {
                let wanted = buffer.len().min((hole - at) as usize);
                let filled = self.lower.read(node, at, &mut buffer[..wanted])?;
                if filled == 0 {
                    return Err(Errno::IO);
                }
                file.write_all_at(&buffer[..filled], at)
                    .map_err(|error| errno(&error))?;
                at += filled as u64;
            }
        }
        file.set_len(size).map_err(|error| errno(&error))?;
        futimens(&file, &timestamps(Some(known.atime), Some(known.mtime)))?;
        let mut change = self.change();
        change.inode(node, known).content = Content::Own;
        change.commit()?;
        Ok(file)
    }
}
