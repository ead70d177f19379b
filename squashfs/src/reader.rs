//! Reading an archive: lazily, from several threads, trusting nothing in it.
//!
//! [`Archive::open`] takes a source of bytes that can be read at any position
//! ([`ReadAt`]) and reads the superblock and the tables, or of large tables only
//! their ends; all else is read when it is asked for. Guarantees:
//!
//! * **Whatever the bytes are**, every call ends, with a [`ReadError`] if they
//!   make no sense: no panic, no endless loop, no memory beyond the budget and
//!   a few blocks for each thread.
//! * **Concurrent.** All calls take `&self` and may run at the same time. No lock
//!   is held while bytes are read or decompressed. Threads that want the same
//!   block wait for one of them to decode it.
//! * **Bounded memory**: see [`Options`].
//! * **No I/O of its own**: it only asks the source for ranges. A source that does not
//!   have one yet says so, and [`ReadError::Missing`] names it: whoever cannot wait in
//!   the middle of a call fetches the range, hands it to the source ([`Fetched`]) and
//!   makes the same call again.
//!
//! Names of directories are in ascending order, as the format demands, so a name
//! occurs once. That directories form a tree is not checked here: whoever walks
//! through one has to see to it that no directory is entered twice.

use std::{fmt, sync::Arc};

use quick_cache::{Weighter, sync::Cache};
use zerocopy::{
    IntoBytes,
    little_endian::{U32, U64},
};

use crate::format::{
    NO_TABLE, fragment::FragmentEntry, metadata::Position, superblock::Superblock,
};

mod content;
mod directory;
mod error;
mod inode;
mod metadata;
mod source;
mod store;
mod tables;
mod walk;
mod xattrs;

pub use directory::{DirEntry, ReadDir};
pub use error::ReadError;
pub use inode::{Attributes, InodeRef, Kind};
#[cfg(feature = "native")]
pub use source::FileSource;
pub use source::{Fetched, ReadAt};
pub use xattrs::Xattr;

#[cfg(feature = "native")]
pub(crate) use content::Scratch;
pub(crate) use content::{Pieces, Stored};
pub(crate) use store::StoredBlock;
pub(crate) use walk::Walk;

use content::Waypoints;
use directory::Index;
use metadata::Table;
use store::{ByBytes, Store};
use tables::IndexedTable;
use xattrs::XattrTables;

/// How to read an archive.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of decoded blocks and indexes to keep.
    pub cache_bytes: usize,
    /// Tables together below this many bytes are read at once when the archive
    /// is opened, and kept in their compressed form; larger ones are read
    /// block by block.
    pub preload_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes: 48 << 20,
            preload_bytes: 16 << 20,
        }
    }
}

/// An archive that is open for reading.
pub struct Archive {
    superblock: Superblock,
    store: Store,
    inodes: Table,
    directories: Table,
    fragments: IndexedTable,
    ids: Vec<u32>,
    xattrs: Option<XattrTables>,
    /// Of large directories, by their inodes' references.
    indexes: Cache<u64, Arc<Index>, ByBytes>,
    /// Of long files, by their inodes' references and number of blocks.
    waypoints: Cache<(u64, u64), Arc<Waypoints>, ByBytes>,
}

impl Weighter<u64, Arc<Index>> for ByBytes {
    fn weight(&self, _: &u64, index: &Arc<Index>) -> u64 {
        index.weight().max(1)
    }
}

impl Weighter<(u64, u64), Arc<Waypoints>> for ByBytes {
    fn weight(&self, (_, block_count): &(u64, u64), _: &Arc<Waypoints>) -> u64 {
        Waypoints::weight(*block_count).max(1)
    }
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive")
            .field("superblock", &self.superblock)
            .finish_non_exhaustive()
    }
}

impl Archive {
    /// Opens the archive that `source` holds.
    ///
    /// # Errors
    /// See [`ReadError`]. That it opens says little about the rest of it.
    pub fn open(source: Arc<dyn ReadAt>, options: &Options) -> Result<Self, ReadError> {
        let superblock = read_superblock(&*source)?;
        let compressor = superblock
            .compressor()
            .ok_or(ReadError::NotAnArchive("its compressor is unknown"))?;
        let store = Store::open(source, &superblock, compressor, options)?;
        let directory_table = superblock.directory_table.get();
        let later_tables = [
            superblock.fragment_table.get(),
            superblock.export_table.get(),
            superblock.id_table.get(),
            superblock.xattr_table.get(),
            store.end(),
        ];
        let directories_end = later_tables.into_iter().filter(|&t| t >= directory_table);
        let directories = Table {
            start: directory_table,
            end: directories_end.min().unwrap_or(directory_table),
        };
        let inodes = Table {
            start: superblock.inode_table.get(),
            end: directory_table,
        };
        let indexes_bytes = (options.cache_bytes / 16) as u64;
        let archive = Self {
            ids: read_ids(&store, &superblock)?,
            fragments: open_fragments(&store, &superblock)?,
            xattrs: XattrTables::open(&store, &superblock)?,
            superblock,
            store,
            inodes,
            directories,
            indexes: store::cache(indexes_bytes, 16 << 10, 1),
            waypoints: store::cache(indexes_bytes, 16 << 10, 1),
        };
        match archive.attributes(archive.root())?.kind {
            Kind::Directory => Ok(archive),
            _ => Err(ReadError::NotAnArchive("its root is no directory")),
        }
    }

    /// The superblock.
    pub const fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// The top directory.
    pub fn root(&self) -> InodeRef {
        InodeRef(self.superblock.root_inode.get())
    }

    /// What an inode says.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn attributes(&self, inode: InodeRef) -> Result<Attributes, ReadError> {
        Ok(self.inode(inode)?.attributes)
    }

    /// More bytes than all listings together can have.
    pub(crate) const fn most_listing_bytes(&self) -> u64 {
        self.directories.most_bytes()
    }

    /// More blocks than all files together can have.
    pub(crate) const fn most_blocks(&self) -> u64 {
        self.inodes.most_bytes() / size_of::<U32>() as u64
    }

    /// Reads the export table, which nothing here needs.
    pub(crate) fn read_export_table(&self) -> Result<(), ReadError> {
        let index = self.superblock.export_table.get();
        if index == NO_TABLE {
            return Ok(());
        }
        let count = self.superblock.inode_count.get().into();
        IndexedTable::open(&self.store, index, index, count, size_of::<U64>())?
            .read_through(&self.store)
    }

    /// A symbolic link's target.
    ///
    /// # Errors
    /// [`ReadError::NotALink`] and others.
    pub fn read_link(&self, inode: InodeRef) -> Result<Vec<u8>, ReadError> {
        match self.inode(inode)?.body {
            inode::Body::Symlink { target } => Ok(target),
            _ => Err(ReadError::NotALink),
        }
    }
}

/// Reads and checks the superblock alone.
///
/// # Errors
/// See [`ReadError`].
pub fn read_superblock(source: &dyn ReadAt) -> Result<Superblock, ReadError> {
    let size = source.size();
    if size < Superblock::SIZE as u64 {
        return Err(ReadError::NotAnArchive("it is shorter than a superblock"));
    }
    let mut bytes = [0; Superblock::SIZE];
    source
        .read_exact_at(&mut bytes, 0)
        .map_err(|error| ReadError::of_source(error, 0, Superblock::SIZE))?;
    Superblock::parse(&bytes, size).map_err(|invalid| ReadError::NotAnArchive(invalid.0))
}

fn read_ids(store: &Store, superblock: &Superblock) -> Result<Vec<u32>, ReadError> {
    let index = superblock.id_table.get();
    let count = superblock.id_count.get();
    let table = IndexedTable::open(store, index, index, count.into(), size_of::<U32>())?;
    let Some(start) = table.start() else {
        return Ok(Vec::new());
    };
    let mut ids = vec![U32::ZERO; count.into()];
    Table { start, end: index }
        .at(store, Position::default())?
        .read(ids.as_mut_bytes())?;
    Ok(ids.into_iter().map(U32::get).collect())
}

fn open_fragments(store: &Store, superblock: &Superblock) -> Result<IndexedTable, ReadError> {
    let index = superblock.fragment_table.get();
    let count = superblock.fragment_count.get();
    if count == 0 || index == NO_TABLE {
        return Ok(IndexedTable::default());
    }
    IndexedTable::open(
        store,
        index,
        index,
        count.into(),
        size_of::<FragmentEntry>(),
    )
}
