//! The entries that an archive is to hold, held compactly: a [`Builder`] takes
//! them, and [`write`](crate::writer::write) the [`Tree`] that comes of it.
//!
//! A million entries have to fit beside everything else in 256 MiB, so there
//! are no owned strings and no pointers: nodes, entries and names live in three
//! flat vectors and refer to each other by 32-bit numbers.
//!
//! Directories are read depth first, each one's entries sorted by name and
//! appended together. Two properties that the archive writer builds on follow:
//! entries in the order of the vector are a depth-first walk, and directories
//! in reverse order come children before parents.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
};

use rustix::fs::Stat;

use crate::{
    report::Report,
    source::{Source, XattrSet},
};

mod builder;

pub use builder::{Builder, File, NewDirectory, TooLarge, encode_device};

/// Numbers a node: one file, whatever the count of its names. The root is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NodeId(pub(crate) u32);

impl NodeId {
    pub(crate) const ROOT: Self = Self(0);

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Numbers an entry: a name in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryId(pub(crate) u32);

/// Numbers a directory in the order of reading. The root is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DirectoryId(pub(crate) u32);

/// A file's metadata, as SquashFS holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Metadata {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Seconds since 1970, clamped to 32 bits without sign.
    pub(crate) mtime: u32,
    /// Permission bits, set-id bits and sticky bit.
    pub(crate) mode: u16,
}

impl Metadata {
    pub(crate) fn of(stat: &Stat) -> Self {
        Self {
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: clamp_time(stat.st_mtime),
            mode: (stat.st_mode & 0o7777) as u16,
        }
    }
}

/// A time that the format can hold: 1970 to 2106. Times outside become the
/// nearest one inside.
fn clamp_time(seconds: i64) -> u32 {
    seconds.clamp(0, i64::from(u32::MAX)) as u32
}

/// Tells, nearly surely, whether a file is still the same and unwritten. Both
/// fields are hashes: a change goes unnoticed once in 2³² times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Of device and inode.
    pub(crate) identity: u32,
    /// Of the times of the last change and the last write.
    pub(crate) times: u32,
}

impl Stamp {
    pub(crate) fn of(stat: &Stat) -> Self {
        Self {
            identity: mix(&[stat.st_dev, stat.st_ino]),
            times: mix(&[
                stat.st_ctime as u64,
                stat.st_ctime_nsec,
                stat.st_mtime as u64,
                stat.st_mtime_nsec,
            ]),
        }
    }
}

/// Spreads words over 32 bits (multiply and rotate, with the golden ratio).
fn mix(words: &[u64]) -> u32 {
    let mut state = 0u64;
    for word in words {
        state = (state.rotate_left(29) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    (state >> 32) as u32
}

/// What a node is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Directory,
    Regular {
        size: u64,
        stamp: Stamp,
    },
    Symlink {
        target: TextId,
    },
    BlockDevice {
        device: u32,
    },
    CharDevice {
        device: u32,
    },
    Fifo,
    Socket,
    /// Went away or could not be read after its entry had been noted.
    Omitted,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) metadata: Metadata,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    name: TextId,
    node: NodeId,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Directory {
    pub(crate) node: NodeId,
    pub(crate) parent: DirectoryId,
    name: TextId,
    first: u32,
    count: u32,
}

/// Refers to a name or a link's target in [`Tree::text`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct TextId(u32);

/// How many entries there are, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Regular files; each name of a hard-linked file counts.
    pub files: u64,
    /// Directories, the top one included.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// FIFOs, sockets and device nodes.
    pub special: u64,
    /// Bytes of file content, before compression. Files with several names count
    /// once.
    pub bytes: u64,
}

/// What an archive is to hold: names, kinds and metadata. The content of files is
/// not in it: that is read while the archive is written.
#[derive(Debug)]
pub struct Tree {
    source: Source,
    counts: Counts,
    /// Bytes of files, as far as they are not holes.
    content: u64,
    report: Report,
    /// Of directories, links and special files; regular files' are read with
    /// their content.
    xattrs: BTreeMap<NodeId, XattrSet>,
    nodes: Vec<Node>,
    entries: Vec<Entry>,
    directories: Vec<Directory>,
    /// Names and targets, each after its length in two bytes.
    text: Vec<u8>,
    /// Every entry of each node that has more than one.
    links: HashMap<NodeId, Vec<EntryId>>,
}

impl Tree {
    /// How many entries it has.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Bytes that an archive of the tree takes at most, unless files grow
    /// meanwhile or have very large extended attributes. Content that
    /// compression would make longer is stored as it is; an entry's inode, its
    /// name and its share of the tables take less than a kibibyte, and so does
    /// the list of a mebibyte's blocks.
    pub fn largest_archive(&self) -> u64 {
        const HEADERS: u64 = 1 << 20;
        const PER_ENTRY: u64 = 1024;
        let entries = self.nodes.len() + self.entries.len();
        self.content + self.counts.bytes / 1024 + entries as u64 * PER_ENTRY + HEADERS
    }

    /// What was met when it was built.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Where the tree is.
    pub fn source(&self) -> &Source {
        &self.source
    }

    pub(crate) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    pub(crate) fn xattrs(&self) -> impl Iterator<Item = (NodeId, &XattrSet)> {
        self.xattrs.iter().map(|(id, set)| (*id, set))
    }

    pub(crate) fn name(&self, entry: EntryId) -> &[u8] {
        self.text(self.entries[entry.0 as usize].name)
    }

    pub(crate) fn node_of(&self, entry: EntryId) -> NodeId {
        self.entries[entry.0 as usize].node
    }

    pub(crate) fn entry_count(&self) -> u32 {
        self.entries.len() as u32
    }

    /// The path of an entry, relative to the source.
    pub(crate) fn entry_path(&self, entry: EntryId) -> Vec<u8> {
        let mut path = self.directory_path(self.directory_of(entry));
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(self.name(entry));
        path
    }

    /// The path of a node, by the first of its names. Takes time in proportion
    /// to the number of entries.
    pub(crate) fn node_path(&self, node: NodeId) -> Vec<u8> {
        let entry = self.entries.iter().position(|entry| entry.node == node);
        entry.map_or_else(Vec::new, |entry| self.entry_path(EntryId(entry as u32)))
    }

    /// All names of a node that has several; `None` for one.
    pub(crate) fn links(&self, node: NodeId) -> Option<&[EntryId]> {
        self.links.get(&node).map(Vec::as_slice)
    }

    pub(crate) fn directory_count(&self) -> u32 {
        self.directories.len() as u32
    }

    pub(crate) fn directory(&self, id: DirectoryId) -> &Directory {
        &self.directories[id.0 as usize]
    }

    /// The directory that an entry is in.
    pub(crate) fn directory_of(&self, entry: EntryId) -> DirectoryId {
        let after = self
            .directories
            .partition_point(|directory| directory.first <= entry.0);
        DirectoryId(after as u32 - 1)
    }

    /// The path of a directory, relative to the source, without slashes at
    /// either end.
    pub(crate) fn directory_path(&self, id: DirectoryId) -> Vec<u8> {
        let mut components = Vec::new();
        let mut at = id;
        while at.0 != 0 {
            let directory = self.directory(at);
            components.push(self.text(directory.name));
            at = directory.parent;
        }
        components.reverse();
        components.join(&b'/')
    }

    pub(crate) fn text(&self, id: TextId) -> &[u8] {
        let at = id.0 as usize;
        let length = usize::from(u16::from_le_bytes([self.text[at], self.text[at + 1]]));
        &self.text[at + 2..at + 2 + length]
    }
}

impl Directory {
    fn entries(&self) -> Range<u32> {
        self.first..self.first + self.count
    }

    /// The directory's entries, sorted by name.
    pub(crate) fn entry_ids(&self) -> impl ExactSizeIterator<Item = EntryId> + use<> {
        self.entries().map(EntryId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_clamped_not_wrapped() {
        assert_eq!(clamp_time(-1), 0);
        assert_eq!(clamp_time(0), 0);
        assert_eq!(clamp_time(1_700_000_000), 1_700_000_000);
        assert_eq!(clamp_time(1 << 32), u32::MAX);
        assert_eq!(clamp_time(i64::MIN), 0);
    }

    #[test]
    fn nodes_are_small() {
        assert!(size_of::<Node>() <= 40);
        assert!(size_of::<Entry>() == 8);
    }
}
