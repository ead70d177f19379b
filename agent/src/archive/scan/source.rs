//! A directory handle, and the only way files below it are opened.
//!
//! Every path is resolved from the handle with `openat2` and
//! `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS` (Linux 5.6), or, where a sandbox
//! forbids that call, one component at a time with `O_NOFOLLOW`. So no
//! handle is kept per level of depth, and no link is ever followed.

use std::{
    ffi::OsStr,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags, ResolveFlags, openat, openat2, readlink},
    io::Errno,
};

use crate::paths::place::{open_directory, proc_path};

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// `O_NONBLOCK` keeps a FIFO that took a file's place from blocking us.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);

/// Longest path handed to one system call; `PATH_MAX` is 4096 with the final NUL.
const LONGEST_STEP: usize = 4000;

/// The directory to archive.
#[derive(Debug)]
pub struct Source {
    root: OwnedFd,
    path: PathBuf,
    has_openat2: bool,
    read_through: Vec<PathBuf>,
    looked_into: Vec<PathBuf>,
    left_out: Vec<(u64, u64)>,
}

impl Source {
    /// Opens the directory at an absolute `path` without symbolic links: one that
    /// has come into it since the path was resolved is an error.
    pub fn open(path: &Path) -> io::Result<Self> {
        let directory = open_directory(path)?;
        let readable = openat(directory, ".", DIRECTORY, Mode::empty())?;
        Ok(Self::from_handle(readable)?)
    }

    /// Takes a directory that is open already.
    pub fn from_handle(root: OwnedFd) -> Result<Self, Errno> {
        let path = readlink(proc_path(root.as_fd()), Vec::new())?;
        let path = PathBuf::from(OsStr::from_bytes(path.as_bytes()));
        let has_openat2 = openat2(&root, ".", DIRECTORY, Mode::empty(), BENEATH).is_ok();
        Ok(Self {
            root,
            path,
            has_openat2,
            read_through: Vec::new(),
            looked_into: Vec::new(),
            left_out: Vec::new(),
        })
    }

    /// Directories, relative to this one, that are entered even though they
    /// are other file systems: our own restored mounts.
    pub fn reading_through(self, directories: Vec<PathBuf>) -> Self {
        Self {
            read_through: directories,
            ..self
        }
    }

    /// Directories, by absolute paths without links, in which the index of a
    /// repository may be read whose working tree is elsewhere. In this directory
    /// it always may.
    pub fn looking_into(self, directories: Vec<PathBuf>) -> Self {
        Self {
            looked_into: directories,
            ..self
        }
    }

    /// Files, by device and inode, that are as good as not there: the archive.
    pub fn leaving_out(self, files: Vec<(u64, u64)>) -> Self {
        Self {
            left_out: files,
            ..self
        }
    }

    pub(crate) fn may_look_into(&self, path: &Path) -> bool {
        let mut allowed = self.looked_into.iter().chain([&self.path]);
        allowed.any(|directory| path.starts_with(directory))
    }

    pub(crate) fn leaves_out(&self, file: (u64, u64)) -> bool {
        self.left_out.contains(&file)
    }

    pub(crate) fn reads_through(&self, directory: &Path) -> bool {
        self.read_through.iter().any(|mount| mount == directory)
    }

    /// Where the directory was when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Opens the directory `relative`, whose components are separated by single
    /// slashes; empty for the root.
    pub(crate) fn open_directory(&self, relative: &[u8]) -> Result<OwnedFd, Errno> {
        if relative.is_empty() {
            return self.step(self.root.as_fd(), b".");
        }
        let mut opened: Option<OwnedFd> = None;
        let mut rest = relative;
        while !rest.is_empty() {
            let (step, after) = self.split_step(rest);
            let base = opened.as_ref().map_or(self.root.as_fd(), |fd| fd.as_fd());
            opened = Some(self.step(base, step)?);
            rest = after;
        }
        opened.ok_or(Errno::NOENT)
    }

    /// As much of `path` as one system call may resolve, and the rest.
    fn split_step<'p>(&self, path: &'p [u8]) -> (&'p [u8], &'p [u8]) {
        let slash = if !self.has_openat2 {
            path.iter().position(|&byte| byte == b'/')
        } else if path.len() > LONGEST_STEP {
            path[..LONGEST_STEP].iter().rposition(|&byte| byte == b'/')
        } else {
            None
        };
        match slash {
            Some(at) => (&path[..at], &path[at + 1..]),
            None => (path, &[]),
        }
    }

    fn step(&self, base: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
        without_atime(DIRECTORY, |flags| {
            if self.has_openat2 {
                openat2(base, path, flags, Mode::empty(), BENEATH)
            } else {
                openat(base, path, flags, Mode::empty())
            }
        })
    }
}

/// Opens the entry `name` of a directory to read it as a regular file. Whether
/// it is one, the caller has to ask.
pub(crate) fn open_file(directory: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    without_atime(FILE, |flags| openat(directory, name, flags, Mode::empty()))
}

/// Opens without touching the access time, where we may.
fn without_atime(
    flags: OFlags,
    open: impl Fn(OFlags) -> Result<OwnedFd, Errno>,
) -> Result<OwnedFd, Errno> {
    match open(flags | OFlags::NOATIME) {
        // Only the owner of a file may ask for this.
        Err(Errno::PERM) => open(flags),
        result => result,
    }
}

/// Whether opening a known name failed because the name now means nothing, or
/// something else.
pub(crate) fn errno_means_gone(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO | Errno::STALE | Errno::NODEV
    )
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    fn sources(path: &Path) -> [Source; 2] {
        let by_kernel = Source::open(path).unwrap();
        let mut by_component = Source::open(path).unwrap();
        by_component.has_openat2 = false;
        [by_kernel, by_component]
    }

    #[test]
    fn directories_are_found_below_and_nowhere_else() {
        let outside = tempfile::tempdir().unwrap();
        fs::create_dir(outside.path().join("secret")).unwrap();
        let inside = tempfile::tempdir().unwrap();
        fs::create_dir_all(inside.path().join("a/b")).unwrap();
        symlink(outside.path(), inside.path().join("a/link")).unwrap();
        symlink("b", inside.path().join("a/near")).unwrap();
        for source in sources(inside.path()) {
            assert!(source.open_directory(b"").is_ok());
            assert!(source.open_directory(b"a/b").is_ok());
            for escape in ["a/link", "a/link/secret", "a/near"] {
                let errno = source.open_directory(escape.as_bytes()).unwrap_err();
                assert!(errno_means_gone(errno), "{escape}: {errno}");
            }
        }
    }

    #[test]
    fn paths_longer_than_a_system_call_takes_are_walked() {
        let inside = tempfile::tempdir().unwrap();
        let name = "d".repeat(200);
        let mut at = Source::open(inside.path()).unwrap().root;
        for _ in 0..60 {
            rustix::fs::mkdirat(&at, name.as_str(), Mode::from(0o755)).unwrap();
            at = openat(&at, name.as_str(), DIRECTORY, Mode::empty()).unwrap();
        }
        let path = vec![name; 60].join("/");
        for source in sources(inside.path()) {
            let opened = source.open_directory(path.as_bytes()).unwrap();
            assert_eq!(
                rustix::fs::fstat(&opened).unwrap().st_ino,
                rustix::fs::fstat(&at).unwrap().st_ino
            );
        }
    }
}
