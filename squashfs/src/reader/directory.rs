//! Directory listings: walking through them and finding names in them.

use std::sync::Arc;

use super::{
    Archive, InodeRef, Kind, ReadError,
    inode::{Body, Directory},
    metadata::Cursor,
};
use crate::format::{
    directory::{Entry, Header, IndexEntry, MAX_RUN},
    metadata::{BLOCK_SIZE, Position},
};

/// Longest name, in bytes, as in Linux's driver.
const LONGEST_NAME: usize = 256;

/// A name in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DirEntry<'a> {
    /// 1 to 256 bytes without `/` and NUL, and neither `.` nor `..`.
    pub name: &'a [u8],
    /// What it names.
    pub kind: Kind,
    /// Whom it names.
    pub inode: InodeRef,
    /// The number of that inode.
    pub inode_number: u32,
    /// Where to go on after this entry: see [`Archive::read_dir`].
    pub next: u64,
}

/// A place in a listing: a run and how many of its entries are behind.
#[derive(Clone, Copy, Default)]
struct Place {
    /// Of the run's header, in bytes from the listing's start.
    run: u32,
    /// At most [`MAX_RUN`].
    behind: u16,
}

impl Place {
    const BITS: u32 = 9;

    fn to_u64(self) -> u64 {
        u64::from(self.run) << Self::BITS | u64::from(self.behind)
    }

    fn from_u64(number: u64) -> Option<Self> {
        Some(Self {
            run: u32::try_from(number >> Self::BITS).ok()?,
            behind: (number & ((1 << Self::BITS) - 1)) as u16,
        })
    }
}

const _: () = assert!(MAX_RUN < 1 << Place::BITS);

/// The index of a directory.
#[derive(Debug, Default)]
pub(super) struct Index {
    landmarks: Vec<Landmark>,
    /// All names, one after the other.
    names: Vec<u8>,
}

/// A run that is the first to begin in its metadata block, more or less.
#[derive(Clone, Copy, Debug)]
struct Landmark {
    /// Of the run's header, in bytes from the listing's start.
    run: u32,
    /// Position, in the directory table, of the block that has the header.
    block: u32,
    /// Where in the names that of the run's first entry ends.
    name_end: u32,
}

impl Index {
    fn read(directory: &Directory<'_>) -> Result<Self, ReadError> {
        let mut cursor = directory.index.clone();
        let mut index = Self::default();
        for _ in 0..directory.index_count {
            let entry: IndexEntry = cursor.value()?;
            let length = entry.name_length.get() as usize;
            if length >= LONGEST_NAME {
                return Err(cursor.damaged("a directory's index has a name that is too long"));
            }
            let start = index.names.len();
            index.names.resize(start + length + 1, 0);
            cursor.read(&mut index.names[start..])?;
            index.landmarks.push(Landmark {
                run: entry.offset.get(),
                block: entry.block.get(),
                name_end: index.names.len() as u32,
            });
        }
        Ok(index)
    }

    fn name(&self, number: usize) -> &[u8] {
        let start = match number {
            0 => 0,
            _ => self.landmarks[number - 1].name_end,
        };
        &self.names[start as usize..self.landmarks[number].name_end as usize]
    }

    /// The last landmark of which `is_before` holds.
    fn last(&self, is_before: impl Fn(usize, &Landmark) -> bool) -> Option<Landmark> {
        // They ascend; where they do not, nothing will be found.
        let (mut low, mut high) = (0, self.landmarks.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if is_before(middle, &self.landmarks[middle]) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low.checked_sub(1).map(|last| self.landmarks[last])
    }

    pub(super) fn weight(&self) -> u64 {
        (self.landmarks.capacity() * size_of::<Landmark>() + self.names.capacity()) as u64
    }
}

/// Reads a directory: see [`Archive::read_dir`].
pub struct ReadDir<'a> {
    /// Absent once the listing has ended.
    cursor: Option<Cursor<'a>>,
    /// Bytes of the listing.
    length: u32,
    /// Where the cursor is, in bytes from the listing's start.
    at: u32,
    header: Header,
    place: Place,
    /// Entries left in the run.
    left: u16,
    name: Vec<u8>,
    previous: Vec<u8>,
}

impl<'a> ReadDir<'a> {
    /// Starts at the listing's start or at a landmark.
    fn start(
        archive: &'a Archive,
        directory: &Directory<'_>,
        landmark: Option<Landmark>,
    ) -> Result<Self, ReadError> {
        let Position { block, offset } = directory.start;
        let (run, position) = match landmark {
            None => (0, directory.start),
            Some(landmark) => {
                let offset = (u64::from(offset) + u64::from(landmark.run)) % BLOCK_SIZE as u64;
                let position = Position {
                    block: landmark.block.into(),
                    offset: offset as u16,
                };
                (landmark.run, position)
            }
        };
        if position.block < block || run > directory.length {
            let what = "a directory's index points out of its listing";
            return Err(directory.index.damaged(what));
        }
        let is_empty = directory.length == run;
        Ok(Self {
            // The position of an empty listing may be nowhere.
            cursor: match is_empty {
                true => None,
                false => Some(archive.directories.at(&archive.store, position)?),
            },
            length: directory.length,
            at: run,
            header: Header::default(),
            place: Place { run, behind: 0 },
            left: 0,
            name: Vec::new(),
            previous: Vec::new(),
        })
    }

    /// The next entry, in ascending order of names.
    ///
    /// # Errors
    /// See [`ReadError`]. After an error the listing has ended.
    pub fn next_entry(&mut self) -> Result<Option<DirEntry<'_>>, ReadError> {
        let Some(mut cursor) = self.cursor.take() else {
            return Ok(None);
        };
        if self.left == 0 {
            if self.at == self.length {
                return Ok(None);
            }
            self.begin_run(&mut cursor)?;
        }
        let entry = self.read_entry(&mut cursor)?;
        self.cursor = Some(cursor);
        Ok(Some(DirEntry {
            name: &self.name,
            ..entry
        }))
    }

    /// Counts bytes of the listing before they are read.
    fn take(&mut self, cursor: &Cursor<'_>, bytes: usize) -> Result<(), ReadError> {
        let after = self.at.checked_add(bytes as u32);
        match after.filter(|&after| after <= self.length) {
            Some(after) => self.at = after,
            None => return Err(cursor.damaged("a directory's listing ends within an entry")),
        }
        Ok(())
    }

    fn begin_run(&mut self, cursor: &mut Cursor<'a>) -> Result<(), ReadError> {
        self.place = Place {
            run: self.at,
            behind: 0,
        };
        self.take(cursor, size_of::<Header>())?;
        self.header = cursor.value()?;
        let count = self.header.count.get();
        if count >= MAX_RUN as u32 {
            return Err(cursor.damaged("a directory has too long a run"));
        }
        self.left = count as u16 + 1;
        Ok(())
    }

    /// Reads an entry; its name is in `self`.
    fn read_entry(&mut self, cursor: &mut Cursor<'a>) -> Result<DirEntry<'static>, ReadError> {
        self.take(cursor, size_of::<Entry>())?;
        let entry: Entry = cursor.value()?;
        let length = usize::from(entry.name_length.get()) + 1;
        if length > LONGEST_NAME {
            return Err(cursor.damaged("a name is too long"));
        }
        self.take(cursor, length)?;
        std::mem::swap(&mut self.name, &mut self.previous);
        self.name.resize(length, 0);
        cursor.read(&mut self.name)?;
        if self.name.iter().any(|&byte| byte == b'/' || byte == 0)
            || self.name == b"."
            || self.name == b".."
        {
            return Err(cursor.damaged("a directory has a name that is none"));
        }
        if self.name <= self.previous {
            return Err(cursor.damaged("a directory's names are not in order"));
        }
        let kind = Kind::from_disk(entry.kind.get())
            .ok_or_else(|| cursor.damaged("a directory entry is of an unknown kind"))?;
        self.left -= 1;
        self.place.behind += 1;
        let position = Position {
            block: self.header.block.get().into(),
            offset: entry.offset.get(),
        };
        let delta = i32::from(entry.inode_delta.get());
        Ok(DirEntry {
            name: &[],
            kind,
            inode: InodeRef(position.to_reference()),
            inode_number: self.header.inode_number.get().wrapping_add_signed(delta),
            next: self.place.to_u64(),
        })
    }

    /// Goes on to a place that is not before where it is.
    fn go_to(&mut self, place: Place) -> Result<(), ReadError> {
        let Some(mut cursor) = self.cursor.take() else {
            return Ok(());
        };
        let missing = "there is no such place in the directory";
        let ahead = place
            .run
            .checked_sub(self.at)
            .filter(|_| place.run < self.length)
            .ok_or_else(|| cursor.damaged(missing))?;
        cursor.skip(ahead.into())?;
        self.at = place.run;
        self.begin_run(&mut cursor)?;
        if place.behind > self.left {
            return Err(cursor.damaged(missing));
        }
        for _ in 0..place.behind {
            self.read_entry(&mut cursor)?;
        }
        self.cursor = Some(cursor);
        Ok(())
    }
}

impl Archive {
    fn directory(&self, inode: InodeRef) -> Result<Directory<'_>, ReadError> {
        match self.inode(inode)?.body {
            Body::Directory(directory) => Ok(directory),
            _ => Err(ReadError::NotADirectory),
        }
    }

    fn index(&self, inode: InodeRef, directory: &Directory<'_>) -> Result<Arc<Index>, ReadError> {
        if directory.index_count == 0 {
            return Ok(Arc::default());
        }
        self.indexes
            .get_or_insert_with(&inode.0, || Index::read(directory).map(Arc::new))
    }

    /// Whom `name` names in a directory.
    ///
    /// # Errors
    /// [`ReadError::NotADirectory`] and others.
    pub fn lookup(&self, directory: InodeRef, name: &[u8]) -> Result<Option<InodeRef>, ReadError> {
        let found = self.directory(directory)?;
        let index = self.index(directory, &found)?;
        let landmark = index.last(|number, _| index.name(number) <= name);
        let mut entries = ReadDir::start(self, &found, landmark)?;
        while let Some(entry) = entries.next_entry()? {
            if entry.name >= name {
                return Ok((entry.name == name).then_some(entry.inode));
            }
        }
        Ok(None)
    }

    /// Reads a directory from its start, if `from` is 0, or from after the entry
    /// that gave `from` as its [`DirEntry::next`]. Such a number stays good for
    /// ever, and going on from it takes the time of a few entries. There are no
    /// entries for `.` and `..`.
    ///
    /// # Errors
    /// [`ReadError::NotADirectory`] and others.
    pub fn read_dir(&self, directory: InodeRef, from: u64) -> Result<ReadDir<'_>, ReadError> {
        let found = self.directory(directory)?;
        if from == 0 {
            return ReadDir::start(self, &found, None);
        }
        let missing = "there is no such place in the directory";
        let place = Place::from_u64(from).ok_or_else(|| found.index.damaged(missing))?;
        let index = self.index(directory, &found)?;
        let landmark = index.last(|_, landmark| landmark.run <= place.run);
        let mut entries = ReadDir::start(self, &found, landmark)?;
        entries.go_to(place)?;
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_numbers_of_a_telldir() {
        let last = Place {
            run: u32::MAX,
            behind: MAX_RUN as u16,
        };
        let number = last.to_u64();
        assert!(i64::try_from(number).is_ok());
        let back = Place::from_u64(number).unwrap();
        assert_eq!((back.run, back.behind), (last.run, last.behind));
        assert!(Place::from_u64(u64::MAX).is_none());
    }
}
