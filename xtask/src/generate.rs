//! `cargo xtask generate`: what is derived from the contract in `shared`, and the
//! JavaScript client, compiled. It is checked in, and tests say whether it is
//! current.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use crate::setup::{self, NodeTools};
use sandbox_toolbox::{process, project};

mod contract;
mod openapi;
mod typescript;

/// What [`compile_client`] makes of `client/src`, below the project's root.
pub const COMPILED_CLIENT: &str = "client/dist";

/// Files below the project's root, and what they hold.
pub fn files(tools: &NodeTools) -> Result<Vec<(&'static str, String)>> {
    let contract = contract::contract();
    let openapi = serde_json::to_string_pretty(&openapi::document(&contract))? + "\n";
    Ok(vec![
        ("worker/src/http/openapi.json", openapi),
        (
            "client/src/contract.ts",
            typescript::module(&contract, tools)?,
        ),
    ])
}

/// Writes those that are not current, and compiles the client.
pub fn run() -> Result<()> {
    let tools = setup::node()?;
    for (path, content) in files(&tools)? {
        let file = project::root().join(path);
        if !is_current(&file, &content) {
            fs::write(&file, content).with_context(|| path.to_owned())?;
            println!("{path}");
        }
    }
    compile_client(&tools, &project::root().join(COMPILED_CLIENT))
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
