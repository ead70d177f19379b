//! Putting a tree together.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
};

use rustix::{
    fs::{FileType, Stat},
    io::Errno,
};

use super::{
    Counts, Directory, DirectoryId, Entry, EntryId, Kind, Metadata, Node, NodeId, Stamp, TextId,
    Tree,
};
use crate::{
    report::{Change, ChangeKind, Report, Unreadable},
    source::{Source, XattrSet},
    tally::Tally,
};

/// More entries or longer names than an archive can number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tree has more entries than an archive can hold")]
pub struct TooLarge;

/// Takes the entries of a directory, one directory after the other.
///
/// The order is the caller's to keep: [`Builder::new`] has made the top directory;
/// each directory is [begun](Self::begin_directory), and then all of its entries
/// are added, sorted by name, before the next one is begun. Directories are begun
/// depth first: after those of `a`, all that are in `a/b` and below, then `a/c`.
/// A directory that was added but is never begun is left out of the archive.
#[derive(Debug)]
pub struct Builder {
    tree: Tree,
}

/// A directory that has been added and may be begun.
#[derive(Clone, Copy, Debug)]
pub struct NewDirectory {
    node: NodeId,
    parent: DirectoryId,
    name: TextId,
}

/// A file that has been added, for its other names: see [`Builder::add_link`].
#[derive(Clone, Copy, Debug)]
pub struct File {
    node: NodeId,
    /// By its first name.
    entry: EntryId,
}

impl Builder {
    /// A tree of which only the top directory is known, which is `source` itself,
    /// and what `stat(2)` says of it. It is to be begun first.
    ///
    /// # Errors
    /// None, as one directory is not too many.
    pub fn new(source: Source, about: &Stat) -> Result<(Self, NewDirectory), TooLarge> {
        let mut builder = Self {
            tree: Tree {
                source,
                counts: Counts::default(),
                content: 0,
                report: Report::default(),
                xattrs: BTreeMap::new(),
                nodes: Vec::new(),
                entries: Vec::new(),
                directories: Vec::new(),
                text: Vec::new(),
                links: HashMap::new(),
            },
        };
        let root = NewDirectory {
            node: builder.add_node(Kind::Omitted, about)?,
            parent: DirectoryId(0),
            name: builder.add_text(b"")?,
        };
        Ok((builder, root))
    }

    /// Where the tree is.
    pub fn source(&self) -> &Source {
        &self.tree.source
    }

    /// What was added so far.
    pub fn counts(&self) -> Counts {
        self.tree.counts
    }

    /// What was noted so far.
    pub fn report(&self) -> &Report {
        &self.tree.report
    }

    /// The path of a directory, relative to the source; empty for the top one.
    pub fn path(&self, directory: &NewDirectory) -> Vec<u8> {
        if directory.node == NodeId::ROOT {
            return Vec::new();
        }
        let mut path = self.tree.directory_path(directory.parent);
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(self.tree.text(directory.name));
        path
    }

    /// Adds a directory to the one that was begun last.
    ///
    /// # Errors
    /// There are too many entries.
    pub fn add_directory(&mut self, name: &[u8], about: &Stat) -> Result<NewDirectory, TooLarge> {
        let text = self.add_text(name)?;
        let node = self.add_node(Kind::Omitted, about)?;
        self.add_entry(text, node)?;
        Ok(NewDirectory {
            node,
            parent: DirectoryId(self.tree.directory_count().saturating_sub(1)),
            name: text,
        })
    }

    /// Says what is known of a directory now that it has been opened.
    pub fn set_attributes(&mut self, directory: &NewDirectory, about: &Stat, xattrs: XattrSet) {
        self.tree.nodes[directory.node.index()].metadata = Metadata::of(about);
        self.set_xattrs(directory.node, xattrs);
    }

    /// Begins a directory: what is added next is in it.
    pub fn begin_directory(&mut self, directory: &NewDirectory) {
        self.tree.directories.push(Directory {
            node: directory.node,
            parent: directory.parent,
            name: directory.name,
            first: self.tree.entries.len() as u32,
            count: 0,
        });
        self.tree.nodes[directory.node.index()].kind = Kind::Directory;
        self.tree.counts.directories += 1;
    }

    /// Adds a regular file. Its extended attributes are read with its content.
    ///
    /// # Errors
    /// There are too many entries.
    pub fn add_file(&mut self, name: &[u8], about: &Stat) -> Result<File, TooLarge> {
        let size = about.st_size as u64;
        let kind = Kind::Regular {
            size,
            stamp: Stamp::of(about),
        };
        let file = self.add_new(name, kind, about)?;
        self.tree.counts.bytes += size;
        self.tree.content += size.min(most_content(about));
        Ok(file)
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    /// There are too many entries.
    pub fn add_symlink(
        &mut self,
        name: &[u8],
        target: &[u8],
        about: &Stat,
        xattrs: XattrSet,
    ) -> Result<File, TooLarge> {
        let target = self.add_text(target)?;
        let link = self.add_new(name, Kind::Symlink { target }, about)?;
        self.set_xattrs(link.node, xattrs);
        Ok(link)
    }

    /// Adds a device node, FIFO or socket; which it is, `about` says.
    ///
    /// # Errors
    /// There are too many entries.
    pub fn add_special(
        &mut self,
        name: &[u8],
        about: &Stat,
        xattrs: XattrSet,
    ) -> Result<File, TooLarge> {
        let file = self.add_new(name, special_kind(about), about)?;
        self.set_xattrs(file.node, xattrs);
        Ok(file)
    }

    /// Adds another name of a file.
    ///
    /// # Errors
    /// There are too many entries.
    pub fn add_link(&mut self, name: &[u8], file: File) -> Result<(), TooLarge> {
        let name = self.add_text(name)?;
        let entry = self.add_entry(name, file.node)?;
        let names = self.tree.links.entry(file.node);
        names.or_insert_with(|| vec![file.entry]).push(entry);
        self.count(file.node);
        Ok(())
    }

    /// Notes that an entry, by its path relative to the source, could not be read.
    pub fn note_unreadable(&mut self, path: PathBuf, errno: Errno) {
        let unreadable = Unreadable { path, errno };
        self.tree.report.unreadable.add(unreadable);
    }

    /// Notes that an entry, by its path relative to the source, changed.
    pub fn note_change(&mut self, path: PathBuf, kind: ChangeKind) {
        self.tree.report.changes.add(Change { path, kind });
    }

    /// Ends with an error if entries could not be read.
    ///
    /// # Errors
    /// What could not be read.
    pub fn all_readable(self) -> Result<Self, Tally<Unreadable>> {
        match self.tree.report.unreadable.is_empty() {
            true => Ok(self),
            false => Err(self.tree.report.unreadable),
        }
    }

    /// The tree.
    pub fn finish(self) -> Tree {
        let mut tree = self.tree;
        tree.nodes.shrink_to_fit();
        tree.entries.shrink_to_fit();
        tree.directories.shrink_to_fit();
        tree.text.shrink_to_fit();
        tree
    }

    fn add_new(&mut self, name: &[u8], kind: Kind, about: &Stat) -> Result<File, TooLarge> {
        let node = self.add_node(kind, about)?;
        let name = self.add_text(name)?;
        let entry = self.add_entry(name, node)?;
        self.count(node);
        Ok(File { node, entry })
    }

    fn count(&mut self, node: NodeId) {
        let counts = &mut self.tree.counts;
        match self.tree.nodes[node.index()].kind {
            Kind::Regular { .. } => counts.files += 1,
            Kind::Symlink { .. } => counts.symlinks += 1,
            _ => counts.special += 1,
        }
    }

    fn set_xattrs(&mut self, node: NodeId, xattrs: XattrSet) {
        if !xattrs.is_empty() {
            self.tree.xattrs.insert(node, xattrs);
        }
    }

    fn add_text(&mut self, text: &[u8]) -> Result<TextId, TooLarge> {
        let id = u32::try_from(self.tree.text.len()).map_err(|_| TooLarge)?;
        let length = u16::try_from(text.len()).map_err(|_| TooLarge)?;
        self.tree.text.extend_from_slice(&length.to_le_bytes());
        self.tree.text.extend_from_slice(text);
        Ok(TextId(id))
    }

    fn add_node(&mut self, kind: Kind, about: &Stat) -> Result<NodeId, TooLarge> {
        // Inode numbers start at 1, and one more is taken for the root's parent.
        let id = u32::try_from(self.tree.nodes.len())
            .ok()
            .filter(|&id| id < u32::MAX - 2)
            .ok_or(TooLarge)?;
        self.tree.nodes.push(Node {
            kind,
            metadata: Metadata::of(about),
        });
        Ok(NodeId(id))
    }

    /// Adds an entry to the directory that was begun last.
    fn add_entry(&mut self, name: TextId, node: NodeId) -> Result<EntryId, TooLarge> {
        let tree = &mut self.tree;
        let id = u32::try_from(tree.entries.len()).map_err(|_| TooLarge)?;
        if let Some(directory) = tree.directories.last() {
            debug_assert!(
                directory.count == 0 || tree.name(EntryId(id - 1)) < tree.text(name),
                "names are not in order"
            );
        }
        tree.entries.push(Entry { name, node });
        if let Some(directory) = tree.directories.last_mut() {
            directory.count += 1;
        }
        Ok(EntryId(id))
    }
}

/// More bytes than a file has outside holes, most likely. Its blocks may hold
/// more than their size, as some file systems compress.
fn most_content(about: &Stat) -> u64 {
    const BLOCK: u64 = 512;
    const BEST_COMPRESSION: u64 = 16;
    // Small files may have no blocks at all, their content being in the inode.
    const IN_INODE: u64 = 64 << 10;
    (about.st_blocks as u64).saturating_mul(BLOCK * BEST_COMPRESSION) + IN_INODE
}

/// The kind of a node that is no directory, link or regular file.
fn special_kind(about: &Stat) -> Kind {
    match FileType::from_raw_mode(about.st_mode) {
        FileType::BlockDevice => Kind::BlockDevice {
            device: encode_device(about.st_rdev),
        },
        FileType::CharacterDevice => Kind::CharDevice {
            device: encode_device(about.st_rdev),
        },
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        _ => Kind::Omitted,
    }
}

/// A device number in the kernel's 32-bit encoding (`new_encode_dev`), which archives
/// and FUSE have: minor bits 0–7, major bits 8–19, the rest of minor above.
pub fn encode_device(device: u64) -> u32 {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_encoded_as_the_kernel_does() {
        assert_eq!(encode_device(rustix::fs::makedev(8, 1)), 0x801);
        assert_eq!(encode_device(rustix::fs::makedev(1, 3)), 0x103);
        assert_eq!(
            encode_device(rustix::fs::makedev(0xabc, 0x12345)),
            0x123a_bc45
        );
        assert_eq!(
            encode_device(rustix::fs::makedev(0xabc, 0xfedcb)),
            0xfed_abccb
        );
    }
}
