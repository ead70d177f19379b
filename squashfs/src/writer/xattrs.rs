//! Collecting sets of extended attributes, each stored once.

use std::{collections::HashMap, path::PathBuf};

use zerocopy::{
    IntoBytes,
    little_endian::{U16, U32, U64},
};

use super::{
    EncoderError, Options, WriteError,
    metadata_writer::{MetadataWriter, write_indexed_table},
    output::Output,
};
use crate::{
    format::{
        NO_TABLE, NO_XATTRS,
        xattr::{ACL_NAMES, ACL_PREFIX, Key, PREFIXES, SetEntry, TableHeader, Value},
    },
    source::XattrSet,
    tally::Tally,
};

/// The xattr table while it grows: attributes are compressed as they come, and
/// of the sets only hashes are kept for comparison.
pub(super) struct XattrTable {
    attributes: MetadataWriter,
    sets: Vec<SetEntry>,
    known: HashMap<blake3::Hash, u32>,
}

impl XattrTable {
    pub(super) fn new(options: &Options) -> Result<Self, EncoderError> {
        Ok(Self {
            attributes: MetadataWriter::new(options)?,
            sets: Vec::new(),
            known: HashMap::new(),
        })
    }

    /// The number of a set, which is added if it is new. Attributes that the
    /// format cannot hold are noted in `dropped`, under the path of the entry.
    pub(super) fn add(
        &mut self,
        set: &XattrSet,
        path: impl Fn() -> PathBuf,
        dropped: &mut Tally<(PathBuf, String)>,
    ) -> u32 {
        let mut bytes = Vec::new();
        let mut count = 0;
        for (name, value) in &set.0 {
            let Some((prefix, suffix)) = split_name(name) else {
                dropped.add((path(), String::from_utf8_lossy(name).into_owned()));
                continue;
            };
            let key = Key {
                prefix: U16::new(prefix),
                name_length: U16::new(suffix.len() as u16),
            };
            let length = Value {
                length: U32::new(value.len() as u32),
            };
            for part in [key.as_bytes(), &suffix, length.as_bytes(), value] {
                bytes.extend_from_slice(part);
            }
            count += 1;
        }
        if count == 0 {
            return NO_XATTRS;
        }
        *self.known.entry(blake3::hash(&bytes)).or_insert_with(|| {
            let number = self.sets.len() as u32;
            self.sets.push(SetEntry {
                reference: U64::new(self.attributes.position().to_reference()),
                count: U32::new(count),
                size: U32::new(bytes.len() as u32),
            });
            self.attributes.write(&bytes);
            number
        })
    }

    /// Writes the table. Gives its position, or [`NO_TABLE`] if it is empty.
    pub(super) fn finish(
        self,
        options: &Options,
        output: &mut Output<'_>,
    ) -> Result<u64, WriteError> {
        if self.sets.is_empty() {
            return Ok(NO_TABLE);
        }
        let start = output.position();
        self.attributes.finish(output)?;
        let mut table = MetadataWriter::new(options)?;
        table.write(self.sets.as_bytes());
        let header = TableHeader {
            start: U64::new(start),
            count: U32::new(self.sets.len() as u32),
            unused: U32::new(0),
        };
        Ok(write_indexed_table(output, table, header.as_bytes())?)
    }
}

/// A name's prefix by number, and the rest of it.
fn split_name(name: &[u8]) -> Option<(u16, Vec<u8>)> {
    if ACL_NAMES.contains(&name) {
        return split_name(&[ACL_PREFIX, name].concat());
    }
    PREFIXES.iter().zip(0..).find_map(|(prefix, number)| {
        let suffix = name.strip_prefix(*prefix)?;
        Some((number, suffix.to_vec()))
    })
}
