//! What an inode says about a file.

use zerocopy::little_endian::U32;

use super::{Archive, ReadError, metadata::Cursor};
use crate::format::{
    NO_FRAGMENT, NO_XATTRS,
    directory::SIZE_SURPLUS,
    inode::{
        BasicDirectory, BasicFile, Device, ExtendedDirectory, ExtendedFile, Header, Ipc, Symlink,
        kind,
    },
    metadata::Position,
};

/// Longest target of a symbolic link, in bytes: a page, as in Linux.
const LONGEST_TARGET: u32 = 4096;

/// Names an inode of an archive: where in the inode table it is. It is all that
/// is needed to find it again, now or after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InodeRef(pub(super) u64);

impl InodeRef {
    /// As the format has it: 48 bits of position and 16 of offset.
    pub const fn to_u64(self) -> u64 {
        self.0
    }

    /// The reverse of [`Self::to_u64`]. Any number will do: one that names no
    /// inode leads to an error or to nonsense when it is used.
    pub const fn from_u64(reference: u64) -> Self {
        Self(reference)
    }
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A block device.
    BlockDevice,
    /// A character device.
    CharDevice,
    /// A FIFO.
    Fifo,
    /// A socket.
    Socket,
}

impl Kind {
    /// By its number on disk, in its basic form.
    pub(super) const fn from_disk(number: u16) -> Option<Self> {
        Some(match number {
            kind::DIRECTORY => Self::Directory,
            kind::FILE => Self::File,
            kind::SYMLINK => Self::Symlink,
            kind::BLOCK_DEVICE => Self::BlockDevice,
            kind::CHAR_DEVICE => Self::CharDevice,
            kind::FIFO => Self::Fifo,
            kind::SOCKET => Self::Socket,
            _ => return None,
        })
    }
}

/// What an inode says, content and names aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attributes {
    /// What it is.
    pub kind: Kind,
    /// Permission bits, set-id bits and sticky bit: 12 bits.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of the last write, in seconds since 1970.
    pub mtime: u32,
    /// From 1 to the number of inodes.
    pub inode_number: u32,
    /// Number of names; of a directory, two and one for each subdirectory.
    pub link_count: u32,
    /// Bytes of content, of a link's target, or of a directory's listing.
    pub size: u64,
    /// Bytes of content in holes, as far as the inode says so.
    pub sparse: u64,
    /// Of device nodes, the device as `st_rdev` has it; otherwise 0.
    pub device: u64,
    /// Inode number of the directory that a directory is in; the root's is one
    /// more than there are inodes, or 0.
    pub parent: Option<u32>,
    /// Number of its set of extended attributes; [`Archive::xattrs`] reads it.
    pub xattr_set: Option<u32>,
}

impl Attributes {
    /// Blocks of 512 bytes that it takes, as `st_blocks` counts them: those of
    /// its content before compression, without holes. What Linux's driver says.
    pub const fn blocks(&self) -> u64 {
        match self.kind {
            Kind::File => self.size.saturating_sub(self.sparse).div_ceil(512),
            _ => 0,
        }
    }
}

/// An inode as it was read.
pub(super) struct Inode<'a> {
    pub(super) attributes: Attributes,
    pub(super) body: Body<'a>,
}

/// What only some kinds have.
pub(super) enum Body<'a> {
    Directory(Directory<'a>),
    File(File<'a>),
    Symlink { target: Vec<u8> },
    Other,
}

/// Where a directory's listing is.
pub(super) struct Directory<'a> {
    /// In the directory table.
    pub(super) start: Position,
    /// Bytes of the listing.
    pub(super) length: u32,
    /// Number of index entries.
    pub(super) index_count: u16,
    /// Where those are.
    pub(super) index: Cursor<'a>,
}

/// Where a file's content is.
#[derive(Clone)]
pub(super) struct File<'a> {
    /// Position of the first block in the archive.
    pub(super) start: u64,
    /// Bytes of content.
    pub(super) size: u64,
    /// Number of the fragment with its end, and where in it that starts.
    pub(super) fragment: Option<(u32, u32)>,
    /// Number of blocks, the fragment aside.
    pub(super) block_count: u64,
    /// Where the blocks' sizes are.
    pub(super) sizes: Cursor<'a>,
}

impl Archive {
    /// Reads an inode.
    pub(super) fn inode(&self, inode: InodeRef) -> Result<Inode<'_>, ReadError> {
        let position = Position::from_reference(inode.0);
        let mut cursor = self.inodes.at(&self.store, position)?;
        let header: Header = cursor.value()?;
        let number = header.kind.get();
        let (basic, is_extended) = match number.checked_sub(kind::EXTENDED) {
            None | Some(0) => (number, false),
            Some(basic) => (basic, true),
        };
        let kind = Kind::from_disk(basic)
            .ok_or_else(|| cursor.damaged("an inode is of an unknown kind"))?;
        let mut attributes = Attributes {
            kind,
            mode: header.mode.get() & 0o7777,
            uid: self.id(&cursor, header.uid.get())?,
            gid: self.id(&cursor, header.gid.get())?,
            mtime: header.mtime.get(),
            inode_number: header.number.get(),
            link_count: 1,
            size: 0,
            sparse: 0,
            device: 0,
            parent: None,
            xattr_set: None,
        };
        let mut xattrs = NO_XATTRS;
        let body = match kind {
            Kind::Directory => {
                let on_disk = if is_extended {
                    cursor.value()?
                } else {
                    extended_directory(&cursor.value()?)
                };
                attributes.link_count = on_disk.link_count.get();
                attributes.size = on_disk.size.get().into();
                attributes.parent = Some(on_disk.parent.get());
                xattrs = on_disk.xattrs.get();
                Body::Directory(Directory {
                    start: Position {
                        block: on_disk.block.get().into(),
                        offset: on_disk.offset.get(),
                    },
                    // Some writers say 0 for an empty directory.
                    length: on_disk.size.get().saturating_sub(SIZE_SURPLUS),
                    index_count: on_disk.index_count.get(),
                    index: cursor,
                })
            }
            Kind::File => {
                let on_disk = if is_extended {
                    cursor.value()?
                } else {
                    extended_file(&cursor.value()?)
                };
                attributes.link_count = on_disk.link_count.get();
                attributes.size = on_disk.size.get();
                attributes.sparse = on_disk.sparse.get();
                xattrs = on_disk.xattrs.get();
                Body::File(self.file_body(&on_disk, cursor)?)
            }
            Kind::Symlink => {
                let on_disk: Symlink = cursor.value()?;
                let length = on_disk.target_length.get();
                if length == 0 || length > LONGEST_TARGET {
                    return Err(cursor.damaged("a link's target has an impossible length"));
                }
                attributes.link_count = on_disk.link_count.get();
                attributes.size = length.into();
                let target = cursor.bytes(length as usize)?;
                if target.contains(&0) {
                    return Err(cursor.damaged("a link's target has a NUL"));
                }
                if is_extended {
                    xattrs = cursor.value::<U32>()?.get();
                }
                Body::Symlink { target }
            }
            Kind::BlockDevice | Kind::CharDevice => {
                let on_disk: Device = cursor.value()?;
                attributes.link_count = on_disk.link_count.get();
                attributes.device = decode_device(on_disk.device.get());
                if is_extended {
                    xattrs = cursor.value::<U32>()?.get();
                }
                Body::Other
            }
            Kind::Fifo | Kind::Socket => {
                attributes.link_count = cursor.value::<Ipc>()?.link_count.get();
                if is_extended {
                    xattrs = cursor.value::<U32>()?.get();
                }
                Body::Other
            }
        };
        if xattrs != NO_XATTRS && self.xattrs.is_some() {
            attributes.xattr_set = Some(xattrs);
        }
        Ok(Inode { attributes, body })
    }

    fn id(&self, cursor: &Cursor<'_>, number: u16) -> Result<u32, ReadError> {
        let id = self.ids.get(usize::from(number)).copied();
        id.ok_or_else(|| cursor.damaged("an inode's owner is none of the table"))
    }

    fn file_body<'a>(
        &self,
        on_disk: &ExtendedFile,
        sizes: Cursor<'a>,
    ) -> Result<File<'a>, ReadError> {
        let size = on_disk.size.get();
        let block_size = self.store.block_size() as u64;
        let fragment = match on_disk.fragment.get() {
            NO_FRAGMENT => None,
            _ if size.is_multiple_of(block_size) => None,
            number => Some((number, on_disk.fragment_offset.get())),
        };
        let block_count = match fragment {
            Some(_) => size / block_size,
            None => size.div_ceil(block_size),
        };
        // So that nothing is set aside for blocks that cannot be there.
        let is_possible = size <= i64::MAX as u64 && block_count <= self.most_blocks();
        if !is_possible {
            return Err(sizes.damaged("a file is larger than can be"));
        }
        Ok(File {
            start: on_disk.start.get(),
            size,
            fragment,
            block_count,
            sizes,
        })
    }
}

fn extended_directory(basic: &BasicDirectory) -> ExtendedDirectory {
    ExtendedDirectory {
        link_count: basic.link_count,
        size: basic.size.into(),
        block: basic.block,
        parent: basic.parent,
        index_count: 0.into(),
        offset: basic.offset,
        xattrs: NO_XATTRS.into(),
    }
}

fn extended_file(basic: &BasicFile) -> ExtendedFile {
    ExtendedFile {
        start: basic.start.into(),
        size: basic.size.into(),
        sparse: 0.into(),
        link_count: 1.into(),
        fragment: basic.fragment,
        fragment_offset: basic.fragment_offset,
        xattrs: NO_XATTRS.into(),
    }
}

/// The reverse of Linux's `new_encode_dev`.
fn decode_device(packed: u32) -> u64 {
    let major = (packed & 0xf_ff00) >> 8;
    let minor = (packed & 0xff) | ((packed >> 12) & 0xf_ff00);
    makedev(major, minor)
}

/// A device number as `st_rdev` has it on Linux: `gnu_dev_makedev`.
fn makedev(major: u32, minor: u32) -> u64 {
    let (major, minor) = (u64::from(major), u64::from(minor));
    (minor & 0xff) | (major & 0xfff) << 8 | (minor & !0xff) << 12 | (major & !0xfff) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_unpacked() {
        assert_eq!(decode_device(0x0103), 0x0103);
        assert_eq!(decode_device(0xfff0_0000 | 0xf_ff00 | 0xff), 0xffff_ffff);
        assert_eq!(makedev(0xabc_def0, 0x1234_5678), 0xabc_d123_456e_f078);
    }

    #[cfg(feature = "native")]
    #[test]
    fn devices_are_as_the_system_has_them() {
        for (major, minor) in [(1, 3), (4095, 0xf_ffff), (0xabc_def0, 0x1234_5678)] {
            assert_eq!(makedev(major, minor), rustix::fs::makedev(major, minor));
        }
    }
}
