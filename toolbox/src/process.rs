//! Running programs: to their end, or as a group that cannot be survived by
//! any of its members.

mod contained;
mod log;

use std::{
    env,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::project;

pub use contained::{Contained, ExitCode};
pub use log::{Log, last_lines};

/// `cargo`, in the root of the working tree.
pub fn cargo() -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(project::root());
    outside_cargo(&mut cargo);
    cargo
}

/// Removes what cargo tells a program about its package. Build scripts that
/// watch those variables (ring's does) would otherwise run again, and all that
/// depends on them compile again, whenever another of our programs builds.
pub fn outside_cargo(command: &mut Command) {
    const TOLD: [&str; 4] = [
        "CARGO_BIN_",
        "CARGO_CRATE_",
        "CARGO_MANIFEST_",
        "CARGO_PKG_",
    ];
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if TOLD.iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(&*name);
        }
    }
}

/// Runs `command` to its end with our output and no input. Anything but
/// success is an error that names the command.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {}", shown(command)))?;
    if !status.success() {
        bail!("{} failed: {status}", shown(command));
    }
    Ok(())
}

/// Runs `command` to its end and returns what it wrote to standard output.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {}", shown(command)))?;
    if !output.status.success() {
        bail!("{} failed: {}", shown(command), output.status);
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("{} wrote something else than text", shown(command)))
}

/// The command line, as one would type it if nothing in it needed quotes.
fn shown(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
