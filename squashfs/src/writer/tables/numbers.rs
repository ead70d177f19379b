//! Numbers of inodes, owners and groups.

use std::collections::HashMap;

use crate::{
    tree::{Kind, NodeId, Tree},
    writer::{
        WriteError,
        place::{Content, Placed},
    },
};

/// Inode numbers: those of the nodes, without gaps for nodes that are not in
/// the archive. The entries of a directory have numbers close to each other.
pub(super) struct Numbers {
    /// In rising order.
    omitted: Vec<u32>,
    nodes: u32,
}

impl Numbers {
    pub(super) fn new(tree: &Tree, placed: &Placed) -> Self {
        let nodes = tree.node_count() as u32;
        let is_omitted = |node: &u32| {
            let node = NodeId(*node);
            matches!(tree.node(node).kind, Kind::Omitted)
                || matches!(placed.contents[node.index()], Content::Omitted)
        };
        Self {
            omitted: (0..nodes).filter(is_omitted).collect(),
            nodes,
        }
    }

    pub(super) fn is_omitted(&self, node: NodeId) -> bool {
        self.omitted.binary_search(&node.0).is_ok()
    }

    pub(super) fn of(&self, node: NodeId) -> u32 {
        let gaps = self.omitted.partition_point(|&omitted| omitted < node.0);
        node.0 + 1 - gaps as u32
    }

    pub(super) fn count(&self) -> u32 {
        self.nodes - self.omitted.len() as u32
    }
}

/// Owners and groups, in the order they are met.
#[derive(Default)]
pub(super) struct Ids {
    pub(super) list: Vec<u32>,
    numbers: HashMap<u32, u16>,
}

impl Ids {
    pub(super) fn number(&mut self, id: u32) -> Result<u16, WriteError> {
        if let Some(&number) = self.numbers.get(&id) {
            return Ok(number);
        }
        // Their count has to fit in 16 bits, too.
        let number = u16::try_from(self.list.len())
            .ok()
            .filter(|&number| number < u16::MAX)
            .ok_or(WriteError::TooManyIds)?;
        self.list.push(id);
        self.numbers.insert(id, number);
        Ok(number)
    }
}
