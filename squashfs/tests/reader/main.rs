//! The archive reader, and what is built on it, against Linux's squashfs driver,
//! over archives of our own and of `mksquashfs`. These tests mount file systems
//! and so need root.

#![allow(clippy::unwrap_used)]

mod concurrency;
#[path = "../writer/edits.rs"]
mod edits;
mod foreign;
#[allow(dead_code)]
#[path = "../writer/harness.rs"]
mod harness;
mod hostile;
mod large;
mod random;
mod unpack;
mod view;
#[path = "../writer/zoo.rs"]
mod zoo;
