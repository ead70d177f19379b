//! The agent as its callers meet it: the real program, over HTTP and from the
//! command line, with real mounts, against an object store that can fail.
//!
//! Needs root, `/dev/fuse` and loop devices; without them the tests that mount
//! fail and say so.
#![forbid(unsafe_code)]
// Helpers are tests too, but clippy only knows the functions with the attribute.
#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "tests may ask for the time")]

mod backups;
mod commands;
mod error_codes;
mod files;
mod harness;
mod killed;
mod lazy;
mod memory;
mod playground;
mod races;
mod restores;
mod routes;
mod scarce;
mod secrets;
mod shell;
mod store;
mod store_faults;
mod survival;
mod tracer;
mod tree;
mod verify;
