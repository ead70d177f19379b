//! Entries that cannot be read.

use std::path::PathBuf;

use sandbox_agent::scan::{self, Control, OnUnreadable, ScanError, Selection, Source};
use squashfs::writer::{self, Options};

use crate::{harness::*, locked::*};

#[test]
fn unreadable_entries_fail_the_scan_all_of_them_counted() {
    let source = with_locked_entries();
    let handle = Source::open(source.path()).unwrap();
    let selection = Selection::default();
    let result = as_nobody(|| scan::scan(handle, &selection, &mut (), &Control::default()));
    let error = result.unwrap_err();
    let text = error.to_string();
    let ScanError::Unreadable(unreadable) = error else {
        panic!("{text}");
    };
    assert_eq!(unreadable.count(), 14);
    assert!(text.starts_with("14 entries could not be read: "), "{text}");
    assert!(text.contains("large: Permission denied"), "{text}");
    assert!(text.contains("locked-08: "), "{text}");
    assert!(!text.contains("locked-09"), "{text}");
}

#[test]
fn unreadable_entries_are_left_out_if_asked() {
    let source = with_locked_entries();
    let handle = Source::open(source.path()).unwrap();
    let selection = Selection {
        on_unreadable: OnUnreadable::Skip,
        ..Selection::default()
    };
    let scanned = as_nobody(|| scan::scan(handle, &selection, &mut (), &Control::default()));
    let options = Options {
        on_unreadable: writer::OnUnreadable::Skip,
        ..Options::default()
    };
    let archive = Archive::of_tree(&scanned.unwrap().tree, &options);
    assert_eq!(archive.summary.report.unreadable.count(), 14);
    assert_eq!(archive.summary.counts.files, 2);
    assert_eq!(archive.summary.counts.directories, 1);
    let names = snapshot(archive.mount().path())
        .into_keys()
        .collect::<Vec<_>>();
    assert_eq!(names, ["", "open", "wide"].map(PathBuf::from));
}
