//! Finds what goes into an archive.
//!
//! [`scan`] walks a directory and gives a [`Tree`]: every entry that the
//! [`Selection`] keeps, with its metadata, in an order that depends on names
//! only. Guarantees:
//!
//! * **No way out.** The walk starts from one directory handle and never
//!   follows a symbolic link below it, so nobody who swaps a directory for a
//!   link while we look can make us read somewhere else.
//! * **Bounded memory.** An entry takes about 50 bytes and its name, whatever
//!   the depth of the tree; one directory at a time is open.
//! * **Nothing is left out silently.** What rules exclude is counted and can be
//!   listed; what could not be read fails the scan or is named; so is what
//!   changed while we looked.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use rustix::io::Errno;
pub use sandbox_shared::backup::EntryCounts;

mod rules;
mod source;
mod tally;
mod tree;
mod walk;
mod xattrs;

pub use source::Source;
pub(crate) use source::proc_path;
pub use tally::Tally;
pub use tree::Tree;
pub use walk::scan;

pub(crate) use source::{errno_means_gone, open_file};
pub(crate) use tally::describe_unreadable;
pub(crate) use tree::{DirectoryId, EntryId, Kind, Metadata, NodeId, Stamp};
pub(crate) use walk::to_path;
pub(crate) use xattrs::{XattrSet, read_from_file};

/// What of a directory is wanted.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Patterns in `.gitignore` syntax, relative to the directory. A later
    /// pattern overrides an earlier one, and all of them override `.gitignore`
    /// files, as patterns on git's command line do.
    pub excludes: Vec<String>,
    /// Leave out what git would: `.gitignore` files in and below the directory
    /// and, when it is part of a repository, those of its parents up to the
    /// repository's root, and `.git/info/exclude`. A repository inside the tree
    /// follows its own rules only, as with git.
    pub gitignore: bool,
    /// Of a directory that has a valid `CACHEDIR.TAG`, keep only the directory
    /// and the tag (<https://bford.info/cachedir/>).
    pub exclude_caches: bool,
    /// Leave out regular files of more bytes than this.
    pub exclude_larger_than: Option<u64>,
    /// Enter directories that are other file systems. Otherwise such a
    /// directory is kept, but empty.
    pub cross_file_systems: bool,
    /// Directories, relative to the one scanned, that are entered even though
    /// they are other file systems: our own restored mounts.
    pub read_through: Vec<PathBuf>,
    /// What to do about entries that cannot be read, now or when the tree is
    /// archived.
    pub on_unreadable: OnUnreadable,
}

/// What to do about entries that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnreadable {
    /// Fail, and say which.
    #[default]
    Fail,
    /// Leave them out, and say which.
    Skip,
}

/// Why an entry was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exclusion {
    /// [`Selection::excludes`].
    Excludes,
    /// A `.gitignore` file or `.git/info/exclude`.
    Gitignore,
    /// [`Selection::exclude_caches`].
    Cache,
    /// [`Selection::exclude_larger_than`].
    Size,
}

/// Is told of every decision: a dry run prints them.
pub trait Observer {
    /// The entry `path`, relative to the scanned directory, is kept.
    fn included(&mut self, path: &Path) {
        let _ = path;
    }

    /// The entry `path`, relative to the scanned directory, is left out, with
    /// everything below it.
    fn excluded(&mut self, path: &Path, why: Exclusion) {
        let _ = (path, why);
    }
}

/// Looks away.
impl Observer for () {}

/// An entry that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Relative to the scanned directory; empty for that directory itself.
    pub path: PathBuf,
    /// What the system said.
    pub errno: Errno,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.errno)
    }
}

/// An entry that changed between the moment it was found and the end of reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Relative to the scanned directory.
    pub path: PathBuf,
    /// In what way.
    pub kind: ChangeKind,
}

/// In what way an entry changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangeKind {
    /// It went away, and is not in the archive.
    Vanished,
    /// It became another kind of entry, and is not in the archive.
    Retyped,
    /// It became another file, whose content and metadata are in the archive.
    Replaced,
    /// It became shorter; the archive has what was left.
    Shrunk,
    /// It became longer; the archive has at least what was there at first.
    Grown,
    /// It was written to, or its metadata changed. The archive may have some
    /// bytes from before and some from after.
    Modified,
}

/// What a scan or a writer met that the user should know of.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Entries that are not in the archive because they could not be read.
    pub unreadable: Tally<Unreadable>,
    /// Entries that changed while they were looked at.
    pub changes: Tally<Change>,
    /// Directories that were kept empty because they are other file systems.
    pub other_file_systems: Tally<PathBuf>,
    /// Extended attributes outside `user.`, `trusted.`, `security.` and
    /// POSIX ACLs, which no archive can hold: the entry, and their names.
    pub dropped_xattrs: Tally<(PathBuf, String)>,
}

/// How far an operation is, and the way to stop it; shared between threads.
#[derive(Debug, Default)]
pub struct Control {
    cancelled: AtomicBool,
    /// Entries found so far.
    pub scanned_entries: AtomicU64,
    /// Bytes of the regular files found so far.
    pub scanned_bytes: AtomicU64,
    /// Regular files archived so far.
    pub archived_files: AtomicU64,
    /// Bytes of content read so far.
    pub read_bytes: AtomicU64,
    /// Bytes of archive handed to the sink so far.
    pub written_bytes: AtomicU64,
}

impl Control {
    /// Makes the operation end soon, with an error that says so.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether [`Self::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    pub(crate) fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }
}

/// Why a scan gave no tree.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// [`Control::cancel`] was called.
    #[error("cancelled")]
    Cancelled,
    /// The directory itself could not be opened or read.
    #[error("cannot read {}: {errno}", path.display())]
    Source {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        errno: Errno,
    },
    /// A pattern of [`Selection::excludes`] is not in `.gitignore` syntax.
    #[error("excludes[{index}] is not a pattern: {message}")]
    Pattern {
        /// Which one, from 0.
        index: usize,
        /// What is wrong.
        message: String,
    },
    /// Entries could not be read and [`OnUnreadable::Fail`] was asked for.
    #[error("{}", describe_unreadable(.0))]
    Unreadable(Tally<Unreadable>),
    /// More entries or longer names than an archive can number.
    #[error("the tree has more entries than an archive can hold")]
    TooLarge,
}
