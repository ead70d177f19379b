//! Every test that docs/security.md names exists.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{
    fs,
    path::{Path, PathBuf},
};

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => vec![path],
        })
        .collect()
}

/// The module of a file: the directory's name for a `main.rs`.
fn is_module(path: &Path, module: &str) -> bool {
    let name = match path.file_name().unwrap().to_str().unwrap() {
        "main.rs" => path.parent().unwrap().file_name(),
        _ => path.file_stem(),
    };
    name.unwrap() == module
}

/// Whether a text has a test of this name: marked as one, or in our own list.
fn has_test(text: &str, name: &str) -> bool {
    let Some((before, _)) = text.split_once(&format!("fn {name}(")) else {
        return false;
    };
    let before = before.trim_end_matches("async ").trim_end();
    let last_line = before.lines().last().unwrap_or_default().trim();
    let listed = text.split_once("crate::tests![").is_some_and(|(_, list)| {
        let names = list.split(']').next().unwrap_or_default().split(',');
        names.into_iter().any(|listed| listed.trim() == name)
    });
    listed || last_line == "#[test]" || last_line.starts_with("#[tokio::test")
}

#[test]
fn every_test_that_is_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let directories = [
        "agent/src",
        "agent/tests",
        "cow-fuse/src",
        "cow-fuse/tests",
        "shared/tests",
        "squashfs/src",
        "squashfs/tests",
        "tests/tests",
        "worker/src",
    ];
    let sources: Vec<_> = directories
        .iter()
        .flat_map(|directory| sources(&root.join(directory)))
        .collect();
    let document = fs::read_to_string(root.join("docs/security.md")).unwrap();
    let mut named = 0;
    for quoted in document.split('`').skip(1).step_by(2) {
        let Some((module, name)) = quoted.split_once("::") else {
            continue;
        };
        named += 1;
        let mut files = sources.iter().filter(|path| is_module(path, module));
        let found = files.any(|path| has_test(&fs::read_to_string(path).unwrap(), name));
        assert!(
            found,
            "docs/security.md names {quoted}: there is no such test"
        );
    }
    assert!(named > 20, "{named} tests are named");
}
