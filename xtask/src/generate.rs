//! `cargo xtask generate`: what is derived from the contract in `shared`. It is
//! checked in, and a test says whether it is current.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use crate::project;

mod contract;
mod openapi;

/// Files below the project's root, and what they hold.
pub fn files() -> Result<Vec<(&'static str, String)>> {
    let contract = contract::contract();
    let openapi = serde_json::to_string_pretty(&openapi::document(&contract))? + "\n";
    Ok(vec![("worker/src/http/openapi.json", openapi)])
}

/// Writes those that are not current.
pub fn run() -> Result<()> {
    for (path, content) in files()? {
        let file = project::root().join(path);
        if !is_current(&file, &content) {
            fs::write(&file, content).with_context(|| path.to_owned())?;
            println!("{path}");
        }
    }
    Ok(())
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
        for (path, content) in files().unwrap() {
            let file = project::root().join(path);
            assert!(
                is_current(&file, &content),
                "{path} is not what cargo xtask generate makes"
            );
        }
    }
}
