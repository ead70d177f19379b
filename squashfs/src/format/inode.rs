//! Inodes: a [`Header`], then a structure that depends on the kind.
//!
//! Each kind has a basic form and an extended one, which also has what few
//! files need: extended attributes, 64-bit sizes, holes, an index.

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U16, U32, U64},
};

/// Values of [`Header::kind`].
pub mod kind {
    /// [`super::BasicDirectory`].
    pub const DIRECTORY: u16 = 1;
    /// [`super::BasicFile`].
    pub const FILE: u16 = 2;
    /// [`super::Symlink`].
    pub const SYMLINK: u16 = 3;
    /// [`super::Device`].
    pub const BLOCK_DEVICE: u16 = 4;
    /// [`super::Device`].
    pub const CHAR_DEVICE: u16 = 5;
    /// [`super::Ipc`].
    pub const FIFO: u16 = 6;
    /// [`super::Ipc`].
    pub const SOCKET: u16 = 7;
    /// How much more the extended form of a kind is than the basic one.
    pub const EXTENDED: u16 = 7;
}

/// What all inodes begin with.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// See [`kind`].
    pub kind: U16,
    /// Permission bits, set-id bits and sticky bit.
    pub mode: U16,
    /// Index of the owner in the id table.
    pub uid: U16,
    /// Index of the group in the id table.
    pub gid: U16,
    /// Time of the last write, in seconds since 1970.
    pub mtime: U32,
    /// From 1 to the number of inodes.
    pub number: U32,
}

/// A directory whose listing is below 64 KiB.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct BasicDirectory {
    /// Position, in the directory table, of the block where the listing starts.
    pub block: U32,
    /// Two, and one for each subdirectory.
    pub link_count: U32,
    /// Bytes of the listing and [`super::directory::SIZE_SURPLUS`].
    pub size: U16,
    /// Of the listing in its first block.
    pub offset: U16,
    /// Inode number of the directory that this one is in.
    pub parent: U32,
}

/// Any directory; `index_count` [`super::directory::IndexEntry`]s follow.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct ExtendedDirectory {
    /// Two, and one for each subdirectory.
    pub link_count: U32,
    /// Bytes of the listing and [`super::directory::SIZE_SURPLUS`].
    pub size: U32,
    /// Position, in the directory table, of the block where the listing starts.
    pub block: U32,
    /// Inode number of the directory that this one is in.
    pub parent: U32,
    /// Number of index entries.
    pub index_count: U16,
    /// Of the listing in its first block.
    pub offset: U16,
    /// Number of its set of attributes, or [`super::NO_XATTRS`].
    pub xattrs: U32,
}

/// A file with one name, below 4 GiB; the sizes of its blocks follow
/// ([`super::BlockSize`]).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct BasicFile {
    /// Position of the first block in the archive.
    pub start: U32,
    /// Number of the fragment with its end, or [`super::NO_FRAGMENT`].
    pub fragment: U32,
    /// Where in the decompressed fragment its end starts.
    pub fragment_offset: U32,
    /// Bytes of content.
    pub size: U32,
}

/// Any file; the sizes of its blocks follow ([`super::BlockSize`]).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct ExtendedFile {
    /// Position of the first block in the archive.
    pub start: U64,
    /// Bytes of content.
    pub size: U64,
    /// Bytes of content in blocks of which nothing is stored.
    pub sparse: U64,
    /// Number of names.
    pub link_count: U32,
    /// Number of the fragment with its end, or [`super::NO_FRAGMENT`].
    pub fragment: U32,
    /// Where in the decompressed fragment its end starts.
    pub fragment_offset: U32,
    /// Number of its set of attributes, or [`super::NO_XATTRS`].
    pub xattrs: U32,
}

/// A symbolic link; the target follows, and, in the extended form, the number
/// of its set of attributes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Symlink {
    /// Number of names.
    pub link_count: U32,
    /// Bytes of the target.
    pub target_length: U32,
}

/// A device node; the number of its set of attributes follows in the extended form.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Device {
    /// Number of names.
    pub link_count: U32,
    /// Major and minor number, as Linux's `new_encode_dev` packs them.
    pub device: U32,
}

/// A FIFO or socket; the number of its set of attributes follows in the extended form.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Ipc {
    /// Number of names.
    pub link_count: U32,
}
