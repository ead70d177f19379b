//! The archive reader against Linux's squashfs driver, over archives of our own
//! and of `mksquashfs`. These tests mount file systems and so need root.

#![allow(clippy::unwrap_used)]

mod foreign;
#[allow(dead_code)]
#[path = "../squashfs_writer/harness.rs"]
mod harness;
mod view;
