//! What a POSIX ACL means for a mode and a mode for an ACL (`acl(5)`).
//!
//! The kernel checks access by the ACLs that it finds among the attributes; that
//! they and the modes agree, and that new files get their directory's default
//! ACL, is the file system's part. Their form in attributes is that of Linux's
//! `posix_acl_xattr.h`.

use rustix::io::Errno;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U16, U32},
};

const VERSION: u32 = 2;

const OWNER: u16 = 0x01;
const USER: u16 = 0x02;
const OWNING_GROUP: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHERS: u16 = 0x20;

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
struct Entry {
    tag: U16,
    permissions: U16,
    id: U32,
}

/// An ACL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Acl(Vec<Entry>);

impl Acl {
    /// Reads the value of an attribute.
    pub(super) fn parse(value: &[u8]) -> Result<Self, Errno> {
        let (version, rest) = U32::read_from_prefix(value).map_err(|_| Errno::INVAL)?;
        if version.get() != VERSION {
            return Err(Errno::OPNOTSUPP);
        }
        let entries = <[Entry]>::ref_from_bytes(rest).map_err(|_| Errno::INVAL)?;
        let acl = Self(entries.to_vec());
        let count = |tag| entries.iter().filter(|entry| entry.tag == tag).count();
        let known = OWNER | USER | OWNING_GROUP | GROUP | MASK | OTHERS;
        let named = count(USER) + count(GROUP);
        let valid = entries.iter().all(|entry| {
            entry.tag.get().is_power_of_two()
                && entry.tag.get() & !known == 0
                && entry.permissions.get() <= 7
        }) && [OWNER, OWNING_GROUP, OTHERS].map(count) == [1; 3]
            && count(MASK) <= 1
            && (named == 0 || count(MASK) == 1);
        if valid { Ok(acl) } else { Err(Errno::INVAL) }
    }

    /// The value of the attribute.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        bytes.extend_from_slice(self.0.as_bytes());
        bytes
    }

    /// Whether a mode says as much.
    pub(super) fn is_plain(&self) -> bool {
        self.0.len() == 3
    }

    /// The nine permission bits that go with it.
    pub(super) fn mode(&self) -> u32 {
        let bits = |tag| self.find(tag).map_or(0, |at| self.0[at].permissions.get());
        u32::from(bits(OWNER) << 6 | bits(self.group_class()) << 3 | bits(OTHERS))
    }

    /// What becomes of it by `chmod(2)`.
    #[must_use]
    pub(super) fn with_mode(mut self, mode: u32) -> Self {
        for (tag, shift) in self.classes() {
            self.set(tag, (mode >> shift) as u16 & 7);
        }
        self
    }

    /// What becomes of a default ACL for a file that is made with `mode`.
    #[must_use]
    pub(super) fn masked_by(mut self, mode: u32) -> Self {
        for (tag, shift) in self.classes() {
            let allowed = (mode >> shift) as u16 & 7;
            let now = self.find(tag).map_or(0, |at| self.0[at].permissions.get());
            self.set(tag, now & allowed);
        }
        self
    }

    fn classes(&self) -> [(u16, u32); 3] {
        [(OWNER, 6), (self.group_class(), 3), (OTHERS, 0)]
    }

    /// Whose permissions the group bits of the mode are.
    fn group_class(&self) -> u16 {
        self.find(MASK).map_or(OWNING_GROUP, |_| MASK)
    }

    fn find(&self, tag: u16) -> Option<usize> {
        self.0.iter().position(|entry| entry.tag == tag)
    }

    fn set(&mut self, tag: u16, permissions: u16) {
        if let Some(at) = self.find(tag) {
            self.0[at].permissions = permissions.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut bytes = vec![2, 0, 0, 0];
        for (tag, permissions, id) in entries {
            bytes.extend_from_slice(&tag.to_le_bytes());
            bytes.extend_from_slice(&permissions.to_le_bytes());
            bytes.extend_from_slice(&id.to_le_bytes());
        }
        bytes
    }

    const NOBODY: u32 = u32::MAX;

    fn with_mask() -> Vec<u8> {
        value(&[
            (OWNER, 7, NOBODY),
            (USER, 6, 1000),
            (OWNING_GROUP, 5, NOBODY),
            (MASK, 6, NOBODY),
            (OTHERS, 4, NOBODY),
        ])
    }

    #[test]
    fn the_mask_is_the_group_of_the_mode() {
        let acl = Acl::parse(&with_mask()).unwrap();
        assert_eq!(acl.mode(), 0o764);
        assert!(!acl.is_plain());
        assert_eq!(acl.to_bytes(), with_mask());
        let changed = acl.clone().with_mode(0o710);
        assert_eq!(changed.mode(), 0o710);
        assert_eq!(changed.0[2], acl.0[2], "the owning group's own stay");
        assert_eq!(acl.masked_by(0o640).mode(), 0o640);
    }

    #[test]
    fn a_plain_one_is_its_mode() {
        let plain = [
            (OWNER, 6, NOBODY),
            (OWNING_GROUP, 4, NOBODY),
            (OTHERS, 0, NOBODY),
        ];
        let acl = Acl::parse(&value(&plain)).unwrap();
        assert!(acl.is_plain());
        assert_eq!(acl.mode(), 0o640);
        assert_eq!(acl.masked_by(0o777).mode(), 0o640);
    }

    #[test]
    fn nonsense_is_refused() {
        let base = [
            (OWNER, 6, NOBODY),
            (OWNING_GROUP, 4, NOBODY),
            (OTHERS, 0, NOBODY),
        ];
        for extra in [
            (USER, 4, 1),
            (OWNER, 4, 1),
            (0x40, 4, 1),
            (3, 4, 1),
            (MASK, 8, 1),
        ] {
            let bytes = value(&[&base[..], &[extra]].concat());
            assert_eq!(Acl::parse(&bytes), Err(Errno::INVAL), "{extra:?}");
        }
        assert_eq!(Acl::parse(&value(&base[..2])), Err(Errno::INVAL));
        assert_eq!(Acl::parse(&with_mask()[..7]), Err(Errno::INVAL));
        assert_eq!(Acl::parse(b"\x02"), Err(Errno::INVAL));
        assert_eq!(Acl::parse(b"\x03\0\0\0"), Err(Errno::OPNOTSUPP));
    }
}
