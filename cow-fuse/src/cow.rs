//! A lower tree that can be written to: copy-on-write in one hop.
//!
//! # What it guarantees
//! * The lower tree is never changed, and file content is copied out of it only by
//!   the first write or truncation: not by `chmod`, `rename`, `link` or an
//!   opening for writing.
//! * Names, owners, modes, times, links and attributes behave as on a disk: any
//!   file or directory can be renamed to anywhere (never `EXDEV`), hard links of
//!   the lower tree stay links when one of them is written to, inode numbers never
//!   change.
//! * The upper directory can be on any file system, with or without extended
//!   attributes, device nodes or root's rights: all of that is in our own books.
//! * A server that was killed loses nothing that a system call had answered:
//!   the next one over the same upper directory serves the same tree. Against a
//!   loss of power there is `fsync(2)`.
//!
//! # How
//! The upper directory holds a `journal` and, for each regular file with
//! content of its own, one plain file (`store`). In memory there is a table of
//! the nodes that differ from the lower tree (`tree`); for all others the lower
//! tree itself is asked. As a node is named by a number and not by a path, a renamed
//! directory is one changed entry, whatever is below it. Every change goes
//! through one `Change`: a line in the journal, then the table.
//!
//! # What it does not do
//! `O_TMPFILE` is refused (`EOPNOTSUPP`); times of access are not kept for files
//! whose content is the lower tree's (as with `noatime`); files are written through
//! to the upper file at once, so that no dirty page dies with the server (no
//! writeback cache), and they are not passed through to it by the kernel, as
//! that would take a request for each opening of each file.

mod acl;
mod attributes;
mod change;
mod content;
mod file_system;
mod inode;
mod journal;
mod listing;
mod names;
mod store;
mod tree;
mod xattrs;

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use rustix::io::Errno;

use self::{inode::Inode, journal::Journal, store::Store, tree::Tree};
use crate::{
    lower::Lower,
    session::{Options, Session},
};

/// Why a copy-on-write file system could not be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Another server works on this upper directory.
    #[error("the upper directory is in use by another server")]
    InUse,
    /// The upper directory was made over another lower tree, whose inodes its
    /// journal refers to.
    #[error("the upper directory belongs to another lower tree")]
    OtherLower,
    /// The journal was written by another version, or is none.
    #[error("the journal of the upper directory cannot be read: {0}")]
    Journal(&'static str),
    /// The upper directory, `/dev/fuse` or the mount.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// Mounts the tree `lower` on the directory `mountpoint`, with all changes
/// in the directory `upper`: those found there, and those to come.
///
/// # Errors
/// See [`ServeError`].
pub fn serve(
    lower: Arc<dyn Lower>,
    upper: &Path,
    mountpoint: &Path,
    options: &Options,
) -> Result<Session, ServeError> {
    let cow = Cow::open(lower, upper)?;
    Ok(Session::start(cow, mountpoint, options, false)?)
}

struct Cow {
    lower: Arc<dyn Lower>,
    block_size: u32,
    store: Store,
    state: RwLock<State>,
    next_node: AtomicU64,
    /// Nodes without a name that somebody may still have open.
    orphans: AtomicUsize,
    /// One file's content is copied up by one thread; a node's is number
    /// `node % len`.
    copying: [Mutex<()>; 64],
}

struct State {
    tree: Tree,
    journal: Journal,
}

impl Cow {
    fn open(lower: Arc<dyn Lower>, upper: &Path) -> Result<Self, ServeError> {
        let block_size = lower.block_size();
        let (journal, tree) = Journal::open(upper, lower.identity())?;
        let store = Store::open(upper, |node| tree.has_content(node))?;
        Ok(Self {
            lower,
            block_size,
            store,
            next_node: AtomicU64::new(tree.next_node()),
            state: RwLock::new(State { tree, journal }),
            orphans: AtomicUsize::new(0),
            copying: std::array::from_fn(|_| Mutex::new(())),
        })
    }

    /// The table, as it is now. Not to be held while the lower tree is read: that
    /// may take as long as a network does.
    fn tree(&self) -> RwLockReadGuard<'_, State> {
        self.state.read()
    }

    /// The number of a node that is being made.
    fn new_node(&self) -> u64 {
        self.next_node.fetch_add(1, Ordering::Relaxed)
    }

    /// What is known of a node.
    fn inode(&self, node: u64) -> Result<Inode, Errno> {
        if let Some(inode) = self.tree().tree.inode(node) {
            return Ok(inode.clone());
        }
        Ok(Inode::of_lower(&self.lower.attributes(node)?))
    }

    /// Who has this name.
    fn find(&self, directory: u64, name: &[u8]) -> Result<Option<u64>, Errno> {
        if let Some(known) = self.tree().tree.child(directory, name) {
            return Ok(known);
        }
        self.lower.lookup(directory, name)
    }

    /// Whether the lower tree has this name in this directory.
    fn in_lower(&self, directory: u64, name: &[u8]) -> Result<bool, Errno> {
        if self.tree().tree.is_own_directory(directory) {
            return Ok(false);
        }
        Ok(self.lower.lookup(directory, name)?.is_some())
    }
}
