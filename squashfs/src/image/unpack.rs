//! Unpacking an archive into a directory.
//!
//! Whatever the archive says, nothing outside of the directory is touched: names
//! are single components ([`reader`] refuses others), every entry is made anew,
//! and no symbolic link is followed on the way to it.
//!
//! [`reader`]: crate::reader

use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    io,
    num::NonZeroUsize,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::{
    fs::{
        AtFlags, CWD, FileType, Gid, Mode, OFlags, StatVfs, Timespec, Timestamps, Uid, XattrFlags,
        chmod, chownat, fchmod, fchown, fremovexattr, fsetxattr, fstat, fstatvfs, ftruncate,
        futimens, linkat, mkdirat, mknodat, openat, setxattr, statvfs, symlinkat, utimensat,
    },
    io::{Errno, pwrite},
    process::{getegid, geteuid},
};

use super::ArchiveError;
use crate::{
    reader::{Archive, Attributes, InodeRef, Kind, Pieces, ReadError, Scratch, Walk},
    source::{Source, proc_path, to_path},
    tally::Tally,
};

mod queue;

use queue::Queue;

/// Files above this many bytes are written by several threads.
const LARGE: u64 = 4 << 20;

/// Bytes of a large file that a thread writes at a time: a multiple of any
/// block size.
const SHARE: u64 = 4 << 20;

/// What directories have while they are filled.
const PRIVATE: Mode = Mode::RWXU;

const PERMISSIONS: Mode = Mode::RWXU.union(Mode::RWXG).union(Mode::RWXO);

/// Something that could not be kept: owners and device nodes, for want of
/// privileges, or extended attributes that the file system does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Below the directory.
    pub path: PathBuf,
    /// `owner`, `device`, or the name of an attribute.
    pub what: String,
}

/// Unpacks an image into `directory`, which must not exist, on all cores. If that
/// fails, what has been unpacked by then is left there: nothing where the tree is
/// damaged or there is not enough room.
///
/// # Errors
/// See [`ArchiveError`]. What the system does not permit is an error only where
/// it can be expected to: see [`LeftOut`].
pub fn unpack(image: &Path, directory: &Path) -> Result<Tally<LeftOut>, ArchiveError> {
    let archive = super::open(image)?;
    let room = statvfs(directory.parent().unwrap_or(directory));
    check_room(&archive, room)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = mkdirat(CWD, directory, PRIVATE)
        .and_then(|()| openat(CWD, directory, flags, Mode::empty()));
    fill(
        &archive,
        made.map_err(at(directory.as_os_str().as_bytes()))?,
    )
}

/// Unpacks an image into a directory that is open for reading, and empty. If that
/// fails, what has been unpacked by then is left there.
///
/// # Errors
/// As those of [`unpack`].
pub fn unpack_into(image: &Path, directory: OwnedFd) -> Result<Tally<LeftOut>, ArchiveError> {
    let archive = super::open(image)?;
    check_room(&archive, fstatvfs(&directory))?;
    fill(&archive, directory)
}

fn fill(archive: &Archive, directory: OwnedFd) -> Result<Tally<LeftOut>, ArchiveError> {
    let root = Source::from_handle(directory).map_err(at(b""))?;
    // What new entries inherit would spread over all of the tree.
    for acl in ["system.posix_acl_default", "system.posix_acl_access"] {
        let _ = fremovexattr(root.root(), acl);
    }
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let unpacker = Unpacker {
        tree: Walk::new(archive),
        archive,
        root,
        first_names: Mutex::default(),
        locked: Mutex::default(),
        left_out: Mutex::default(),
        uid: geteuid(),
        gid: getegid(),
        umask: umask(),
        threads,
    };
    let queue = Queue::new(Task::Directory(Vec::new(), archive.root()));
    let work = |task, queue: &Queue<Task>, scratch: &mut Scratch| match task {
        Task::Directory(path, inode) => unpacker.directory(path, inode, queue, scratch),
        Task::Share(file) => match file.upgrade() {
            Some(file) => unpacker.share(&file, scratch),
            None => Ok(()),
        },
    };
    queue.run(threads, Scratch::default, work)?;
    unpacker.lock_directories()?;
    let left_out = unpacker.left_out.into_inner();
    Ok(left_out.unwrap_or_else(PoisonError::into_inner))
}

/// Whether the content of all files fits on a file system.
fn check_room(archive: &Archive, room: Result<StatVfs, Errno>) -> Result<(), ArchiveError> {
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

/// What a thread can do.
enum Task {
    /// Fill a directory, which is there, by its path below the root.
    Directory(Vec<u8>, InodeRef),
    /// Help with a large file, if it is not complete. It is not kept open by
    /// tasks that wait: there may be many.
    Share(Weak<LargeFile>),
}

/// A file that several threads write.
struct LargeFile {
    new: New,
    path: Vec<u8>,
    /// Where the next thread is to begin.
    next: AtomicU64,
    /// Bytes that are not written yet.
    left: AtomicU64,
}

/// Something that is there but has not all of its attributes yet.
struct New {
    handle: OwnedFd,
    inode: InodeRef,
    attributes: Attributes,
    /// Its group, for now.
    gid: Gid,
    /// Its permissions, for now.
    mode: Mode,
}

/// The directory that is being filled.
struct Parent<'a> {
    directory: &'a New,
    path: Vec<u8>,
    /// What new entries belong to.
    gid: Gid,
}

impl Parent<'_> {
    fn handle(&self) -> BorrowedFd<'_> {
        self.directory.handle.as_fd()
    }

    fn join(&self, name: &[u8]) -> Vec<u8> {
        match self.path.as_slice() {
            b"" => name.to_vec(),
            path => [path, b"/", name].concat(),
        }
    }
}

struct Unpacker<'a> {
    archive: &'a Archive,
    tree: Walk<'a>,
    root: Source,
    /// The first path of each file that has several.
    first_names: Mutex<HashMap<InodeRef, Vec<u8>>>,
    /// Directories whose permissions would keep us out, to be set in the end.
    locked: Mutex<Vec<(Vec<u8>, InodeRef)>>,
    left_out: Mutex<Tally<LeftOut>>,
    uid: Uid,
    gid: Gid,
    umask: Mode,
    threads: usize,
}

impl Unpacker<'_> {
    fn directory(
        &self,
        path: Vec<u8>,
        inode: InodeRef,
        queue: &Queue<Task>,
        scratch: &mut Scratch,
    ) -> Result<(), ArchiveError> {
        let mut entries = self.tree.enter(inode)?;
        let directory = self.open_directory(&path, inode)?;
        let parent = Parent {
            gid: match directory.mode.contains(Mode::SGID) {
                true => directory.gid,
                false => self.gid,
            },
            directory: &directory,
            path,
        };
        while let Some(entry) = entries.next_entry()? {
            if entry.kind == Kind::Directory {
                let path = parent.join(entry.name);
                mkdirat(parent.handle(), entry.name, PRIVATE).map_err(at(&path))?;
                queue.push(Task::Directory(path, entry.inode));
                continue;
            }
            let attributes = self.archive.attributes(entry.inode)?;
            let made = if attributes.link_count > 1 {
                self.make_or_link(&parent, entry.name, entry.inode, attributes)?
            } else {
                self.make(&parent, entry.name, entry.inode, attributes)?
            };
            let Some(file) = made else {
                continue;
            };
            let path = || parent.join(entry.name);
            let size = attributes.size;
            if size > LARGE {
                self.share_out(file, path(), queue, scratch)?;
            } else {
                let pieces = self.tree.content(entry.inode)?;
                if self.write(&file, pieces, size, scratch, &path)? < size {
                    ftruncate(&file.handle, size).map_err(|e| at(&path())(e))?;
                }
                self.finish(&file, &path)?;
            }
        }
        if mode_of(&directory.attributes).contains(Mode::RWXU) {
            self.finish(&directory, &|| parent.path.clone())?;
        } else {
            lock(&self.locked).push((parent.path, inode));
        }
        Ok(())
    }

    fn open_directory(&self, path: &[u8], inode: InodeRef) -> Result<New, ArchiveError> {
        let handle = self.root.open_directory(path).map_err(at(path))?;
        let status = fstat(&handle).map_err(at(path))?;
        Ok(New {
            handle,
            inode,
            attributes: self.archive.attributes(inode)?,
            gid: Gid::from_raw(status.st_gid),
            mode: Mode::from_raw_mode(status.st_mode),
        })
    }

    /// Gives directories the permissions that would have kept us out, those
    /// further down first.
    fn lock_directories(&self) -> Result<(), ArchiveError> {
        let mut locked = std::mem::take(&mut *lock(&self.locked));
        locked.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
        for (path, inode) in locked {
            let directory = self.open_directory(&path, inode)?;
            self.finish(&directory, &|| path.clone())?;
        }
        Ok(())
    }

    /// Makes an entry under its first name, and links its others to that.
    fn make_or_link(
        &self,
        parent: &Parent<'_>,
        name: &[u8],
        inode: InodeRef,
        attributes: Attributes,
    ) -> Result<Option<New>, ArchiveError> {
        // Held until the first name is there: others may ask for it at once.
        let mut first_names = lock(&self.first_names);
        let Some(first) = first_names.get(&inode) else {
            let made = self.make(parent, name, inode, attributes)?;
            first_names.insert(inode, parent.join(name));
            return Ok(made);
        };
        let slash = first.iter().rposition(|&byte| byte == b'/');
        let (directory, first) = match slash {
            Some(slash) => (&first[..slash], &first[slash + 1..]),
            None => (&[][..], first.as_slice()),
        };
        self.root
            .open_directory(directory)
            .and_then(|from| linkat(from, first, parent.handle(), name, AtFlags::empty()))
            .map_err(at(&parent.join(name)))?;
        Ok(None)
    }

    /// Makes an entry that is not a directory. Gives a regular file open and
    /// empty; anything else is complete then.
    fn make(
        &self,
        parent: &Parent<'_>,
        name: &[u8],
        inode: InodeRef,
        attributes: Attributes,
    ) -> Result<Option<New>, ArchiveError> {
        let failed = |errno: Errno| at(&parent.join(name))(errno);
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let permissions = mode_of(&attributes) & PERMISSIONS;
        let (kind, mode) = match attributes.kind {
            Kind::File => {
                let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
                let handle = openat(parent.handle(), name, flags, permissions);
                return Ok(Some(New {
                    handle: handle.map_err(failed)?,
                    inode,
                    attributes,
                    gid: parent.gid,
                    mode: permissions - self.umask,
                }));
            }
            // Only its listing says that it is no directory.
            Kind::Directory => {
                return Err(ArchiveError::from(ReadError::Damaged {
                    what: "a directory says that a file is of another kind",
                    at: self.archive.superblock().directory_table.get(),
                }));
            }
            Kind::Symlink => {
                let target = self.archive.read_link(inode)?;
                symlinkat(target, parent.handle(), name).map_err(failed)?;
                // A link's own permissions mean nothing and cannot be set.
                (None, mode_of(&attributes))
            }
            Kind::BlockDevice => (Some(FileType::BlockDevice), permissions),
            Kind::CharDevice => (Some(FileType::CharacterDevice), permissions),
            Kind::Fifo => (Some(FileType::Fifo), permissions),
            Kind::Socket => (Some(FileType::Socket), permissions),
        };
        if let Some(kind) = kind {
            match mknodat(parent.handle(), name, kind, mode, attributes.device) {
                Err(Errno::PERM) if !self.uid.is_root() => {
                    self.leave_out(parent.join(name), b"device");
                    return Ok(None);
                }
                result => result.map_err(failed)?,
            }
        }
        // It must not be opened for more than this.
        let handle = openat(parent.handle(), name, flags | OFlags::PATH, Mode::empty());
        let new = New {
            handle: handle.map_err(failed)?,
            inode,
            attributes,
            gid: parent.gid,
            mode: match kind {
                Some(_) => mode - self.umask,
                None => mode,
            },
        };
        self.finish(&new, &|| parent.join(name))?;
        Ok(None)
    }

    /// Writes a large file, together with whoever has nothing else to do.
    fn share_out(
        &self,
        new: New,
        path: Vec<u8>,
        queue: &Queue<Task>,
        scratch: &mut Scratch,
    ) -> Result<(), ArchiveError> {
        self.tree.content(new.inode)?;
        let size = new.attributes.size;
        ftruncate(&new.handle, size).map_err(at(&path))?;
        let file = Arc::new(LargeFile {
            new,
            path,
            next: AtomicU64::new(0),
            left: AtomicU64::new(size),
        });
        let helpers = size.div_ceil(SHARE).min(self.threads as u64) - 1;
        for _ in 0..helpers {
            queue.push(Task::Share(Arc::downgrade(&file)));
        }
        self.share(&file, scratch)
    }

    /// Writes shares of a large file until there are none left. Who writes the
    /// last byte finishes the file.
    fn share(&self, file: &LargeFile, scratch: &mut Scratch) -> Result<(), ArchiveError> {
        let size = file.new.attributes.size;
        let path = || file.path.clone();
        loop {
            let start = file.next.fetch_add(SHARE, Ordering::Relaxed);
            if start >= size {
                return Ok(());
            }
            let end = size.min(start.saturating_add(SHARE));
            let pieces = self.archive.pieces_from(file.new.inode, start)?;
            if let Err(error) = self.write(&file.new, pieces, end, scratch, &path) {
                // No need for the others to go on.
                file.next.store(size, Ordering::Relaxed);
                return Err(error);
            }
            let left = file.left.fetch_sub(end - start, Ordering::AcqRel);
            if left == end - start {
                self.finish(&file.new, &path)?;
            }
        }
    }

    /// Writes pieces, up to an offset. Gives where the last data ends.
    fn write(
        &self,
        file: &New,
        mut pieces: Pieces<'_>,
        until: u64,
        scratch: &mut Scratch,
        path: &dyn Fn() -> Vec<u8>,
    ) -> Result<u64, ArchiveError> {
        let mut end = 0;
        while let Some(piece) = pieces.next_piece()? {
            if piece.offset >= until {
                break;
            }
            if let Some(content) = self.archive.piece_content(&piece, scratch)? {
                write_all(&file.handle, content, piece.offset).map_err(|e| at(&path())(e))?;
                end = piece.offset + piece.length as u64;
            }
        }
        Ok(end)
    }

    /// Gives something new the attributes that it does not have yet: owner
    /// first, as changing that takes set-id bits and capabilities away; time
    /// last.
    fn finish(&self, new: &New, path: &dyn Fn() -> Vec<u8>) -> Result<(), ArchiveError> {
        let New {
            handle, attributes, ..
        } = new;
        let failed = |errno: Errno| at(&path())(errno);
        let is_open = matches!(attributes.kind, Kind::File | Kind::Directory);
        let owner = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
        if owner != (self.uid, new.gid) {
            let (uid, gid) = (Some(owner.0), Some(owner.1));
            let changed = match is_open {
                true => fchown(handle, uid, gid),
                false => chownat(handle, "", uid, gid, AtFlags::EMPTY_PATH),
            };
            match changed {
                Err(Errno::PERM) if !self.uid.is_root() => self.leave_out(path(), b"owner"),
                result => result.map_err(failed)?,
            }
        }
        if attributes.xattr_set.is_some() {
            self.set_xattrs(new, is_open, path)?;
        }
        let mode = mode_of(attributes);
        if mode != new.mode || !PERMISSIONS.contains(mode) {
            match is_open {
                true => fchmod(handle, mode),
                // It is no link: the mode of links is never another.
                false => chmod(proc_path(handle.as_fd()), mode),
            }
            .map_err(failed)?;
        }
        let times = times(attributes);
        match is_open {
            true => futimens(handle, &times),
            false => utimensat(handle, "", &times, AtFlags::EMPTY_PATH),
        }
        .map_err(failed)
    }

    fn set_xattrs(
        &self,
        new: &New,
        is_open: bool,
        path: &dyn Fn() -> Vec<u8>,
    ) -> Result<(), ArchiveError> {
        for xattr in self.archive.xattrs(new.inode)? {
            let name = OsStr::from_bytes(&xattr.name);
            let flags = XattrFlags::empty();
            let set = match is_open {
                true => fsetxattr(&new.handle, name, &xattr.value, flags),
                false => setxattr(proc_path(new.handle.as_fd()), name, &xattr.value, flags),
            };
            match set {
                Err(Errno::NOTSUP | Errno::PERM) => self.leave_out(path(), &xattr.name),
                result => result.map_err(at(&path()))?,
            }
        }
        Ok(())
    }

    fn leave_out(&self, path: Vec<u8>, what: &[u8]) {
        lock(&self.left_out).add(LeftOut {
            path: to_path(&path),
            what: String::from_utf8_lossy(what).into_owned(),
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds where it happened.
fn at<E: Into<io::Error>>(path: &[u8]) -> impl Fn(E) -> ArchiveError {
    move |error| ArchiveError::Unwritable {
        path: to_path(path),
        source: error.into(),
    }
}

fn mode_of(attributes: &Attributes) -> Mode {
    Mode::from_raw_mode(attributes.mode.into())
}

/// The mask of this process, which only setting it tells otherwise. If it is not
/// known, all permissions are set explicitly.
fn umask() -> Mode {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    let mask = line.and_then(|text| u32::from_str_radix(text.trim(), 8).ok());
    Mode::from_raw_mode(mask.unwrap_or(0o777))
}

fn times(attributes: &Attributes) -> Timestamps {
    let time = Timespec {
        tv_sec: attributes.mtime.into(),
        tv_nsec: 0,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

fn write_all(file: &OwnedFd, mut content: &[u8], mut offset: u64) -> Result<(), Errno> {
    while !content.is_empty() {
        match pwrite(file, content, offset) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => {
                content = &content[written..];
                offset += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
