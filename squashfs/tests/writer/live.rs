//! Trees that change while they are archived, and entries that cannot be read.

use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::{FileExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use rustix::fs::FileType;
use squashfs::{
    format::compressor::Compressor,
    report::ChangeKind,
    writer::{self, Control, OnUnreadable, Options, Sink, Summary, WriteError},
};

use crate::{harness::*, locked::*, zoo::node};

fn changes(summary: &Summary) -> Vec<(PathBuf, ChangeKind)> {
    let changes = summary.report.changes.first().iter();
    changes
        .map(|change| (change.path.clone(), change.kind))
        .collect()
}

#[test]
fn what_changes_after_the_scan_is_archived_as_it_is_then() {
    let source = tempfile::tempdir().unwrap();
    let at = |name: &str| source.path().join(name);
    let small = prose(1, 5000);
    let large = noise(1, 2_000_000);
    for name in [
        "grown",
        "outgrown",
        "replaced",
        "rewritten",
        "same",
        "shrunk",
        "vanished",
    ] {
        fs::write(at(&format!("{name}-small")), &small).unwrap();
        // No two of one size, so that they are not compared beforehand.
        fs::write(at(&format!("{name}-large")), &large[name.len() * 1000..]).unwrap();
    }
    for name in [
        "to-link",
        "to-fifo",
        "to-directory",
        "in-gone-directory/file",
    ] {
        fs::create_dir_all(at(name).parent().unwrap()).unwrap();
        fs::write(at(name), "a file").unwrap();
    }
    fs::write(at("two-names"), "linked").unwrap();
    fs::hard_link(at("two-names"), at("zz-other-name")).unwrap();
    let tree = tree_of(source.path());

    for size in ["small", "large"] {
        let path = |name: &str| at(&format!("{name}-{size}"));
        let file = |name: &str| File::options().write(true).open(path(name)).unwrap();
        file("grown")
            .write_all_at(b"more", file("grown").metadata().unwrap().len())
            .unwrap();
        file("outgrown").set_len(3_000_000).unwrap();
        file("shrunk").set_len(1234).unwrap();
        file("rewritten").write_all_at(b"other", 100).unwrap();
        fs::write(at("new"), prose(9, 5000)).unwrap();
        fs::set_permissions(at("new"), Permissions::from_mode(0o600)).unwrap();
        fs::rename(at("new"), path("replaced")).unwrap();
        fs::remove_file(path("vanished")).unwrap();
    }
    fs::remove_dir_all(at("in-gone-directory")).unwrap();
    for name in ["to-link", "to-fifo", "to-directory"] {
        fs::remove_file(at(name)).unwrap();
    }
    symlink("/etc/passwd", at("to-link")).unwrap();
    node(&at("to-fifo"), FileType::Fifo, 0o600, 0);
    fs::create_dir(at("to-directory")).unwrap();
    fs::remove_file(at("two-names")).unwrap();

    let archive = Archive::of_tree(&tree, &Options::default());
    let mounted = archive.mount();
    let shown = snapshot(mounted.path());
    let now = snapshot(source.path());
    let named = changes(&archive.summary);
    for (name, kind) in [
        ("grown", ChangeKind::Grown),
        ("outgrown", ChangeKind::Grown),
        ("shrunk", ChangeKind::Shrunk),
        ("rewritten", ChangeKind::Modified),
        ("replaced", ChangeKind::Replaced),
    ] {
        for size in ["small", "large"] {
            let path = PathBuf::from(format!("{name}-{size}"));
            assert!(named.contains(&(path.clone(), kind)), "{path:?}: {named:?}");
            assert_eq!(shown[&path], now[&path], "{path:?}");
        }
    }
    for size in ["small", "large"] {
        let path = PathBuf::from(format!("same-{size}"));
        assert_eq!(shown[&path], now[&path]);
    }
    for (name, kind) in [
        ("vanished-small", ChangeKind::Vanished),
        ("vanished-large", ChangeKind::Vanished),
        ("in-gone-directory/file", ChangeKind::Vanished),
        ("to-link", ChangeKind::Retyped),
        ("to-fifo", ChangeKind::Retyped),
        ("to-directory", ChangeKind::Retyped),
    ] {
        assert!(named.contains(&(name.into(), kind)), "{name}: {named:?}");
        assert!(!shown.contains_key(Path::new(name)), "{name}");
    }
    // A file is there as long as one of its names is.
    assert_eq!(shown[Path::new("two-names")].content, b"linked");
    assert_eq!(shown[Path::new("zz-other-name")].content, b"linked");
    // "Modified": its count of names.
    assert!(named.contains(&("two-names".into(), ChangeKind::Modified)));

    let files = shown.values().filter(|facts| facts.file_type == 'f');
    assert_eq!(archive.summary.counts.files, files.clone().count() as u64);
    let bytes: u64 = files.map(|facts| facts.size).sum();
    // Counted once for both names.
    assert_eq!(archive.summary.counts.bytes, bytes - 6);
    assert_eq!(archive.summary.report.changes.count(), 17);
}

/// Discards the archive, but calls back at the first write after `after` bytes.
struct Trigger<F: FnMut()> {
    file: writer::FileSink,
    after: u64,
    written: u64,
    action: Option<F>,
}

impl<F: FnMut()> Sink for Trigger<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        if self.written > self.after
            && let Some(mut action) = self.action.take()
        {
            action();
        }
        self.file.write(bytes)
    }

    fn finish(&mut self, superblock: &[u8; 96]) -> io::Result<()> {
        self.file.finish(superblock)
    }
}

/// Archives `source`, and does `action` when 1 MiB has been written.
fn archive_during(source: &Path, action: impl FnMut()) -> (tempfile::NamedTempFile, Summary) {
    let target = tempfile::NamedTempFile::new().unwrap();
    let mut sink = Trigger {
        file: writer::FileSink::new(target.reopen().unwrap()),
        after: 1 << 20,
        written: 0,
        action: Some(action),
    };
    let tree = tree_of(source);
    let options = options(Compressor::Lz4, 128 << 10);
    let summary = writer::write(&tree, &options, &Control::default(), &mut sink).unwrap();
    assert!(sink.action.is_none());
    (target, summary)
}

#[test]
fn a_file_may_shrink_while_it_is_read() {
    const SIZE: usize = 64 << 20;
    let source = tempfile::tempdir().unwrap();
    let path = source.path().join("large");
    let content = noise(1, SIZE);
    fs::write(&path, &content).unwrap();
    fs::write(source.path().join("next"), "still here").unwrap();
    // Beyond what can be in flight when the first megabyte is out.
    let left = 40_000_123;
    let (target, summary) = archive_during(source.path(), || {
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(left)
            .unwrap();
    });
    assert_eq!(changes(&summary), [("large".into(), ChangeKind::Shrunk)]);
    assert_eq!(summary.counts.bytes, left + 10);
    let mounted = mount_file(target.path());
    let shown = snapshot(mounted.path());
    assert!(shown[Path::new("large")].content == content[..left as usize]);
    assert_eq!(shown[Path::new("next")].content, b"still here");
}

#[test]
fn a_file_may_grow_while_it_is_read() {
    let source = tempfile::tempdir().unwrap();
    let path = source.path().join("log");
    let content = noise(1, 32 << 20);
    fs::write(&path, &content).unwrap();
    let (target, summary) = archive_during(source.path(), || {
        let file = File::options().write(true).open(&path).unwrap();
        file.write_all_at(&content[..5000], content.len() as u64)
            .unwrap();
    });
    assert_eq!(changes(&summary), [("log".into(), ChangeKind::Modified)]);
    let mounted = mount_file(target.path());
    assert!(fs::read(mounted.path().join("log")).unwrap() == content);
}

#[test]
fn copies_that_part_ways_are_both_right() {
    let source = tempfile::tempdir().unwrap();
    let content = noise(1, 24 << 20);
    let (first, second) = (source.path().join("a"), source.path().join("c"));
    fs::write(&first, &content).unwrap();
    fs::write(source.path().join("b"), noise(2, 24 << 20)).unwrap();
    fs::write(&second, &content).unwrap();
    // First the later copy changes after they were compared, then the earlier one.
    for (changed, at) in [(&second, content.len() - 1), (&first, content.len() - 2)] {
        let (target, summary) = archive_during(source.path(), || {
            let file = File::options().write(true).open(changed).unwrap();
            file.write_all_at(&[!content[at]], at as u64).unwrap();
        });
        let name = changed.file_name().unwrap();
        assert_eq!(changes(&summary), [(name.into(), ChangeKind::Modified)]);
        assert_eq!(summary.duplicates, 0);
        let mounted = mount_file(target.path());
        assert_same(&snapshot(source.path()), &snapshot(mounted.path()));
        // As before for the second round.
        fs::write(changed, &content).unwrap();
    }
}

#[test]
fn files_that_turn_out_to_be_unreadable_fail_the_archive() {
    struct Nowhere(bool);
    impl Sink for Nowhere {
        fn write(&mut self, _: &[u8]) -> io::Result<()> {
            Ok(())
        }
        fn finish(&mut self, _: &[u8; 96]) -> io::Result<()> {
            self.0 = true;
            Ok(())
        }
    }
    let source = with_locked_entries();
    // Found with all rights, read with none.
    let write = |on_unreadable| {
        let tree = tree_of(source.path());
        let options = Options {
            on_unreadable,
            ..Options::default()
        };
        let mut sink = Nowhere(false);
        let result = as_nobody(|| writer::write(&tree, &options, &Control::default(), &mut sink));
        (result, sink.0)
    };
    let (result, finished) = write(OnUnreadable::Fail);
    let Err(WriteError::Unreadable(unreadable)) = result else {
        panic!("{result:?}");
    };
    // The closed directory was listed before, so it is its file that fails.
    assert_eq!(unreadable.count(), 14);
    assert!(!finished);

    let (result, finished) = write(OnUnreadable::Skip);
    let summary = result.unwrap();
    assert_eq!(summary.report.unreadable.count(), 14);
    assert_eq!(summary.counts.files, 2);
    assert!(finished);
}
