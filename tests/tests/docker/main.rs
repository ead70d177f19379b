//! The product in real containers: a Docker engine runs the image of the
//! project's own Dockerfile, `wrangler dev` gives them to the Durable Object as
//! `ctx.container`, as the platform does.
//!
//! `cargo xtask test --docker` runs these.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod container;
mod images;
mod killed;

use std::process::ExitCode;

use sandbox_tests::{docker_stage::DockerStage, theatre};

type Tests = theatre::Tests<DockerStage>;

fn main() -> ExitCode {
    theatre::perform(
        DockerStage::set,
        vec![killed::tests(), container::tests(), images::tests()],
    )
}
