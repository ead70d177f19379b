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

use super::{
    Change, ChangeKind, Control, Exclusion, Metadata, NodeId, Observer, OnUnreadable, ScanError,
    Selection, Source, Tree, Unreadable, errno_means_gone,
    listing::Listing,
    rules::{Rules, View, is_cache},
    tree::{DirectoryId, EntryId, Kind, Node, TextId, plain_kind},
    xattrs::{XattrSet, read_from_file, read_from_name},
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
) -> Result<Tree, ScanError> {
    let mut rules = Rules::new(selection)?;
    let view = rules.above(&source);
    let mut walker = Walker {
        tree: Tree::new(source, selection.on_unreadable),
        selection,
        rules,
        observer,
        control,
        links: HashMap::new(),
        pending: Vec::new(),
        may_read_all: geteuid().is_root(),
        buffer: Vec::with_capacity(DIRECTORY_BUFFER),
    };
    walker.begin(view)?;
    while let Some(pending) = walker.pending.pop() {
        if control.is_cancelled() {
            return Err(ScanError::Cancelled);
        }
        walker.directory(pending)?;
    }
    let mut tree = walker.tree;
    tree.report.unread_indexes = walker.rules.unread_indexes;
    tree.shrink();
    tree.counts.unreadable = tree.report.unreadable.count();
    tree.counts.changed = tree.report.changes.count();
    if tree.on_unreadable() == OnUnreadable::Fail && !tree.report.unreadable.is_empty() {
        return Err(ScanError::Unreadable(tree.report.unreadable));
    }
    Ok(tree)
}

/// For `getdents64`; large directories take several calls.
const DIRECTORY_BUFFER: usize = 64 * 1024;

/// A directory that was found and not read yet.
struct Pending {
    node: NodeId,
    parent: DirectoryId,
    name: TextId,
    /// Of the file system that the parent is on; `None` for the root.
    parent_device: Option<u64>,
    /// Known to be another file system that is not to be entered.
    foreign: bool,
    view: View,
}

struct Walker<'a> {
    tree: Tree,
    selection: &'a Selection,
    rules: Rules,
    observer: &'a mut dyn Observer,
    control: &'a Control,
    /// Files with several names, by device and inode, and their first entry.
    links: HashMap<(u64, u64), (NodeId, EntryId)>,
    pending: Vec<Pending>,
    may_read_all: bool,
    buffer: Vec<u8>,
}

impl Walker<'_> {
    fn begin(&mut self, view: View) -> Result<(), ScanError> {
        let fd = self.tree.source.root();
        let stat = fstat(fd).map_err(|errno| self.source_error(errno))?;
        let node = self.tree.add_node(Node {
            kind: Kind::Omitted,
            metadata: Metadata::of(&stat),
        })?;
        let name = self.tree.add_text(b"")?;
        self.pending.push(Pending {
            node,
            parent: DirectoryId(0),
            name,
            parent_device: None,
            foreign: false,
            view,
        });
        Ok(())
    }

    fn source_error(&self, errno: Errno) -> ScanError {
        ScanError::Source {
            path: self.tree.source.path().to_owned(),
            errno,
        }
    }

    fn directory(&mut self, pending: Pending) -> Result<(), ScanError> {
        let mut path = self.path_of(&pending);
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
        self.tree.node_mut(pending.node).metadata = Metadata::of(&stat);
        if !xattrs.is_empty() {
            self.tree.xattrs.insert(pending.node, xattrs);
        }
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
        let id = self.begin_directory(&pending);
        let only_tag = self.selection.exclude_caches
            && !path.is_empty()
            && listing.has(b"CACHEDIR.TAG")
            && is_cache(fd.as_fd());
        let view = self.rules.enter(
            &pending.view,
            &self.tree.source,
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
                id,
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

    fn path_of(&self, pending: &Pending) -> Vec<u8> {
        if pending.parent_device.is_none() {
            return Vec::new();
        }
        let mut path = self.tree.directory_path(pending.parent);
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(self.tree.text(pending.name));
        path
    }

    fn begin_directory(&mut self, pending: &Pending) -> DirectoryId {
        self.tree.counts.directories += 1;
        self.tree
            .begin_directory(pending.node, pending.parent, pending.name)
    }

    fn keep_empty(&mut self, pending: &Pending, path: &[u8]) {
        self.begin_directory(pending);
        self.tree.report.other_file_systems.add(to_path(path));
    }

    fn open(&self, path: &[u8]) -> Result<(OwnedFd, Stat, XattrSet), Errno> {
        let fd = self.tree.source.open_directory(path)?;
        let stat = fstat(&fd)?;
        let xattrs = read_from_file(fd.as_fd())?;
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
            Err(errno) if errno_means_gone(errno) => {
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
        let name = self.tree.add_text(found.name)?;
        let node = self.tree.add_node(Node {
            kind: Kind::Omitted,
            metadata: Metadata::of(stat),
        })?;
        self.tree.add_entry(name, node)?;
        self.pending.push(Pending {
            node,
            parent: found.id,
            name,
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
        if self.tree.source.leaves_out(inode) {
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
        let (node, first) = match known {
            Some((node, first)) => (node, Some(first)),
            None => match self.new_node(found, stat, file_type)? {
                Some(node) => (node, None),
                None => return Ok(()),
            },
        };
        let name = self.tree.add_text(found.name)?;
        let entry = self.tree.add_entry(name, node)?;
        match first {
            Some(first) => self.tree.add_link(node, first, entry),
            None if stat.st_nlink > 1 => drop(self.links.insert(inode, (node, entry))),
            None => {}
        }
        let counts = &mut self.tree.counts;
        match file_type {
            FileType::RegularFile => counts.files += 1,
            FileType::Symlink => counts.symlinks += 1,
            _ => counts.special += 1,
        }
        let size = if first.is_none() { size } else { 0 };
        counts.bytes += size;
        self.tree.content += size.min(most_content(stat));
        self.included(found.path, size);
        Ok(())
    }

    /// A node for a file that has not been met yet; `None` if it is gone or
    /// cannot be read.
    fn new_node(
        &mut self,
        found: &Found<'_>,
        stat: &Stat,
        file_type: FileType,
    ) -> Result<Option<NodeId>, ScanError> {
        let kind = match file_type {
            FileType::Symlink => match readlinkat(found.directory, found.name, Vec::new()) {
                Ok(target) => Kind::Symlink {
                    target: self.tree.add_text(target.as_bytes())?,
                },
                // No longer a link.
                Err(Errno::INVAL) => {
                    self.changed(found.path, ChangeKind::Retyped);
                    return Ok(None);
                }
                Err(errno) => return Ok(self.lost(found.path, errno)),
            },
            FileType::RegularFile => {
                if let Err(errno) = self.check_access(found, stat) {
                    return Ok(self.lost(found.path, errno));
                }
                plain_kind(stat)
            }
            _ => plain_kind(stat),
        };
        let xattrs = match file_type {
            FileType::RegularFile => None,
            _ => match read_from_name(found.directory, found.name) {
                Ok(set) if set.is_empty() => None,
                Ok(set) => Some(set),
                Err(errno) => return Ok(self.lost(found.path, errno)),
            },
        };
        let node = self.tree.add_node(Node {
            kind,
            metadata: Metadata::of(stat),
        })?;
        if let Some(set) = xattrs {
            self.tree.xattrs.insert(node, set);
        }
        Ok(Some(node))
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
        self.selection.cross_file_systems || self.tree.source.reads_through(path)
    }

    fn included(&mut self, path: &[u8], size: u64) {
        Control::add(&self.control.scanned_entries, 1);
        Control::add(&self.control.scanned_bytes, size);
        self.observer.included(Path::new(OsStr::from_bytes(path)));
    }

    fn excluded(&mut self, path: &[u8], why: Exclusion) {
        self.tree.counts.excluded += 1;
        self.observer
            .excluded(Path::new(OsStr::from_bytes(path)), why);
    }

    fn lost(&mut self, path: &[u8], errno: Errno) -> Option<NodeId> {
        if errno_means_gone(errno) {
            self.changed(path, ChangeKind::Vanished);
        } else {
            self.unreadable(path, errno);
        }
        None
    }

    fn changed(&mut self, path: &[u8], kind: ChangeKind) {
        let path = to_path(path);
        self.tree.report.changes.add(Change { path, kind });
    }

    fn unreadable(&mut self, path: &[u8], errno: Errno) {
        let path = to_path(path);
        self.tree.report.unreadable.add(Unreadable { path, errno });
    }
}

/// More bytes than a file has outside holes, most likely. Its blocks may hold
/// more than their size, as some file systems compress.
fn most_content(stat: &Stat) -> u64 {
    const BLOCK: u64 = 512;
    const BEST_COMPRESSION: u64 = 16;
    // Small files may have no blocks at all, their content being in the inode.
    const IN_INODE: u64 = 64 << 10;
    (stat.st_blocks as u64).saturating_mul(BLOCK * BEST_COMPRESSION) + IN_INODE
}

/// An entry of the directory that is being read.
struct Found<'a> {
    directory: BorrowedFd<'a>,
    id: DirectoryId,
    device: u64,
    path: &'a [u8],
    name: &'a [u8],
    file_type: FileType,
    view: &'a View,
}

pub(crate) fn to_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(std::ffi::OsString::from_vec(bytes.to_vec()))
}
