//! Installs what the build, the tests and the demo need.
//!
//! Every step looks first and acts only on what is missing, so that a second
//! run takes no time and no network. Nothing is installed outside Debian's
//! own packages, rustup's targets, this user's cache directory and the
//! project's `node_modules`.

mod cargo_tools;
mod npm;
mod python;
mod system;
mod targets;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use sandbox_toolbox::project;

pub use npm::NodeTools;
pub use targets::{MUSL_TARGET, WASM_TARGET};

/// Programs for building and running the Worker.
#[derive(Clone, Debug)]
pub struct WorkerTools {
    /// Drives the build of a Rust Worker.
    pub worker_build: PathBuf,
    /// Of exactly the version in `Cargo.lock`.
    pub wasm_bindgen: PathBuf,
    /// Node and what it runs.
    pub node: NodeTools,
}

/// Installs everything.
pub fn all() -> Result<WorkerTools> {
    system::ensure()?;
    agent()?;
    schemathesis()?;
    cargo_deny()?;
    worker()
}

/// Installs what compares the HTTP routes with their description, and gives its
/// path.
pub fn schemathesis() -> Result<PathBuf> {
    let (cache, _lock) = cache()?;
    python::ensure(&cache, &python::SCHEMATHESIS)
}

/// Installs what judges the crates that this project depends on, and gives its
/// path.
pub fn cargo_deny() -> Result<PathBuf> {
    let (cache, _lock) = cache()?;
    python::ensure(&cache, &python::CARGO_DENY)
}

/// Installs what the benchmarks measure with, and the programs they compare with.
pub fn benchmarks() -> Result<()> {
    system::ensure_for_benchmarks()
}

/// Installs a Docker engine, and what its images are made with.
pub fn docker() -> Result<()> {
    system::ensure_for_docker()
}

/// Installs the packages from npm.
pub fn node() -> Result<NodeTools> {
    let (_, _lock) = cache()?;
    npm::ensure()
}

/// Where the packages from npm are, installed.
pub fn node_modules() -> Result<PathBuf> {
    node()?;
    Ok(project::root().join("node_modules"))
}

/// Installs what a build of the agent needs.
pub fn agent() -> Result<()> {
    targets::ensure(MUSL_TARGET)
}

/// Installs public test suites for file systems, and gives their directories.
pub fn suites() -> Result<Vec<PathBuf>> {
    let (cache, _lock) = cache()?;
    let programs = [cargo_tools::fsx(&cache)?, cargo_tools::pjdfstest(&cache)?];
    let directories = programs.iter().filter_map(|program| program.parent());
    Ok(directories.map(Path::to_owned).collect())
}

/// Where tools go, locked: two set-ups at once would otherwise install the same
/// things into the same places.
fn cache() -> Result<(PathBuf, File)> {
    let cache = project::tool_cache()?;
    fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    let lock = File::create(cache.join("lock"))?;
    lock.lock()?;
    Ok((cache, lock))
}

/// Installs what a build of the Worker needs.
pub fn worker() -> Result<WorkerTools> {
    targets::ensure(WASM_TARGET)?;
    let (cache, _lock) = cache()?;
    Ok(WorkerTools {
        worker_build: cargo_tools::worker_build(&cache)?,
        wasm_bindgen: cargo_tools::wasm_bindgen(&cache)?,
        node: npm::ensure()?,
    })
}
