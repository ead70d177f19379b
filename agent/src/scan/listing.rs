//! What is in a directory.

use std::{mem::MaybeUninit, os::fd::OwnedFd};

use rustix::{
    fs::{FileType, RawDir},
    io::Errno,
};

/// The entries of a directory, by name.
pub(super) struct Listing {
    names: Vec<u8>,
    entries: Vec<Listed>,
}

/// What `getdents64` says of one entry.
struct Listed {
    /// In the vector of names.
    start: usize,
    end: usize,
    file_type: FileType,
}

impl Listing {
    /// Reads a directory, through the spare room of a buffer.
    pub(super) fn read(directory: &OwnedFd, buffer: &mut Vec<u8>) -> Result<Self, Errno> {
        let mut names = Vec::new();
        let mut entries = Vec::new();
        let spare: &mut [MaybeUninit<u8>] = buffer.spare_capacity_mut();
        let mut listing = RawDir::new(directory, spare);
        while let Some(entry) = listing.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                let start = names.len();
                names.extend_from_slice(name);
                entries.push(Listed {
                    start,
                    end: names.len(),
                    file_type: entry.file_type(),
                });
            }
        }
        entries.sort_unstable_by(|a: &Listed, b| names[a.start..a.end].cmp(&names[b.start..b.end]));
        Ok(Self { names, entries })
    }

    pub(super) fn has(&self, name: &[u8]) -> bool {
        self.entries
            .binary_search_by(|entry| self.name(entry).cmp(name))
            .is_ok()
    }

    /// Names and types.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], FileType)> {
        let entries = self.entries.iter();
        entries.map(|entry| (self.name(entry), entry.file_type))
    }

    fn name(&self, entry: &Listed) -> &[u8] {
        &self.names[entry.start..entry.end]
    }
}
