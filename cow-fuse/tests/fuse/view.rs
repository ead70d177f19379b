//! The read-only tree, and overlayfs over it.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Write,
    os::unix::fs::{FileExt, MetadataExt, symlink},
    path::Path,
    thread,
};

use rustix::{
    fs::{SeekFrom, XattrFlags, lgetxattr, lsetxattr, seek, statvfs},
    io::Errno,
};

use crate::{
    harness::{assert_same, noise, prose, snapshot},
    mounts::{Overlay, View, archive_of},
};

/// Some files, a directory with many, and links.
pub(crate) fn tree() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir_all(at("src/deep/er")).unwrap();
    fs::create_dir_all(at("empty")).unwrap();
    fs::write(at("src/main.rs"), prose(1, 3000)).unwrap();
    fs::write(at("src/deep/er/big"), noise(2, 700_000)).unwrap();
    fs::write(at("src/deep/one"), b"one").unwrap();
    fs::hard_link(at("src/deep/one"), at("src/two")).unwrap();
    symlink("src/main.rs", at("link")).unwrap();
    fs::create_dir(at("many")).unwrap();
    for number in 0..2000 {
        fs::write(at(&format!("many/{number}")), number.to_string()).unwrap();
    }
    directory
}

#[test]
fn nothing_can_be_written() {
    let source = tree();
    let view = View::of(archive_of(source.path()));
    let refused = File::create(view.path().join("new")).unwrap_err();
    assert_eq!(Errno::from_io_error(&refused), Some(Errno::ROFS));
    let about = statvfs(view.path()).unwrap();
    assert_eq!((about.f_bfree, about.f_namemax), (0, 255));
}

#[test]
fn inode_numbers_are_the_same_at_every_mount() {
    let source = tree();
    let archive = archive_of(source.path());
    let numbers = || {
        let view = View::of(archive.clone());
        ["", "src", "src/deep/one", "src/two", "link", "many/77"]
            .map(|name| view.path().join(name).symlink_metadata().unwrap().ino())
    };
    let first = numbers();
    assert_eq!(first, numbers());
    assert_eq!(first[2], first[3], "two names of one file");
    assert_eq!(BTreeSet::from(first).len(), 5);
}

#[test]
fn attributes_that_a_file_does_not_have_are_absent() {
    let source = tree();
    let answers = |view: &View| {
        ["trusted.overlay.opaque", "user.none", "security.capability"]
            .map(|name| lgetxattr(view.path().join("src"), name, &mut [0; 16][..]))
    };
    // As Linux's own driver does.
    let view = View::of(archive_of(source.path()));
    assert_eq!(answers(&view), [Err(Errno::OPNOTSUPP); 3]);
    lsetxattr(
        source.path().join("many"),
        "user.a",
        b"value",
        XattrFlags::empty(),
    )
    .unwrap();
    let view = View::of(archive_of(source.path()));
    assert_eq!(answers(&view), [Err(Errno::NODATA); 3]);
    let mut value = [0; 16];
    let length = lgetxattr(view.path().join("many"), "user.a", &mut value[..]).unwrap();
    assert_eq!(&value[..length], b"value");
}

#[test]
fn a_name_that_is_too_long_is_said_to_be() {
    let source = tree();
    let view = View::of(archive_of(source.path()));
    let error = fs::metadata(view.path().join("n".repeat(256))).unwrap_err();
    assert_eq!(Errno::from_io_error(&error), Some(Errno::NAMETOOLONG));
    let error = fs::metadata(view.path().join("n".repeat(255))).unwrap_err();
    assert_eq!(Errno::from_io_error(&error), Some(Errno::NOENT));
}

#[test]
fn holes_can_be_found() {
    let source = tempfile::tempdir().unwrap();
    let file = File::create(source.path().join("sparse")).unwrap();
    file.write_all_at(b"data", 1 << 20).unwrap();
    file.set_len(3 << 20).unwrap();
    let view = View::of(archive_of(source.path()));
    let file = File::open(view.path().join("sparse")).unwrap();
    assert_eq!(seek(&file, SeekFrom::Data(0)), Ok(1 << 20));
    assert_eq!(seek(&file, SeekFrom::Hole(0)), Ok(0));
    let hole = seek(&file, SeekFrom::Hole(1 << 20)).unwrap();
    let block_after_data = (1 << 20) + 4..2 << 20;
    assert!(block_after_data.contains(&hole), "{hole}");
    assert_eq!(seek(&file, SeekFrom::Data(hole)), Err(Errno::NXIO));
}

#[test]
fn many_threads_read_the_same() {
    let source = tree();
    let view = View::of(archive_of(source.path()));
    let expected = snapshot(source.path());
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_same(&expected, &snapshot(view.path())));
        }
    });
}

fn names(directory: &Path) -> BTreeSet<String> {
    fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn an_overlay_can_be_changed_and_the_source_is_not() {
    let source = tree();
    let before = snapshot(source.path());
    let overlay = Overlay::of(archive_of(source.path()));
    let at = |name: &str| overlay.path().join(name);
    fs::rename(at("many"), at("src/lots")).unwrap();
    assert_eq!(names(&at("src/lots")).len(), 2000);
    File::options()
        .append(true)
        .open(at("src/main.rs"))
        .unwrap()
        .write_all(b"more")
        .unwrap();
    fs::remove_dir_all(at("src/deep")).unwrap();
    fs::create_dir(at("src/deep")).unwrap();
    assert_eq!(names(&at("src/deep")).len(), 0);
    assert_eq!(fs::read(at("link")).unwrap().len(), 3004);
    assert_same(&before, &snapshot(source.path()));
}
