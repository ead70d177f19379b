//! `cargo xtask generate`: what is derived from the contract in `shared`, and the
//! JavaScript client, compiled. It is checked in, and tests say whether it is
//! current.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use crate::{
    process, project,
    setup::{self, NodeTools},
};

/// What [`compile_client`] makes of `client/src`, below the project's root.
pub const COMPILED_CLIENT: &str = "client/dist";

/// Files below the project's root, and what they hold.
pub fn files() -> Vec<(&'static str, String)> {
    Vec::new()
}

/// Writes those that are not current, and compiles the client.
pub fn run() -> Result<()> {
    for (path, content) in files() {
        let file = project::root().join(path);
        if !is_current(&file, &content) {
            fs::write(&file, content).with_context(|| path.to_owned())?;
            println!("{path}");
        }
    }
    compile_client(&setup::node()?, &project::root().join(COMPILED_CLIENT))
}

/// Compiles the JavaScript client into a directory.
pub fn compile_client(tools: &NodeTools, directory: &Path) -> Result<()> {
    let mut tsc = tools.script(&tools.tsc)?;
    tsc.arg("--project").arg(project::root().join("client"));
    process::run(tsc.arg("--outDir").arg(directory))
}

/// Whether a file holds this.
pub fn is_current(file: &Path, content: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|found| found == content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_generated_is_current() {
        for (path, content) in files() {
            let file = project::root().join(path);
            assert!(
                is_current(&file, &content),
                "{path} is not what cargo xtask generate makes"
            );
        }
    }
}
