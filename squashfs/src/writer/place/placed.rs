//! What placement leaves for the tables.

use std::collections::HashMap;

use crate::{
    format::{BlockSize, fragment::FragmentEntry},
    report::Report,
    tree::{Counts, Metadata, NodeId},
};

/// Where the content of a node is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Content {
    /// Not a regular file, or not placed yet.
    None,
    /// A regular file without content.
    Empty,
    /// In a fragment, whole.
    Fragment { number: u32, offset: u32 },
    /// In blocks of its own: an index in [`Placed::extents`].
    Blocks { extent: u32 },
    /// Lost; the node is not in the archive.
    Omitted,
}

/// The blocks of a file.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extent {
    /// Position of the first block.
    pub(crate) start: u64,
    /// Bytes of content.
    pub(crate) size: u64,
    /// Bytes of content in blocks of zeros.
    pub(crate) sparse: u64,
    /// Range of [`Placed::block_sizes`].
    pub(super) first_block: u64,
    pub(super) block_count: u32,
    /// Number of the fragment with the file's end, and the offset in it.
    pub(crate) fragment: Option<(u32, u32)>,
}

impl Extent {
    pub(crate) fn in_fragment(size: u64, number: u32, offset: u32) -> Self {
        Self {
            size,
            fragment: Some((number, offset)),
            ..Self::default()
        }
    }
}

/// What placement leaves for the tables.
pub(crate) struct Placed {
    pub(crate) contents: Vec<Content>,
    pub(crate) extents: Vec<Extent>,
    pub(super) block_sizes: Vec<BlockSize>,
    pub(crate) fragments: Vec<FragmentEntry>,
    /// What files turned out to be that changed since the tree was built: their metadata
    /// and size.
    pub(crate) changed: HashMap<NodeId, (Metadata, u64)>,
    /// Numbers of sets, for nodes that have one.
    pub(crate) xattr_numbers: HashMap<NodeId, u32>,
    pub(crate) counts: Counts,
    pub(crate) duplicates: u64,
    pub(crate) report: Report,
}

impl Placed {
    pub(crate) fn blocks(&self, extent: &Extent) -> &[BlockSize] {
        let first = extent.first_block as usize;
        &self.block_sizes[first..first + extent.block_count as usize]
    }
}
