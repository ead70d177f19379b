//! The archive reader, and what is built on it, against Linux's squashfs driver,
//! over archives of our own and of `mksquashfs`. These tests mount file systems
//! and so need root.

#![allow(clippy::unwrap_used)]

mod concurrency;
#[path = "../squashfs_writer/edits.rs"]
mod edits;
mod foreign;
#[allow(dead_code)]
#[path = "../squashfs_writer/harness.rs"]
mod harness;
mod hostile;
mod large;
mod random;
mod unpack;
mod view;
#[path = "../squashfs_writer/zoo.rs"]
mod zoo;
