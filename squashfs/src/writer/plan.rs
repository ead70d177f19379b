//! In which order files are read: that of the tree's entries, each file at the
//! first of its names, small ones in batches.

use super::{dedup::SharedSizes, read::FoundFile};
use crate::tree::{EntryId, Kind, NodeId, Tree};

/// What to read next.
pub(super) enum Step {
    /// Files below the size of a block, and whether each is worth hashing.
    Small(Vec<(FoundFile, bool)>),
    /// A longer file.
    Large(FoundFile),
}

/// A batch ends when it has this many bytes or files: enough to make handing it
/// over cheap, and little enough to keep all threads busy.
const BATCH_BYTES: u64 = 512 << 10;
const BATCH_FILES: usize = 256;

/// Goes through a tree's regular files.
pub(super) struct Files<'a> {
    tree: &'a Tree,
    entry: u32,
    /// Nodes are numbered in the order of their first entries; 0 is the root,
    /// which has none.
    next_node: u32,
}

impl<'a> Files<'a> {
    pub(super) fn new(tree: &'a Tree) -> Self {
        Self {
            tree,
            entry: 0,
            next_node: NodeId::ROOT.0 + 1,
        }
    }
}

impl Iterator for Files<'_> {
    type Item = FoundFile;

    fn next(&mut self) -> Option<FoundFile> {
        while self.entry < self.tree.entry_count() {
            let entry = EntryId(self.entry);
            self.entry += 1;
            let node = self.tree.node_of(entry);
            if node.0 < self.next_node {
                continue;
            }
            self.next_node = node.0 + 1;
            if let Kind::Regular { size, stamp } = self.tree.node(node).kind {
                return Some(FoundFile {
                    node,
                    entry,
                    size,
                    stamp,
                });
            }
        }
        None
    }
}

/// Divides the work.
pub(super) struct Plan<'a> {
    files: std::iter::Peekable<Files<'a>>,
    block_size: u64,
    shared_sizes: SharedSizes,
}

impl<'a> Plan<'a> {
    pub(super) fn new(tree: &'a Tree, block_size: u32) -> Self {
        let mut shared_sizes = SharedSizes::new(block_size);
        for file in Files::new(tree) {
            shared_sizes.add(file.size);
        }
        Self {
            files: Files::new(tree).peekable(),
            block_size: u64::from(block_size),
            shared_sizes,
        }
    }
}

impl Iterator for Plan<'_> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let first = self.files.next()?;
        if first.size >= self.block_size {
            return Some(Step::Large(first));
        }
        let mut bytes = 0;
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(file) = next {
            bytes += file.size;
            let hashed = file.size > 0 && self.shared_sizes.contains(file.size);
            batch.push((file, hashed));
            if bytes >= BATCH_BYTES || batch.len() >= BATCH_FILES {
                break;
            }
            next = self.files.next_if(|file| file.size < self.block_size);
        }
        Some(Step::Small(batch))
    }
}
