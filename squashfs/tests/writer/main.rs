//! The archive writer against Linux's squashfs driver, unsquashfs, squashfuse
//! and backhand. These tests mount file systems and so need root.

#![allow(clippy::unwrap_used)]

mod edits;
mod fidelity;
mod harness;
mod live;
mod locked;
mod random;
mod shape;
mod zoo;
