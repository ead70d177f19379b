//! `NOTICE` has the licences of all that is in the agent's static binary.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{collections::BTreeSet, fs};

use sandbox_toolbox::{process, project};
use xtask::setup::MUSL_TARGET;

#[test]
fn every_library_of_the_agent_is_named() {
    let mut tree = process::cargo();
    tree.args([
        "tree",
        "--package",
        "sandbox-agent",
        "--target",
        MUSL_TARGET,
    ])
    .args(["--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    let tree = process::output(&mut tree).unwrap();
    let notice = fs::read_to_string(project::root().join("NOTICE")).unwrap();
    // Crates of this workspace and macros, which end with the build, say where they are.
    let linked = tree
        .lines()
        .filter(|line| !line.ends_with(')') && !line.ends_with("(*)"));
    let missing: BTreeSet<_> = linked
        .map(|line| line.replacen(" v", " ", 1))
        .filter(|library| !notice.contains(&format!("\n  {library}")))
        .collect();
    assert!(
        missing.is_empty(),
        "NOTICE lacks {missing:?}: see CONTRIBUTING.md"
    );
}
