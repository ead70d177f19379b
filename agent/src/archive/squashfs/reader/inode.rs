//! What an inode says about a file.

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
    /// inode leads to an error when it is used.
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
    ///
    /// [`Archive::xattrs`]: super::Archive::xattrs
    pub xattr_set: Option<u32>,
}

impl Attributes {
    /// Blocks of 512 bytes that it takes, as `st_blocks` counts them: those of
    /// its content before compression, without holes. What Linux's driver says.
    pub const fn blocks(&self) -> u64 {
        self.size.saturating_sub(self.sparse).div_ceil(512)
    }
}
