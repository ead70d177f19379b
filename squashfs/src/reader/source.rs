//! Where an archive's bytes come from.

use std::{collections::BTreeMap, io, sync::Arc};

use parking_lot::RwLock;
#[cfg(feature = "native")]
use std::{fs::File, os::unix::fs::FileExt, path::Path};

/// Bytes that can be read at any position, from several threads at once.
pub trait ReadAt: Send + Sync {
    /// Number of bytes. It does not change.
    fn size(&self) -> u64;

    /// Fills `buffer` from byte `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if the source ends first;
    /// [`io::ErrorKind::WouldBlock`] if it does not have all of these bytes yet, of
    /// which comes [`ReadError::Missing`](super::ReadError::Missing); and whatever
    /// else the source fails with.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

/// An archive in a file.
#[cfg(feature = "native")]
#[derive(Debug)]
pub struct FileSource {
    file: File,
    size: u64,
}

#[cfg(feature = "native")]
impl FileSource {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// Those of the system.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::new(File::open(path)?)
    }

    /// Takes a file whose length does not change any more.
    ///
    /// # Errors
    /// The length cannot be asked for.
    pub fn new(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self { file, size })
    }
}

#[cfg(feature = "native")]
impl ReadAt for FileSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}

/// An archive of which only those bytes are here that were fetched and handed over.
#[derive(Debug)]
pub struct Fetched {
    size: u64,
    /// By their position. They may overlap.
    pieces: RwLock<BTreeMap<u64, Vec<u8>>>,
}

impl Fetched {
    /// An archive of `size` bytes, of which none is here.
    pub const fn new(size: u64) -> Self {
        Self {
            size,
            pieces: RwLock::new(BTreeMap::new()),
        }
    }

    /// Takes what was fetched from byte `offset` on, which may be more than the range
    /// that was missing. It is kept until [`Self::clear`].
    pub fn insert(&self, offset: u64, bytes: Vec<u8>) {
        let mut pieces = self.pieces.write();
        match pieces.get(&offset) {
            Some(known) if known.len() >= bytes.len() => {}
            _ => drop(pieces.insert(offset, bytes)),
        }
    }

    /// Forgets all bytes. What the reader has in its cache is not asked for again.
    pub fn clear(&self) {
        self.pieces.write().clear();
    }
}

impl ReadAt for Fetched {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let pieces = self.pieces.read();
        let mut filled = 0;
        while filled < buffer.len() {
            let at = offset + filled as u64;
            // Of those that begin before it, a long one may be behind shorter ones.
            let here = pieces.range(..=at).rev().find_map(|(start, bytes)| {
                let skip = usize::try_from(at - start).ok()?;
                bytes.get(skip..).filter(|rest| !rest.is_empty())
            });
            let here = here.ok_or(io::ErrorKind::WouldBlock)?;
            let now = here.len().min(buffer.len() - filled);
            buffer[filled..filled + now].copy_from_slice(&here[..now]);
            filled += now;
        }
        Ok(())
    }
}

impl ReadAt for [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let wanted = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..start.checked_add(buffer.len())?));
        buffer.copy_from_slice(wanted.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> u64 {
        self.as_slice().size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.as_slice().read_exact_at(buffer, offset)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn size(&self) -> u64 {
        (**self).size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buffer, offset)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for Arc<T> {
    fn size(&self) -> u64 {
        (**self).size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buffer, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_end_where_they_end() {
        let bytes = b"0123456789".to_vec();
        let mut buffer = [0; 4];
        bytes.read_exact_at(&mut buffer, 6).unwrap();
        assert_eq!(&buffer, b"6789");
        for offset in [7, 10, 11, u64::MAX - 1, u64::MAX] {
            let error = bytes.read_exact_at(&mut buffer, offset).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{offset}");
        }
    }

    #[test]
    fn pieces_are_put_together() {
        let fetched = Fetched::new(100);
        let mut buffer = [0; 6];
        let mut read = |offset| {
            let read = fetched.read_exact_at(&mut buffer, offset);
            read.map(|()| buffer).map_err(|error| error.kind())
        };
        assert_eq!(read(0), Err(io::ErrorKind::WouldBlock));
        fetched.insert(0, b"01".to_vec());
        fetched.insert(4, b"45678".to_vec());
        fetched.insert(6, b"6".to_vec());
        assert_eq!(read(0), Err(io::ErrorKind::WouldBlock));
        fetched.insert(1, b"123".to_vec());
        fetched.insert(1, b"1".to_vec());
        assert_eq!(read(0), Ok(*b"012345"));
        assert_eq!(read(3), Ok(*b"345678"));
        assert_eq!(read(4), Err(io::ErrorKind::WouldBlock));
        for offset in [95, 100, u64::MAX] {
            assert_eq!(read(offset), Err(io::ErrorKind::UnexpectedEof), "{offset}");
        }
        fetched.clear();
        assert_eq!(read(0), Err(io::ErrorKind::WouldBlock));
    }
}
