//! Whether there is room for what is to be unpacked.

use std::{collections::HashSet, io};

use rustix::{fs::StatVfs, io::Errno};

use crate::{
    image::ArchiveError,
    reader::{Archive, Kind, Walk},
};

/// Whether the content of all files fits on a file system.
pub(super) fn check_room(
    archive: &Archive,
    room: Result<StatVfs, Errno>,
) -> Result<(), ArchiveError> {
    let room = room.map_err(io::Error::from)?;
    let available = match room.f_blocks {
        // What is in memory without a bound does not say.
        0 => u64::MAX,
        _ => room.f_bavail.saturating_mul(room.f_frsize),
    };
    let tree = Walk::new(archive);
    let mut linked = HashSet::new();
    let mut needed: u64 = 0;
    let mut pending = vec![archive.root()];
    while let Some(directory) = pending.pop() {
        let mut entries = tree.enter(directory)?;
        while let Some(entry) = entries.next_entry()? {
            match entry.kind {
                Kind::Directory => pending.push(entry.inode),
                Kind::File => {
                    let attributes = archive.attributes(entry.inode)?;
                    if attributes.link_count <= 1 || linked.insert(entry.inode) {
                        let bytes = attributes.blocks().saturating_mul(512);
                        let taken = bytes.div_ceil(room.f_frsize.max(1));
                        needed = needed.saturating_add(taken.saturating_mul(room.f_frsize));
                    }
                }
                _ => {}
            }
        }
    }
    match needed <= available {
        true => Ok(()),
        false => Err(ArchiveError::NoSpace { needed, available }),
    }
}
