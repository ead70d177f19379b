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
pub use sandbox_shared::{
    EntryCounts, OnUnreadable, Selection,
    report::{ChangeKind, Exclusion},
};

mod listing;
mod rules;
mod source;
mod tally;
mod tree;
mod walk;
mod xattrs;

pub use source::Source;
pub use tally::Tally;
pub use tree::Tree;
pub use walk::scan;

pub(crate) use source::{errno_means_gone, open_file};
pub(crate) use tally::describe_unreadable;
pub(crate) use tree::{DirectoryId, EntryId, Kind, Metadata, NodeId, Stamp};
pub(crate) use walk::to_path;
pub(crate) use xattrs::{XattrSet, read_from_file};

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

/// What a scan or a writer met that the user should know of.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Entries that are not in the archive because they could not be read.
    pub unreadable: Tally<Unreadable>,
    /// Entries that changed while they were looked at.
    pub changes: Tally<Change>,
    /// Directories that were kept empty because they are other file systems.
    pub other_file_systems: Tally<PathBuf>,
    /// Repositories whose index could not be read, so that it is not known which
    /// of their files are tracked: [`Selection::gitignore`] left nothing of them
    /// out. Empty for the one that the directory itself is in.
    pub unread_indexes: Tally<PathBuf>,
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
