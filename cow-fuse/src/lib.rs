//! File systems over a tree that does not change, served through `/dev/fuse`.
//!
//! * [`view`]: the tree as it is, read-only; the lower layer of an overlay.
//! * [`cow`]: the tree as one that can be written to, where nothing but FUSE can be
//!   mounted.
//! * [`archive_file`]: an archive as one file, for Linux's own driver.
//!
//! The tree is whatever is a [`Lower`](lower::Lower); [`archive`] makes one of a
//! SquashFS archive.
//!
//! They answer the kernel's requests on several threads, and let the kernel
//! keep everything it has learnt: names, attributes, listings and pages. Nobody
//! else changes these trees, so what it knows stays true until it changes it.
//! Files are not opened here at all (`FUSE_NO_OPEN_SUPPORT`): once its pages are
//! in memory, a file is opened, read and closed without a request.

#![forbid(unsafe_code)]
#![deny(clippy::print_stderr)]

mod reply;
mod session;
mod xattr;

pub mod archive;
pub mod archive_file;
pub mod cow;
pub mod lower;
pub mod view;

pub use session::{Options, Session};
