//! Extended attributes.
//!
//! Attributes are stored as sets, each once, in metadata blocks: for each
//! attribute a [`Key`], the name without its prefix, a [`Value`] and the value.
//! A table of [`SetEntry`]s numbers the sets.
//!
//! # POSIX ACLs
//! The format knows the prefixes `user.`, `trusted.` and `security.` only, and
//! Linux's driver shows no others, so it cannot hold `system.posix_acl_access`
//! and `system.posix_acl_default`, and `mksquashfs` drops them. We store them
//! below [`ACL_PREFIX`]. A reader of ours gives them back their names; any other
//! shows root an attribute `trusted.system.posix_acl_access` that means nothing
//! to it, so nothing is lost and nothing is granted.

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U16, U32, U64},
};

/// Put before the names `system.posix_acl_access` and `system.posix_acl_default`.
pub const ACL_PREFIX: &[u8] = b"trusted.";

/// The ACL attributes, by their own names.
pub const ACL_NAMES: [&[u8]; 2] = [b"system.posix_acl_access", b"system.posix_acl_default"];

/// The prefixes that the format knows, by their numbers.
pub const PREFIXES: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];

/// In [`Key::prefix`]: in place of the value there is a reference to it.
pub const VALUE_ELSEWHERE: u16 = 0x100;

/// The start of an attribute; the name without prefix follows.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Key {
    /// Index in [`PREFIXES`], with [`VALUE_ELSEWHERE`].
    pub prefix: U16,
    /// Bytes of the name.
    pub name_length: U16,
}

/// What follows the name; the value follows.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Value {
    /// Bytes of the value.
    pub length: U32,
}

/// A set of attributes.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct SetEntry {
    /// Where the first attribute is, relative to the first block of attributes:
    /// see [`super::metadata::Position::to_reference`].
    pub reference: U64,
    /// Number of attributes.
    pub count: U32,
    /// Bytes of the attributes.
    pub size: U32,
}

/// What the superblock points to; the positions of the set table's metadata
/// blocks follow.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct TableHeader {
    /// Position of the first block of attributes.
    pub start: U64,
    /// Number of sets.
    pub count: U32,
    /// Zero.
    pub unused: U32,
}
