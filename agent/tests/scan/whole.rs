//! A scan that leaves nothing out.

use std::{fs, path::Path};

use proptest::prelude::*;
use sandbox_agent::scan::{self, Control, Selection, Source};
use squashfs::{tree::Tree, writer::Options};

use crate::{
    edits::{apply, edits},
    harness::*,
    zoo::zoo,
};

fn scan_all(directory: &Path) -> Tree {
    let source = Source::open(&directory.canonicalize().unwrap()).unwrap();
    let selection = Selection::default();
    let scanned = scan::scan(source, &selection, &mut (), &Control::default());
    scanned.unwrap().tree
}

#[test]
fn every_kind_of_entry_comes_back() {
    let source = tempfile::tempdir().unwrap();
    zoo(source.path());
    let archive = Archive::of_tree(&scan_all(source.path()), &Options::default());
    let mounted = archive.mount();
    assert_same(
        &archived(snapshot(source.path())),
        &snapshot(mounted.path()),
    );
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(32)
    })]

    /// Both walk depth first and by name, so their archives are the same.
    #[test]
    fn it_finds_what_a_plain_walk_finds(edits in edits()) {
        let source = tempfile::tempdir().unwrap();
        for (path, edit) in &edits {
            apply(source.path(), path, edit);
        }
        let of_tree = |tree| Archive::of_tree(tree, &Options::default());
        let (by_scan, plain) = (scan_all(source.path()), tree_of(source.path()));
        prop_assert_eq!(by_scan.counts(), plain.counts());
        let (by_scan, plain) = (of_tree(&by_scan), of_tree(&plain));
        prop_assert!(fs::read(by_scan.path).unwrap() == fs::read(plain.path).unwrap());
    }
}
