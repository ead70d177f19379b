//! Programs from PyPI, each in an environment of its own in this user's cache.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use super::system;
use crate::process;

/// Asks an API whether it is what its OpenAPI description says.
const SCHEMATHESIS: &str = "schemathesis";
const SCHEMATHESIS_VERSION: &str = "4.32.5";

/// Holds the name of what was installed, once it has been.
const STAMP: &str = ".installed";

/// The path of the program, which is installed unless it is there already.
pub(super) fn schemathesis(cache: &Path) -> Result<PathBuf> {
    let package = format!("{SCHEMATHESIS}=={SCHEMATHESIS_VERSION}");
    let environment = cache.join(format!("{SCHEMATHESIS}-{SCHEMATHESIS_VERSION}"));
    let program = environment.join("bin").join(SCHEMATHESIS);
    let stamp = environment.join(STAMP);
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == package) {
        return Ok(program);
    }
    let python = system::python()?;
    let create = ["-m", "venv", "--clear"];
    process::run(Command::new(python).args(create).arg(&environment))?;
    let install = [
        "install",
        "--quiet",
        "--disable-pip-version-check",
        &package,
    ];
    process::run(Command::new(environment.join("bin/pip")).args(install))?;
    fs::write(stamp, package)?;
    Ok(program)
}
