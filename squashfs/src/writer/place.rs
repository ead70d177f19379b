//! Placement: what is stored, and where.
//!
//! One thread goes through the files in the tree's order, looks at what the
//! workers made of them, and decides: content that is stored already is
//! referred to, small files are gathered in fragments, blocks get their
//! position. Everything that shapes the archive happens here and in order,
//! which is why the number of threads does not show in it.

use std::{
    collections::{HashMap, VecDeque},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use zerocopy::little_endian::{U32, U64};

use super::{
    Control, OnUnreadable, Options, WriteError,
    crew::{Buffers, Later, Lost, Queue},
    dedup::{BlockHasher, Digest, LargeFiles, SmallFiles},
    output::Output,
    plan::{Files, Plan, Step},
    read::{
        Batch, Changed, Chunk, FoundFile, Loss, OpenFile, Shared, SmallContent, SmallFile, Worker,
        is_zero,
    },
    xattrs::XattrTable,
};
use crate::{
    format::{BlockSize, NO_XATTRS, fragment::FragmentEntry},
    report::{Change, ChangeKind, Report, Unreadable},
    source::{XattrSet, to_path},
    tree::{Counts, EntryId, Metadata, NodeId, Tree},
};

/// Where the content of a node is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content {
    /// Not a regular file, or not placed yet.
    None,
    /// A regular file without content.
    Empty,
    /// In a fragment, whole.
    Fragment { number: u32, offset: u32 },
    /// In blocks of its own: an index in [`Placed::extents`].
    Blocks { extent: u32 },
    /// Lost; the node is not in the archive.
    Omitted,
}

/// The blocks of a file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extent {
    /// Position of the first block.
    pub(super) start: u64,
    /// Bytes of content.
    pub(super) size: u64,
    /// Bytes of content in blocks of zeros.
    pub(super) sparse: u64,
    /// Range of [`Placed::block_sizes`].
    first_block: u64,
    block_count: u32,
    /// Number of the fragment with the file's end, and the offset in it.
    pub(super) fragment: Option<(u32, u32)>,
}

impl Extent {
    pub(super) fn in_fragment(size: u64, number: u32, offset: u32) -> Self {
        Self {
            size,
            fragment: Some((number, offset)),
            ..Self::default()
        }
    }
}

/// What placement leaves for the tables.
pub(super) struct Placed {
    pub(super) contents: Vec<Content>,
    pub(super) extents: Vec<Extent>,
    block_sizes: Vec<BlockSize>,
    pub(super) fragments: Vec<FragmentEntry>,
    /// What files turned out to be that changed since the scan: their metadata
    /// and size.
    pub(super) changed: HashMap<NodeId, (Metadata, u64)>,
    /// Numbers of sets, for nodes that have one.
    pub(super) xattr_numbers: HashMap<NodeId, u32>,
    pub(super) counts: Counts,
    pub(super) duplicates: u64,
    pub(super) report: Report,
}

impl Placed {
    pub(super) fn blocks(&self, extent: &Extent) -> &[BlockSize] {
        let first = extent.first_block as usize;
        &self.block_sizes[first..first + extent.block_count as usize]
    }
}

/// Results that may be outstanding: as some hold a file open, this keeps the
/// number of open files well below the usual limit of 1024.
const MOST_UNITS: usize = 256;

/// Bytes of a large file that one job reads and compresses, at least a block.
const CHUNK: usize = 512 << 10;

/// Reads, compresses and places all files of `tree`. Gives what the tables are to say,
/// and the xattr table.
pub(super) fn place(
    tree: &Tree,
    options: &Options,
    control: &Control,
    output: &mut Output<'_>,
) -> Result<(Placed, XattrTable), WriteError> {
    let shared = Shared {
        tree,
        block_size: options.block_size as usize,
        pack_tails: options.pack_tails,
        blocks: Buffers::default(),
        batches: Buffers::default(),
        control,
        auditing: AtomicBool::new(false),
    };
    let workers = (0..options.threads()).map(|_| Worker::new(&shared, options));
    let workers = workers.collect::<Result<Vec<_>, _>>()?;
    let own = Worker::new(&shared, options)?;
    let queue = Queue::new();
    std::thread::scope(|scope| {
        let close = queue.close_on_drop();
        let spawn = |mut worker| {
            let queue = &queue;
            scope.spawn(move || queue.work(&mut worker))
        };
        let crew: Vec<_> = workers.into_iter().map(spawn).collect();
        let placer = Placer {
            tree,
            options,
            control,
            shared: &shared,
            queue: &queue,
            own,
            output,
            large: LargeFiles::default(),
            small: SmallFiles::default(),
            units: VecDeque::new(),
            stored: VecDeque::new(),
            generated: None,
            current: None,
            in_flight: 0,
            limit: options.in_flight(),
            fragment: shared.empty_block(),
            stored_fragments: 0,
            xattrs: XattrTable::new(options)?,
            placed: Placed {
                contents: vec![Content::None; tree.node_count()],
                extents: Vec::new(),
                block_sizes: Vec::new(),
                fragments: Vec::new(),
                changed: HashMap::new(),
                xattr_numbers: HashMap::new(),
                counts: tree.counts(),
                duplicates: 0,
                report: tree.report().clone(),
            },
        };
        let placed = placer.run();
        drop(close);
        let mut lost = false;
        for worker in crew {
            lost |= worker.join().is_err();
        }
        if lost {
            return Err(Lost.into());
        }
        placed
    })
}

/// Work that was given out, in the order in which its results count.
enum Unit {
    Batch(Later<Batch>, usize),
    /// A large file begins.
    Begin(Arc<OpenFile>, XattrSet),
    /// The next blocks of the file that began.
    Chunk(Later<Result<Chunk, rustix::io::Errno>>, usize),
    /// So many blocks of zeros, which need no reading.
    Hole(u64),
    /// The file that began has no more chunks.
    End,
    /// A file that had the content of an earlier one.
    Twin(FoundFile),
    Lost(FoundFile, Loss),
}

/// What is to be stored, in order.
enum Stored {
    Fragment(Later<(BlockSize, Vec<u8>)>, usize),
    Blocks {
        bytes: Vec<u8>,
        /// The extent that begins here.
        begins: Option<u32>,
        in_flight: usize,
    },
}

/// The large file that is being placed.
struct Current {
    file: Arc<OpenFile>,
    extent: u32,
    hasher: BlockHasher,
    /// Its end was reached, or it was lost: later chunks do not count.
    ended: bool,
    lost: Option<Loss>,
}

struct Placer<'p, 'a, 'o> {
    tree: &'a Tree,
    options: &'a Options,
    control: &'a Control,
    shared: &'a Shared<'a>,
    queue: &'p Queue<Worker<'a>>,
    /// For what cannot wait for its turn.
    own: Worker<'a>,
    output: &'p mut Output<'o>,
    large: LargeFiles,
    small: SmallFiles,
    units: VecDeque<Unit>,
    stored: VecDeque<Stored>,
    /// The large file whose chunks are being given out, and the next offset.
    generated: Option<(Arc<OpenFile>, u64)>,
    current: Option<Current>,
    /// Bytes given out that have not reached the sink.
    in_flight: usize,
    limit: usize,
    /// The fragment that is being filled.
    fragment: Vec<u8>,
    stored_fragments: usize,
    placed: Placed,
    xattrs: XattrTable,
}

impl From<Lost> for WriteError {
    fn from(_: Lost) -> Self {
        Self::Internal("a worker thread died")
    }
}

impl Placer<'_, '_, '_> {
    fn add_scanned_xattrs(&mut self) {
        for (node, set) in self.tree.xattrs() {
            let path = || to_path(&self.tree.node_path(node));
            let dropped = &mut self.placed.report.dropped_xattrs;
            let number = self.xattrs.add(set, path, dropped);
            if number != NO_XATTRS {
                self.placed.xattr_numbers.insert(node, number);
            }
        }
    }

    /// Finds large files of equal content. As their blocks go out while they
    /// are being read, it has to be known beforehand. Files are first compared
    /// by size, then by their first block, and only then as a whole.
    fn compare_large_files(&mut self) -> Result<(), WriteError> {
        let block_size = u64::from(self.options.block_size);
        let mut by_size: HashMap<u64, Vec<FoundFile>> = HashMap::new();
        for file in Files::new(self.tree).filter(|file| file.size >= block_size) {
            by_size.entry(file.size).or_default().push(file);
        }
        let candidates = by_size.into_values().filter(|group| group.len() > 1);
        let mut by_start: HashMap<(u64, Digest), Vec<FoundFile>> = HashMap::new();
        for (file, digest) in self.fingerprints(candidates.flatten(), block_size)? {
            by_start.entry((file.size, digest)).or_default().push(file);
        }
        let candidates = by_start.into_values().filter(|group| group.len() > 1);
        let mut firsts: HashMap<Digest, NodeId> = HashMap::new();
        for (file, digest) in self.fingerprints(candidates.flatten(), u64::MAX)? {
            let first = *firsts.entry(digest).or_insert(file.node);
            if first != file.node {
                self.large.twins.insert(file.node, (first, digest));
                self.large.firsts.insert(first, None);
            }
        }
        Ok(())
    }

    /// Hashes of the starts of files, in the tree's order.
    fn fingerprints(
        &self,
        files: impl Iterator<Item = FoundFile>,
        limit: u64,
    ) -> Result<Vec<(FoundFile, Digest)>, WriteError> {
        let mut files: Vec<_> = files.collect();
        files.sort_unstable_by_key(|file| file.node);
        let results = files.into_iter().map(|file| {
            let digest = self
                .queue
                .submit(move |worker| worker.fingerprint(&file, limit));
            (file, digest)
        });
        let mut fingerprints = Vec::new();
        for (file, digest) in results.collect::<Vec<_>>() {
            self.check_cancelled()?;
            if let Some(digest) = digest.wait()? {
                fingerprints.push((file, digest));
            }
        }
        Ok(fingerprints)
    }

    fn run(mut self) -> Result<(Placed, XattrTable), WriteError> {
        self.add_scanned_xattrs();
        self.compare_large_files()?;
        let mut plan = Plan::new(self.tree, self.options.block_size);
        loop {
            self.check_cancelled()?;
            let everything_given_out = self.generate(&mut plan);
            self.store_ready()?;
            if let Some(unit) = self.units.pop_front() {
                self.take_unit(unit)?;
            } else if let Some(stored) = self.stored.pop_front() {
                // As much is in flight as may be, so nothing new was given out.
                self.store(stored)?;
            } else if everything_given_out {
                break;
            }
        }
        self.close_fragment();
        self.store_all()?;
        let unreadable = &self.placed.report.unreadable;
        if self.options.on_unreadable == OnUnreadable::Fail && !unreadable.is_empty() {
            return Err(WriteError::Unreadable(unreadable.clone()));
        }
        Ok((self.placed, self.xattrs))
    }

    fn check_cancelled(&self) -> Result<(), WriteError> {
        if self.control.is_cancelled() {
            return Err(WriteError::Cancelled);
        }
        Ok(())
    }

    // Giving out work.

    /// Gives out as much work as may be in flight. Says whether that was all.
    fn generate(&mut self, plan: &mut Plan<'_>) -> bool {
        while self.in_flight < self.limit && self.units.len() < MOST_UNITS {
            if let Some((file, offset)) = self.generated.take() {
                self.generate_chunk(file, offset);
                continue;
            }
            match plan.next() {
                Some(Step::Small(files)) => {
                    let bytes = files.iter().map(|(file, _)| file.size as usize + 1).sum();
                    let batch = self.queue.submit(move |worker| worker.read_batch(&files));
                    self.in_flight += bytes;
                    self.units.push_back(Unit::Batch(batch, bytes));
                }
                Some(Step::Large(found)) if self.large.twins.contains_key(&found.node) => {
                    self.units.push_back(Unit::Twin(found));
                }
                Some(Step::Large(found)) => {
                    let unit = match self.open_large(&found) {
                        Ok((file, xattrs)) => {
                            self.generated = Some((Arc::clone(&file), 0));
                            Unit::Begin(file, xattrs)
                        }
                        Err(loss) => Unit::Lost(found, loss),
                    };
                    self.units.push_back(unit);
                }
                None => return true,
            }
        }
        false
    }

    fn open_large(&mut self, found: &FoundFile) -> Result<(Arc<OpenFile>, XattrSet), Loss> {
        let hashed = self.large.firsts.contains_key(&found.node);
        let (file, xattrs) = self.own.open_large(found, hashed)?;
        Ok((Arc::new(file), xattrs))
    }

    fn chunk_length(&self, file: &OpenFile, offset: u64) -> usize {
        let most = CHUNK.max(self.shared.block_size) as u64;
        most.min(file.size() - offset) as usize
    }

    fn generate_chunk(&mut self, file: Arc<OpenFile>, offset: u64) {
        if offset >= file.size() || self.is_auditing() {
            self.units.push_back(Unit::End);
            return;
        }
        let hole = file.hole_blocks(offset, self.shared.block_size);
        if hole > 0 {
            let after = offset + hole * self.shared.block_size as u64;
            self.units.push_back(Unit::Hole(hole));
            self.generated = Some((file, after));
            return;
        }
        let length = self.chunk_length(&file, offset);
        let read = Arc::clone(&file);
        let chunk = self
            .queue
            .submit(move |worker| worker.read_chunk(&read, offset, length));
        self.in_flight += length;
        self.units.push_back(Unit::Chunk(chunk, length));
        self.generated = Some((file, offset + length as u64));
    }

    // Taking results, in order.

    fn take_unit(&mut self, unit: Unit) -> Result<(), WriteError> {
        match unit {
            Unit::Batch(batch, bytes) => {
                let batch = batch.wait()?;
                self.in_flight -= bytes;
                for file in batch.files {
                    self.take_small(file, &batch.content)?;
                }
                self.shared.batches.give(batch.content);
            }
            Unit::Begin(file, xattrs) => self.begin(file, &xattrs),
            Unit::Chunk(chunk, length) => {
                let chunk = chunk.wait()?;
                self.take_chunk(chunk, length)?;
            }
            Unit::Hole(blocks) => self.take_hole(blocks),
            Unit::End => self.end(),
            Unit::Twin(found) => self.take_twin(found)?,
            Unit::Lost(found, loss) => self.lost(&found, loss),
        }
        Ok(())
    }

    fn take_small(&mut self, file: SmallFile, content: &[u8]) -> Result<(), WriteError> {
        let found = file.found;
        let node = found.node;
        let (start, size, digest, xattrs, changed) = match file.outcome {
            Err(loss) => {
                self.lost(&found, loss);
                return Ok(());
            }
            Ok(_) if self.is_auditing() => return Ok(()),
            Ok(SmallContent::Outgrown) => return self.place_at_once(&found),
            Ok(SmallContent::Read {
                start,
                size,
                digest,
                xattrs,
                changed,
            }) => (start, size, digest, xattrs, changed),
        };
        self.note_xattrs(&found, &xattrs);
        self.note_change(&found, changed, size as u64);
        self.archived(size as u64);
        let first = digest.map_or(node, |digest| self.small.first(digest, node));
        let content = &content[start..start + size];
        self.placed.contents[node.index()] = if first != node {
            self.placed.duplicates += 1;
            self.placed.contents[first.index()]
        } else if size == 0 {
            Content::Empty
        } else if is_zero(content) {
            let extent = self.new_extent();
            self.placed.block_sizes.push(BlockSize::HOLE);
            let extent_mut = &mut self.placed.extents[extent as usize];
            extent_mut.size = size as u64;
            extent_mut.sparse = size as u64;
            extent_mut.block_count = 1;
            Content::Blocks { extent }
        } else {
            let (number, offset) = self.add_to_fragment(content);
            Content::Fragment { number, offset }
        };
        Ok(())
    }

    fn begin(&mut self, file: Arc<OpenFile>, xattrs: &XattrSet) {
        let found = *file.found();
        self.note_xattrs(&found, xattrs);
        let extent = self.new_extent();
        self.stored.push_back(Stored::Blocks {
            bytes: Vec::new(),
            begins: Some(extent),
            in_flight: 0,
        });
        self.current = Some(Current {
            file,
            extent,
            hasher: BlockHasher::default(),
            ended: false,
            lost: None,
        });
    }

    fn take_chunk(
        &mut self,
        chunk: Result<Chunk, rustix::io::Errno>,
        length: usize,
    ) -> Result<(), WriteError> {
        let auditing = self.is_auditing();
        let Some(current) = self.current.as_mut().filter(|c| !c.ended && !auditing) else {
            self.in_flight -= length;
            return Ok(());
        };
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(errno) => {
                current.ended = true;
                current.lost = Some(Loss::Unreadable(errno));
                self.in_flight -= length;
                return Ok(());
            }
        };
        current.ended = chunk.read < length;
        for digest in chunk.digests {
            current.hasher.add(digest);
        }
        let extent = &mut self.placed.extents[current.extent as usize];
        extent.size += chunk.read as u64;
        extent.sparse += chunk.sparse as u64;
        extent.block_count += chunk.blocks.len() as u32;
        self.placed.block_sizes.extend(chunk.blocks);
        let extent = current.extent;
        self.stored.push_back(Stored::Blocks {
            bytes: chunk.stored,
            begins: None,
            in_flight: length,
        });
        if !chunk.tail.is_empty() {
            let fragment = self.add_to_fragment(&chunk.tail);
            self.placed.extents[extent as usize].fragment = Some(fragment);
        }
        Control::add(&self.control.read_bytes, chunk.read as u64);
        Ok(())
    }

    fn take_hole(&mut self, blocks: u64) {
        let Some(current) = self.current.as_mut().filter(|current| !current.ended) else {
            return;
        };
        let bytes = blocks * self.shared.block_size as u64;
        if current.file.is_hashed() {
            let zeros = Digest::of(&vec![0; self.shared.block_size]);
            for _ in 0..blocks {
                current.hasher.add(zeros);
            }
        }
        let extent = &mut self.placed.extents[current.extent as usize];
        extent.size += bytes;
        extent.sparse += bytes;
        extent.block_count += blocks as u32;
        let count = self.placed.block_sizes.len() + blocks as usize;
        self.placed.block_sizes.resize(count, BlockSize::HOLE);
    }

    fn end(&mut self) {
        let Some(current) = self.current.take() else {
            return;
        };
        if self.is_auditing() {
            return;
        }
        let found = *current.file.found();
        let extent = self.placed.extents[current.extent as usize];
        let loss = current.lost.map(Err);
        let changed = loss.unwrap_or_else(|| {
            let changed = current.file.changed(extent.size);
            changed.map_err(Loss::Unreadable)
        });
        let changed = match changed {
            Ok(changed) => changed,
            Err(loss) => {
                self.lost(&found, loss);
                return;
            }
        };
        self.note_change(&found, changed, extent.size);
        self.placed.contents[found.node.index()] = match extent.size {
            0 => Content::Empty,
            _ => Content::Blocks {
                extent: current.extent,
            },
        };
        if current.file.is_hashed() {
            let digest = current.hasher.finish();
            self.large.firsts.insert(found.node, Some(digest));
        }
        Control::add(&self.control.archived_files, 1);
    }

    /// A file that was the same as an earlier one when they were compared. If
    /// either has changed since, it is read after all.
    fn take_twin(&mut self, found: FoundFile) -> Result<(), WriteError> {
        let (file, xattrs) = match self.open_large(&found) {
            Ok(opened) => opened,
            Err(loss) => {
                self.lost(&found, loss);
                return Ok(());
            }
        };
        let (first, digest) = self.large.twins[&found.node];
        let same = self.large.firsts.get(&first) == Some(&Some(digest))
            && matches!(file.changed(found.size), Ok(None));
        if !same {
            return self.place_at_once(&found);
        }
        self.note_xattrs(&found, &xattrs);
        self.archived(found.size);
        self.placed.duplicates += 1;
        self.placed.contents[found.node.index()] = self.placed.contents[first.index()];
        Ok(())
    }

    /// Reads a file of any size here and now, which is slow, but happens only
    /// when a file changes at a bad moment.
    fn place_at_once(&mut self, found: &FoundFile) -> Result<(), WriteError> {
        let (file, xattrs) = match self.open_large(found) {
            Ok(opened) => opened,
            Err(loss) => {
                self.lost(found, loss);
                return Ok(());
            }
        };
        self.begin(Arc::clone(&file), &xattrs);
        let mut offset = 0;
        while offset < file.size() && self.current.as_ref().is_some_and(|c| !c.ended) {
            self.check_cancelled()?;
            let length = self.chunk_length(&file, offset);
            let chunk = self.own.read_chunk(&file, offset, length);
            self.in_flight += length;
            self.take_chunk(chunk, length)?;
            self.store_all()?;
            offset += length as u64;
        }
        self.end();
        Ok(())
    }

    // Storing, in order.

    fn new_extent(&mut self) -> u32 {
        let number = self.placed.extents.len() as u32;
        self.placed.extents.push(Extent {
            first_block: self.placed.block_sizes.len() as u64,
            ..Extent::default()
        });
        number
    }

    /// Adds content to the open fragment, or to a new one if there is not
    /// enough room, and gives the fragment's number and the offset.
    fn add_to_fragment(&mut self, content: &[u8]) -> (u32, u32) {
        if self.fragment.len() + content.len() > self.shared.block_size {
            self.close_fragment();
        }
        let place = (
            self.placed.fragments.len() as u32,
            self.fragment.len() as u32,
        );
        self.fragment.extend_from_slice(content);
        place
    }

    fn close_fragment(&mut self) {
        if self.fragment.is_empty() {
            return;
        }
        let block = std::mem::replace(&mut self.fragment, self.shared.empty_block());
        let length = block.len();
        // Everything that follows waits for it.
        let stored = self
            .queue
            .submit_first(move |worker| worker.compress_fragment(block));
        self.in_flight += length;
        self.stored.push_back(Stored::Fragment(stored, length));
        self.placed.fragments.push(FragmentEntry {
            start: U64::new(0),
            size: U32::new(0),
            unused: U32::new(0),
        });
    }

    /// Stores what is ready.
    fn store_ready(&mut self) -> Result<(), WriteError> {
        while let Some(stored) = self.stored.pop_front() {
            match stored {
                Stored::Fragment(later, length) => match later.poll()? {
                    Ok(fragment) => self.store_fragment(fragment, length)?,
                    Err(later) => {
                        self.stored.push_front(Stored::Fragment(later, length));
                        return Ok(());
                    }
                },
                blocks => self.store(blocks)?,
            }
        }
        Ok(())
    }

    /// Stores everything that was given to it so far, waiting where necessary.
    fn store_all(&mut self) -> Result<(), WriteError> {
        while let Some(stored) = self.stored.pop_front() {
            self.store(stored)?;
        }
        Ok(())
    }

    /// Stores what comes next, waiting for it.
    fn store(&mut self, stored: Stored) -> Result<(), WriteError> {
        match stored {
            Stored::Fragment(later, length) => {
                let fragment = later.wait()?;
                self.store_fragment(fragment, length)
            }
            Stored::Blocks {
                bytes,
                begins,
                in_flight,
            } => {
                if let Some(extent) = begins {
                    self.placed.extents[extent as usize].start = self.output.position();
                }
                self.output.write(&bytes)?;
                self.in_flight -= in_flight;
                self.shared.blocks.give(bytes);
                Ok(())
            }
        }
    }

    fn store_fragment(
        &mut self,
        (size, bytes): (BlockSize, Vec<u8>),
        length: usize,
    ) -> Result<(), WriteError> {
        let fragment = &mut self.placed.fragments[self.stored_fragments];
        self.stored_fragments += 1;
        fragment.start = U64::new(self.output.position());
        fragment.size = U32::new(size.to_disk());
        self.output.write(&bytes)?;
        self.in_flight -= length;
        self.shared.blocks.give(bytes);
        Ok(())
    }

    // Keeping account.

    fn is_auditing(&self) -> bool {
        self.shared.auditing.load(Ordering::Relaxed)
    }

    fn archived(&self, bytes: u64) {
        Control::add(&self.control.archived_files, 1);
        Control::add(&self.control.read_bytes, bytes);
    }

    fn note_xattrs(&mut self, found: &FoundFile, set: &XattrSet) {
        if set.is_empty() {
            return;
        }
        let path = || to_path(&self.tree.entry_path(found.entry));
        let dropped = &mut self.placed.report.dropped_xattrs;
        let number = self.xattrs.add(set, path, dropped);
        if number != NO_XATTRS {
            self.placed.xattr_numbers.insert(found.node, number);
        }
    }

    fn note_change(&mut self, found: &FoundFile, changed: Option<Changed>, size: u64) {
        if let Some(Changed { kind, metadata }) = changed {
            self.placed.counts.bytes = self.placed.counts.bytes - found.size + size;
            self.placed.changed.insert(found.node, (metadata, size));
            self.report_change(found.entry, kind);
        }
    }

    fn report_change(&mut self, entry: EntryId, kind: ChangeKind) {
        let path = self.path(entry);
        self.placed.report.changes.add(Change { path, kind });
    }

    fn lost(&mut self, found: &FoundFile, loss: Loss) {
        let (node, entry) = (found.node, found.entry);
        let names = self.tree.links(node).map_or(1, <[EntryId]>::len);
        let counts = &mut self.placed.counts;
        counts.files -= names as u64;
        counts.bytes -= found.size;
        self.placed.contents[node.index()] = Content::Omitted;
        match loss {
            Loss::Vanished => self.report_change(entry, ChangeKind::Vanished),
            Loss::Retyped => self.report_change(entry, ChangeKind::Retyped),
            Loss::Unreadable(errno) => {
                let path = self.path(entry);
                let unreadable = Unreadable { path, errno };
                self.placed.report.unreadable.add(unreadable);
                if self.options.on_unreadable == OnUnreadable::Fail {
                    self.shared.auditing.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    fn path(&self, entry: EntryId) -> PathBuf {
        to_path(&self.tree.entry_path(entry))
    }
}
