//! Directory listings.
//!
//! A listing is a sequence of runs: a [`Header`], then up to 256 [`Entry`]s,
//! each followed by its name, sorted by name over the whole listing. A run's
//! inodes are in one metadata block, and their numbers within ±32 KiB of the
//! header's.

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{I16, U16, U32},
};

/// Most entries after one header.
pub const MAX_RUN: usize = 256;

/// How much more than its listing's length a directory's size says: room for
/// `.` and `..`, as Linux's driver counts.
pub const SIZE_SURPLUS: u32 = 3;

/// The start of a run.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Number of entries, less one.
    pub count: U32,
    /// Position, in the inode table, of the block that has the inodes.
    pub block: U32,
    /// What the entries' inode numbers are relative to.
    pub inode_number: U32,
}

/// An entry; its name follows.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Entry {
    /// Of the inode in its block.
    pub offset: U16,
    /// Inode number, relative to the header's.
    pub inode_delta: I16,
    /// The inode's kind, always in its basic form: see [`super::inode::kind`].
    pub kind: U16,
    /// Length of the name in bytes, less one.
    pub name_length: U16,
}

/// An entry of the index of a large directory, which follows its inode; the
/// name of the run's first entry follows.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct IndexEntry {
    /// Where the run's header is, in bytes from the listing's start.
    pub offset: U32,
    /// Position, in the directory table, of the block that has the header.
    pub block: U32,
    /// Length of the name in bytes, less one.
    pub name_length: U32,
}
