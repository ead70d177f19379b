//! Finds what goes into an archive.
//!
//! [`scan`] walks a directory and gives a [`squashfs::tree::Tree`]: every entry that the
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
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::io::Errno;
pub use sandbox_shared::{OnUnreadable, Selection, report::Exclusion};
use squashfs::{
    report::{Unreadable, describe_unreadable},
    tally::Tally,
    tree::{TooLarge, Tree},
    writer,
};

mod listing;
mod rules;
mod source;
mod walk;

pub use source::Source;
pub use walk::scan;

use source::Bounds;
use walk::to_path;

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

/// What a scan found.
#[derive(Debug)]
pub struct Scanned {
    /// What is kept.
    pub tree: Tree,
    /// What is not, and why.
    pub notes: Notes,
}

/// What only a scan knows.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// Entries that rules left out. A directory counts once, whatever is in it.
    pub excluded: u64,
    /// Directories that were kept empty because they are other file systems.
    pub other_file_systems: Tally<PathBuf>,
    /// Repositories whose index could not be read, so that it is not known which
    /// of their files are tracked: [`Selection::gitignore`] left nothing of them
    /// out. Empty for the one that the directory itself is in.
    pub unread_indexes: Tally<PathBuf>,
}

/// How far an operation is, and the way to stop it; shared between threads.
#[derive(Debug, Default)]
pub struct Control {
    /// Entries found so far.
    pub scanned_entries: AtomicU64,
    /// Bytes of the regular files found so far.
    pub scanned_bytes: AtomicU64,
    /// Of the archive that is written of what is found; cancelling that ends the
    /// scan, too.
    pub writer: writer::Control,
}

impl Control {
    /// Makes the operation end soon, with an error that says so.
    pub fn cancel(&self) {
        self.writer.cancel();
    }

    /// Whether [`Self::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.writer.is_cancelled()
    }

    fn found(&self, bytes: u64) {
        self.scanned_entries.fetch_add(1, Ordering::Relaxed);
        self.scanned_bytes.fetch_add(bytes, Ordering::Relaxed);
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
    #[error("{TooLarge}")]
    TooLarge,
}

impl From<TooLarge> for ScanError {
    fn from(_: TooLarge) -> Self {
        Self::TooLarge
    }
}
