//! Walking the tree.

use std::{
    collections::HashSet,
    fs::Metadata,
    io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use sandbox_shared::EntryCounts;
use walkdir::WalkDir;

use super::{ArchiveError, Rules};

/// What an archive will hold.
#[derive(Debug)]
pub struct Scan {
    /// The directory.
    pub(super) root: PathBuf,
    /// What `stat` says about it.
    pub(super) about: Metadata,
    /// Everything below it that is not left out, parents before children.
    pub(super) entries: Vec<Entry>,
    /// How much that is.
    pub counts: EntryCounts,
}

#[derive(Debug)]
pub(super) struct Entry {
    /// Relative to the root.
    pub(super) path: PathBuf,
    pub(super) about: Metadata,
}

impl Scan {
    /// A size that the archive will not exceed, in bytes: what does not
    /// compress is stored as it is, and an entry's inode, name and attributes
    /// need little.
    pub fn upper_bound(&self) -> u64 {
        const PER_ENTRY: u64 = 1 << 10;
        const FIXED: u64 = 1 << 20;
        let blocks = self.counts.bytes / (64 << 10);
        self.counts.bytes + blocks + PER_ENTRY * self.entries.len() as u64 + FIXED
    }
}

/// Walks `root`, which must be a real path. Blocks.
pub fn scan(root: &Path, mut rules: Rules) -> Result<Scan, ArchiveError> {
    let mut counts = EntryCounts {
        directories: 1,
        ..EntryCounts::default()
    };
    let mut entries = Vec::new();
    let mut linked = HashSet::new();
    let mut unreadable: Option<(PathBuf, io::Error)> = None;
    let mut more = 0;

    rules.enter(root);
    let mut walk = WalkDir::new(root)
        .min_depth(1)
        .sort_by_file_name()
        .into_iter();
    while let Some(entry) = walk.next() {
        let found = entry.and_then(|entry| Ok((entry.metadata()?, entry)));
        let (about, entry) = match found {
            Ok(found) => found,
            Err(error) => {
                let path = error.path().unwrap_or(root).to_owned();
                let error = io::Error::from(error);
                // Removed since its directory was read: as if it had never been there.
                if error.kind() != io::ErrorKind::NotFound {
                    match &unreadable {
                        None => unreadable = Some((path, error)),
                        Some(_) => more += 1,
                    }
                }
                continue;
            }
        };
        // A socket is an address of a process, which no archive can hold.
        let is_socket = about.file_type().is_socket();
        if is_socket || rules.leave_out(entry.path(), about.is_dir()) {
            counts.excluded += 1;
            if about.is_dir() {
                walk.skip_current_dir();
            }
            continue;
        }
        if about.is_dir() {
            counts.directories += 1;
            rules.enter(entry.path());
        } else if about.is_file() {
            counts.files += 1;
            if about.nlink() == 1 || linked.insert((about.dev(), about.ino())) {
                counts.bytes += about.len();
            }
        } else if about.is_symlink() {
            counts.symlinks += 1;
        } else {
            counts.special += 1;
        }
        let path = entry.path().strip_prefix(root).unwrap_or(entry.path());
        entries.push(Entry {
            path: path.to_owned(),
            about,
        });
    }
    if let Some((path, source)) = unreadable {
        return Err(ArchiveError::Unreadable { path, source, more });
    }
    Ok(Scan {
        root: root.to_owned(),
        about: root.symlink_metadata()?,
        entries,
        counts,
    })
}
