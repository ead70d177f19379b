//! Entries that cannot be read.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
};

use rustix::process::{Gid, Uid};
use sandbox_agent::scan::{self, Control, OnUnreadable, ScanError, Selection, Source};
use squashfs::writer::{self, Options};

use crate::harness::*;

/// Runs with the rights of nobody, on a thread of its own.
fn as_nobody<T: Send>(action: impl FnOnce() -> T + Send) -> T {
    const NOBODY: u32 = 65534;
    let run = || {
        let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
        rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
        rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
        action()
    };
    std::thread::scope(|scope| scope.spawn(run).join().unwrap())
}

fn with_locked_entries() -> tempfile::TempDir {
    let source = tempfile::tempdir().unwrap();
    fs::set_permissions(source.path(), Permissions::from_mode(0o755)).unwrap();
    for number in 0..12 {
        let path = source.path().join(format!("locked-{number:02}"));
        fs::write(&path, "secret").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }
    let large = source.path().join("large");
    fs::write(&large, noise(1, 1 << 20)).unwrap();
    fs::set_permissions(&large, Permissions::from_mode(0o600)).unwrap();
    fs::create_dir(source.path().join("closed")).unwrap();
    fs::write(source.path().join("closed/inside"), "").unwrap();
    fs::set_permissions(source.path().join("closed"), Permissions::from_mode(0o700)).unwrap();
    for name in ["open", "wide"] {
        fs::write(source.path().join(name), name).unwrap();
        fs::set_permissions(source.path().join(name), Permissions::from_mode(0o644)).unwrap();
    }
    source
}

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
