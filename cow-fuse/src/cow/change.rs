//! A change to the tree: made whole in the journal, then in the table.

use std::sync::Arc;

use parking_lot::RwLockWriteGuard;
use rustix::io::Errno;

use super::{
    Cow, State,
    inode::{Inode, Time},
    tree::{Delta, Entry},
};

/// A change in the making. Dropped without [`Self::commit`], it has not been.
///
/// Whoever makes one holds the table, so what is needed of the lower tree has to be
/// read before.
pub(super) struct Change<'a> {
    state: RwLockWriteGuard<'a, State>,
    inodes: Vec<(u64, Inode)>,
    others: Vec<Delta>,
    /// When it happens.
    pub(super) now: Time,
}

impl Cow {
    pub(super) fn change(&self) -> Change<'_> {
        Change {
            state: self.state.write(),
            inodes: Vec::with_capacity(4),
            others: Vec::with_capacity(2),
            now: Time::now(),
        }
    }
}

impl Change<'_> {
    /// An inode to be changed. `known` is what was known of it before the table
    /// was held, and counts only if the table does not have it.
    pub(super) fn inode(&mut self, node: u64, known: &Inode) -> &mut Inode {
        let at = match self.inodes.iter().position(|(staged, _)| *staged == node) {
            Some(at) => at,
            None => {
                let inode = self.state.tree.inode(node).unwrap_or(known).clone();
                self.inodes.push((node, inode));
                self.inodes.len() - 1
            }
        };
        &mut self.inodes[at].1
    }

    /// A directory whose entries change now.
    pub(super) fn touch(&mut self, directory: u64, known: &Inode) -> &mut Inode {
        let now = self.now;
        let inode = self.inode(directory, known);
        inode.mtime = now;
        inode.ctime = now;
        inode
    }

    /// Gives a name to a node.
    pub(super) fn link(&mut self, directory: u64, name: &[u8], node: u64) {
        self.entry(directory, name, Entry::Node(node));
    }

    /// Takes a name away.
    pub(super) fn unlink(&mut self, directory: u64, name: &[u8], in_lower: bool) {
        let to = if in_lower {
            Entry::Whiteout
        } else {
            Entry::Lower
        };
        self.entry(directory, name, to);
    }

    fn entry(&mut self, directory: u64, name: &[u8], to: Entry) {
        self.others.push(Delta::Entry {
            directory,
            name: Arc::from(name),
            to,
        });
    }

    /// Forgets a node for good, if it has no name. Says whether it had none.
    pub(super) fn drop_nameless(&mut self, node: u64) -> bool {
        let nameless = self
            .state
            .tree
            .inode(node)
            .is_some_and(|inode| inode.links == 0);
        if nameless {
            self.others.push(Delta::Drop(node));
        }
        nameless
    }

    /// Makes it so.
    pub(super) fn commit(mut self) -> Result<(), Errno> {
        let inodes = self
            .inodes
            .into_iter()
            .map(|(node, inode)| Delta::Inode(node, inode));
        let deltas: Vec<_> = inodes.chain(self.others).collect();
        let State { tree, journal } = &mut *self.state;
        journal.append(&deltas)?;
        deltas.into_iter().for_each(|delta| tree.apply(delta));
        journal.tidy(tree);
        Ok(())
    }
}
