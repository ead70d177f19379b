//! The program inside the container: it runs commands, touches files, makes
//! archives of directories and puts them back.
//!
//! The Durable Object drives it over HTTP ([`server`]); a person drives it from
//! a shell ([`cli`]). Both go through the same functions: [`backup::create`],
//! [`mount::Mounts::restore`], [`mount::Mounts::unmount`].
#![forbid(unsafe_code)]
#![deny(clippy::print_stderr)]

pub mod backup;
pub mod cli;
pub mod config;
mod convert;
pub mod exec;
pub mod files;
pub mod init;
mod log;
pub mod paths;
mod progress;
pub mod restore;
pub mod scan;
pub mod server;
pub mod state;
mod token;
pub mod transfer;
pub mod verify;
