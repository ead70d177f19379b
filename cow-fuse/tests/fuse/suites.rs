//! Public test suites for file systems, from the crates registry, over what
//! restored directories are made of, beside ext4 and plain overlayfs. They are
//! not part of every run: `cargo xtask suites`. docs/file-systems.md has the
//! results and explains the differences.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    harness::{self, Mounted, mount_file},
    mounts::{Cow, Overlay, archive_of},
    view::tree,
};

/// Everything that is compared, mounted.
struct Places {
    _source: tempfile::TempDir,
    disk: tempfile::TempDir,
    plain: Overlay,
    kernel: Overlay,
    overlay: Overlay,
    cow: Cow,
    _squashfs: Mounted,
}

impl Places {
    fn new() -> Self {
        let (source, disk) = (tree(), tree());
        let archive = harness::Archive::of(source.path(), &Default::default());
        let squashfs = mount_file(&archive.path);
        Self {
            plain: Overlay::over(source.path()),
            kernel: Overlay::over(squashfs.path()),
            overlay: Overlay::of(archive_of(source.path())),
            cow: Cow::of(archive_of(source.path())),
            _source: source,
            disk,
            _squashfs: squashfs,
        }
    }

    /// What to call each, and where it is.
    fn all(&self) -> [(&'static str, PathBuf); 5] {
        [
            ("ext4", self.disk.path().to_owned()),
            ("fuse", self.cow.path()),
            ("overlayfs on ext4", self.plain.path()),
            ("kernel", self.kernel.path()),
            ("overlay", self.overlay.path()),
        ]
    }
}

#[test]
#[ignore = "needs fsx, and a minute"]
fn fsx_on_a_file_of_the_archive_and_a_new_one() {
    let places = Places::new();
    for (name, place) in places.all() {
        for file in ["src/deep/er/big", "new"] {
            let artifacts = tempfile::tempdir().unwrap();
            let mut fsx = Command::new("fsx");
            fsx.args(["-q", "-N", "20000", "-S", "5", "-P"])
                .args([artifacts.path(), &place.join(file)]);
            let output = fsx.output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{name}, {file}: {said}");
            println!("fsx, {name}, {file}: no difference in 20,000 operations");
        }
    }
}

/// What came of the tests of pjdfstest.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    passed: usize,
    failed: BTreeSet<String>,
    skipped: BTreeSet<String>,
}

fn run_pjdfstest(configuration: &Path, place: &Path) -> Outcome {
    // Below the directory for temporary files, where tests must touch nothing else.
    let temporary = std::env::temp_dir();
    for directory in place.ancestors().take_while(|it| *it != temporary) {
        assert!(directory.starts_with(&temporary));
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut pjdfstest = Command::new("pjdfstest");
    pjdfstest.arg("-c").arg(configuration).arg("-p").arg(place);
    let output = pjdfstest.output().unwrap();
    let mut outcome = Outcome::default();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Some((name, result)) = line.rsplit_once(' ') else {
            continue;
        };
        let name = name.trim().to_owned();
        match result {
            _ if !name.contains("::") => continue,
            "ok" => outcome.passed += 1,
            "FAILED" => drop(outcome.failed.insert(name)),
            "skipped" => drop(outcome.skipped.insert(name)),
            _ => continue,
        }
    }
    let Outcome {
        passed,
        failed,
        skipped,
    } = &outcome;
    assert!(passed + failed.len() + skipped.len() > 390, "{output:?}");
    outcome
}

#[test]
#[ignore = "needs pjdfstest, and some minutes"]
fn pjdfstest() {
    let places = Places::new();
    let configuration = places.disk.path().join("pjdfstest.toml");
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
    let outcomes = places.all().map(|(name, place)| {
        // Not a mount point itself, which nobody but root could pass.
        let outcome = run_pjdfstest(&configuration, &place.join("src"));
        println!(
            "pjdfstest, {name}: {} passed, {} failed, {} skipped",
            outcome.passed,
            outcome.failed.len(),
            outcome.skipped.len()
        );
        for (what, tests) in [("failed", &outcome.failed), ("skipped", &outcome.skipped)] {
            let tests: Vec<_> = tests.iter().map(String::as_str).collect();
            println!("  {what}: {}", tests.join(", "));
        }
        outcome
    });
    let [ext4, cow, plain, kernel, overlay] = outcomes;
    assert_eq!(cow.failed, ext4.failed);
    assert_eq!(overlay, plain);
    let more: Vec<_> = kernel.failed.symmetric_difference(&plain.failed).collect();
    let of_lengths = |name: &&String| name.ends_with("enametoolong_component");
    assert!(more.iter().all(of_lengths), "{more:?}");
}
