//! File systems that the agent serves itself, through `/dev/fuse`.

mod session;

pub mod archive_file;

pub use session::{Options, Session};
