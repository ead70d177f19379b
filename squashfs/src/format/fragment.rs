//! Fragments: blocks that hold several small files, or ends of files.

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U32, U64},
};

/// An entry of the fragment table.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct FragmentEntry {
    /// Position of the block in the archive.
    pub start: U64,
    /// See [`super::BlockSize`].
    pub size: U32,
    /// Zero.
    pub unused: U32,
}
