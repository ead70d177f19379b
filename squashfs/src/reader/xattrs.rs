//! Extended attributes.

use zerocopy::little_endian::U64;

use super::{
    Archive, InodeRef, ReadError,
    metadata::{Cursor, Table},
    store::Store,
    tables::IndexedTable,
};
use crate::format::{
    NO_TABLE,
    metadata::Position,
    superblock::{Superblock, flags},
    xattr::{ACL_NAMES, ACL_PREFIX, Key, PREFIXES, SetEntry, TableHeader, VALUE_ELSEWHERE, Value},
};

/// Longest name without prefix, in bytes, as in Linux.
const LONGEST_NAME: usize = 255;

/// Longest value, in bytes, as in Linux.
const LONGEST_VALUE: u32 = 64 << 10;

/// Most bytes of the names of one set, each with a NUL, as in Linux.
const MOST_NAMES: usize = 64 << 10;

/// Most bytes of the values of one set: far more than file systems hold.
const MOST_VALUES: usize = 16 << 20;

/// Bit set of a key's prefix that is its number.
const PREFIX_NUMBER: u16 = 0xff;

/// An extended attribute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xattr {
    /// With its prefix.
    pub name: Vec<u8>,
    /// What it says.
    pub value: Vec<u8>,
}

/// The tables of extended attributes.
#[derive(Debug)]
pub(super) struct XattrTables {
    attributes: Table,
    sets: IndexedTable,
}

impl XattrTables {
    /// Opens them, if the archive has any.
    pub(super) fn open(store: &Store, superblock: &Superblock) -> Result<Option<Self>, ReadError> {
        let position = superblock.xattr_table.get();
        if position == NO_TABLE || superblock.flags.get() & flags::NO_XATTRS != 0 {
            return Ok(None);
        }
        let mut header = TableHeader::default();
        store.read(zerocopy::IntoBytes::as_mut_bytes(&mut header), position)?;
        let index = position + size_of::<TableHeader>() as u64;
        let count = header.count.get().into();
        let sets = IndexedTable::open(store, index, position, count, size_of::<SetEntry>())?;
        let attributes = Table {
            start: header.start.get(),
            end: sets.start().unwrap_or(position),
        };
        if attributes.start > attributes.end {
            return Err(ReadError::damaged(
                "the xattr table is in disorder",
                position,
            ));
        }
        Ok(Some(Self { attributes, sets }))
    }
}

impl Archive {
    /// All extended attributes, ACLs under their own names: see
    /// [`crate::format::xattr`].
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn xattrs(&self, inode: InodeRef) -> Result<Vec<Xattr>, ReadError> {
        let mut found = Vec::new();
        let mut bytes = 0;
        self.each_xattr(inode, |name, value| {
            let value = value.read()?;
            bytes += value.len();
            if bytes > MOST_VALUES {
                let at = self.inodes.start;
                return Err(ReadError::damaged("an inode has too many attributes", at));
            }
            found.push(Xattr { name, value });
            Ok(true)
        })?;
        Ok(found)
    }

    /// The names of all extended attributes.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn xattr_names(&self, inode: InodeRef) -> Result<Vec<Vec<u8>>, ReadError> {
        let mut names = Vec::new();
        self.each_xattr(inode, |name, _| {
            names.push(name);
            Ok(true)
        })?;
        Ok(names)
    }

    /// The value of one extended attribute.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn xattr(&self, inode: InodeRef, name: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        let mut found = None;
        self.each_xattr(inode, |this, value| {
            if this == name {
                found = Some(value.read()?);
            }
            Ok(found.is_none())
        })?;
        Ok(found)
    }

    /// Calls `each` with every attribute, as long as it says true.
    fn each_xattr(
        &self,
        inode: InodeRef,
        mut each: impl FnMut(Vec<u8>, StoredValue<'_>) -> Result<bool, ReadError>,
    ) -> Result<(), ReadError> {
        let set = self.inode(inode)?.attributes.xattr_set;
        let (Some(set), Some(tables)) = (set, &self.xattrs) else {
            return Ok(());
        };
        let set: SetEntry = tables.sets.entry(&self.store, set.into())?;
        let count = set.count.get();
        if count == 0 {
            return Ok(());
        }
        let position = Position::from_reference(set.reference.get());
        let mut cursor = tables.attributes.at(&self.store, position)?;
        let mut names = 0;
        for _ in 0..count {
            let key: Key = cursor.value()?;
            let prefix = PREFIXES.get(usize::from(key.prefix.get() & PREFIX_NUMBER));
            let prefix =
                *prefix.ok_or_else(|| cursor.damaged("an attribute has an unknown prefix"))?;
            let length = usize::from(key.name_length.get());
            if length == 0 || length > LONGEST_NAME {
                return Err(cursor.damaged("an attribute's name has an impossible length"));
            }
            let mut name = prefix.to_vec();
            name.extend_from_slice(&cursor.bytes(length)?);
            names += name.len() + 1;
            if name.contains(&0) || names > MOST_NAMES {
                return Err(cursor.damaged("the attributes' names make no sense"));
            }
            let acl = name.strip_prefix(ACL_PREFIX);
            if let Some(acl) = acl.filter(|acl| ACL_NAMES.contains(acl)) {
                name = acl.to_vec();
            }
            let length = cursor.value::<Value>()?.length.get();
            check_length(&cursor, length)?;
            let value = StoredValue {
                archive: self,
                table: &tables.attributes,
                cursor: cursor.clone(),
                length,
                is_elsewhere: key.prefix.get() & VALUE_ELSEWHERE != 0,
            };
            if !each(name, value)? {
                break;
            }
            cursor.skip(length.into())?;
        }
        Ok(())
    }
}

/// A value that may be read.
struct StoredValue<'a> {
    archive: &'a Archive,
    table: &'a Table,
    /// At the value, or at the reference to it.
    cursor: Cursor<'a>,
    length: u32,
    is_elsewhere: bool,
}

impl StoredValue<'_> {
    fn read(mut self) -> Result<Vec<u8>, ReadError> {
        if self.is_elsewhere {
            let reference: U64 = self.cursor.value()?;
            let position = Position::from_reference(reference.get());
            self.cursor = self.table.at(&self.archive.store, position)?;
            self.length = self.cursor.value::<Value>()?.length.get();
        }
        check_length(&self.cursor, self.length)?;
        self.cursor.bytes(self.length as usize)
    }
}

fn check_length(cursor: &Cursor<'_>, length: u32) -> Result<(), ReadError> {
    if length > LONGEST_VALUE {
        return Err(cursor.damaged("an attribute's value is too long"));
    }
    Ok(())
}
