//! Content of its own: one plain file for each node that has some.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    os::fd::OwnedFd,
    path::Path,
    sync::Arc,
};

use parking_lot::Mutex;
use rustix::{
    fs::{AtFlags, Dir, Mode, OFlags, Stat, StatVfs, fstatvfs, open, openat, statat, unlinkat},
    io::Errno,
    process::{Resource, getrlimit, setrlimit},
};

/// Files kept open, at most. Beyond that all are closed, and opened again as
/// they are needed.
const OPEN: usize = 1024;

/// The directory `data` of an upper directory. A file's name is its node's
/// number.
#[derive(Debug)]
pub(super) struct Store {
    directory: OwnedFd,
    open: Mutex<HashMap<u64, Arc<File>>>,
    most_open: usize,
}

impl Store {
    /// Opens the store, and removes the files that nobody wants: those whose
    /// nodes were not yet, or not any more, in the journal when a server was
    /// killed.
    pub(super) fn open(upper: &Path, wanted: impl Fn(u64) -> bool) -> io::Result<Self> {
        let path = upper.join("data");
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let directory = open(
            &path,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        for entry in Dir::read_from(&directory)? {
            let entry = entry?;
            let number = entry
                .file_name()
                .to_str()
                .ok()
                .and_then(|name| u64::from_str_radix(name, 16).ok());
            if number.is_some_and(|node| !wanted(node)) {
                unlinkat(&directory, entry.file_name(), AtFlags::empty())?;
            }
        }
        Ok(Self {
            directory,
            open: Mutex::default(),
            most_open: raise_limit(),
        })
    }

    /// Makes an empty file for a node.
    pub(super) fn create(&self, node: u64) -> Result<Arc<File>, Errno> {
        self.open_file(node, OFlags::CREATE | OFlags::TRUNC)
    }

    /// The file of a node that has one.
    pub(super) fn file(&self, node: u64) -> Result<Arc<File>, Errno> {
        if let Some(file) = self.open.lock().get(&node) {
            return Ok(file.clone());
        }
        self.open_file(node, OFlags::empty())
    }

    fn open_file(&self, node: u64, flags: OFlags) -> Result<Arc<File>, Errno> {
        let file = openat(
            &self.directory,
            name(node),
            OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | flags,
            Mode::RUSR | Mode::WUSR,
        )?;
        let file = Arc::new(File::from(file));
        let mut open = self.open.lock();
        let closed = if open.len() < self.most_open {
            HashMap::new()
        } else {
            std::mem::take(&mut *open)
        };
        open.insert(node, file.clone());
        drop(open);
        drop(closed);
        Ok(file)
    }

    pub(super) fn stat(&self, node: u64) -> Result<Stat, Errno> {
        statat(&self.directory, name(node), AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Removes a node's file, if it has one.
    pub(super) fn remove(&self, node: u64) {
        self.open.lock().remove(&node);
        // If that fails, the next start will see to it.
        let _ = unlinkat(&self.directory, name(node), AtFlags::empty());
    }

    /// The file system that it is on.
    pub(super) fn statvfs(&self) -> Result<StatVfs, Errno> {
        fstatvfs(&self.directory)
    }
}

fn name(node: u64) -> String {
    format!("{node:x}")
}

/// Allows this process as many open files as it may allow itself, and says how
/// many of them the store may have.
fn raise_limit() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // The lower tree, connections and others need some, too.
    let _ = setrlimit(Resource::Nofile, limit);
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(allowed / 4).unwrap_or(OPEN).clamp(16, OPEN)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn what_nobody_wants_is_swept_away() {
        let upper = tempfile::tempdir().unwrap();
        let store = Store::open(upper.path(), |_| false).unwrap();
        for node in [7, 8] {
            let file = store.create(node).unwrap();
            file.write_all_at(b"content", 0).unwrap();
        }
        drop(store);
        let store = Store::open(upper.path(), |node| node == 8).unwrap();
        assert_eq!(store.stat(7).unwrap_err(), Errno::NOENT);
        assert_eq!(store.file(7).unwrap_err(), Errno::NOENT);
        assert_eq!(store.stat(8).unwrap().st_size, 7);
        store.remove(8);
        assert_eq!(store.file(8).unwrap_err(), Errno::NOENT);
    }

    #[test]
    fn files_beyond_the_limit_are_opened_again() {
        let upper = tempfile::tempdir().unwrap();
        let mut store = Store::open(upper.path(), |_| false).unwrap();
        store.most_open = 3;
        for node in 0..10 {
            store.create(node).unwrap();
            assert!(store.open.lock().len() <= 3);
        }
        for node in 0..10 {
            let file = store.file(node).unwrap();
            assert_eq!(file.write_at(&[1], node).unwrap(), 1);
        }
        assert_eq!(store.stat(9).unwrap().st_size, 10);
    }
}
