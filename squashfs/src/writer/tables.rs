//! The tables that describe what was placed.
//!
//! Directories are taken in reverse order of the tree, so that the inodes of a
//! directory's entries are there when its listing is written. The inode table
//! goes to the sink as it grows; the listings, which come after it in the
//! archive, are kept in their compressed form.

use zerocopy::{
    IntoBytes,
    little_endian::{U16, U32, U64},
};

use super::{
    Options, WriteError,
    metadata_writer::{MetadataWriter, write_indexed_table},
    output::Output,
    place::{Content, Extent, Placed},
    xattrs::XattrTable,
};
use crate::{
    format::{
        NO_FRAGMENT, NO_TABLE, NO_XATTRS,
        directory::SIZE_SURPLUS,
        inode::{
            self, BasicDirectory, BasicFile, Device, ExtendedDirectory, ExtendedFile, Ipc, Symlink,
            kind,
        },
        metadata::Position,
    },
    tree::{DirectoryId, Kind, Metadata, NodeId, Tree},
};

mod listing;
mod numbers;

use listing::{Listed, Listing};
use numbers::{Ids, Numbers};

/// What the superblock says about the tables.
pub(super) struct Tables {
    pub(super) inode_count: u32,
    pub(super) newest_mtime: u32,
    pub(super) id_count: u16,
    pub(super) root_inode: u64,
    pub(super) inode_table: u64,
    pub(super) directory_table: u64,
    pub(super) fragment_table: u64,
    pub(super) export_table: u64,
    pub(super) id_table: u64,
    pub(super) xattr_table: u64,
}

/// Writes all tables.
pub(super) fn write(
    tree: &Tree,
    placed: &Placed,
    xattrs: XattrTable,
    options: &Options,
    output: &mut Output<'_>,
) -> Result<Tables, WriteError> {
    let inode_table = output.position();
    let mut writer = TableWriter {
        tree,
        placed,
        numbers: Numbers::new(tree, placed),
        inodes: MetadataWriter::new(options)?,
        directories: MetadataWriter::new(options)?,
        references: vec![UNWRITTEN; tree.node_count()],
        ids: Ids::default(),
        newest_mtime: 0,
    };
    for number in (0..tree.directory_count()).rev() {
        writer.directory(DirectoryId(number))?;
        writer.inodes.drain_to(output)?;
    }
    let TableWriter {
        inodes,
        directories,
        mut references,
        ids,
        newest_mtime,
        ..
    } = writer;
    let root_inode = references[NodeId::ROOT.index()];
    inodes.finish(output)?;
    let directory_table = output.position();
    directories.finish(output)?;

    let fragment_table = if placed.fragments.is_empty() {
        NO_TABLE
    } else {
        let mut table = MetadataWriter::new(options)?;
        table.write(placed.fragments.as_bytes());
        write_indexed_table(output, table, &[])?
    };
    references.retain(|&reference| reference != UNWRITTEN);
    let mut table = MetadataWriter::new(options)?;
    for reference in &references {
        table.write(&reference.to_le_bytes());
    }
    let export_table = write_indexed_table(output, table, &[])?;
    let mut table = MetadataWriter::new(options)?;
    for id in &ids.list {
        table.write(&id.to_le_bytes());
    }
    let id_table = write_indexed_table(output, table, &[])?;
    let xattr_table = xattrs.finish(options, output)?;
    Ok(Tables {
        inode_count: references.len() as u32,
        newest_mtime,
        id_count: ids.list.len() as u16,
        root_inode,
        inode_table,
        directory_table,
        fragment_table,
        export_table,
        id_table,
        xattr_table,
    })
}

/// In place of the reference to an inode that is not written yet. No reference
/// looks like this, as offsets are below 8 KiB.
const UNWRITTEN: u64 = u64::MAX;

struct TableWriter<'a> {
    tree: &'a Tree,
    placed: &'a Placed,
    numbers: Numbers,
    inodes: MetadataWriter,
    directories: MetadataWriter,
    /// Of each node's inode.
    references: Vec<u64>,
    ids: Ids,
    newest_mtime: u32,
}

impl TableWriter<'_> {
    fn directory(&mut self, id: DirectoryId) -> Result<(), WriteError> {
        let directory = *self.tree.directory(id);
        let mut listing = Listing::begin(self.directories.position());
        let mut link_count = 2;
        for entry in directory.entry_ids() {
            let node = self.tree.node_of(entry);
            if self.numbers.is_omitted(node) {
                continue;
            }
            let kind = self.other_inode(node)?;
            if kind == kind::DIRECTORY {
                link_count += 1;
            }
            let listed = Listed {
                name: self.tree.name(entry),
                inode: Position::from_reference(self.references[node.index()]),
                number: self.numbers.of(node),
                kind,
            };
            listing.add(&listed, &mut self.directories);
        }
        listing.end_run(&mut self.directories);

        let node = directory.node;
        let parent = match id.0 {
            // As if there were one more inode, which the root is in.
            0 => self.numbers.count() + 1,
            _ => self.numbers.of(self.tree.directory(directory.parent).node),
        };
        let size = listing.length + SIZE_SURPLUS;
        let xattrs = self.xattrs(node);
        let basic = u16::try_from(size)
            .ok()
            .filter(|_| xattrs == NO_XATTRS && listing.index_count == 0);
        match basic {
            Some(size) => {
                let body = BasicDirectory {
                    block: U32::new(listing.start.block as u32),
                    link_count: U32::new(link_count),
                    size: U16::new(size),
                    offset: U16::new(listing.start.offset),
                    parent: U32::new(parent),
                };
                self.inode(node, kind::DIRECTORY, &[body.as_bytes()])
            }
            None => {
                let body = ExtendedDirectory {
                    link_count: U32::new(link_count),
                    size: U32::new(size),
                    block: U32::new(listing.start.block as u32),
                    parent: U32::new(parent),
                    index_count: U16::new(listing.index_count),
                    offset: U16::new(listing.start.offset),
                    xattrs: U32::new(xattrs),
                };
                let kind = kind::DIRECTORY + kind::EXTENDED;
                self.inode(node, kind, &[body.as_bytes(), &listing.index])
            }
        }
    }

    /// Writes the inode of an entry that is not a directory, unless it is
    /// there. Gives the kind in its basic form.
    fn other_inode(&mut self, node: NodeId) -> Result<u16, WriteError> {
        let links = self.tree.links(node).map_or(1, <[_]>::len) as u32;
        let tree = self.tree;
        let (basic, body, target): (u16, Vec<u8>, &[u8]) = match tree.node(node).kind {
            Kind::Directory | Kind::Omitted => return Ok(kind::DIRECTORY),
            Kind::Regular { size, .. } => {
                if self.references[node.index()] == UNWRITTEN {
                    self.file(node, links, size)?;
                }
                return Ok(kind::FILE);
            }
            Kind::Symlink { target } => {
                let target = tree.text(target);
                let body = Symlink {
                    link_count: U32::new(links),
                    target_length: U32::new(target.len() as u32),
                };
                (kind::SYMLINK, body.as_bytes().to_vec(), target)
            }
            Kind::BlockDevice { device } => (kind::BLOCK_DEVICE, device_body(links, device), &[]),
            Kind::CharDevice { device } => (kind::CHAR_DEVICE, device_body(links, device), &[]),
            Kind::Fifo => (kind::FIFO, ipc_body(links), &[]),
            Kind::Socket => (kind::SOCKET, ipc_body(links), &[]),
        };
        if self.references[node.index()] == UNWRITTEN {
            match self.xattrs(node) {
                NO_XATTRS => self.inode(node, basic, &[&body, target])?,
                xattrs => {
                    let parts = [&body, target, &xattrs.to_le_bytes()];
                    self.inode(node, basic + kind::EXTENDED, &parts)?;
                }
            }
        }
        Ok(basic)
    }

    fn file(&mut self, node: NodeId, links: u32, size: u64) -> Result<(), WriteError> {
        let size = self
            .placed
            .changed
            .get(&node)
            .map_or(size, |changed| changed.1);
        let whole = |number, offset| Extent::in_fragment(size, number, offset);
        let extent = match self.placed.contents[node.index()] {
            Content::Fragment { number, offset } => whole(number, offset),
            Content::Blocks { extent } => self.placed.extents[extent as usize],
            Content::Empty => Extent::default(),
            Content::None | Content::Omitted => {
                return Err(WriteError::Internal("a file has not been placed"));
            }
        };
        let mut blocks = Vec::new();
        for block in self.placed.blocks(&extent) {
            blocks.extend_from_slice(&block.to_disk().to_le_bytes());
        }
        let (fragment, fragment_offset) = extent.fragment.unwrap_or((NO_FRAGMENT, 0));
        let xattrs = self.xattrs(node);
        let basic = match (u32::try_from(extent.start), u32::try_from(extent.size)) {
            (Ok(start), Ok(size)) if links == 1 && xattrs == NO_XATTRS && extent.sparse == 0 => {
                Some((start, size))
            }
            _ => None,
        };
        match basic {
            Some((start, size)) => {
                let body = BasicFile {
                    start: U32::new(start),
                    fragment: U32::new(fragment),
                    fragment_offset: U32::new(fragment_offset),
                    size: U32::new(size),
                };
                self.inode(node, kind::FILE, &[body.as_bytes(), &blocks])
            }
            None => {
                let body = ExtendedFile {
                    start: U64::new(extent.start),
                    size: U64::new(extent.size),
                    sparse: U64::new(extent.sparse),
                    link_count: U32::new(links),
                    fragment: U32::new(fragment),
                    fragment_offset: U32::new(fragment_offset),
                    xattrs: U32::new(xattrs),
                };
                let kind = kind::FILE + kind::EXTENDED;
                self.inode(node, kind, &[body.as_bytes(), &blocks])
            }
        }
    }

    fn inode(&mut self, node: NodeId, kind: u16, body: &[&[u8]]) -> Result<(), WriteError> {
        let metadata = self.metadata(node);
        self.newest_mtime = self.newest_mtime.max(metadata.mtime);
        self.references[node.index()] = self.inodes.position().to_reference();
        let header = inode::Header {
            kind: U16::new(kind),
            mode: U16::new(metadata.mode),
            uid: U16::new(self.ids.number(metadata.uid)?),
            gid: U16::new(self.ids.number(metadata.gid)?),
            mtime: U32::new(metadata.mtime),
            number: U32::new(self.numbers.of(node)),
        };
        self.inodes.write(header.as_bytes());
        for part in body {
            self.inodes.write(part);
        }
        Ok(())
    }

    fn metadata(&self, node: NodeId) -> Metadata {
        match self.placed.changed.get(&node) {
            Some((metadata, _)) => *metadata,
            None => self.tree.node(node).metadata,
        }
    }

    fn xattrs(&self, node: NodeId) -> u32 {
        let number = self.placed.xattr_numbers.get(&node);
        number.copied().unwrap_or(NO_XATTRS)
    }
}

fn device_body(links: u32, device: u32) -> Vec<u8> {
    let body = Device {
        link_count: U32::new(links),
        device: U32::new(device),
    };
    body.as_bytes().to_vec()
}

fn ipc_body(links: u32) -> Vec<u8> {
    let body = Ipc {
        link_count: U32::new(links),
    };
    body.as_bytes().to_vec()
}
