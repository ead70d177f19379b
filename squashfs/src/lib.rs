//! SquashFS 4.0: read-only, compressed images of file systems.
//!
//! * [`mod@format`]: what is on disk, field by field.
//! * [`reader`]: an archive's inodes, names and content, by random access, from bytes
//!   that nobody has to trust. It does no I/O of its own: it asks a source for ranges.
//! * [`decoder`]: decompressing blocks.
//! * [`image`]: an archive as a whole: describing, counting, verifying, unpacking.
//! * [`writer`]: a [`tree`] of a live directory as an archive, written as a stream and
//!   compressed on all cores.
//!
//! # Features
//! Everything that needs a Unix system or a C library is behind the feature `native`,
//! which is on by default: files as sources, the faster decoders, the writer,
//! unpacking. Without it, the reader builds for `wasm32-unknown-unknown` as well.
//!
//! # Example
//! A directory with one file becomes an archive in memory, and is read again:
//!
//! ```
//! # #[cfg(feature = "native")] {
//! use std::{fs, io, sync::Arc};
//!
//! use rustix::fs::{AtFlags, fstat, statat};
//! use squashfs::{reader, source::Source, tree::Builder, writer};
//!
//! struct Memory(Vec<u8>);
//!
//! impl writer::Sink for Memory {
//!     fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
//!         self.0.extend_from_slice(bytes);
//!         Ok(())
//!     }
//!
//!     fn finish(&mut self, superblock: &[u8; 96]) -> io::Result<()> {
//!         self.0.splice(0..0, *superblock);
//!         Ok(())
//!     }
//! }
//!
//! # let directory = tempfile::tempdir()?;
//! fs::write(directory.path().join("hello"), "Hello, archive!")?;
//!
//! let source = Source::open(directory.path())?;
//! let about = fstat(source.root())?;
//! let (mut tree, root) = Builder::new(source, &about)?;
//! tree.begin_directory(&root);
//! let about = statat(tree.source().root(), "hello", AtFlags::SYMLINK_NOFOLLOW)?;
//! tree.add_file(b"hello", &about)?;
//!
//! let mut archive = Memory(Vec::new());
//! let options = writer::Options::default();
//! writer::write(&tree.finish(), &options, &writer::Control::default(), &mut archive)?;
//!
//! let archive = reader::Archive::open(Arc::new(archive.0), &reader::Options::default())?;
//! let file = archive.lookup(archive.root(), b"hello")?.expect("it has just been added");
//! let mut content = [0; 15];
//! archive.read(file, 0, &mut content)?;
//! assert_eq!(&content, b"Hello, archive!");
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]
#![deny(clippy::print_stderr)]

pub mod decoder;
pub mod format;
pub mod image;
pub mod reader;
#[cfg(feature = "native")]
pub mod report;
#[cfg(feature = "native")]
pub mod source;
#[cfg(feature = "native")]
pub mod tally;
#[cfg(feature = "native")]
pub mod tree;
#[cfg(feature = "native")]
pub mod writer;
