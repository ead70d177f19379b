//! What worker threads do: read files, recognise what needs no room, compress.
//!
//! Files are opened and read as they are now, which may differ from what the
//! tree says. Whoever reads looks at the file's metadata after the content: if
//! it is as the tree says, nothing changed in between; otherwise what has
//! been read is what counts, and what kind of change it was is said.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::{
    fs::{FileType, SeekFrom, Stat, fstat, seek},
    io::{Errno, pread},
};

use super::{
    Control, Encoder, EncoderError, Options,
    dedup::{BlockHasher, Digest},
    workers::Buffers,
};
use crate::{
    format::BlockSize,
    report::ChangeKind,
    source::{XattrSet, is_gone, open_file, read_xattrs},
    tree::{DirectoryId, EntryId, Metadata, NodeId, Stamp, Tree},
};

/// What all workers share.
pub(super) struct Shared<'a> {
    pub(super) tree: &'a Tree,
    pub(super) block_size: usize,
    pub(super) pack_tails: bool,
    /// For what is stored, and for fragments.
    pub(super) blocks: Buffers,
    /// For the content of batches; their length is of no meaning.
    pub(super) batches: Buffers,
    pub(super) control: &'a Control,
    /// Set when the operation has failed for want of access, and only goes on
    /// to find out what else cannot be read.
    pub(super) auditing: AtomicBool,
}

impl Shared<'_> {
    pub(super) fn empty_block(&self) -> Vec<u8> {
        let mut block = self.blocks.take();
        block.clear();
        block
    }
}

/// A thread's own means.
pub(super) struct Worker<'a> {
    shared: &'a Shared<'a>,
    encoder: Encoder,
    /// The content of a chunk.
    chunk: Vec<u8>,
    /// The directory that the last file was in.
    directory: Option<(DirectoryId, OwnedFd)>,
}

/// A regular file as the tree has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct FoundFile {
    pub(super) node: NodeId,
    pub(super) entry: EntryId,
    pub(super) size: u64,
    pub(super) stamp: Stamp,
}

/// Why a file is not in the archive.
#[derive(Clone, Copy, Debug)]
pub(super) enum Loss {
    Vanished,
    Retyped,
    Unreadable(Errno),
}

impl Loss {
    fn from_opening(errno: Errno) -> Self {
        match errno {
            // What is a link now was a file.
            Errno::LOOP => Self::Retyped,
            errno if is_gone(errno) => Self::Vanished,
            errno => Self::Unreadable(errno),
        }
    }
}

/// How a file differs from what the tree says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Changed {
    pub(super) kind: ChangeKind,
    pub(super) metadata: Metadata,
}

impl Changed {
    /// Compares a file with what the tree says; `size` is what was read of it.
    fn since_found(found: &FoundFile, stat: &Stat, size: u64) -> Option<Self> {
        let stamp = Stamp::of(stat);
        let kind = if stamp.identity != found.stamp.identity {
            ChangeKind::Replaced
        } else if size > found.size {
            ChangeKind::Grown
        } else if size < found.size {
            ChangeKind::Shrunk
        } else if stamp.times != found.stamp.times || stat.st_size as u64 != size {
            ChangeKind::Modified
        } else {
            return None;
        };
        let metadata = Metadata::of(stat);
        Some(Self { kind, metadata })
    }
}

/// A small file that was read.
pub(super) struct SmallFile {
    pub(super) found: FoundFile,
    pub(super) outcome: Result<SmallContent, Loss>,
}

pub(super) enum SmallContent {
    /// It is in the batch's buffer.
    Read {
        start: usize,
        size: usize,
        /// If asked for.
        digest: Option<Digest>,
        xattrs: XattrSet,
        changed: Option<Changed>,
    },
    /// It is as long as a block now, and has to be read as large files are.
    Outgrown,
}

/// Small files that follow each other.
pub(super) struct Batch {
    pub(super) files: Vec<SmallFile>,
    pub(super) content: Vec<u8>,
}

/// A file that is read in chunks.
#[derive(Debug)]
pub(super) struct OpenFile {
    fd: OwnedFd,
    found: FoundFile,
    /// When it was opened.
    stat: Stat,
    /// Whether chunks are to be hashed.
    hashed: bool,
}

/// A part of a file, read and compressed.
pub(super) struct Chunk {
    /// Bytes read; fewer than asked for at the end of the file.
    pub(super) read: usize,
    pub(super) blocks: Vec<BlockSize>,
    /// Of `read`, bytes in blocks of zeros.
    pub(super) sparse: usize,
    /// What the blocks are stored as, together.
    pub(super) stored: Vec<u8>,
    /// The end of the file, if it is to go into a fragment.
    pub(super) tail: Vec<u8>,
    /// Of all blocks and the tail, if asked for.
    pub(super) digests: Vec<Digest>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(shared: &'a Shared<'a>, options: &Options) -> Result<Self, EncoderError> {
        Ok(Self {
            shared,
            encoder: options.encoder(options.block_size)?,
            chunk: Vec::new(),
            directory: None,
        })
    }

    /// Reads small files into one buffer. `hashed` says which to hash.
    pub(super) fn read_batch(&mut self, files: &[(FoundFile, bool)]) -> Batch {
        let mut content = self.shared.batches.take();
        let mut filled = 0;
        let files = files
            .iter()
            .map(|(found, hashed)| {
                let outcome = self.read_small(found, *hashed, &mut content, filled);
                if let Ok(SmallContent::Read { size, .. }) = &outcome {
                    filled += size;
                }
                SmallFile {
                    found: *found,
                    outcome,
                }
            })
            .collect();
        Batch { files, content }
    }

    fn read_small(
        &mut self,
        found: &FoundFile,
        hashed: bool,
        content: &mut Vec<u8>,
        start: usize,
    ) -> Result<SmallContent, Loss> {
        let fd = self.open(found)?;
        let xattrs = read_xattrs(fd.as_fd()).map_err(Loss::Unreadable)?;
        if self.shared.auditing.load(Ordering::Relaxed) {
            // Nobody looks at content any more.
            return Ok(SmallContent::Outgrown);
        }
        // One byte more than expected shows growth without another call.
        let mut expected = found.size as usize;
        let mut attempts = 0;
        let (size, stat) = loop {
            let end = start + expected + 1;
            if content.len() < end {
                content.resize(end, 0);
            }
            let read = read_at(fd.as_fd(), &mut content[start..end], 0, expected);
            let stat = fstat(&fd).map_err(Loss::Unreadable)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                return Err(Loss::Retyped);
            }
            let read = read.map_err(Loss::Unreadable)?;
            let now = stat.st_size as usize;
            if now >= self.shared.block_size {
                return Ok(SmallContent::Outgrown);
            }
            // A file that is being written to may never hold still.
            attempts += 1;
            if read == now || attempts == ATTEMPTS {
                break (read.min(now), stat);
            }
            expected = now;
        };
        let changed = Changed::since_found(found, &stat, size as u64);
        let digest = hashed.then(|| Digest::of(&content[start..start + size]));
        Ok(SmallContent::Read {
            start,
            size,
            digest,
            xattrs,
            changed,
        })
    }

    /// Opens a file by the first of its names that still works.
    fn open(&mut self, found: &FoundFile) -> Result<OwnedFd, Loss> {
        let tree = self.shared.tree;
        let single = [found.entry];
        let names = tree.links(found.node).unwrap_or(&single);
        let mut loss = Loss::Vanished;
        for &entry in names {
            match self.open_entry(entry) {
                Ok(fd) => return Ok(fd),
                Err(errno) => loss = Loss::from_opening(errno),
            }
        }
        Err(loss)
    }

    fn open_entry(&mut self, entry: EntryId) -> Result<OwnedFd, Errno> {
        let tree = self.shared.tree;
        let id = tree.directory_of(entry);
        let directory = match self.directory.take() {
            Some((known, fd)) if known == id => fd,
            _ => tree.source().open_directory(&tree.directory_path(id))?,
        };
        let file = open_file(directory.as_fd(), tree.name(entry));
        self.directory = Some((id, directory));
        file
    }

    /// Opens a file that is to be read in chunks; `hashed` says whether chunks
    /// are to be hashed.
    pub(super) fn open_large(
        &mut self,
        found: &FoundFile,
        hashed: bool,
    ) -> Result<(OpenFile, XattrSet), Loss> {
        let fd = self.open(found)?;
        let stat = fstat(&fd).map_err(Loss::Unreadable)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Loss::Retyped);
        }
        let xattrs = read_xattrs(fd.as_fd()).map_err(Loss::Unreadable)?;
        let file = OpenFile {
            fd,
            found: *found,
            stat,
            hashed,
        };
        Ok((file, xattrs))
    }

    /// Reads `length` bytes, whole blocks unless they end the file, and
    /// compresses them.
    pub(super) fn read_chunk(
        &mut self,
        file: &OpenFile,
        offset: u64,
        length: usize,
    ) -> Result<Chunk, Errno> {
        if self.chunk.len() < length {
            self.chunk.resize(length, 0);
        }
        let content = &mut self.chunk[..length];
        let read = read_at(file.fd.as_fd(), content, offset, length)?;
        let mut chunk = Chunk {
            read,
            blocks: Vec::with_capacity(length / self.shared.block_size + 1),
            sparse: 0,
            stored: self.shared.empty_block(),
            tail: Vec::new(),
            digests: Vec::new(),
        };
        for block in content[..read].chunks(self.shared.block_size) {
            if file.hashed {
                chunk.digests.push(Digest::of(block));
            }
            if is_zero(block) {
                chunk.blocks.push(BlockSize::HOLE);
                chunk.sparse += block.len();
            } else if self.shared.pack_tails && block.len() < self.shared.block_size {
                chunk.tail.extend_from_slice(block);
            } else {
                let size = compress_to(&mut self.encoder, block, &mut chunk.stored);
                chunk.blocks.push(size);
            }
        }
        Ok(chunk)
    }

    /// Compresses a fragment block.
    pub(super) fn compress_fragment(&mut self, block: Vec<u8>) -> (BlockSize, Vec<u8>) {
        let mut stored = self.shared.empty_block();
        let size = compress_to(&mut self.encoder, &block, &mut stored);
        self.shared.blocks.give(block);
        (size, stored)
    }

    /// The hash of the first `limit` bytes of a file, unless it cannot be read
    /// or is not as the tree says.
    pub(super) fn fingerprint(&mut self, found: &FoundFile, limit: u64) -> Option<Digest> {
        let (file, _) = self.open_large(found, true).ok()?;
        let limit = limit.min(found.size);
        let block_size = self.shared.block_size;
        let zeros = Digest::of(&vec![0; block_size]);
        let mut hasher = BlockHasher::default();
        let mut offset = 0;
        self.chunk.resize(self.chunk.len().max(block_size), 0);
        while offset < limit && !self.shared.control.is_cancelled() {
            let hole = file.hole_blocks(offset, block_size);
            for _ in 0..hole.min((limit - offset) / block_size as u64) {
                hasher.add(zeros);
                offset += block_size as u64;
            }
            if offset >= limit {
                break;
            }
            let length = block_size.min((limit - offset) as usize);
            let content = &mut self.chunk[..length];
            if read_at(file.fd.as_fd(), content, offset, length).ok()? < length {
                return None;
            }
            hasher.add(Digest::of(content));
            offset += length as u64;
        }
        let unchanged = file.changed(found.size).ok()?.is_none();
        unchanged.then(|| hasher.finish())
    }
}

impl OpenFile {
    /// Bytes of content when it was opened.
    pub(super) fn size(&self) -> u64 {
        self.stat.st_size as u64
    }

    pub(super) fn found(&self) -> &FoundFile {
        &self.found
    }

    pub(super) fn is_hashed(&self) -> bool {
        self.hashed
    }

    /// What changed from when it was found until now; `size` is what was read.
    pub(super) fn changed(&self, size: u64) -> Result<Option<Changed>, Errno> {
        Ok(Changed::since_found(&self.found, &fstat(&self.fd)?, size))
    }

    /// How many whole blocks from `offset`, the start of a block, are surely
    /// nothing but a hole.
    pub(super) fn hole_blocks(&self, offset: u64, block_size: usize) -> u64 {
        const STAT_BLOCK: u64 = 512;
        let size = self.size();
        // Asking costs a system call, and most files have no holes.
        if self.stat.st_blocks as u64 * STAT_BLOCK >= size {
            return 0;
        }
        let data = match seek(&self.fd, SeekFrom::Data(offset)) {
            Ok(data) => data.min(size),
            Err(Errno::NXIO) => size,
            Err(_) => offset,
        };
        data.saturating_sub(offset) / block_size as u64
    }
}

/// How often a small file is read again because it changed while it was read.
const ATTEMPTS: u32 = 3;

/// Appends the stored form of `block`.
fn compress_to(encoder: &mut Encoder, block: &[u8], stored: &mut Vec<u8>) -> BlockSize {
    match encoder.compress(block) {
        Some(compressed) => {
            stored.extend_from_slice(compressed);
            BlockSize::compressed(compressed.len())
        }
        None => {
            stored.extend_from_slice(block);
            BlockSize::raw(block.len())
        }
    }
}

/// Reads until `enough` bytes are there, or the file ends.
fn read_at(
    file: BorrowedFd<'_>,
    buffer: &mut [u8],
    offset: u64,
    enough: usize,
) -> Result<usize, Errno> {
    let mut filled = 0;
    loop {
        match pread(file, &mut buffer[filled..], offset + filled as u64) {
            Ok(0) => return Ok(filled),
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        if filled >= enough {
            return Ok(filled);
        }
    }
}

/// Whether a block has nothing but zeros.
pub(super) fn is_zero(block: &[u8]) -> bool {
    match block {
        [] => true,
        // Compares the block with itself, one byte on: as fast as memory is read.
        [0, rest @ ..] => block[..rest.len()] == *rest,
        _ => false,
    }
}
