//! Building what is deployed: the Worker, and the agent that runs in containers.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context, Result, bail};

use crate::setup::{self, MUSL_TARGET, WASM_TARGET};
use sandbox_toolbox::{process, project};

/// How the agent is optimized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentProfile {
    /// As in the container image.
    Release,
    /// Nearly as fast, and quicker to build again: for development and tests.
    Development,
}

impl AgentProfile {
    /// Its name in the workspace's `Cargo.toml`, which is also its directory's.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Development => "dev-agent",
        }
    }
}

/// Builds the agent as a static binary and returns its path.
pub fn agent(profile: AgentProfile) -> Result<PathBuf> {
    static_program("sandbox-agent", profile)
}

/// Builds what stands in for Wrangler's egress sidecar and returns its path.
pub fn egress_stand_in() -> Result<PathBuf> {
    static_program("sandbox-egress-stand-in", AgentProfile::Development)
}

fn static_program(package: &str, profile: AgentProfile) -> Result<PathBuf> {
    setup::agent()?;
    process::run(
        process::cargo()
            .args(["build", "--package", package])
            .args(["--profile", profile.name(), "--target", MUSL_TARGET]),
    )?;
    let binary = project::target_dir()
        .join(MUSL_TARGET)
        .join(profile.name())
        .join(package);
    if !binary.is_file() {
        bail!("cargo did not build {}", binary.display());
    }
    Ok(binary)
}

/// Builds the command line for this machine and returns its path.
pub fn sandboxctl() -> Result<PathBuf> {
    process::run(process::cargo().args(["build", "--package", "sandboxctl"]))?;
    let binary = project::target_dir().join("debug/sandboxctl");
    if !binary.is_file() {
        bail!("cargo did not build {}", binary.display());
    }
    Ok(binary)
}

/// A Worker in Rust.
#[derive(Debug)]
struct RustWorker {
    /// The directory of its crate.
    directory: &'static str,
    /// What cargo calls its library.
    library: &'static str,
    /// Manifests of the workspace that it is built from.
    manifests: &'static [&'static str],
    /// Whether its size matters enough to wait for it.
    optimized: bool,
}

/// Builds the Worker into `worker/build` unless it is there and newer than
/// everything it is made from.
pub fn worker() -> Result<()> {
    rust_worker(&RustWorker {
        directory: "worker",
        library: "sandbox_worker",
        manifests: &["worker/Cargo.toml", "shared/Cargo.toml"],
        optimized: true,
    })
}

/// The same of the Worker in Rust that the end-to-end tests call sandboxes from.
pub fn rust_consumer() -> Result<()> {
    rust_worker(&RustWorker {
        directory: "tests/rust-consumer",
        library: "sandbox_rust_consumer",
        manifests: &[
            "tests/rust-consumer/Cargo.toml",
            "client/rust/Cargo.toml",
            "shared/Cargo.toml",
        ],
        optimized: false,
    })
}

fn rust_worker(worker: &RustWorker) -> Result<()> {
    let directory = project::root().join(worker.directory);
    if worker.is_current(&directory.join("build/index.js"))? {
        return Ok(());
    }
    let tools = setup::worker()?;
    let mut build = tools.node.command(&tools.worker_build)?;
    build
        .current_dir(&directory)
        .env("WASM_BINDGEN_BIN", &tools.wasm_bindgen)
        .env("WASM_OPT_BIN", &tools.node.wasm_opt)
        .env("ESBUILD_BIN", &tools.node.esbuild)
        .arg("--release");
    if !worker.optimized {
        build.arg("--no-opt");
    }
    process::run(&mut build)
}

impl RustWorker {
    /// Whether `built` is newer than the sources that cargo recorded, the
    /// manifests and the lock file.
    fn is_current(&self, built: &Path) -> Result<bool> {
        let Some(built) = modified(built) else {
            return Ok(false);
        };
        let recorded =
            project::target_dir().join(format!("{WASM_TARGET}/release/{}.d", self.library));
        let Ok(recorded) = fs::read_to_string(recorded) else {
            return Ok(false);
        };
        let root = project::root();
        let manifests = ["Cargo.toml", "Cargo.lock"].iter().chain(self.manifests);
        Ok(manifests
            .map(|manifest| root.join(manifest))
            .chain(sources(&recorded).context("cargo's record of the Worker's sources")?)
            .all(|input| modified(&input).is_some_and(|input| input < built)))
    }
}

/// The prerequisites in a make rule: `target: source source …`, spaces in
/// names escaped.
fn sources(rule: &str) -> Option<impl Iterator<Item = PathBuf>> {
    const ESCAPED: &str = "\u{0}";
    let (_, sources) = rule.lines().next()?.split_once(": ")?;
    let sources = sources.replace("\\ ", ESCAPED);
    let sources: Vec<_> = sources
        .split_whitespace()
        .map(|source| PathBuf::from(source.replace(ESCAPED, " ")))
        .collect();
    Some(sources.into_iter())
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_spaces_belong_to_the_name() {
        let rule = "/t/worker.wasm: /src/lib.rs /my\\ src/a.rs\n\n/src/lib.rs:\n";
        let sources: Vec<_> = sources(rule).unwrap().collect();
        assert_eq!(
            sources,
            [Path::new("/src/lib.rs"), Path::new("/my src/a.rs")]
        );
    }
}
