//! `cargo xtask test`: everything that must hold before a change lands.

use std::{env, process::Command, time::Instant};

use anyhow::{Context, Result};

use crate::{
    artifacts::{self, AgentProfile},
    setup::{self, NodeTools, WASM_TARGET},
};
use sandbox_toolbox::{process, project};

/// Runs all checks, cheap ones first, and stops at the first that fails. The
/// tests are last, so that their summary ends the output.
pub fn run() -> Result<()> {
    let started = Instant::now();
    let tools = step("Set-up", setup::all)?.node;
    step("Format", || cargo(&["fmt", "--all", "--check"]))?;
    step("Dependencies", dependencies)?;
    step("Lints", || {
        cargo(&[
            "clippy",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ])?;
        // Not among all targets, because it is not among all tests.
        let docker = ["--package", "sandbox-tests", "--test", "docker"];
        cargo(
            &[
                &["clippy", "--quiet"],
                &docker[..],
                &["--", "-D", "warnings"],
            ]
            .concat(),
        )
    })?;
    step("Lints of what is built for wasm", || {
        let deny_warnings = ["--target", WASM_TARGET, "--", "-D", "warnings"];
        // By itself: the reader without what needs a system or C.
        let reader = ["--package=squashfs", "--no-default-features"];
        cargo(&[&["clippy", "--quiet"], &reader[..], &deny_warnings].concat())?;
        let packages = [
            "--package=sandbox-worker",
            "--package=sandbox-backup-client",
            "--package=sandbox-rust-consumer",
        ];
        cargo(&[&["clippy", "--quiet"], &packages[..], &deny_warnings].concat())
    })?;
    step("Worker", artifacts::worker)?;
    step("Deployment, dry", || deploy_dry_run(&tools))?;
    step("Agent", || artifacts::agent(AgentProfile::Development))?;
    step("Tests of the crates", || {
        cargo(&["test", "--workspace", "--exclude", "sandbox-tests"])
    })?;
    // By themselves: cargo would give them the features that the agent asks of
    // crates that both use.
    step("End-to-end tests", || {
        cargo(&["test", "--package", "sandbox-tests", "--tests"])
    })?;
    println!("── All passed in {} s", started.elapsed().as_secs());
    Ok(())
}

/// Runs the file system suites, which are too long for every run.
pub fn suites() -> Result<()> {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = setup::suites()?.into_iter().chain(env::split_paths(&path));
    let path = env::join_paths(directories)?;
    let test = ["test", "--package", "cow-fuse", "--test", "fuse"];
    process::run(process::cargo().env("PATH", path).args(test).args([
        "suites",
        "--",
        "--ignored",
        "--nocapture",
        "--test-threads=1",
    ]))
}

/// Runs the tests with real containers.
pub fn docker() -> Result<()> {
    let started = Instant::now();
    step("Set-up", setup::all)?;
    step("Set-up for Docker", setup::docker)?;
    step("Tests in real containers", || {
        cargo(&["test", "--package", "sandbox-tests", "--test", "docker"])
    })?;
    println!("── All passed in {} s", started.elapsed().as_secs());
    Ok(())
}

fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("── {name}");
    let started = Instant::now();
    let result = work().with_context(|| name.to_owned())?;
    println!("   {:.1} s", started.elapsed().as_secs_f64());
    Ok(result)
}

fn cargo(arguments: &[&str]) -> Result<()> {
    process::run(process::cargo().args(arguments))
}

/// Judges the crates that this project depends on by `deny.toml`.
fn dependencies() -> Result<()> {
    let program = setup::cargo_deny()?;
    let deny = |verb: &[&str]| {
        let mut command = Command::new(&program);
        command
            .current_dir(project::root())
            .args(["--workspace", "--log-level=error"])
            .args(verb);
        command
    };
    let check = |what: &[&str]| process::run(deny(&["check", "--hide-inclusion-graph"]).args(what));
    check(&["bans", "licenses", "sources"])?;
    if deny(&["fetch", "db"]).output()?.status.success() {
        check(&["advisories"])
    } else {
        println!("   NOT looked for: security advisories, whose database cannot be fetched here");
        Ok(())
    }
}

/// What `wrangler deploy` checks and bundles, without an account and without
/// a Docker engine to build the image.
fn deploy_dry_run(tools: &NodeTools) -> Result<()> {
    let output = project::target_dir().join("deploy");
    process::run(
        tools
            .script(&tools.wrangler)?
            .current_dir(project::root())
            .env("CI", "true")
            .env("WRANGLER_SEND_METRICS", "false")
            .env("WRANGLER_LOG_PATH", output.join("logs"))
            .args([
                "deploy",
                "--dry-run",
                "--containers-rollout=none",
                "--outdir",
            ])
            .arg(output.join("worker")),
    )
}
