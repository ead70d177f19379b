//! The program inside the container.

#![forbid(unsafe_code)]

pub mod scan;
pub mod squashfs;
