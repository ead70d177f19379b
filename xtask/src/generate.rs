//! `cargo xtask generate`: what is derived from the contract in `shared`. It is
//! checked in, and a test says whether it is current.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use sandbox_shared::methods;

use crate::project;

/// Files below the project's root, and what they hold.
pub fn files() -> Vec<(&'static str, String)> {
    vec![("client/methods.js", client_methods())]
}

/// Writes those that are not current.
pub fn run() -> Result<()> {
    for (path, content) in files() {
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

fn client_methods() -> String {
    let list = |names: &mut dyn Iterator<Item = &'static str>| -> String {
        names.map(|name| format!("  \"{name}\",\n")).collect()
    };
    let journaled = methods::ALL.into_iter().filter(|row| row.is_journaled);
    format!(
        "// Made by `cargo xtask generate` from shared/src/methods.rs.\n\n\
         /** The methods of a sandbox. */\n\
         export const METHODS = [\n{}];\n\n\
         /** Those that are journaled by an operation's id. */\n\
         export const JOURNALED_METHODS = [\n{}];\n",
        list(&mut methods::names()),
        list(&mut journaled.map(|row| row.name)),
    )
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
