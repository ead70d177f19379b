//! The local copy of an archive: a sparse file, and a map of the chunks that
//! are in it.
//!
//! A chunk is marked on disk only after its bytes are, and unmarked before they
//! go, so that a process that takes over from one that was killed finds no
//! chunk in the map that is not in the file.

use std::{
    fs::File,
    io,
    ops::Range,
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
};

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use rustix::fs::{FallocateFlags, fallocate, fstatvfs, statvfs};

use crate::transfer::TransferError;

/// Bytes of a chunk, the last of an archive excepted.
pub(super) const CHUNK: u64 = 256 << 10;
/// The largest archive, in bytes: as R2's largest object. Memory is taken for
/// each of its chunks.
const LARGEST: u64 = 5 << 40;

/// The two files.
pub(super) struct Cache {
    file: File,
    map: File,
    size: u64,
    /// Held for reading while bytes are read or come, for writing while they
    /// go. Taken before the state is locked, never after.
    in_use: RwLock<()>,
}

/// Which chunks are here, and when they were last asked for.
pub(super) struct Chunks {
    /// [`ABSENT`], [`UNASKED`], or a time on `clock`.
    used: Vec<u32>,
    clock: u32,
    present: u32,
    /// The most that may be here.
    most: u32,
    /// The same, while there is room on the disk.
    limit: u32,
}

/// Chunks that a cache may always hold: those of a few reads at a time.
const FEWEST: u32 = ((4 << 20) / CHUNK) as u32;

const ABSENT: u32 = 0;
const UNASKED: u32 = 1;

/// The chunk that a byte is in.
pub(super) fn chunk_of(offset: u64) -> u32 {
    // No archive is larger than `LARGEST`.
    u32::try_from(offset / CHUNK).unwrap_or(u32::MAX)
}

/// The chunks that some bytes are in.
pub(super) fn chunks_of(bytes: &Range<u64>) -> Range<u32> {
    chunk_of(bytes.start)..chunk_of(bytes.end.saturating_add(CHUNK - 1))
}

impl Cache {
    /// Opens the cache of an archive of `size` bytes at `path`, of which at
    /// most `limit` bytes are kept, with what is already there.
    pub(super) fn open(
        path: &Path,
        size: u64,
        limit: u64,
    ) -> Result<(Self, Chunks), TransferError> {
        let open = |path: &Path| {
            File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
        };
        let (file, map) = (open(path)?, open(&path.with_extension("map"))?);
        let room = statvfs(path).map_err(io::Error::from)?;
        let available = room.f_bavail.saturating_mul(room.f_frsize);
        let taken = file.metadata()?.blocks() * 512;
        let needed = size.min(limit).saturating_sub(taken);
        if needed > available {
            return Err(TransferError::NoSpace { needed, available });
        }
        if size > LARGEST {
            return Err(TransferError::TooLarge);
        }
        let count = chunks_of(&(0..size)).end;
        let most = chunk_of(limit).max(1);
        let cache = Self {
            file,
            map,
            size,
            in_use: RwLock::default(),
        };
        let mut chunks = Chunks {
            used: vec![ABSENT; count as usize],
            clock: UNASKED,
            present: 0,
            most,
            limit: most,
        };
        if cache.map.metadata()?.len() == u64::from(count) && cache.file.metadata()?.len() == size {
            let mut marks = vec![0; count as usize];
            cache.map.read_exact_at(&mut marks, 0)?;
            for (chunk, _) in (0..).zip(&marks).filter(|(_, mark)| **mark == 1) {
                chunks.add(chunk);
            }
        }
        cache.file.set_len(size)?;
        cache.map.set_len(u64::from(count))?;
        Ok((cache, chunks))
    }

    /// Marks everything as here: the whole archive has been put at `path`.
    pub(super) fn adopt(path: &Path) -> io::Result<u64> {
        let size = path.metadata()?.len();
        let count = chunks_of(&(0..size)).len();
        std::fs::write(path.with_extension("map"), vec![1; count])?;
        Ok(size)
    }

    /// The bytes of a chunk.
    pub(super) fn bytes_of(&self, chunk: u32) -> Range<u64> {
        let start = u64::from(chunk) * CHUNK;
        start..self.size.min(start + CHUNK)
    }

    /// Writes a chunk, which is not here, all of it or nothing.
    pub(super) fn write(&self, chunk: u32, bytes: &[u8]) -> io::Result<()> {
        self.file
            .write_all_at(bytes, u64::from(chunk) * CHUNK)
            .and_then(|()| self.map.write_all_at(&[1], u64::from(chunk)))
            .inspect_err(|_| drop(self.punch(chunk)))
    }

    /// Gives the room of a chunk back.
    fn punch(&self, chunk: u32) -> io::Result<()> {
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let bytes = self.bytes_of(chunk);
        fallocate(&self.file, hole, bytes.start, bytes.end - bytes.start)?;
        Ok(())
    }

    /// Whether the disk has room for so many bytes.
    pub(super) fn has_room(&self, bytes: u64) -> io::Result<bool> {
        let room = fstatvfs(&self.file)?;
        Ok(room.f_bavail.saturating_mul(room.f_frsize) >= bytes)
    }

    /// Reads bytes whose chunks are here; see [`Cache::hold`].
    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    /// Keeps the chunks that are here from going while they are looked at.
    pub(super) fn hold(&self) -> RwLockReadGuard<'_, ()> {
        self.in_use.read()
    }

    /// Waits until nobody looks at chunks, and keeps everybody from it.
    pub(super) fn alone(&self) -> RwLockWriteGuard<'_, ()> {
        self.in_use.write()
    }

    /// Takes chunks away that [`Chunks::make_room`] has named meanwhile.
    pub(super) fn drop_chunks(
        &self,
        _alone: &RwLockWriteGuard<'_, ()>,
        chunks: &[u32],
    ) -> io::Result<()> {
        for &chunk in chunks {
            self.map.write_all_at(&[0], u64::from(chunk))?;
            self.punch(chunk)?;
        }
        Ok(())
    }
}

impl Chunks {
    /// Whether a chunk is here.
    pub(super) fn has(&self, chunk: u32) -> bool {
        self.used
            .get(chunk as usize)
            .is_some_and(|used| *used != ABSENT)
    }

    /// Whether all of some chunks are here.
    pub(super) fn has_all(&self, chunks: Range<u32>) -> bool {
        chunks.into_iter().all(|chunk| self.has(chunk))
    }

    /// Whether the whole archive is here.
    pub(super) fn whole(&self) -> bool {
        self.present as usize == self.used.len()
    }

    /// Whether the whole archive can ever be here at a time.
    pub(super) fn bounded(&self) -> bool {
        (self.most as usize) < self.used.len()
    }

    /// Whether there are not too many.
    pub(super) fn fits(&self) -> bool {
        self.present <= self.most
    }

    /// Whether one more would be too many.
    pub(super) fn is_full(&self) -> bool {
        self.present >= self.most
    }

    /// How many chunks may be here at a time.
    pub(super) fn most(&self) -> u32 {
        self.most
    }

    /// How many chunks there are.
    pub(super) fn count(&self) -> u32 {
        // `Cache::open` made as many as fit.
        u32::try_from(self.used.len()).unwrap_or(u32::MAX)
    }

    /// How many bytes of an archive of `size` bytes are here.
    pub(super) fn bytes(&self, size: u64) -> u64 {
        let whole = u64::from(self.present) * CHUNK;
        let last = self
            .count()
            .checked_sub(1)
            .is_some_and(|last| self.has(last));
        let missing_of_last = u64::from(self.count()) * CHUNK - size;
        whole - if last { missing_of_last } else { 0 }
    }

    /// Notes that a chunk is here.
    pub(super) fn add(&mut self, chunk: u32) {
        if let Some(used) = self.used.get_mut(chunk as usize)
            && *used == ABSENT
        {
            *used = UNASKED;
            self.present += 1;
        }
    }

    /// Notes that chunks have been asked for.
    pub(super) fn touch(&mut self, chunks: Range<u32>) {
        self.clock = self.clock.saturating_add(1);
        for used in &mut self.used[chunks.start as usize..chunks.end as usize] {
            if *used != ABSENT {
                *used = self.clock;
            }
        }
    }

    /// The disk is full: no more than half of what is here now.
    pub(super) fn shrink(&mut self) {
        self.most = (self.present / 2).max(FEWEST).min(self.limit);
    }

    /// Whether there may be fewer than the limit, because the disk was full.
    pub(super) fn is_shrunk(&self) -> bool {
        self.most < self.limit
    }

    /// There is room again.
    pub(super) fn grow(&mut self) {
        self.most = self.limit;
    }

    /// How many may come besides those that are here, if the disk has room.
    pub(super) fn lacking(&self) -> u32 {
        self.limit.min(self.count()).saturating_sub(self.present)
    }

    /// Where there are too many, the chunks to drop, least recently used
    /// first, a sixteenth at a time, and none of `pinned`.
    pub(super) fn make_room(&mut self, pinned: &Range<u32>) -> Vec<u32> {
        if self.fits() {
            return Vec::new();
        }
        let excess = (self.present - self.most + self.most / 16) as usize;
        let mut candidates: Vec<(u32, u32)> = (0..)
            .zip(&self.used)
            .filter(|(chunk, used)| **used != ABSENT && !pinned.contains(chunk))
            .map(|(chunk, used)| (*used, chunk))
            .collect();
        if candidates.len() > excess {
            candidates.select_nth_unstable(excess);
            candidates.truncate(excess);
        }
        let chunks: Vec<u32> = candidates.into_iter().map(|(_, chunk)| chunk).collect();
        for &chunk in &chunks {
            self.used[chunk as usize] = ABSENT;
            self.present -= 1;
        }
        chunks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_finds_what_was_kept_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("archive.sqsh");
        let size = 3 * CHUNK + 10;
        {
            let (cache, chunks) = Cache::open(&path, size, u64::MAX).unwrap();
            assert_eq!((chunks.count(), chunks.bytes(size)), (4, 0));
            cache.write(1, &vec![1; CHUNK as usize]).unwrap();
            cache.write(3, &[3; 10]).unwrap();
        }
        let (cache, mut chunks) = Cache::open(&path, size, u64::MAX).unwrap();
        let here: Vec<u32> = (0..9).filter(|chunk| chunks.has(*chunk)).collect();
        assert_eq!(here, [1, 3]);
        assert_eq!(chunks.bytes(size), CHUNK + 10);
        let mut byte = [0];
        cache.read(&mut byte, size - 1).unwrap();
        assert_eq!(byte, [3]);
        chunks.add(0);
        chunks.add(2);
        assert!(chunks.whole());
        assert_eq!(chunks.bytes(size), size);
    }

    #[test]
    fn what_was_used_least_recently_goes_first_and_what_is_pinned_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("archive.sqsh");
        let (cache, mut chunks) = Cache::open(&path, 8 * CHUNK, 3 * CHUNK).unwrap();
        assert!(chunks.bounded());
        for chunk in [0, 1, 2, 3, 4] {
            cache.write(chunk, &vec![7; CHUNK as usize]).unwrap();
            chunks.add(chunk);
        }
        chunks.touch(2..4);
        chunks.touch(0..1);
        let dropped = chunks.make_room(&(4..5));
        cache.drop_chunks(&cache.alone(), &dropped).unwrap();
        let here: Vec<u32> = (0..8).filter(|chunk| chunks.has(*chunk)).collect();
        assert_eq!(here.len(), 3, "{here:?}");
        assert!(here.contains(&0) && here.contains(&4) && !here.contains(&1));
        let (_, chunks) = Cache::open(&path, 8 * CHUNK, 3 * CHUNK).unwrap();
        assert!((0..8).all(|chunk| chunks.has(chunk) == here.contains(&chunk)));
    }

    #[test]
    fn a_disk_that_is_too_small_is_named_with_both_sizes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("archive.sqsh");
        let Err(error) = Cache::open(&path, 1 << 42, u64::MAX) else {
            panic!("so much room is nowhere");
        };
        assert!(matches!(error, TransferError::NoSpace { needed, available }
                if needed == 1 << 42 && available < needed));
        assert!(Cache::open(&path, 1 << 42, 1 << 20).is_ok());
    }
}
