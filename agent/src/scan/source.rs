//! The directory to archive, and what of its surroundings a scan may look at.

use std::{
    io,
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags, openat};

use crate::paths::place::open_directory;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// The directory to archive.
#[derive(Debug)]
pub struct Source {
    pub(super) directory: squashfs::source::Source,
    pub(super) bounds: Bounds,
}

/// How far a scan goes.
#[derive(Debug)]
pub(super) struct Bounds {
    path: PathBuf,
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
        let directory = squashfs::source::Source::from_handle(readable)?;
        Ok(Self {
            bounds: Bounds {
                path: directory.path().to_owned(),
                read_through: Vec::new(),
                looked_into: Vec::new(),
                left_out: Vec::new(),
            },
            directory,
        })
    }

    /// Directories, relative to this one, that are entered even though they
    /// are other file systems: our own restored mounts.
    pub fn reading_through(mut self, directories: Vec<PathBuf>) -> Self {
        self.bounds.read_through = directories;
        self
    }

    /// Directories, by absolute paths without links, in which the index of a
    /// repository may be read whose working tree is elsewhere. In this directory
    /// it always may.
    pub fn looking_into(mut self, directories: Vec<PathBuf>) -> Self {
        self.bounds.looked_into = directories;
        self
    }

    /// Files, by device and inode, that are as good as not there: the archive.
    pub fn leaving_out(mut self, files: Vec<(u64, u64)>) -> Self {
        self.bounds.left_out = files;
        self
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.directory.root()
    }

    /// Where the directory was when it was opened.
    pub(super) fn path(&self) -> &Path {
        &self.bounds.path
    }
}

impl Bounds {
    /// Where the directory was when it was opened.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn may_look_into(&self, path: &Path) -> bool {
        let mut allowed = self.looked_into.iter().chain([&self.path]);
        allowed.any(|directory| path.starts_with(directory))
    }

    pub(super) fn leaves_out(&self, file: (u64, u64)) -> bool {
        self.left_out.contains(&file)
    }

    pub(super) fn reads_through(&self, directory: &Path) -> bool {
        self.read_through.iter().any(|mount| mount == directory)
    }
}
