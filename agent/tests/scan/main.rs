//! What a scan finds, and that an archive holds just that. These tests mount file
//! systems and so need root.

#![allow(clippy::unwrap_used)]

#[path = "../../../squashfs/tests/writer/edits.rs"]
mod edits;
#[allow(dead_code)]
#[path = "../../../squashfs/tests/writer/harness.rs"]
mod harness;
#[path = "../../../squashfs/tests/writer/locked.rs"]
mod locked;
mod selection;
mod unreadable;
mod whole;
#[path = "../../../squashfs/tests/writer/zoo.rs"]
mod zoo;
