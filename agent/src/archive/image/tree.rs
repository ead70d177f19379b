//! Walking through all directories of an archive that may be hostile.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use crate::archive::squashfs::reader::{Archive, InodeRef, ReadDir, ReadError};

/// Sees to it that a walk ends: that no directory is in two others or in itself,
/// and that listings do not share their bytes.
pub(super) struct Tree<'a> {
    archive: &'a Archive,
    entered: Mutex<Entered>,
}

#[derive(Default)]
struct Entered {
    directories: HashSet<InodeRef>,
    /// Of all their listings.
    bytes: u64,
}

impl<'a> Tree<'a> {
    pub(super) fn new(archive: &'a Archive) -> Self {
        Self {
            archive,
            entered: Mutex::default(),
        }
    }

    /// Starts to read a directory, once.
    pub(super) fn enter(&self, directory: InodeRef) -> Result<ReadDir<'a>, ReadError> {
        let size = self.archive.attributes(directory)?.size;
        let entries = self.archive.read_dir(directory, 0)?;
        let damaged = |what| ReadError::Damaged {
            what,
            at: self.archive.superblock().directory_table.get(),
        };
        let mut entered = self.entered.lock().unwrap_or_else(PoisonError::into_inner);
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
