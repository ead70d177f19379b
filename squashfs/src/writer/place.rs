//! Placement: what is stored, and where.
//!
//! One thread goes through the files in the tree's order, looks at what the
//! workers made of them, and decides: content that is stored already is
//! referred to, small files are gathered in fragments, blocks get their
//! position. Everything that shapes the archive happens here and in order,
//! which is why the number of threads does not show in it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, atomic::AtomicBool},
};

use rustix::io::Errno;

use super::{
    Control, OnUnreadable, Options, WriteError,
    dedup::{BlockHasher, LargeFiles, SmallFiles},
    output::Output,
    plan::Plan,
    read::{Batch, Chunk, FoundFile, Loss, OpenFile, Shared, Worker},
    workers::{Buffers, PendingResult, Queue, WorkerGone},
    xattrs::XattrTable,
};
use crate::{
    format::{BlockSize, NO_XATTRS},
    source::{XattrSet, to_path},
    tree::Tree,
};

mod account;
mod compare;
mod dispatch;
mod placed;
mod results;
mod storage;

pub(super) use placed::{Content, Extent, Placed};

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
        let threads: Vec<_> = workers.into_iter().map(spawn).collect();
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
        for thread in threads {
            lost |= thread.join().is_err();
        }
        if lost {
            return Err(WorkerGone.into());
        }
        placed
    })
}

/// Work that was given out, in the order in which its results count.
enum Unit {
    /// Small files, and the bytes that they count as in flight.
    Batch(PendingResult<Batch>, usize),
    /// A large file begins.
    Begin(Arc<OpenFile>, XattrSet),
    /// The next blocks of the file that began.
    Chunk(PendingResult<Result<Chunk, Errno>>, usize),
    /// So many blocks of zeros, which need no reading.
    Hole(u64),
    /// The file that began has no more chunks.
    End,
    /// A file that had the content of an earlier one.
    Twin(FoundFile),
    /// A file that cannot be had.
    Lost(FoundFile, Loss),
}

/// What is to be stored, in order.
enum Stored {
    Fragment(PendingResult<(BlockSize, Vec<u8>)>, usize),
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

impl From<WorkerGone> for WriteError {
    fn from(_: WorkerGone) -> Self {
        Self::Internal("a worker thread died")
    }
}

impl Placer<'_, '_, '_> {
    fn add_known_xattrs(&mut self) {
        for (node, set) in self.tree.xattrs() {
            let path = || to_path(&self.tree.node_path(node));
            let dropped = &mut self.placed.report.dropped_xattrs;
            let number = self.xattrs.add(set, path, dropped);
            if number != NO_XATTRS {
                self.placed.xattr_numbers.insert(node, number);
            }
        }
    }

    fn run(mut self) -> Result<(Placed, XattrTable), WriteError> {
        self.add_known_xattrs();
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
}
