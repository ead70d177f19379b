//! Unpacking an archive into a directory.
//!
//! Whatever the archive says, nothing outside of the directory is touched: names
//! are single components ([`reader`] refuses others), every entry is created,
//! and no symbolic link is followed on the way to it.
//!
//! [`reader`]: crate::reader

use std::{
    collections::HashMap,
    io,
    num::NonZeroUsize,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    sync::Weak,
};

use parking_lot::Mutex;
use rustix::{
    fs::{
        CWD, Gid, Mode, OFlags, Uid, fremovexattr, fstat, fstatvfs, ftruncate, mkdirat, openat,
        statvfs,
    },
    process::{getegid, geteuid},
};

use super::ArchiveError;
use crate::{
    reader::{Archive, Attributes, InodeRef, Kind, Scratch, Walk},
    source::{Source, to_path},
    tally::Tally,
};

mod attributes;
mod large;
mod make;
mod queue;
mod room;

use attributes::{mode_of, umask};
use large::{LARGE, LargeFile};
use make::Parent;
use queue::Queue;
use room::check_room;

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
    Ok(unpacker.left_out.into_inner())
}

/// What a thread can do.
enum Task {
    /// Fill a directory, which is there, by its path below the root.
    Directory(Vec<u8>, InodeRef),
    /// Help with a large file, if it is not complete. It is not kept open by
    /// tasks that wait: there may be many.
    Share(Weak<LargeFile>),
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
            self.locked.lock().push((parent.path, inode));
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

    fn leave_out(&self, path: Vec<u8>, what: &[u8]) {
        self.left_out.lock().add(LeftOut {
            path: to_path(&path),
            what: String::from_utf8_lossy(what).into_owned(),
        });
    }
}

/// Adds where it happened.
fn at<E: Into<io::Error>>(path: &[u8]) -> impl Fn(E) -> ArchiveError {
    move |error| ArchiveError::Unwritable {
        path: to_path(path),
        source: error.into(),
    }
}
