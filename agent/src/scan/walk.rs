//! The walk itself: one directory after the other, depth first, without
//! recursion.

use std::{
    collections::HashMap,
    ffi::OsStr,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Access, AtFlags, FileType, Stat, accessat, fstat, readlinkat, statat},
    io::Errno,
    process::geteuid,
};

use squashfs::{
    report::ChangeKind,
    source::{XattrSet, is_gone, read_xattrs, read_xattrs_of_entry},
    tree::{Builder, File, NewDirectory},
};

use super::{
    Bounds, Control, Exclusion, Notes, Observer, OnUnreadable, ScanError, Scanned, Selection,
    Source,
    listing::Listing,
    rules::{Rules, View, is_cache},
};

/// Walks `source` and gives what `selection` keeps of it. `observer` is told of
/// every decision, and `control` counts and may cancel.
///
/// # Errors
/// See [`ScanError`]. With [`OnUnreadable::Fail`] the whole tree is walked
/// before the scan fails, so that the error has all entries that can be known
/// to be unreadable without opening every file.
pub fn scan(
    source: Source,
    selection: &Selection,
    observer: &mut dyn Observer,
    control: &Control,
) -> Result<Scanned, ScanError> {
    let mut rules = Rules::new(selection)?;
    let view = rules.above(&source);
    let Source { directory, bounds } = source;
    let about = fstat(directory.root()).map_err(|errno| ScanError::Source {
        path: directory.path().to_owned(),
        errno,
    })?;
    let (tree, root) = Builder::new(directory, &about)?;
    let mut walker = Walker {
        tree,
        bounds,
        notes: Notes::default(),
        selection,
        rules,
        observer,
        control,
        links: HashMap::new(),
        pending: vec![Pending {
            directory: root,
            parent_device: None,
            foreign: false,
            view,
        }],
        may_read_all: geteuid().is_root(),
        buffer: Vec::with_capacity(DIRECTORY_BUFFER),
    };
    while let Some(pending) = walker.pending.pop() {
        if control.is_cancelled() {
            return Err(ScanError::Cancelled);
        }
        walker.directory(pending)?;
    }
    let Walker {
        mut tree,
        mut notes,
        rules,
        ..
    } = walker;
    if selection.on_unreadable == OnUnreadable::Fail {
        tree = tree.all_readable().map_err(ScanError::Unreadable)?;
    }
    notes.unread_indexes = rules.unread_indexes;
    Ok(Scanned {
        tree: tree.finish(),
        notes,
    })
}

/// For `getdents64`; large directories take several calls.
const DIRECTORY_BUFFER: usize = 64 * 1024;

/// A directory that was found and not read yet.
struct Pending {
    directory: NewDirectory,
    /// Of the file system that the parent is on; `None` for the root.
    parent_device: Option<u64>,
    /// Known to be another file system that is not to be entered.
    foreign: bool,
    view: View,
}

struct Walker<'a> {
    tree: Builder,
    bounds: Bounds,
    notes: Notes,
    selection: &'a Selection,
    rules: Rules,
    observer: &'a mut dyn Observer,
    control: &'a Control,
    /// Files with several names, by device and inode.
    links: HashMap<(u64, u64), File>,
    pending: Vec<Pending>,
    may_read_all: bool,
    buffer: Vec<u8>,
}

impl Walker<'_> {
    fn source_error(&self, errno: Errno) -> ScanError {
        ScanError::Source {
            path: self.bounds.path().to_owned(),
            errno,
        }
    }

    fn directory(&mut self, pending: Pending) -> Result<(), ScanError> {
        let mut path = self.tree.path(&pending.directory);
        if pending.foreign {
            self.keep_empty(&pending, &path);
            return Ok(());
        }
        let (fd, stat, xattrs) = match self.open(&path) {
            Ok(opened) => opened,
            Err(errno) if path.is_empty() => return Err(self.source_error(errno)),
            Err(errno) => {
                self.lost(&path, errno);
                return Ok(());
            }
        };
        let device = stat.st_dev;
        self.tree.set_attributes(&pending.directory, &stat, xattrs);
        let mounted = pending.parent_device.is_some_and(|parent| parent != device);
        if mounted && !self.may_cross(&path) {
            self.keep_empty(&pending, &path);
            return Ok(());
        }
        let listing = match Listing::read(&fd, &mut self.buffer) {
            Ok(listing) => listing,
            Err(errno) => {
                self.lost(&path, errno);
                return Ok(());
            }
        };
        self.tree.begin_directory(&pending.directory);
        let only_tag = self.selection.exclude_caches
            && !path.is_empty()
            && listing.has(b"CACHEDIR.TAG")
            && is_cache(fd.as_fd());
        let view = self.rules.enter(
            &pending.view,
            &self.bounds,
            fd.as_fd(),
            &path,
            listing.has(b".gitignore"),
            listing.has(b".git"),
        );
        if !path.is_empty() {
            path.push(b'/');
        }

        let below = self.pending.len();
        let prefix = path.len();
        for (name, file_type) in listing.iter() {
            // A directory may have any number of entries, and rules.
            if self.control.is_cancelled() {
                return Err(ScanError::Cancelled);
            }
            path.truncate(prefix);
            path.extend_from_slice(name);
            if only_tag && name != b"CACHEDIR.TAG" {
                self.excluded(&path, Exclusion::ExcludeCaches);
                continue;
            }
            let found = Found {
                directory: fd.as_fd(),
                device,
                path: &path,
                name,
                file_type,
                view: &view,
            };
            self.entry(&found)?;
        }
        // The first by name is to be popped first.
        self.pending[below..].reverse();
        Ok(())
    }

    fn keep_empty(&mut self, pending: &Pending, path: &[u8]) {
        self.tree.begin_directory(&pending.directory);
        self.notes.other_file_systems.add(to_path(path));
    }

    fn open(&self, path: &[u8]) -> Result<(OwnedFd, Stat, XattrSet), Errno> {
        let fd = self.tree.source().open_directory(path)?;
        let stat = fstat(&fd)?;
        let xattrs = read_xattrs(fd.as_fd())?;
        Ok((fd, stat, xattrs))
    }

    fn entry(&mut self, found: &Found<'_>) -> Result<(), ScanError> {
        let mut stat = None;
        let file_type = match found.file_type {
            // Some file systems leave the type out of the listing.
            FileType::Unknown => {
                let Some(known) = self.stat(found) else {
                    return Ok(());
                };
                stat = Some(known);
                FileType::from_raw_mode(known.st_mode)
            }
            known => known,
        };
        let is_directory = file_type == FileType::Directory;
        let view = match self.rules.judge(found.view, found.path, is_directory) {
            Ok(view) => view,
            Err(why) => {
                self.excluded(found.path, why);
                return Ok(());
            }
        };
        let Some(stat) = stat.or_else(|| self.stat(found)) else {
            return Ok(());
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => self.add_directory(found, &stat, view),
            file_type => self.add_other(found, &stat, file_type),
        }
    }

    fn stat(&mut self, found: &Found<'_>) -> Option<Stat> {
        match statat(found.directory, found.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Some(stat),
            Err(errno) if is_gone(errno) => {
                self.changed(found.path, ChangeKind::Vanished);
                None
            }
            Err(errno) => {
                self.unreadable(found.path, errno);
                None
            }
        }
    }

    fn add_directory(
        &mut self,
        found: &Found<'_>,
        stat: &Stat,
        view: View,
    ) -> Result<(), ScanError> {
        let directory = self.tree.add_directory(found.name, stat)?;
        self.pending.push(Pending {
            directory,
            parent_device: Some(found.device),
            foreign: stat.st_dev != found.device && !self.may_cross(found.path),
            view,
        });
        self.included(found.path, 0);
        Ok(())
    }

    fn add_other(
        &mut self,
        found: &Found<'_>,
        stat: &Stat,
        file_type: FileType,
    ) -> Result<(), ScanError> {
        let inode = (stat.st_dev, stat.st_ino);
        if self.bounds.leaves_out(inode) {
            return Ok(());
        }
        let size = match file_type {
            FileType::RegularFile => stat.st_size as u64,
            _ => 0,
        };
        if self
            .selection
            .exclude_larger_than
            .is_some_and(|most| size > most)
        {
            self.excluded(found.path, Exclusion::ExcludeLargerThan);
            return Ok(());
        }
        let known = match stat.st_nlink {
            1 => None,
            _ => self.links.get(&inode).copied(),
        };
        match known {
            Some(file) => self.tree.add_link(found.name, file)?,
            None => match self.add_new(found, stat, file_type)? {
                Some(file) if stat.st_nlink > 1 => drop(self.links.insert(inode, file)),
                Some(_) => {}
                None => return Ok(()),
            },
        }
        let size = if known.is_none() { size } else { 0 };
        self.included(found.path, size);
        Ok(())
    }

    /// Adds a file that has not been met yet; `None` if it is gone or cannot be
    /// read.
    fn add_new(
        &mut self,
        found: &Found<'_>,
        stat: &Stat,
        file_type: FileType,
    ) -> Result<Option<File>, ScanError> {
        if file_type == FileType::RegularFile {
            return match self.check_access(found, stat) {
                Ok(()) => Ok(Some(self.tree.add_file(found.name, stat)?)),
                Err(errno) => Ok(self.lost(found.path, errno)),
            };
        }
        let target = match file_type {
            FileType::Symlink => match readlinkat(found.directory, found.name, Vec::new()) {
                Ok(target) => Some(target),
                // No longer a link.
                Err(Errno::INVAL) => {
                    self.changed(found.path, ChangeKind::Retyped);
                    return Ok(None);
                }
                Err(errno) => return Ok(self.lost(found.path, errno)),
            },
            _ => None,
        };
        let xattrs = match read_xattrs_of_entry(found.directory, found.name) {
            Ok(xattrs) => xattrs,
            Err(errno) => return Ok(self.lost(found.path, errno)),
        };
        Ok(Some(match target {
            Some(target) => {
                let target = target.as_bytes();
                self.tree.add_symlink(found.name, target, stat, xattrs)?
            }
            None => self.tree.add_special(found.name, stat, xattrs)?,
        }))
    }

    /// Whether we may open a file, as far as can be told without opening it:
    /// so that all that cannot be read is known before anything is uploaded.
    fn check_access(&self, found: &Found<'_>, stat: &Stat) -> Result<(), Errno> {
        const READABLE_BY_ALL: u32 = 0o444;
        if self.may_read_all || stat.st_mode & READABLE_BY_ALL == READABLE_BY_ALL {
            return Ok(());
        }
        match accessat(
            found.directory,
            found.name,
            Access::READ_OK,
            AtFlags::EACCESS,
        ) {
            Err(Errno::ACCESS) => Err(Errno::ACCESS),
            // Anything else shows when the file is read.
            _ => Ok(()),
        }
    }

    fn may_cross(&self, path: &[u8]) -> bool {
        let path = Path::new(OsStr::from_bytes(path));
        self.selection.cross_file_systems || self.bounds.reads_through(path)
    }

    fn included(&mut self, path: &[u8], size: u64) {
        self.control.found(size);
        self.observer.included(Path::new(OsStr::from_bytes(path)));
    }

    fn excluded(&mut self, path: &[u8], why: Exclusion) {
        self.notes.excluded += 1;
        self.observer
            .excluded(Path::new(OsStr::from_bytes(path)), why);
    }

    fn lost(&mut self, path: &[u8], errno: Errno) -> Option<File> {
        if is_gone(errno) {
            self.changed(path, ChangeKind::Vanished);
        } else {
            self.unreadable(path, errno);
        }
        None
    }

    fn changed(&mut self, path: &[u8], kind: ChangeKind) {
        self.tree.note_change(to_path(path), kind);
    }

    fn unreadable(&mut self, path: &[u8], errno: Errno) {
        self.tree.note_unreadable(to_path(path), errno);
    }
}

/// An entry of the directory that is being read.
struct Found<'a> {
    directory: BorrowedFd<'a>,
    device: u64,
    path: &'a [u8],
    name: &'a [u8],
    file_type: FileType,
    view: &'a View,
}

pub(super) fn to_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(std::ffi::OsString::from_vec(bytes.to_vec()))
}
