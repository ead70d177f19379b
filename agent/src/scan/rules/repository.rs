//! What is read of git's own files: `info/exclude` and the index.
//!
//! All of it is opened below the handle of a directory. Where `.git` is a file or
//! a link, as in linked working trees and submodules, they lie elsewhere, and are
//! read only where the [`Bounds`] say that one may look.

use std::{
    cell::Cell,
    ffi::OsStr,
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    rc::Rc,
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, fstat, openat, readlinkat, statat},
    io::Errno,
};

use squashfs::source::open_file;

use super::{
    GIT, LONGEST_PATTERN_FILE, View,
    index::{Extent, Tracked},
    read_small_file,
};
use crate::{paths::place::open_directory, scan::Bounds};

/// Longer is no path that could be opened.
const LONGEST_PATH: usize = 4096;

/// Of all indexes that are in memory at once: files and directories, eight bytes
/// each.
const MOST_TRACKED: usize = 4 << 20;

const DIRECTORY: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::PATH)
    .union(OFlags::CLOEXEC);

/// Whether a directory is the root of a working tree.
pub(super) fn is_repository(directory: BorrowedFd<'_>) -> bool {
    statat(directory, GIT, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| {
        matches!(
            FileType::from_raw_mode(stat.st_mode),
            FileType::Directory | FileType::RegularFile | FileType::Symlink
        )
    })
}

/// How many more paths of indexes there is room for.
#[derive(Clone)]
pub(super) struct Room(Rc<Cell<usize>>);

impl Default for Room {
    fn default() -> Self {
        Self(Rc::new(Cell::new(MOST_TRACKED)))
    }
}

/// Which files of a working tree are tracked.
pub(in crate::scan) struct Repository {
    tracked: Tracked,
    /// Bytes of a path that lead to the root of the working tree.
    prefix: usize,
    room: Room,
}

impl Repository {
    /// Reads the index.
    pub(super) fn open(git: &GitDirectory, prefix: usize, room: &Room) -> io::Result<Self> {
        let tracked = match git.file(b"index") {
            Ok(mut index) => {
                Tracked::read(&mut index, |name| git.file(name.as_bytes()), room.0.get())?
            }
            // Nothing was ever added.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Tracked::default(),
            Err(error) => return Err(error),
        };
        room.0.set(room.0.get() - tracked.count());
        Ok(Self {
            tracked,
            prefix,
            room: room.clone(),
        })
    }

    /// How to see `path`, which patterns leave out, if it is to be kept because
    /// it is tracked, or files below it are.
    pub(super) fn keeps(self: &Rc<Self>, path: &[u8], is_directory: bool) -> Option<View> {
        let path = &path[self.prefix..];
        if !is_directory {
            return self.tracked.has_file(path).then_some(View::All);
        }
        Some(match self.tracked.directory(path)? {
            Extent::Part => View::Tracked(Rc::clone(self)),
            Extent::Whole => View::All,
        })
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        let room = &self.room.0;
        room.set(room.get() + self.tracked.count());
    }
}

/// Where a repository has its own files.
pub(super) struct GitDirectory {
    handle: OwnedFd,
    path: PathBuf,
}

impl GitDirectory {
    /// That of the working tree whose root is `directory`, at `path`.
    pub(super) fn find(
        directory: BorrowedFd<'_>,
        path: &Path,
        bounds: &Bounds,
    ) -> io::Result<Self> {
        match openat(directory, GIT, DIRECTORY, Mode::empty()) {
            Ok(handle) => Ok(Self {
                handle,
                path: path.join(OsStr::from_bytes(GIT)),
            }),
            Err(Errno::NOTDIR | Errno::LOOP) => {
                let target = match readlinkat(directory, GIT, Vec::new()) {
                    Ok(target) => target.into_bytes(),
                    Err(_) => {
                        let text = read_small_file(directory, GIT, LONGEST_PATH)?;
                        let target = text.strip_prefix(b"gitdir: ").ok_or(Errno::INVAL)?;
                        without_line_end(target).to_vec()
                    }
                };
                Self::elsewhere(path, &target, bounds)
            }
            Err(errno) => Err(errno.into()),
        }
    }

    /// The one that `base` names as `target`, which may lead through links, but
    /// only to where one may look.
    fn elsewhere(base: &Path, target: &[u8], bounds: &Bounds) -> io::Result<Self> {
        let path = base.join(OsStr::from_bytes(target)).canonicalize()?;
        if !bounds.may_look_into(&path) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(Self {
            handle: open_directory(&path)?,
            path,
        })
    }

    /// The text of `info/exclude`, which all working trees of a repository share.
    pub(super) fn exclude(&self, bounds: &Bounds) -> io::Result<Vec<u8>> {
        let shared;
        let common = match read_small_file(self.handle.as_fd(), b"commondir", LONGEST_PATH) {
            Ok(target) => {
                shared = Self::elsewhere(&self.path, without_line_end(&target), bounds)?;
                &shared
            }
            Err(_) => self,
        };
        let info = openat(&common.handle, "info", DIRECTORY, Mode::empty())?;
        Ok(read_small_file(
            info.as_fd(),
            b"exclude",
            LONGEST_PATTERN_FILE,
        )?)
    }

    fn file(&self, name: &[u8]) -> io::Result<File> {
        let file = open_file(self.handle.as_fd(), name)?;
        let is_file = FileType::from_raw_mode(fstat(&file)?.st_mode) == FileType::RegularFile;
        if !is_file {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(File::from(file))
    }
}

fn without_line_end(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| !b"\r\n".contains(byte));
    &text[..end.map_or(0, |last| last + 1)]
}
