//! `cargo xtask bench`: installs and builds what is measured, and runs the
//! benchmarks of `bench/`.

use std::ffi::OsString;

use anyhow::Result;
use sandbox_toolbox::process;

use crate::{
    artifacts::{self, AgentProfile},
    setup,
};

/// Runs one of the benchmarks with its arguments.
pub fn run(arguments: &[OsString]) -> Result<()> {
    let has = |wanted: &str| arguments.iter().any(|argument| argument == wanted);
    if arguments.first().is_some_and(|name| name == "list") {
        return list();
    }
    let mut bench = process::cargo();
    bench.args(["run", "--quiet", "--package", "sandbox-bench"]);
    if !has("--quick") {
        // The store and the reference's upload are in it.
        bench.arg("--release");
    }
    bench.arg("--").args(arguments);
    let is_measured = !["--help", "-h", "help", "--agent"].into_iter().any(has);
    if is_measured && !arguments.is_empty() {
        setup::benchmarks()?;
        let profile = match has("--quick") {
            true => AgentProfile::Development,
            false => AgentProfile::Release,
        };
        bench.arg("--agent").arg(artifacts::agent(profile)?);
        let build = format!("of profile {}, static (musl)", profile.name());
        bench.args(["--agent-build", &build]);
    }
    process::run(&mut bench)
}

/// Lists of ten thousand backups: on the stage of the end-to-end tests, which has a
/// Worker and a bucket.
fn list() -> Result<()> {
    process::run(process::cargo().args([
        "test",
        "--quiet",
        "--package",
        "sandbox-tests",
        "--test",
        "e2e",
        "--",
        "--ignored",
        "--nocapture",
        "scale::",
    ]))
}
