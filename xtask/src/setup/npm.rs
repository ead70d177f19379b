//! Programs from npm, installed into the project's `node_modules` from
//! `package-lock.json`.
//!
//! Install scripts are off: every program is taken from the package that
//! ships it for this platform. Wrangler wants a newer Node than many systems
//! have, so Node is one of the packages.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use sandbox_toolbox::{process, project};

/// npm's name for this machine's processor.
const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "x64"
};

/// Holds the digest of the lock file that `node_modules` was installed from.
const STAMP: &str = ".installed-from";

/// Programs in `node_modules`.
#[derive(Clone, Debug)]
pub struct NodeTools {
    /// The JavaScript runtime, of a version that Wrangler accepts.
    pub node: PathBuf,
    /// A native program.
    pub esbuild: PathBuf,
    /// A script whose first line asks for `node`.
    pub wasm_opt: PathBuf,
    /// A script for `node`.
    pub wrangler: PathBuf,
    /// A script for `node`.
    pub tsc: PathBuf,
    /// A module that scripts of ours import.
    pub json_schema_to_typescript: PathBuf,
}

impl NodeTools {
    fn new(modules: &Path) -> Self {
        Self {
            node: modules.join(format!("node-linux-{ARCHITECTURE}/bin/node")),
            esbuild: modules.join(format!("@esbuild/linux-{ARCHITECTURE}/bin/esbuild")),
            wasm_opt: modules.join("binaryen/bin/wasm-opt"),
            wrangler: modules.join("wrangler/bin/wrangler.js"),
            tsc: modules.join("typescript/bin/tsc"),
            json_schema_to_typescript: modules.join("json-schema-to-typescript/dist/src/index.js"),
        }
    }

    /// Our `PATH` with our Node in front, for programs that look for `node` there.
    pub fn path(&self) -> Result<OsString> {
        let bin = self.node.parent().map(Path::to_path_buf);
        let path = env::var_os("PATH").unwrap_or_default();
        Ok(env::join_paths(
            bin.into_iter().chain(env::split_paths(&path)),
        )?)
    }

    /// `program` with [`NodeTools::path`].
    pub fn command(&self, program: &Path) -> Result<Command> {
        let mut command = Command::new(program);
        command.env("PATH", self.path()?);
        process::outside_cargo(&mut command);
        Ok(command)
    }

    /// `script` run by our Node.
    pub fn script(&self, script: &Path) -> Result<Command> {
        let mut command = self.command(&self.node)?;
        command.arg(script);
        Ok(command)
    }
}

/// Installs the packages if the lock file is not the one they were installed from.
pub(super) fn ensure() -> Result<NodeTools> {
    let modules = project::root().join("node_modules");
    let tools = NodeTools::new(&modules);
    let lock = fs::read(project::root().join("package-lock.json"))?;
    let digest = sandbox_shared::hex(&Sha256::digest(lock));
    let stamp = modules.join(STAMP);
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == digest) {
        return Ok(tools);
    }
    process::run(
        Command::new("npm")
            .current_dir(project::root())
            // The warning that the system's Node is too old is not for us.
            .args([
                "ci",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
                "--loglevel=error",
            ]),
    )
    .context(
        "cannot install the packages of package-lock.json; npm, any Node with it, must be there",
    )?;
    for program in [
        &tools.node,
        &tools.esbuild,
        &tools.wasm_opt,
        &tools.wrangler,
        &tools.tsc,
        &tools.json_schema_to_typescript,
    ] {
        if !program.is_file() {
            bail!("npm did not install {}", program.display());
        }
    }
    fs::write(stamp, digest)?;
    Ok(tools)
}
