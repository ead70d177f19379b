//! Writing an archive as a stream.
//!
//! [`write()`] takes a [`Tree`] and gives bytes to a [`Sink`], strictly in order,
//! the superblock last. Guarantees:
//!
//! * **Deterministic.** The same tree and options give the same bytes, whatever
//!   the number of threads. The archive's own time stamp is the newest mtime of
//!   its entries, not the time of day.
//! * **Bounded memory.** What waits to be read, compressed or taken by the sink
//!   is limited; a slow sink slows everything down, and nothing piles up.
//!   Beyond that, memory grows only by some 100 bytes per entry.
//! * **A live tree cannot break it.** Sizes in the archive are those of the
//!   content that was read. What changed meanwhile is named in the [`Summary`].
//!
//! Three steps are kept apart, so that each can be changed alone. Worker threads
//! read and compress (`read`); one thread decides, in the tree's order, what is
//! stored and where, and feeds the sink (`place`); when all data is out, the
//! tables that describe it are written (`tables`).
//!
//! # What the format cannot hold
//! Times are whole seconds from 1970 to 2106; others become the nearest one
//! that is. POSIX ACLs are stored under another name: see [`crate::format::xattr`].

use std::{io, num::NonZeroUsize};

use zerocopy::{
    IntoBytes,
    little_endian::{U16, U32, U64},
};

use crate::{
    format::{
        DEFAULT_BLOCK_SIZE, MAX_BLOCK_SIZE, MIN_BLOCK_SIZE, NO_TABLE,
        compressor::Compressor,
        metadata,
        superblock::{Superblock, flags},
    },
    report::{Report, Unreadable, describe_unreadable},
    tally::Tally,
    tree::{Counts, Tree},
};

mod control;
mod dedup;
mod encoder;
mod metadata_writer;
mod output;
mod place;
mod plan;
mod read;
mod sink;
mod tables;
mod workers;
mod xattrs;

pub use control::Control;
pub use encoder::{EncoderError, levels};
pub use sink::{FileSink, Sink};

pub(crate) use encoder::Encoder;

use encoder::options_to_disk;
use output::Output;

/// How to write an archive.
#[derive(Clone, Debug)]
pub struct Options {
    /// Gzip, lz4 or zstd; the others are only read.
    pub compressor: Compressor,
    /// One of [`Compressor::levels`], or the one that is named there if absent.
    pub level: Option<u32>,
    /// Bytes of a data block: a power of two from [`MIN_BLOCK_SIZE`] to
    /// [`MAX_BLOCK_SIZE`]. Larger blocks compress better and make small reads
    /// slower.
    pub block_size: u32,
    /// Threads that read and compress; as many as there are cores if absent.
    pub threads: Option<u32>,
    /// What to do about files that cannot be read.
    pub on_unreadable: OnUnreadable,
    /// Put the ends of files longer than a block into fragments with others,
    /// which takes less room and costs readers a second block. Files shorter
    /// than a block always are in fragments.
    pub pack_tails: bool,
    /// Where the first data block goes, in bytes from the archive's start, if
    /// what comes before is in the archive already: see [`Sink::skip`].
    pub data_start: Option<u64>,
    /// Bytes that may be on their way from files to the sink, more or less:
    /// less takes less memory, more keeps threads busy when the sink is slow at
    /// times. If absent, 8 MiB and 2 MiB for each thread, at most 96 MiB.
    pub in_flight: Option<usize>,
}

/// What a writer does about files that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnreadable {
    /// Fail, once it is known which files cannot be read; the error names them.
    #[default]
    Fail,
    /// Leave them out; the [`Summary`] names them.
    Skip,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            compressor: Compressor::Zstd,
            level: None,
            block_size: DEFAULT_BLOCK_SIZE,
            threads: None,
            on_unreadable: OnUnreadable::default(),
            pack_tails: false,
            data_start: None,
            in_flight: None,
        }
    }
}

impl Options {
    fn in_flight(&self) -> usize {
        const BASE: usize = 8 << 20;
        const PER_THREAD: usize = 2 << 20;
        const MOST: usize = 96 << 20;
        let usual = BASE + self.threads() * PER_THREAD;
        self.in_flight.unwrap_or(usual.min(MOST)).max(1)
    }

    fn encoder(&self, block_size: u32) -> Result<Encoder, EncoderError> {
        Encoder::new(self.compressor, self.level, block_size)
    }

    fn threads(&self) -> usize {
        match self.threads {
            Some(threads) => threads.max(1) as usize,
            None => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        }
    }
}

/// What became of an archive.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Summary {
    /// Bytes of the archive, superblock and padding included.
    pub size: u64,
    /// What it holds.
    pub counts: Counts,
    /// Files whose content was stored for another file already.
    pub duplicates: u64,
    /// What was met, when the tree was built and when it was written.
    pub report: Report,
}

/// Why there is no archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// [`Control::cancel`] was called.
    #[error("cancelled")]
    Cancelled,
    /// [`Options::block_size`] or [`Options::data_start`] is out of range.
    #[error("{0}")]
    Options(&'static str),
    /// The compressor could not be set up.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    /// The sink failed.
    #[error("cannot write the archive: {0}")]
    Sink(#[from] io::Error),
    /// Files could not be read, and [`OnUnreadable::Fail`] was asked for.
    #[error("{}", describe_unreadable(.0))]
    Unreadable(Tally<Unreadable>),
    /// More than 65,535 distinct owners and groups.
    #[error("the tree has more than 65,535 distinct owners and groups")]
    TooManyIds,
    /// A bug: the archive would not be what it has to be.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

/// Archives end at a multiple of this, so that they can be loop-mounted.
const PADDING: u64 = 4096;

/// Writes `tree` to `sink`. `control` counts and may cancel.
///
/// # Errors
/// See [`WriteError`]. The sink may have been given any part of an archive by
/// then, but not its superblock.
pub fn write(
    tree: &Tree,
    options: &Options,
    control: &Control,
    sink: &mut dyn Sink,
) -> Result<Summary, WriteError> {
    let block_size = options.block_size;
    let is_possible = (MIN_BLOCK_SIZE..=MAX_BLOCK_SIZE).contains(&block_size);
    if !block_size.is_power_of_two() || !is_possible {
        return Err(WriteError::Options(
            "the block size must be a power of two from 4 KiB to 1 MiB",
        ));
    }
    let mut output = Output::new(sink, control);
    let compressor_options = options_to_disk(options.compressor, options.level)?;
    let header = compressor_options.len() as u16 | metadata::RAW;
    output.write(&[&header.to_le_bytes(), compressor_options.as_slice()].concat())?;
    if let Some(start) = options.data_start {
        if start < output.position() {
            return Err(WriteError::Options("data cannot start inside the header"));
        }
        output.skip_to(start)?;
    }

    let (placed, xattrs) = place::place(tree, options, control, &mut output)?;
    let tables = tables::write(tree, &placed, xattrs, options, &mut output)?;

    let bytes_used = output.position();
    let padding = bytes_used.next_multiple_of(PADDING) - bytes_used;
    output.write(&[0; PADDING as usize][..padding as usize])?;
    let size = output.position();
    let mut flag_bits = flags::DUPLICATES | flags::EXPORTABLE | flags::COMPRESSOR_OPTIONS;
    if tables.xattr_table == NO_TABLE {
        flag_bits |= flags::NO_XATTRS;
    }
    let superblock = Superblock {
        magic: U32::new(Superblock::MAGIC),
        inode_count: U32::new(tables.inode_count),
        modified: U32::new(tables.newest_mtime),
        block_size: U32::new(block_size),
        fragment_count: U32::new(placed.fragments.len() as u32),
        compressor: U16::new(options.compressor.id()),
        block_log: U16::new(block_size.ilog2() as u16),
        flags: U16::new(flag_bits),
        id_count: U16::new(tables.id_count),
        version_major: U16::new(4),
        version_minor: U16::new(0),
        root_inode: U64::new(tables.root_inode),
        bytes_used: U64::new(bytes_used),
        id_table: U64::new(tables.id_table),
        xattr_table: U64::new(tables.xattr_table),
        inode_table: U64::new(tables.inode_table),
        directory_table: U64::new(tables.directory_table),
        fragment_table: U64::new(tables.fragment_table),
        export_table: U64::new(tables.export_table),
    };
    let mut on_disk = [0; Superblock::SIZE];
    on_disk.copy_from_slice(superblock.as_bytes());
    output.finish(&on_disk)?;
    Ok(Summary {
        size,
        counts: placed.counts,
        duplicates: placed.duplicates,
        report: placed.report,
    })
}
