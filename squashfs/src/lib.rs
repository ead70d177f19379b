//! SquashFS 4.0.
#![forbid(unsafe_code)]
#![deny(clippy::print_stderr)]

pub mod decoder;
pub mod format;
pub mod image;
pub mod reader;
pub mod report;
pub mod source;
pub mod tally;
pub mod tree;
pub mod writer;
