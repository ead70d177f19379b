//! The tree below: what is shown, and what changes are relative to.

use std::{
    fmt::Debug,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use fuser::{FileAttr, INodeNo};
use rustix::io::Errno;

pub use fuser::FileType;

/// The number of the top directory.
pub const ROOT: u64 = 1;

/// Numbers of nodes are below this.
pub const END: u64 = (1 << 48) + ROOT + 1;

/// Cookies of entries are below this.
pub const COOKIE_END: u64 = 1 << 62;

/// `whence` of `lseek(2)`; the kernel answers the others itself.
pub(crate) const SEEK_DATA: i32 = 3;
/// See [`SEEK_DATA`].
pub(crate) const SEEK_HOLE: i32 = 4;

/// What every listing begins with; a lower tree's own do not have them.
pub(crate) const DOTS: [&[u8]; 2] = [b".", b".."];

/// A tree of files that does not change as long as it is served.
///
/// A node is a file, whatever the count of its names. It has a number, [`ROOT`] or
/// above and below [`END`], which is the same at every start: a journal refers to
/// nodes by their numbers. All calls may come from several threads at once, and may
/// take as long as a network does.
pub trait Lower: Debug + Send + Sync + 'static {
    /// Tells this tree from any other: what has been written over one is not put over
    /// another.
    fn identity(&self) -> &[u8];

    /// Bytes of a block, as `st_blksize` has it.
    fn block_size(&self) -> u32;

    /// How much there is in it, for `statfs(2)`.
    fn usage(&self) -> Usage;

    /// Whether any node may have extended attributes.
    fn has_xattrs(&self) -> bool;

    /// What `stat(2)` says of a node.
    ///
    /// # Errors
    /// Those of `stat(2)`; `ESTALE` for a number that is nobody's.
    fn attributes(&self, node: u64) -> Result<Attributes, Errno>;

    /// Who has a name in a directory.
    ///
    /// # Errors
    /// `ENOTDIR`, or the tree cannot be read.
    fn lookup(&self, directory: u64, name: &[u8]) -> Result<Option<u64>, Errno>;

    /// Gives `each` the entries of a directory from a cookie on, 0 for all, until it
    /// answers false. There is neither `.` nor `..` among them.
    ///
    /// # Errors
    /// `ENOTDIR`, the tree cannot be read, and what `each` fails with.
    fn read_dir(
        &self,
        directory: u64,
        from: u64,
        each: &mut dyn FnMut(Entry<'_>) -> Result<bool, Errno>,
    ) -> Result<(), Errno>;

    /// A symbolic link's target.
    ///
    /// # Errors
    /// `EINVAL` if it is none, or the tree cannot be read.
    fn read_link(&self, node: u64) -> Result<Vec<u8>, Errno>;

    /// Fills `buffer` with a file's content from byte `offset` on. Gives how many
    /// bytes were filled: all, unless the file ends first.
    ///
    /// # Errors
    /// `EINVAL` if it is no file, or the tree cannot be read.
    fn read(&self, node: u64, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno>;

    /// `lseek(2)` with `SEEK_DATA` (3) or `SEEK_HOLE` (4).
    ///
    /// # Errors
    /// `ENXIO` where neither is left, or the tree cannot be read.
    fn seek(&self, node: u64, offset: u64, whence: i32) -> Result<u64, Errno>;

    /// All extended attributes of a node.
    ///
    /// # Errors
    /// The tree cannot be read.
    fn xattrs(&self, node: u64) -> Result<Vec<Xattr>, Errno>;

    /// The value of one extended attribute.
    ///
    /// # Errors
    /// The tree cannot be read.
    fn xattr(&self, node: u64, name: &[u8]) -> Result<Option<Vec<u8>>, Errno>;
}

/// How much there is in a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes that it takes.
    pub bytes: u64,
    /// Number of nodes.
    pub nodes: u64,
}

/// What a tree says of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// What it is.
    pub kind: FileType,
    /// Permission bits, set-id bits and sticky bit.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime: i64,
    /// Number of names.
    pub link_count: u32,
    /// Bytes of content.
    pub size: u64,
    /// Blocks of 512 bytes.
    pub blocks: u64,
    /// Of a device node, as FUSE carries it: Linux's `new_encode_dev`.
    pub device: u32,
}

/// An entry of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// 1 to 255 bytes.
    pub name: &'a [u8],
    /// What it names.
    pub node: u64,
    /// Where to go on after it. Below [`COOKIE_END`].
    pub next: u64,
}

/// An extended attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xattr {
    /// With its prefix.
    pub name: Vec<u8>,
    /// What it says.
    pub value: Vec<u8>,
}

/// What `stat(2)` shall say of a node.
pub(crate) fn file_attr(node: u64, about: &Attributes, block_size: u32) -> FileAttr {
    let time = time_of(about.mtime);
    FileAttr {
        ino: INodeNo(node),
        size: about.size,
        blocks: about.blocks,
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind: about.kind,
        perm: about.mode,
        nlink: about.link_count,
        uid: about.uid,
        gid: about.gid,
        rdev: about.device,
        blksize: block_size,
        flags: 0,
    }
}

fn time_of(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let time = match seconds < 0 {
        true => UNIX_EPOCH.checked_sub(distance),
        false => UNIX_EPOCH.checked_add(distance),
    };
    time.unwrap_or(UNIX_EPOCH)
}
