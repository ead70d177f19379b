//! What the end-to-end tests share: a stage with the real Worker under
//! `wrangler dev`, real containers of the local host, and the ways to reach
//! them.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

pub mod browser;
pub mod bucket;
pub mod command_line;
pub mod consumer;
pub mod docker_stage;
pub mod documents;
pub mod faulty_gateway;
pub mod http_api;
pub mod liar;
pub mod processes;
pub mod r2_stand_in;
pub mod relay;
pub mod rust_consumer;
pub mod s3_server;
pub mod soak;
pub mod stage;
pub mod theatre;
pub mod tree;
