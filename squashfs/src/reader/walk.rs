//! Walking through all of an archive that may be hostile.
//!
//! In an archive, what takes time takes room, too: each entry, each size of a
//! block is stored for itself. One in which many share the same bytes could keep
//! us busy for years, so what is met is counted against what there is room for.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;

use super::{Archive, InodeRef, Pieces, ReadDir, ReadError};

/// Sees to it that a walk ends: that no directory is in two others or in itself,
/// and that neither listings nor lists of blocks share their bytes.
pub(crate) struct Walk<'a> {
    archive: &'a Archive,
    entered: Mutex<Entered>,
    /// Of all files.
    blocks: AtomicU64,
}

#[derive(Default)]
struct Entered {
    directories: HashSet<InodeRef>,
    /// Of all their listings.
    bytes: u64,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(archive: &'a Archive) -> Self {
        Self {
            archive,
            entered: Mutex::default(),
            blocks: AtomicU64::new(0),
        }
    }

    /// The content of a file that is met for the first time.
    pub(crate) fn content(&self, file: InodeRef) -> Result<Pieces<'a>, ReadError> {
        let pieces = self.archive.pieces(file)?;
        let before = self
            .blocks
            .fetch_add(pieces.block_count(), Ordering::Relaxed);
        if before > self.archive.most_blocks() {
            return Err(ReadError::Damaged {
                what: "files share their lists of blocks",
                at: self.archive.superblock().inode_table.get(),
            });
        }
        Ok(pieces)
    }

    /// Starts to read a directory, once.
    pub(crate) fn enter(&self, directory: InodeRef) -> Result<ReadDir<'a>, ReadError> {
        let size = self.archive.attributes(directory)?.size;
        let entries = self.archive.read_dir(directory, 0)?;
        let damaged = |what| ReadError::Damaged {
            what,
            at: self.archive.superblock().directory_table.get(),
        };
        let mut entered = self.entered.lock();
        if !entered.directories.insert(directory) {
            return Err(damaged("a directory is in two directories"));
        }
        entered.bytes += size;
        // Of each listing, three bytes are not there.
        let surplus = 3 * entered.directories.len() as u64;
        if entered.bytes > self.archive.most_listing_bytes() + surplus {
            return Err(damaged("directories share their listings"));
        }
        Ok(entries)
    }
}
