//! Where things are in the working tree, and running programs.
#![forbid(unsafe_code)]

pub mod process;
pub mod project;
