//! Getting blocks: from the source or from memory, decoded and cached.

use std::sync::Arc;

use parking_lot::Mutex;
use quick_cache::{OptionsBuilder, Weighter, sync::Cache};

use super::{Options, ReadAt, ReadError};
use crate::decoder::Decoder;
use crate::format::{BlockSize, compressor::Compressor, metadata, superblock::Superblock};

/// Bytes of a metadata block's header.
const HEADER: usize = 2;

/// What the cache takes for an entry, its content aside.
const ENTRY_OVERHEAD: u64 = 128;

/// A decoded metadata block.
pub(super) struct MetadataBlock {
    /// At most [`metadata::BLOCK_SIZE`] bytes, at least one.
    pub(super) content: Vec<u8>,
    /// Position of the block after it.
    pub(super) next: u64,
}

/// Names a stored data block or fragment block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StoredBlock {
    /// In the archive.
    pub(crate) position: u64,
    /// As on disk; not of a hole.
    pub(crate) size: BlockSize,
}

impl std::hash::Hash for BlockSize {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.to_disk().hash(state);
    }
}

/// Weighs what is in a cache.
#[derive(Clone)]
pub(super) struct ByBytes;

impl Weighter<u64, Arc<MetadataBlock>> for ByBytes {
    fn weight(&self, _: &u64, block: &Arc<MetadataBlock>) -> u64 {
        block.content.capacity() as u64 + ENTRY_OVERHEAD
    }
}

impl Weighter<StoredBlock, Arc<Vec<u8>>> for ByBytes {
    fn weight(&self, _: &StoredBlock, block: &Arc<Vec<u8>>) -> u64 {
        block.capacity() as u64 + ENTRY_OVERHEAD
    }
}

/// An archive as a store of blocks.
pub(super) struct Store {
    source: Arc<dyn ReadAt>,
    compressor: Compressor,
    block_size: usize,
    /// Where the archive ends.
    end: u64,
    /// The bytes from `tables_start` to `end`, if they were loaded.
    tables: Option<Vec<u8>>,
    tables_start: u64,
    metadata: Cache<u64, Arc<MetadataBlock>, ByBytes>,
    data: Cache<StoredBlock, Arc<Vec<u8>>, ByBytes>,
    /// Those not in use.
    workers: Mutex<Vec<Worker>>,
}

/// What a thread needs to decode a block.
struct Worker {
    decoder: Decoder,
    stored: Vec<u8>,
}

impl Store {
    pub(super) fn open(
        source: Arc<dyn ReadAt>,
        superblock: &Superblock,
        compressor: Compressor,
        options: &Options,
    ) -> Result<Self, ReadError> {
        let block_size = superblock.block_size.get() as usize;
        let end = superblock.bytes_used.get();
        let tables_start = superblock.inode_table.get();
        let length = end - tables_start;
        let length = usize::try_from(length).ok();
        let preloaded = length.filter(|&length| length as u64 <= options.preload_bytes);
        let tables = match preloaded {
            Some(length) => {
                let mut tables = vec![0; length];
                read_exact(&*source, &mut tables, tables_start)?;
                Some(tables)
            }
            None => None,
        };
        // A block is kept only if its shard has room for it, so large blocks
        // need few shards.
        let for_metadata = (options.cache_bytes / 4) as u64;
        let for_data = (options.cache_bytes / 8 * 5) as u64;
        let shards = for_data as usize / (8 * block_size);
        Ok(Self {
            source,
            compressor,
            block_size,
            end,
            tables,
            tables_start,
            metadata: cache(for_metadata, metadata::BLOCK_SIZE, 16),
            data: cache(for_data, block_size, shards.clamp(1, 16)),
            workers: Mutex::default(),
        })
    }

    /// Bytes of a data block.
    pub(super) fn block_size(&self) -> usize {
        self.block_size
    }

    /// Where the archive ends.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Reads bytes as they are stored.
    pub(super) fn read(&self, buffer: &mut [u8], position: u64) -> Result<(), ReadError> {
        if self.end.checked_sub(position) < Some(buffer.len() as u64) {
            return Err(ReadError::damaged("it points beyond its end", position));
        }
        match self.loaded(position, buffer.len()) {
            Some(bytes) => buffer.copy_from_slice(bytes),
            None => read_exact(&*self.source, buffer, position)?,
        }
        Ok(())
    }

    fn loaded(&self, position: u64, length: usize) -> Option<&[u8]> {
        let start = usize::try_from(position.checked_sub(self.tables_start)?).ok()?;
        self.tables.as_ref()?.get(start..start.checked_add(length)?)
    }

    /// The metadata block at `position`, which ends at `end` or before.
    pub(super) fn metadata(
        &self,
        position: u64,
        end: u64,
    ) -> Result<Arc<MetadataBlock>, ReadError> {
        let block = self
            .metadata
            .get_or_insert_with(&position, || self.decode_metadata(position).map(Arc::new))?;
        if block.next > end {
            return Err(ReadError::damaged("a table runs into the next", position));
        }
        Ok(block)
    }

    fn decode_metadata(&self, position: u64) -> Result<MetadataBlock, ReadError> {
        let damaged = |what| ReadError::damaged(what, position);
        let room = self.end.saturating_sub(position);
        let room = room.min((HEADER + metadata::BLOCK_SIZE) as u64) as usize;
        if room < HEADER {
            return Err(damaged("a metadata block lies beyond the end"));
        }
        let mut worker = self.worker()?;
        let Worker { decoder, stored } = &mut worker;
        let bytes = match self.loaded(position, room) {
            Some(bytes) => bytes,
            None => {
                // One read, though it is likely to be more than there is.
                stored.resize(room, 0);
                read_exact(&*self.source, stored, position)?;
                stored
            }
        };
        let header = u16::from_le_bytes([bytes[0], bytes[1]]);
        let length = usize::from(header & !metadata::RAW);
        let body = bytes
            .get(HEADER..HEADER + length)
            .filter(|body| !body.is_empty())
            .ok_or_else(|| damaged("a metadata block has an impossible length"))?;
        let content = if header & metadata::RAW != 0 {
            body.to_vec()
        } else {
            let mut content = vec![0; metadata::BLOCK_SIZE];
            let length = decoder
                .decompress(body, &mut content)
                .map_err(|_| damaged("a metadata block does not decompress"))?;
            content.truncate(length);
            content
        };
        if content.is_empty() {
            return Err(damaged("a metadata block is empty"));
        }
        self.give_back(worker);
        Ok(MetadataBlock {
            content,
            next: position + (HEADER + length) as u64,
        })
    }

    /// The content of a data block or fragment block, which is at most `room`
    /// bytes, from the cache if it is there.
    pub(super) fn block(&self, block: StoredBlock, room: usize) -> Result<Arc<Vec<u8>>, ReadError> {
        self.data.get_or_insert_with(&block, || {
            let mut content = Vec::new();
            self.decode(block, room, &mut content)?;
            if content.len() < content.capacity() / 2 {
                content.shrink_to_fit();
            }
            Ok(Arc::new(content))
        })
    }

    /// Puts the content of a block, at most `room` bytes, into `content`, past
    /// the cache.
    pub(super) fn decode(
        &self,
        block: StoredBlock,
        room: usize,
        content: &mut Vec<u8>,
    ) -> Result<(), ReadError> {
        let StoredBlock { position, size } = block;
        let damaged = |what| ReadError::damaged(what, position);
        let length = size.stored() as usize;
        if length > room {
            return Err(damaged("a block is stored in more bytes than it has"));
        }
        if size.is_raw() {
            content.resize(length, 0);
            return self.read(content, position);
        }
        let mut worker = self.worker()?;
        worker.stored.resize(length, 0);
        self.read(&mut worker.stored, position)?;
        content.resize(room, 0);
        let length = worker
            .decoder
            .decompress(&worker.stored, content)
            .map_err(|_| damaged("a block does not decompress"))?;
        content.truncate(length);
        self.give_back(worker);
        Ok(())
    }

    fn worker(&self) -> Result<Worker, ReadError> {
        let idle = self.workers.lock().pop();
        match idle {
            Some(worker) => Ok(worker),
            None => Ok(Worker {
                decoder: Decoder::new(self.compressor)
                    .map_err(|source| ReadError::Source { at: 0, source })?,
                stored: Vec::new(),
            }),
        }
    }

    fn give_back(&self, worker: Worker) {
        self.workers.lock().push(worker);
    }
}

/// A cache of `bytes` in so many shards, for entries of `entry` bytes or so.
pub(super) fn cache<K: std::hash::Hash + Eq, V: Clone>(
    bytes: u64,
    entry: usize,
    shards: usize,
) -> Cache<K, V, ByBytes>
where
    ByBytes: Weighter<K, V>,
{
    let options = OptionsBuilder::new()
        .weight_capacity(bytes)
        .estimated_items_capacity((bytes as usize / entry).max(1))
        .shards(shards)
        // Room for what is being read piece by piece, beside what is in demand.
        .hot_allocation(0.5)
        .build()
        .unwrap_or_else(|error| unreachable!("all options are set: {error}"));
    Cache::with_options(options, ByBytes, Default::default(), Default::default())
}

fn read_exact(source: &dyn ReadAt, buffer: &mut [u8], at: u64) -> Result<(), ReadError> {
    let length = buffer.len();
    source
        .read_exact_at(buffer, at)
        .map_err(|error| ReadError::of_source(error, at, length))
}
