//! Finding large files of equal content before any is stored.

use std::collections::HashMap;

use super::Placer;
use crate::{
    tree::NodeId,
    writer::{WriteError, dedup::Digest, plan::Files, read::FoundFile},
};

impl Placer<'_, '_, '_> {
    /// Finds large files of equal content. As their blocks go out while they
    /// are being read, it has to be known beforehand. Files are first compared
    /// by size, then by their first block, and only then as a whole.
    pub(super) fn compare_large_files(&mut self) -> Result<(), WriteError> {
        let block_size = u64::from(self.options.block_size);
        let mut by_size: HashMap<u64, Vec<FoundFile>> = HashMap::new();
        for file in Files::new(self.tree).filter(|file| file.size >= block_size) {
            by_size.entry(file.size).or_default().push(file);
        }
        let candidates = by_size.into_values().filter(|group| group.len() > 1);
        let mut by_start: HashMap<(u64, Digest), Vec<FoundFile>> = HashMap::new();
        for (file, digest) in self.fingerprints(candidates.flatten(), block_size)? {
            by_start.entry((file.size, digest)).or_default().push(file);
        }
        let candidates = by_start.into_values().filter(|group| group.len() > 1);
        let mut firsts: HashMap<Digest, NodeId> = HashMap::new();
        for (file, digest) in self.fingerprints(candidates.flatten(), u64::MAX)? {
            let first = *firsts.entry(digest).or_insert(file.node);
            if first != file.node {
                self.large.twins.insert(file.node, (first, digest));
                self.large.firsts.insert(first, None);
            }
        }
        Ok(())
    }

    /// Hashes of the starts of files, in the tree's order.
    fn fingerprints(
        &self,
        files: impl Iterator<Item = FoundFile>,
        limit: u64,
    ) -> Result<Vec<(FoundFile, Digest)>, WriteError> {
        let mut files: Vec<_> = files.collect();
        files.sort_unstable_by_key(|file| file.node);
        let results = files.into_iter().map(|file| {
            let digest = self
                .queue
                .submit(move |worker| worker.fingerprint(&file, limit));
            (file, digest)
        });
        let mut fingerprints = Vec::new();
        for (file, digest) in results.collect::<Vec<_>>() {
            self.check_cancelled()?;
            if let Some(digest) = digest.wait()? {
                fingerprints.push((file, digest));
            }
        }
        Ok(fingerprints)
    }
}
