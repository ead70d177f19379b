//! The file systems, used by real programs
//! through a real kernel. Needs root and `/dev/fuse`.

#![allow(clippy::unwrap_used)]

#[path = "../../../squashfs/tests/writer/harness.rs"]
#[allow(
    dead_code,
    reason = "made for the writer's tests, which need more of it"
)]
mod harness;

mod cow;
mod model;
mod mounts;
mod own;
mod programs;
mod suites;
mod view;
