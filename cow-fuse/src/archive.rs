//! A SquashFS archive as a lower tree.
//!
//! A node's number is the inode's position in the archive, shifted to make room for
//! the number that FUSE gives the root. So nothing has to be remembered to find
//! an inode again, hard links are one node, and numbers stay the same over
//! mounts.

use std::sync::Arc;

use fuser::FileType;
use rustix::io::Errno;
use squashfs::{
    format::NO_TABLE,
    reader::{self, InodeRef, Kind, ReadError},
    tree::encode_device,
};
use zerocopy::IntoBytes;

use crate::lower::{
    Attributes, COOKIE_END, END, Entry, Lower, ROOT, SEEK_DATA, SEEK_HOLE, Usage, Xattr,
};

/// By how much a node's number is more than its inode's position, which has 48 bits.
const SHIFT: u64 = ROOT + 1;

/// An archive whose inodes are named by numbers of nodes.
#[derive(Debug)]
pub struct Archive {
    archive: Arc<reader::Archive>,
}

impl Archive {
    /// Takes an archive that is open for reading.
    pub const fn new(archive: Arc<reader::Archive>) -> Self {
        Self { archive }
    }

    fn inode(&self, node: u64) -> Result<InodeRef, Errno> {
        match node {
            ROOT => Ok(self.archive.root()),
            SHIFT..END => Ok(InodeRef::from_u64(node - SHIFT)),
            _ => Err(Errno::STALE),
        }
    }

    fn node(&self, inode: InodeRef) -> Result<u64, Errno> {
        if inode == self.archive.root() {
            return Ok(ROOT);
        }
        match inode.to_u64().checked_add(SHIFT) {
            Some(node) if node < END => Ok(node),
            _ => Err(Errno::IO),
        }
    }
}

/// Its identity is its superblock.
impl Lower for Archive {
    fn identity(&self) -> &[u8] {
        self.archive.superblock().as_bytes()
    }

    fn block_size(&self) -> u32 {
        self.archive.superblock().block_size.get()
    }

    fn usage(&self) -> Usage {
        let superblock = self.archive.superblock();
        Usage {
            bytes: superblock.bytes_used.get(),
            nodes: superblock.inode_count.get().into(),
        }
    }

    fn has_xattrs(&self) -> bool {
        self.archive.superblock().xattr_table.get() != NO_TABLE
    }

    fn attributes(&self, node: u64) -> Result<Attributes, Errno> {
        let about = self.archive.attributes(self.inode(node)?).map_err(errno)?;
        Ok(Attributes {
            kind: file_type(about.kind),
            mode: about.mode,
            uid: about.uid,
            gid: about.gid,
            mtime: about.mtime.into(),
            link_count: about.link_count,
            size: about.size,
            blocks: about.blocks(),
            device: encode_device(about.device),
        })
    }

    fn lookup(&self, directory: u64, name: &[u8]) -> Result<Option<u64>, Errno> {
        self.archive
            .lookup(self.inode(directory)?, name)
            .map_err(errno)?
            .map(|inode| self.node(inode))
            .transpose()
    }

    fn read_dir(
        &self,
        directory: u64,
        from: u64,
        each: &mut dyn FnMut(Entry<'_>) -> Result<bool, Errno>,
    ) -> Result<(), Errno> {
        let mut listing = self
            .archive
            .read_dir(self.inode(directory)?, from)
            .map_err(errno)?;
        while let Some(entry) = listing.next_entry().map_err(errno)? {
            let entry = Entry {
                name: entry.name,
                node: self.node(entry.inode)?,
                next: entry.next,
            };
            if entry.next >= COOKIE_END {
                return Err(Errno::IO);
            }
            if !each(entry)? {
                break;
            }
        }
        Ok(())
    }

    fn read_link(&self, node: u64) -> Result<Vec<u8>, Errno> {
        self.archive.read_link(self.inode(node)?).map_err(errno)
    }

    fn read(&self, node: u64, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.archive
            .read(self.inode(node)?, offset, buffer)
            .map_err(errno)
    }

    fn seek(&self, node: u64, offset: u64, whence: i32) -> Result<u64, Errno> {
        let inode = self.inode(node)?;
        match whence {
            SEEK_DATA => self.archive.seek_data(inode, offset),
            SEEK_HOLE => self.archive.seek_hole(inode, offset),
            _ => return Err(Errno::INVAL),
        }
        .map_err(errno)?
        .ok_or(Errno::NXIO)
    }

    fn xattrs(&self, node: u64) -> Result<Vec<Xattr>, Errno> {
        let all = self.archive.xattrs(self.inode(node)?).map_err(errno)?;
        Ok(all
            .into_iter()
            .map(|reader::Xattr { name, value }| Xattr { name, value })
            .collect())
    }

    fn xattr(&self, node: u64, name: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
        self.archive.xattr(self.inode(node)?, name).map_err(errno)
    }
}

const fn file_type(kind: Kind) -> FileType {
    match kind {
        Kind::Directory => FileType::Directory,
        Kind::File => FileType::RegularFile,
        Kind::Symlink => FileType::Symlink,
        Kind::BlockDevice => FileType::BlockDevice,
        Kind::CharDevice => FileType::CharDevice,
        Kind::Fifo => FileType::NamedPipe,
        Kind::Socket => FileType::Socket,
    }
}

fn errno(error: ReadError) -> Errno {
    match error {
        ReadError::NotADirectory => Errno::NOTDIR,
        ReadError::NotAFile | ReadError::NotALink => Errno::INVAL,
        _ => Errno::IO,
    }
}
