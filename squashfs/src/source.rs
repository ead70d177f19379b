//! A directory handle, and the only way files below it are opened.
//!
//! Every path is resolved from the handle with `openat2` and
//! `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS` (Linux 5.6), or, where a seccomp
//! filter forbids that call, one component at a time with `O_NOFOLLOW`. So no
//! handle is kept per level of depth, and no link is ever followed.

use std::{
    ffi::OsStr,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2, readlink},
    io::Errno,
};

mod xattrs;

pub use xattrs::{XattrSet, read_xattrs, read_xattrs_of_entry};

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

/// A directory that is archived, or unpacked to.
#[derive(Debug)]
pub struct Source {
    root: OwnedFd,
    path: PathBuf,
    has_openat2: bool,
}

impl Source {
    /// Opens the directory at `path`. Symbolic links on the way to it are followed;
    /// the path itself must not be one.
    ///
    /// # Errors
    /// Those of the system.
    pub fn open(path: &Path) -> io::Result<Self> {
        let directory = openat(CWD, path, DIRECTORY, Mode::empty())?;
        Ok(Self::from_handle(directory)?)
    }

    /// Takes a directory that is open for reading already.
    ///
    /// # Errors
    /// It is not known where the directory is.
    pub fn from_handle(root: OwnedFd) -> Result<Self, Errno> {
        let path = readlink(proc_path(root.as_fd()), Vec::new())?;
        let path = PathBuf::from(OsStr::from_bytes(path.as_bytes()));
        let has_openat2 = openat2(&root, ".", DIRECTORY, Mode::empty(), BENEATH).is_ok();
        Ok(Self {
            root,
            path,
            has_openat2,
        })
    }

    /// Where the directory was when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory itself.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Opens the directory `relative`, whose components are separated by single
    /// slashes; empty for the root.
    ///
    /// # Errors
    /// Those of the system. `ELOOP` or `EXDEV` if a component is a symbolic link:
    /// see [`is_gone`].
    pub fn open_directory(&self, relative: &[u8]) -> Result<OwnedFd, Errno> {
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
///
/// # Errors
/// Those of the system.
pub fn open_file(directory: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
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
pub fn is_gone(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO | Errno::STALE | Errno::NODEV
    )
}

/// A path that names the open file itself.
pub(crate) fn proc_path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

pub(crate) fn to_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(std::ffi::OsString::from_vec(bytes.to_vec()))
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
                assert!(is_gone(errno), "{escape}: {errno}");
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
