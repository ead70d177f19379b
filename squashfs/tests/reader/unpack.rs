//! Unpacking: everything comes back, and nothing else is touched.

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt, MetadataExt, PermissionsExt},
    path::Path,
    process::Command,
};

use squashfs::{image, writer::Options};

use crate::{foreign::tree, harness::*, view::with_links_counted};

/// Unpacks and gives the entries.
fn unpacked(archive: &Path, parent: &Path) -> Snapshot {
    let directory = parent.join("unpacked");
    let left_out = image::unpack(archive, &directory).unwrap();
    assert!(left_out.is_empty(), "{left_out:?}");
    snapshot(&directory)
}

fn clamped(mut source: Snapshot) -> Snapshot {
    for facts in source.values_mut() {
        facts.mtime = facts.mtime.clamp(0, i64::from(u32::MAX));
    }
    source
}

#[test]
fn everything_comes_back() {
    let source = tree();
    let at = |name: &str| source.path().join(name);
    run(Command::new("setfacl")
        .args(["-m", "u:1234:rwx"])
        .arg(at("blocks")));
    run(Command::new("setfacl")
        .args(["-d", "-m", "g:4321:r-x"])
        .arg(at("several")));
    let large = File::create(at("large")).unwrap();
    large.set_len(30_000_000).unwrap();
    large.write_all_at(&noise(1, 5_000_000), 1_000_000).unwrap();
    large
        .write_all_at(&prose(2, 9_000_001), 12_345_678)
        .unwrap();
    fs::hard_link(at("large"), at("several/large")).unwrap();
    fs::set_permissions(at("large"), fs::Permissions::from_mode(0o4750)).unwrap();
    let archive = Archive::of(source.path(), &Options::default());

    let parent = tempfile::tempdir().unwrap();
    let entries = unpacked(&archive.path, parent.path());
    assert_same(&clamped(snapshot(source.path())), &entries);

    for name in ["large", "sparse"] {
        let metadata = fs::metadata(parent.path().join("unpacked").join(name)).unwrap();
        let taken = metadata.blocks() * 512;
        assert!(taken < metadata.size() * 3 / 5, "{name} takes {taken}");
    }
}

#[test]
fn what_is_around_leaves_no_mark() {
    let source = tempfile::tempdir().unwrap();
    fs::create_dir(source.path().join("directory")).unwrap();
    fs::write(source.path().join("directory/file"), "content").unwrap();
    let archive = Archive::of(source.path(), &Options::default());

    let parent = tempfile::tempdir().unwrap();
    run(Command::new("setfacl")
        .args(["-d", "-m", "u:1234:rwx"])
        .arg(parent.path()));
    rustix::fs::chown(parent.path(), None, Some(rustix::fs::Gid::from_raw(4321))).unwrap();
    fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o2777)).unwrap();
    let entries = unpacked(&archive.path, parent.path());
    assert_same(&snapshot(source.path()), &entries);
}

#[test]
fn many_large_files_are_not_all_open_at_once() {
    let source = tempfile::tempdir().unwrap();
    // More than may be open.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let count = limit.current.unwrap().min(30_000) + 100;
    for number in 0..count {
        let file = File::create(source.path().join(number.to_string())).unwrap();
        file.set_len(8_400_000).unwrap();
    }
    let archive = Archive::of(source.path(), &Options::default());
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("unpacked");
    image::unpack(&archive.path, &directory).unwrap();
    let mut sizes = fs::read_dir(&directory).unwrap().map(|entry| {
        let metadata = entry.unwrap().metadata().unwrap();
        (metadata.size(), metadata.blocks())
    });
    assert_eq!(fs::read_dir(&directory).unwrap().count() as u64, count);
    assert!(sizes.all(|facts| facts == (8_400_000, 0)));
}

#[test]
fn archives_of_others_come_back_too() {
    let source = tree();
    let (_directory, path) = crate::foreign::mksquashfs(source.path(), &["-comp", "xz"]);
    let mounted = mount_file(&path);
    let parent = tempfile::tempdir().unwrap();
    assert_same(
        &with_links_counted(snapshot(mounted.path())),
        &unpacked(&path, parent.path()),
    );
}

#[test]
fn a_directory_that_is_there_is_not_touched() {
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("file"), "content").unwrap();
    let archive = Archive::of(source.path(), &Options::default());
    let directory = tempfile::tempdir().unwrap();
    let error = image::unpack(&archive.path, directory.path()).unwrap_err();
    assert!(error.to_string().contains("exists"), "{error}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
