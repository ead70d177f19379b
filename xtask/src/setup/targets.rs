//! Compilation targets beside the host's own.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, bail};

use sandbox_toolbox::process;

/// What Workers run.
pub const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// A static Linux binary for this machine's processor.
pub const MUSL_TARGET: &str = if cfg!(target_arch = "aarch64") {
    "aarch64-unknown-linux-musl"
} else {
    "x86_64-unknown-linux-musl"
};

/// Installs the standard library of `target` if the compiler has none.
pub(super) fn ensure(target: &str) -> Result<()> {
    if is_installed(target)? {
        return Ok(());
    }
    process::run(Command::new("rustup").args(["target", "add", target])).with_context(|| {
        format!("cannot install the Rust target {target}; without rustup, install it by the means that installed Rust")
    })?;
    if !is_installed(target)? {
        bail!("rustup installed {target} for another toolchain than the one in use");
    }
    Ok(())
}

fn is_installed(target: &str) -> Result<bool> {
    let library = process::output(Command::new("rustc").args([
        "--print",
        "target-libdir",
        "--target",
        target,
    ]))?;
    Ok(Path::new(library.trim()).is_dir())
}
