//! File systems that the agent serves itself, through `/dev/fuse`.
//!
//! * [`archive_file`]: an archive as one file, for Linux's own driver.
//! * [`view`]: an archive's tree, read-only; the lower layer of an overlay.
//! * [`cow`]: an archive's tree that can be written to, for containers where
//!   nothing but FUSE can be mounted.
//!
//! They answer the kernel's requests on several threads, and let the kernel
//! keep everything it has learnt: names, attributes, listings and pages. Nobody
//! else changes these trees, so what it knows stays true until it changes it.
//! Files are not opened here at all (`FUSE_NO_OPEN_SUPPORT`): once its pages are
//! in memory, a file is opened, read and closed without a request.

mod lower;
mod reply;
mod session;
mod xattr;

pub mod archive_file;
pub mod cow;
pub mod view;

pub use session::{Options, Session};
