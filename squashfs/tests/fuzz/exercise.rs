//! Everything that can be asked of an archive, within bounds.

use std::{collections::HashSet, sync::Arc};

use squashfs::{
    image,
    reader::{Archive, InodeRef, Kind, Options, ReadError},
};

/// Most entries that are looked at.
const ENTRIES: usize = 1500;

/// Most bytes of content that are read, of each file.
const CONTENT: usize = 200_000;

/// Takes arbitrary bytes as an archive and walks through all of it. Gives how
/// many entries there were.
pub(crate) fn exercise(bytes: Vec<u8>) -> Result<usize, ReadError> {
    // Both ways to read tables, as it happens.
    let parity = bytes.iter().fold(0, |parity, byte| parity ^ byte) & 1;
    let options = Options {
        cache_bytes: 1 << 20,
        preload_bytes: u64::from(parity) << 32,
    };
    let archive = Archive::open(Arc::new(bytes), &options)?;
    let mut seen = HashSet::new();
    let mut pending = vec![archive.root()];
    while let Some(inode) = pending.pop() {
        if seen.len() >= ENTRIES || !seen.insert(inode) {
            continue;
        }
        // One that is damaged is no reason to leave out the others.
        let _ = one(&archive, inode, &mut pending);
    }
    for number in [0, 1, 0xffff, 0x10000, 0x1_2000, u64::MAX >> 1, u64::MAX] {
        let _ = one(&archive, InodeRef::from_u64(number), &mut Vec::new());
    }
    let _ = image::verify(&archive);
    Ok(seen.len())
}

fn one(archive: &Archive, inode: InodeRef, pending: &mut Vec<InodeRef>) -> Result<(), ReadError> {
    let attributes = archive.attributes(inode)?;
    if let Ok(xattrs) = archive.xattrs(inode) {
        let names = archive.xattr_names(inode)?;
        assert_eq!(names.len(), xattrs.len());
        for name in names {
            assert!(archive.xattr(inode, &name)?.is_some());
        }
    }
    match attributes.kind {
        Kind::Directory => directory(archive, inode, pending),
        Kind::File => file(archive, inode, attributes.size),
        Kind::Symlink => {
            assert_eq!(archive.read_link(inode)?.len() as u64, attributes.size);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn directory(
    archive: &Archive,
    inode: InodeRef,
    pending: &mut Vec<InodeRef>,
) -> Result<(), ReadError> {
    for place in [1, 511, 512, 1 << 20, u64::from(u32::MAX) << 9, u64::MAX] {
        let _ = archive.read_dir(inode, place).and_then(|mut entries| {
            entries.next_entry()?;
            Ok(())
        });
    }
    let _ = archive.lookup(inode, b"many");
    let mut entries = archive.read_dir(inode, 0)?;
    let mut count = 0;
    while let Some(entry) = entries.next_entry()? {
        count += 1;
        pending.push(entry.inode);
        if count > ENTRIES {
            break;
        }
        // Some, as that takes a while.
        if count % 16 == 1 {
            let _ = archive.lookup(inode, entry.name);
            // The entry was reached by this way once.
            archive.read_dir(inode, 0)?;
            let _ = archive.read_dir(inode, entry.next);
        }
    }
    Ok(())
}

fn file(archive: &Archive, inode: InodeRef, size: u64) -> Result<(), ReadError> {
    let mut buffer = vec![0; CONTENT];
    let _ = archive.seek_data(inode, size / 2);
    let _ = archive.seek_hole(inode, size / 3);
    for offset in [size, size.saturating_sub(1), size / 2, u64::MAX] {
        let _ = archive.read(inode, offset, &mut buffer[..5000]);
    }
    let read = archive.read(inode, 0, &mut buffer)? as u64;
    assert_eq!(read, size.min(CONTENT as u64));
    Ok(())
}
