//! Where the bytes of an archive go.

use std::{fs::File, io, os::unix::fs::FileExt};

use crate::format::superblock::Superblock;

/// Takes an archive as it is made.
///
/// The bytes from [`Superblock::SIZE`] on come first and strictly in order; the
/// superblock, which stands before them, comes last. A sink that uploads keeps
/// its first part back until then. A sink may block for as long as it likes:
/// the writer then reads and compresses no further.
pub trait Sink {
    /// Takes the bytes that follow those taken so far.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Leaves out the next `bytes`, which are in the archive already: see
    /// [`super::Options::data_start`]. Comes, if at all, before the first
    /// data block.
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let _ = bytes;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Takes the superblock. Nothing comes after it.
    fn finish(&mut self, superblock: &[u8; Superblock::SIZE]) -> io::Result<()>;
}

/// Writes an archive to a file, from its start.
#[derive(Debug)]
pub struct FileSink {
    file: File,
    position: u64,
}

impl FileSink {
    /// Writes to `file`, which should be empty.
    pub fn new(file: File) -> Self {
        Self {
            file,
            position: Superblock::SIZE as u64,
        }
    }

    /// The file.
    pub fn into_file(self) -> File {
        self.file
    }
}

impl Sink for FileSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.position)?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        self.position += bytes;
        Ok(())
    }

    fn finish(&mut self, superblock: &[u8; Superblock::SIZE]) -> io::Result<()> {
        self.file.write_all_at(superblock, 0)
    }
}
