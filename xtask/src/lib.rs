//! Everything that a person would otherwise do by hand: installing tools,
//! building, running the Worker locally, and playing the container platform.
//!
//! The commands of `cargo xtask` are thin layers over these modules, and the
//! end-to-end tests use the same modules, so what a test sees is what a
//! developer runs.
#![forbid(unsafe_code)]

pub mod artifacts;
pub mod bench;
pub mod check;
pub mod demo;
pub mod dev;
pub mod docker;
pub mod generate;
pub mod lifecycle;
pub mod setup;
pub mod soak;
pub mod wrangler;
