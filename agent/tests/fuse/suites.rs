//! Public test suites for file systems, from the crates registry. They are not
//! part of every run: `cargo install fsx pjdfstest`, then
//! `cargo test -p sandbox-agent --test fuse suites -- --ignored`.
//!
//! # pjdfstest 0.2.2, 398 tests, as root
//!
//! | | passed | failed | skipped |
//! |---|---|---|---|
//! | ext4 | 383 | 0 | 15 |
//! | copy-on-write | 382 | 0 | 16 |
//! | overlayfs over a view, upper on ext4 | 341 | 41 | 16 |
//!
//! Skipped everywhere: what needs a second file system or to mount anew read-only.
//! Skipped over FUSE and overlayfs: `link::link_count_max`, as `pathconf(3)` knows
//! of no limit there. All that fail on overlayfs make a character device 0:0,
//! which is overlayfs's whiteout and refused; ours has no such devices.
//!
//! # fsx 0.3.2
//! 20,000 operations on one file, mapped and not: no difference on any of them.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use crate::{
    harness::run,
    mounts::{Cow, Overlay, archive_of},
    view::tree,
};

fn fsx(file: &Path) {
    let artifacts = tempfile::tempdir().unwrap();
    run(Command::new("fsx")
        .args(["-q", "-N", "20000", "-S", "5", "-P"])
        .args([artifacts.path(), file]));
}

#[test]
#[ignore = "needs fsx, and a minute"]
fn fsx_on_a_file_of_the_archive_and_a_new_one() {
    let source = tree();
    let cow = Cow::of(archive_of(source.path()));
    fsx(&cow.path().join("src/deep/er/big"));
    fsx(&cow.path().join("new"));
    let overlay = Overlay::of(archive_of(source.path()));
    fsx(&overlay.path().join("src/deep/er/big"));
}

#[test]
#[ignore = "needs pjdfstest, and a minute"]
fn pjdfstest() {
    let source = tree();
    let cow = Cow::of(archive_of(source.path()));
    let place = cow.path().join("src");
    for directory in place.ancestors().take(3) {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let configuration = source.path().join("pjdfstest.toml");
    let text = r#"
        [features]
        posix_fallocate = {}
        rename_ctime = {}
        utime_now = {}
        utimensat = {}
        [settings]
        naptime = 0.1
        allow_remount = false
        [dummy_auth]
        entries = [["nobody", "nogroup"], ["daemon", "daemon"]]
    "#;
    fs::write(&configuration, text).unwrap();
    run(Command::new("pjdfstest")
        .arg("-c")
        .arg(&configuration)
        .arg("-p")
        .arg(&place));
}
