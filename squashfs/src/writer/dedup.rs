//! Finding files of equal content.
//!
//! Content is compared by hash alone, as what was read is gone by the time its
//! twin comes. The hash therefore has to withstand people who try to make two
//! files collide: BLAKE3, of which 192 bits are kept.

use std::collections::HashMap;

use hashbrown::HashTable;

use crate::tree::NodeId;

/// The hash of a file's content, or of a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Digest([u8; 24]);

impl Digest {
    pub(super) fn of(content: &[u8]) -> Self {
        Self::truncate(&blake3::hash(content))
    }

    fn truncate(hash: &blake3::Hash) -> Self {
        let mut kept = [0; 24];
        kept.copy_from_slice(&hash.as_bytes()[..24]);
        Self(kept)
    }

    fn to_word(self) -> u64 {
        let mut word = [0; 8];
        word.copy_from_slice(&self.0[..8]);
        u64::from_le_bytes(word)
    }
}

/// Hashes a file that is read block by block, in any grouping: the hash of the
/// hashes of its blocks. It differs from the [`Digest::of`] the same content.
#[derive(Default)]
pub(super) struct BlockHasher(blake3::Hasher);

impl BlockHasher {
    pub(super) fn add(&mut self, block: Digest) {
        self.0.update(&block.0);
    }

    pub(super) fn finish(&self) -> Digest {
        Digest::truncate(&self.0.finalize())
    }
}

/// Remembers the content of small files, in about 40 bytes each.
#[derive(Default)]
pub(super) struct SmallFiles {
    known: Vec<(Digest, NodeId)>,
    index: HashTable<u32>,
}

impl SmallFiles {
    /// The first file of this content; `node`, if there was none.
    pub(super) fn first(&mut self, digest: Digest, node: NodeId) -> NodeId {
        let Self { known, index } = self;
        let entry = index.entry(
            digest.to_word(),
            |&at| known[at as usize].0 == digest,
            |&at| known[at as usize].0.to_word(),
        );
        match entry {
            hashbrown::hash_table::Entry::Occupied(found) => known[*found.get() as usize].1,
            hashbrown::hash_table::Entry::Vacant(vacant) => {
                vacant.insert(known.len() as u32);
                known.push((digest, node));
                node
            }
        }
    }
}

/// Files longer than a block that had the content of an earlier one when they
/// were compared, before any was archived.
#[derive(Default)]
pub(super) struct LargeFiles {
    /// For each such file, the first of its content.
    pub(super) twins: HashMap<NodeId, (NodeId, Digest)>,
    /// Of the firsts, the content that was archived; `None` until it was.
    pub(super) firsts: HashMap<NodeId, Option<Digest>>,
}

/// Which sizes below a block occur more than once: only files of such a size
/// are worth hashing.
pub(super) struct SharedSizes {
    seen: Vec<u8>,
}

impl SharedSizes {
    pub(super) fn new(limit: u32) -> Self {
        Self {
            seen: vec![0; limit as usize],
        }
    }

    pub(super) fn add(&mut self, size: u64) {
        if let Some(count) = self.seen.get_mut(size as usize) {
            *count = count.saturating_add(1);
        }
    }

    pub(super) fn contains(&self, size: u64) -> bool {
        self.seen.get(size as usize).is_some_and(|&count| count > 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_content_is_found_again() {
        let mut files = SmallFiles::default();
        for number in 0..1000u32 {
            let digest = Digest::of(&(number % 100).to_le_bytes());
            let first = files.first(digest, NodeId(number));
            assert_eq!(first, NodeId(number % 100));
        }
    }

    #[test]
    fn sizes_count_as_shared_from_the_second_on() {
        let mut sizes = SharedSizes::new(4096);
        for size in [1, 2, 2, 4096, 4096] {
            sizes.add(size);
        }
        assert!(!sizes.contains(1) && sizes.contains(2) && !sizes.contains(4096));
    }
}
