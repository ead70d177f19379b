//! What the reader shows of an archive, in the form that the harness compares.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use squashfs::reader::{Archive, FileSource, InodeRef, Kind, Options};

use crate::harness::{Facts, Snapshot};

pub(crate) fn open(path: &Path) -> Archive {
    open_with(path, &Options::default())
}

pub(crate) fn open_with(path: &Path, options: &Options) -> Archive {
    Archive::open(Arc::new(FileSource::open(path).unwrap()), options).unwrap()
}

/// Names of a directory, in batches as a kernel asks for them.
pub(crate) fn names(archive: &Archive, directory: InodeRef) -> Vec<(Vec<u8>, InodeRef)> {
    let mut names = Vec::new();
    let mut from = 0;
    loop {
        let before = names.len();
        let mut entries = archive.read_dir(directory, from).unwrap();
        while names.len() < before + 7 {
            let Some(entry) = entries.next_entry().unwrap() else {
                return names;
            };
            names.push((entry.name.to_vec(), entry.inode));
            from = entry.next;
        }
    }
}

fn content(archive: &Archive, inode: InodeRef, size: u64) -> Vec<u8> {
    let mut content = vec![0xaa; size as usize + 1];
    let length = archive.read(inode, 0, &mut content).unwrap();
    content.truncate(length);
    content
}

pub(crate) fn facts(archive: &Archive, inode: InodeRef) -> Facts {
    let attributes = archive.attributes(inode).unwrap();
    let (file_type, content) = match attributes.kind {
        Kind::Directory => ('d', Vec::new()),
        Kind::Symlink => ('l', archive.read_link(inode).unwrap()),
        Kind::File => ('f', content(archive, inode, attributes.size)),
        Kind::Fifo => ('p', Vec::new()),
        Kind::Socket => ('s', Vec::new()),
        Kind::BlockDevice => ('b', Vec::new()),
        Kind::CharDevice => ('c', Vec::new()),
    };
    let xattrs = archive.xattrs(inode).unwrap();
    Facts {
        file_type,
        mode: attributes.mode.into(),
        uid: attributes.uid,
        gid: attributes.gid,
        mtime: attributes.mtime.into(),
        links: attributes.link_count.into(),
        size: match attributes.kind {
            Kind::Directory => 0,
            _ => attributes.size,
        },
        device: attributes.device,
        content,
        xattrs: xattrs
            .into_iter()
            .map(|xattr| (OsString::from_vec(xattr.name), xattr.value))
            .collect(),
        twins: Vec::new(),
    }
}

/// Describes an archive as [`snapshot`] does a mounted one.
pub(crate) fn view(archive: &Archive) -> Snapshot {
    let mut entries = Snapshot::new();
    let mut twins: BTreeMap<InodeRef, Vec<PathBuf>> = BTreeMap::new();
    let mut pending = vec![(PathBuf::new(), archive.root())];
    while let Some((path, inode)) = pending.pop() {
        let facts = facts(archive, inode);
        if facts.file_type == 'd' {
            for (name, child) in names(archive, inode) {
                assert_eq!(archive.lookup(inode, &name).unwrap(), Some(child));
                pending.push((path.join(OsString::from_vec(name)), child));
            }
        } else {
            twins.entry(inode).or_default().push(path.clone());
        }
        entries.insert(path, facts);
    }
    for mut twins in twins.into_values().filter(|twins| twins.len() > 1) {
        twins.sort();
        for twin in &twins {
            entries.get_mut(twin).unwrap().twins.clone_from(&twins);
        }
    }
    entries
}

/// ACLs have a name of their own only in our reader.
pub(crate) fn with_acl_names(mut snapshot: Snapshot) -> Snapshot {
    for facts in snapshot.values_mut() {
        facts.xattrs = std::mem::take(&mut facts.xattrs)
            .into_iter()
            .map(|(name, value)| match name.to_str() {
                Some(text) if text.starts_with("trusted.system.posix_acl_") => {
                    (text["trusted.".len()..].into(), value)
                }
                _ => (name, value),
            })
            .collect();
    }
    snapshot
}

/// Linux's driver says what an inode says of its names; of directories and of
/// files whose names are not all in the archive, that may be more than there are.
pub(crate) fn with_links_counted(snapshot: Snapshot) -> Snapshot {
    let mut snapshot = with_acl_names(snapshot);
    for facts in snapshot.values_mut().filter(|f| f.file_type != 'd') {
        facts.links = facts.twins.len().max(1) as u64;
    }
    snapshot
}
