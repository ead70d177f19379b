//! Reading everything that is in an archive.

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroUsize,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use parking_lot::Mutex;

use super::Listing;
use crate::reader::{Archive, InodeRef, Kind, ReadError, Stored, StoredBlock, Walk};

/// Reads all metadata, and each block of content once, on all cores.
///
/// # Errors
/// The first damage that was found, or what the source fails with.
pub fn verify(archive: &Archive) -> Result<(), ReadError> {
    let Examination { damage, .. } = examine(archive, 1, &AtomicU64::new(0));
    damage.into_iter().next().map_or(Ok(()), Err)
}

/// What is in an archive, and what is wrong with it.
#[derive(Debug, Default)]
pub struct Examination {
    /// Names by kind: those that were met.
    pub listing: Listing,
    /// Bytes of file content; files with several names count once.
    pub bytes: u64,
    /// In the order in which it was found. Damaged metadata hides what comes
    /// after it, so content is looked at only if there is none.
    pub damage: Vec<ReadError>,
}

/// Reads everything as [`verify`] does, and goes on after damaged content until
/// `most` blocks of it have been found. `checked` hears how many bytes of the
/// archive have been read as content.
pub fn examine(archive: &Archive, most: usize, checked: &AtomicU64) -> Examination {
    let mut survey = Survey::new(archive);
    let walked = survey.walk();
    let Survey {
        listing,
        bytes,
        blocks,
        ..
    } = survey;
    let damage = match walked {
        Ok(()) => check(archive, blocks, most, checked),
        Err(error) => vec![error],
    };
    Examination {
        listing,
        bytes,
        damage,
    }
}

fn check(
    archive: &Archive,
    blocks: HashMap<StoredBlock, Length>,
    most: usize,
    checked: &AtomicU64,
) -> Vec<ReadError> {
    let stored = blocks.keys().map(|block| u64::from(block.size.stored()));
    let end = archive.superblock().bytes_used.get();
    if stored.sum::<u64>() > end {
        let what = "blocks overlap";
        return vec![ReadError::Damaged { what, at: end }];
    }
    let mut blocks: Vec<_> = blocks.into_iter().collect();
    // In the order in which they are stored.
    blocks.sort_unstable_by_key(|(block, _)| block.position);

    let next = AtomicUsize::new(0);
    let damage = Mutex::new(Vec::new());
    let work = || {
        let mut content = Vec::new();
        while let Some((block, length)) = blocks.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = length.check(archive, *block, &mut content) {
                let goes_on =
                    !matches!(error, ReadError::Source { .. } | ReadError::Missing { .. });
                let mut damage = damage.lock();
                damage.push(error);
                if !goes_on || damage.len() >= most {
                    next.store(blocks.len(), Ordering::Relaxed);
                }
            }
            checked.fetch_add(block.size.stored().into(), Ordering::Relaxed);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    std::thread::scope(|scope| {
        for _ in 1..threads.min(blocks.len()) {
            scope.spawn(work);
        }
        work();
    });
    damage.into_inner()
}

/// How long a block has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Exactly(usize),
    AtLeast(usize),
}

impl Length {
    fn check(
        self,
        archive: &Archive,
        block: StoredBlock,
        content: &mut Vec<u8>,
    ) -> Result<(), ReadError> {
        let room = match self {
            Self::Exactly(length) => length,
            Self::AtLeast(_) => archive.superblock().block_size.get() as usize,
        };
        archive.decode(block, room, content)?;
        let is_right = match self {
            Self::Exactly(length) => content.len() == length,
            Self::AtLeast(length) => content.len() >= length,
        };
        if !is_right {
            return Err(conflict(block));
        }
        Ok(())
    }

    /// What both demand, if that can be.
    fn and(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::AtLeast(a), Self::AtLeast(b)) => Some(Self::AtLeast(a.max(b))),
            (a, b) if a == b => Some(a),
            (Self::Exactly(exactly), Self::AtLeast(least))
            | (Self::AtLeast(least), Self::Exactly(exactly)) => {
                (least <= exactly).then_some(Self::Exactly(exactly))
            }
            _ => None,
        }
    }
}

fn conflict(block: StoredBlock) -> ReadError {
    ReadError::Damaged {
        what: "a block has another length than its files say",
        at: block.position,
    }
}

/// What a walk through the metadata finds.
struct Survey<'a> {
    archive: &'a Archive,
    tree: Walk<'a>,
    blocks: HashMap<StoredBlock, Length>,
    xattr_sets: HashSet<u32>,
    /// Files with several names.
    linked: HashSet<InodeRef>,
    listing: Listing,
    bytes: u64,
}

impl<'a> Survey<'a> {
    fn new(archive: &'a Archive) -> Self {
        Self {
            archive,
            tree: Walk::new(archive),
            blocks: HashMap::new(),
            xattr_sets: HashSet::new(),
            linked: HashSet::new(),
            listing: Listing::default(),
            bytes: 0,
        }
    }

    fn walk(&mut self) -> Result<(), ReadError> {
        let root = self.archive.root();
        let mut pending = vec![root];
        self.inode(root, Kind::Directory)?;
        while let Some(directory) = pending.pop() {
            let mut entries = self.tree.enter(directory)?;
            while let Some(entry) = entries.next_entry()? {
                if entry.kind == Kind::Directory {
                    pending.push(entry.inode);
                }
                self.inode(entry.inode, entry.kind)?;
            }
        }
        self.archive.read_export_table()
    }

    fn inode(&mut self, inode: InodeRef, listed: Kind) -> Result<(), ReadError> {
        let attributes = self.archive.attributes(inode)?;
        if attributes.kind != listed {
            return Err(ReadError::Damaged {
                what: "a directory says that a file is of another kind",
                at: self.archive.superblock().directory_table.get(),
            });
        }
        self.listing.count(listed);
        if let Some(set) = attributes.xattr_set
            && self.xattr_sets.insert(set)
        {
            self.archive.xattrs(inode)?;
        }
        let is_known = attributes.link_count > 1 && !self.linked.insert(inode);
        if attributes.kind == Kind::File && !is_known {
            self.bytes = self.bytes.saturating_add(attributes.size);
            self.content(inode)?;
        }
        Ok(())
    }

    fn content(&mut self, file: InodeRef) -> Result<(), ReadError> {
        let mut pieces = self.tree.content(file)?;
        while let Some(piece) = pieces.next_piece()? {
            let (block, length) = match piece.stored {
                Stored::Hole => continue,
                Stored::Block(block) => (block, Length::Exactly(piece.length)),
                Stored::Fragment { number, start } => (
                    self.archive.fragment(number)?,
                    Length::AtLeast((start as usize).saturating_add(piece.length)),
                ),
            };
            let known = self.blocks.entry(block).or_insert(length);
            *known = known.and(length).ok_or_else(|| conflict(block))?;
        }
        Ok(())
    }
}
