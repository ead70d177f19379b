//! The archive as a lower layer: its inodes as nodes of a file system.
//!
//! A node id is the inode's position in the archive, shifted to make room for
//! the number that FUSE gives the root. So nothing has to be remembered to find
//! an inode again, hard links are one node, and numbers stay the same over
//! mounts.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use fuser::{FileAttr, FileType, INodeNo};
use rustix::io::Errno;
use squashfs::{
    format::{NO_TABLE, superblock::Superblock},
    reader::{Archive, Attributes, InodeRef, Kind, ReadError, Xattr},
};

/// FUSE's id of the root.
pub(super) const ROOT: u64 = 1;

/// Ids of the archive's nodes are below this: its references have 48 bits.
pub(super) const END: u64 = (1 << 48) + SHIFT;

/// `whence` of `lseek(2)`; the kernel answers the others itself.
pub(super) const SEEK_DATA: i32 = 3;
/// See [`SEEK_DATA`].
pub(super) const SEEK_HOLE: i32 = 4;

const SHIFT: u64 = ROOT + 1;

/// An entry of a directory of the archive.
pub(super) struct Entry<'a> {
    pub(super) name: &'a [u8],
    pub(super) node: u64,
    /// Where to go on after it. Below [`COOKIE_END`].
    pub(super) next: u64,
}

/// What every listing begins with; the archive's own do not have them.
pub(super) const DOTS: [&[u8]; 2] = [b".", b".."];

/// Cookies of the archive's entries are below this.
pub(super) const COOKIE_END: u64 = 1 << 62;

/// An archive whose inodes are named by node ids.
#[derive(Debug)]
pub(super) struct Lower {
    archive: Arc<Archive>,
}

impl Lower {
    pub(super) const fn new(archive: Arc<Archive>) -> Self {
        Self { archive }
    }

    pub(super) fn superblock(&self) -> &Superblock {
        self.archive.superblock()
    }

    /// Whether any inode may have extended attributes.
    pub(super) fn has_xattrs(&self) -> bool {
        self.superblock().xattr_table.get() != NO_TABLE
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

    pub(super) fn attributes(&self, node: u64) -> Result<Attributes, Errno> {
        self.archive.attributes(self.inode(node)?).map_err(errno)
    }

    pub(super) fn lookup(&self, directory: u64, name: &[u8]) -> Result<Option<u64>, Errno> {
        self.archive
            .lookup(self.inode(directory)?, name)
            .map_err(errno)?
            .map(|inode| self.node(inode))
            .transpose()
    }

    /// Gives `each` the entries from a cookie on, until it answers false.
    pub(super) fn read_dir(
        &self,
        directory: u64,
        from: u64,
        mut each: impl FnMut(Entry<'_>) -> Result<bool, Errno>,
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

    pub(super) fn read_link(&self, node: u64) -> Result<Vec<u8>, Errno> {
        self.archive.read_link(self.inode(node)?).map_err(errno)
    }

    pub(super) fn read(&self, node: u64, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.archive
            .read(self.inode(node)?, offset, buffer)
            .map_err(errno)
    }

    /// `lseek(2)` with `SEEK_DATA` or `SEEK_HOLE`. `ENXIO` where neither is left.
    pub(super) fn seek(&self, node: u64, offset: u64, whence: i32) -> Result<u64, Errno> {
        let inode = self.inode(node)?;
        match whence {
            SEEK_DATA => self.archive.seek_data(inode, offset),
            SEEK_HOLE => self.archive.seek_hole(inode, offset),
            _ => return Err(Errno::INVAL),
        }
        .map_err(errno)?
        .ok_or(Errno::NXIO)
    }

    pub(super) fn xattrs(&self, node: u64) -> Result<Vec<Xattr>, Errno> {
        self.archive.xattrs(self.inode(node)?).map_err(errno)
    }

    pub(super) fn xattr(&self, node: u64, name: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
        self.archive.xattr(self.inode(node)?, name).map_err(errno)
    }
}

/// What `stat(2)` shall say of an inode of the archive.
pub(super) fn file_attr(node: u64, about: &Attributes, block_size: u32) -> FileAttr {
    let time = time_of(about.mtime);
    FileAttr {
        ino: INodeNo(node),
        size: about.size,
        blocks: about.blocks(),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind: file_type(about.kind),
        perm: about.mode,
        nlink: about.link_count,
        uid: about.uid,
        gid: about.gid,
        rdev: device_code(about.device),
        blksize: block_size,
        flags: 0,
    }
}

fn time_of(seconds: u32) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds.into())
}

/// A device number as FUSE carries it: Linux's `new_encode_dev`.
pub(super) fn device_code(device: u64) -> u32 {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

pub(super) const fn file_type(kind: Kind) -> FileType {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_encoded_as_linux_does() {
        assert_eq!(device_code(rustix::fs::makedev(1, 3)), 0x103);
        assert_eq!(
            device_code(rustix::fs::makedev(0xabc, 0x12345)),
            0x123a_bc45
        );
    }
}
