//! The table of what differs from the lower tree.
//!
//! A directory's changes are kept by name: a node that has the name now, or a
//! whiteout, which says that what the lower tree has there is gone. Names that are
//! not in the table are the lower tree's. Whiteouts exist only where the lower tree
//! has the name.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::inode::{Content, Inode};
use crate::lower;

/// The first number of a node of our own. Above the lower tree's, and a number that
/// JavaScript can hold.
const FIRST_NODE: u64 = 1 << 49;

/// One step of a change. A change is a list of them, in this order: inodes
/// before the entries that name them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Delta {
    /// The node is like this now.
    Inode(u64, Inode),
    /// The name is like this now.
    Entry {
        directory: u64,
        name: Arc<[u8]>,
        to: Entry,
    },
    /// The node is gone for good.
    Drop(u64),
    /// Numbers below this have been given out.
    NextNode(u64),
}

/// What a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Entry {
    /// This node's.
    Node(u64),
    /// Nobody's, in spite of the lower tree.
    Whiteout,
    /// As in the lower tree.
    Lower,
}

/// Nodes that differ from the lower tree.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: HashMap<u64, Node>,
    next: u64,
}

#[derive(Debug)]
struct Node {
    inode: Inode,
    directory: Option<Box<Directory>>,
}

#[derive(Debug, Default)]
struct Directory {
    names: HashMap<Arc<[u8]>, Option<Child>>,
    /// Names that have a node, by the order in which they got it: what a listing
    /// goes by, so that it can go on where it was.
    listing: BTreeMap<u64, Arc<[u8]>>,
    last: u64,
}

#[derive(Clone, Copy, Debug)]
struct Child {
    node: u64,
    cookie: u64,
}

impl Default for Tree {
    fn default() -> Self {
        Self {
            nodes: HashMap::new(),
            next: FIRST_NODE,
        }
    }
}

impl Tree {
    pub(super) const fn next_node(&self) -> u64 {
        self.next
    }

    pub(super) fn inode(&self, node: u64) -> Option<&Inode> {
        self.nodes.get(&node).map(|node| &node.inode)
    }

    /// Whether there should be a file for this node in the store.
    pub(super) fn has_content(&self, node: u64) -> bool {
        self.inode(node).is_some_and(Inode::is_stored)
    }

    /// Whether nothing in it can come from the lower tree. So it is for numbers
    /// that are not, or no longer, anybody's.
    pub(super) fn is_own_directory(&self, node: u64) -> bool {
        self.inode(node)
            .map_or(node >= lower::END, |inode| inode.content == Content::Own)
    }

    /// Who has the name; `None`: the lower tree has to be asked.
    pub(super) fn child(&self, directory: u64, name: &[u8]) -> Option<Option<u64>> {
        let known = self
            .directory(directory)
            .and_then(|directory| directory.names.get(name))
            .map(|child| child.map(|child| child.node));
        match known {
            None if self.is_own_directory(directory) => Some(None),
            known => known,
        }
    }

    /// Whether the lower tree's entry of this name is not to be seen.
    pub(super) fn hides(&self, directory: u64, name: &[u8]) -> bool {
        self.directory(directory)
            .is_some_and(|directory| directory.names.contains_key(name))
    }

    /// The entry after a cookie, among those that are not the lower tree's: its own
    /// cookie, name and node.
    pub(super) fn entry_after(&self, directory: u64, cookie: u64) -> Option<(u64, Arc<[u8]>, u64)> {
        let directory = self.directory(directory)?;
        let (cookie, name) = directory
            .listing
            .range((Bound::Excluded(cookie), Bound::Unbounded))
            .next()?;
        let child = directory.names.get(name).copied().flatten()?;
        Some((*cookie, name.clone(), child.node))
    }

    fn directory(&self, node: u64) -> Option<&Directory> {
        self.nodes.get(&node)?.directory.as_deref()
    }

    pub(super) fn apply(&mut self, delta: Delta) {
        match delta {
            Delta::Inode(number, inode) => {
                self.next = self.next.max(number.saturating_add(1));
                match self.nodes.get_mut(&number) {
                    Some(node) => node.inode = inode,
                    None => {
                        let directory = None;
                        self.nodes.insert(number, Node { inode, directory });
                    }
                }
            }
            Delta::Entry {
                directory,
                name,
                to,
            } => {
                // A change begins with the directory's inode, so it is there.
                if let Some(node) = self.nodes.get_mut(&directory) {
                    node.directory.get_or_insert_default().set(name, to);
                }
            }
            Delta::Drop(node) => {
                self.nodes.remove(&node);
            }
            Delta::NextNode(next) => self.next = self.next.max(next),
        }
    }

    /// Removes the nodes that have no name.
    pub(super) fn drop_nameless(&mut self) {
        self.nodes.retain(|_, node| node.inode.links > 0);
    }

    /// Everything that is needed to make this table again. Nodes without a name
    /// are left out: nobody has them open when it is read.
    pub(super) fn deltas(&self) -> impl Iterator<Item = Delta> {
        let named = || self.nodes.iter().filter(|(_, node)| node.inode.links > 0);
        let inodes = named().map(|(number, node)| Delta::Inode(*number, node.inode.clone()));
        let entries = named().flat_map(|(number, node)| {
            let directory = *number;
            node.directory.iter().flat_map(move |changes| {
                let whiteouts = changes
                    .names
                    .iter()
                    .filter(|(_, child)| child.is_none())
                    .map(|(name, _)| (name, Entry::Whiteout));
                let nodes = changes.listing.values().filter_map(|name| {
                    let child = changes.names.get(name).copied().flatten()?;
                    Some((name, Entry::Node(child.node)))
                });
                whiteouts.chain(nodes).map(move |(name, to)| Delta::Entry {
                    directory,
                    name: name.clone(),
                    to,
                })
            })
        });
        std::iter::once(Delta::NextNode(self.next))
            .chain(inodes)
            .chain(entries)
    }
}

impl Directory {
    fn set(&mut self, name: Arc<[u8]>, to: Entry) {
        let before = match to {
            Entry::Node(node) => {
                self.last += 1;
                let cookie = self.last;
                self.listing.insert(cookie, name.clone());
                self.names.insert(name, Some(Child { node, cookie }))
            }
            Entry::Whiteout => self.names.insert(name, None),
            Entry::Lower => self.names.remove(&name),
        };
        if let Some(Some(child)) = before {
            self.listing.remove(&child.cookie);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::inode::Time, *};

    fn inode(links: u32, content: Content) -> Inode {
        let time = Time::now();
        Inode {
            mode: 0o40755,
            uid: 1,
            gid: 2,
            links,
            device: 0,
            atime: time,
            mtime: time,
            ctime: time,
            content,
            xattrs: None,
        }
    }

    fn entry(name: &str, to: Entry) -> Delta {
        Delta::Entry {
            directory: lower::ROOT,
            name: name.as_bytes().into(),
            to,
        }
    }

    fn names(tree: &Tree) -> Vec<(String, u64)> {
        let mut names = Vec::new();
        let mut at = 0;
        while let Some((cookie, name, node)) = tree.entry_after(lower::ROOT, at) {
            names.push((String::from_utf8_lossy(&name).into_owned(), node));
            at = cookie;
        }
        names
    }

    #[test]
    fn a_table_made_again_is_the_same_without_the_nameless() {
        let mut tree = Tree::default();
        tree.apply(Delta::Inode(lower::ROOT, inode(2, Content::Lower)));
        let new = tree.next_node();
        tree.apply(Delta::Inode(new, inode(1, Content::Own)));
        tree.apply(Delta::Inode(new + 1, inode(0, Content::Own)));
        tree.apply(entry("b", Entry::Node(new)));
        tree.apply(entry("a", Entry::Node(77)));
        tree.apply(entry("gone", Entry::Whiteout));
        tree.apply(entry("b", Entry::Lower));
        tree.apply(entry("b", Entry::Node(new)));

        let mut again = Tree::default();
        tree.deltas().for_each(|delta| again.apply(delta));
        for tree in [&tree, &again] {
            assert_eq!(names(tree), [("a".into(), 77), ("b".into(), new)]);
            assert_eq!(tree.child(lower::ROOT, b"gone"), Some(None));
            assert_eq!(tree.child(lower::ROOT, b"other"), None);
            assert_eq!(tree.child(new, b"other"), Some(None), "nothing below it");
            assert_eq!(tree.next_node(), new + 2);
        }
        assert!(tree.inode(new + 1).is_some() && again.inode(new + 1).is_none());
    }

    #[test]
    fn a_listing_goes_on_where_it_was() {
        let mut tree = Tree::default();
        tree.apply(Delta::Inode(lower::ROOT, inode(2, Content::Lower)));
        for node in 0..5 {
            tree.apply(entry(&node.to_string(), Entry::Node(node)));
        }
        let (cookie, ..) = tree.entry_after(lower::ROOT, 0).unwrap();
        tree.apply(entry("0", Entry::Lower));
        tree.apply(entry("2", Entry::Whiteout));
        let (_, name, _) = tree.entry_after(lower::ROOT, cookie).unwrap();
        assert_eq!(&*name, b"1");
        assert_eq!(names(&tree).len(), 3);
    }
}
