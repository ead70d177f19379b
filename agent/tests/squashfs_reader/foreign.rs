//! Archives by `mksquashfs`, with every compressor and option it has.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, lchown, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, lsetxattr, makedev, mknodat};
use tempfile::TempDir;

use crate::{harness::*, view::*};

fn xattr(path: &Path, name: &str, value: &[u8]) {
    lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

/// A tree with some of everything.
pub(crate) fn tree() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let at = |name: &str| root.join(name);
    fs::create_dir_all(at("sub/deeper/deepest")).unwrap();
    fs::create_dir(at("empty directory")).unwrap();
    for (name, content) in [
        ("empty", vec![]),
        ("small", b"small".to_vec()),
        ("one block of 4 KiB", prose(1, 4096)),
        ("one block of 128 KiB", prose(2, 128 << 10)),
        ("several blocks", prose(3, 1_300_001)),
        ("noise", noise(4, 300_000)),
        ("small noise", noise(5, 100)),
        ("zeros", vec![0; 600_000]),
        ("same as several blocks", prose(3, 1_300_001)),
        ("sub/deeper/deepest/file", prose(6, 10_000)),
    ] {
        fs::write(at(name), content).unwrap();
    }
    let sparse = fs::File::create(at("sparse")).unwrap();
    sparse.set_len(5_000_000).unwrap();
    std::os::unix::fs::FileExt::write_at(&sparse, &prose(7, 50_000), 2_200_000).unwrap();
    fs::hard_link(at("small"), at("sub/link to small")).unwrap();
    fs::hard_link(at("small"), at("sub/deeper/another link")).unwrap();
    symlink("sub/deeper", at("symbolic")).unwrap();
    symlink("x".repeat(4095), at("long symbolic")).unwrap();
    for (name, kind, device) in [
        ("fifo", FileType::Fifo, 0),
        ("socket", FileType::Socket, 0),
        ("block", FileType::BlockDevice, makedev(7, 0x12345)),
        ("char", FileType::CharacterDevice, makedev(0xabc, 3)),
    ] {
        mknodat(CWD, at(name), kind, Mode::from(0o640), device).unwrap();
    }
    fs::set_permissions(at("small noise"), fs::Permissions::from_mode(0o6751)).unwrap();
    lchown(at("sub"), Some(1234), Some(0xfff_0000)).unwrap();
    lchown(at("symbolic"), Some(70_000), Some(5)).unwrap();
    for name in ["small", "sub", "noise", "symbolic", "fifo", "block"] {
        xattr(&at(name), "trusted.common", b"the same everywhere");
    }
    xattr(&at("small"), "user.one", b"1");
    xattr(&at("small"), "user.empty", b"");
    // The same long value twice, which is stored once and out of line.
    for name in ["zeros", "sparse", "sub/deeper"] {
        xattr(&at(name), "user.long", &noise(8, 3000));
        xattr(&at(name), &format!("user.own-{}", name.len()), b"own");
    }
    for number in 0..3000 {
        let directory = at(&format!("many/{}", number % 3));
        fs::create_dir_all(&directory).unwrap();
        fs::write(
            directory.join(format!("entry number {number:05}")),
            prose(number, number as usize % 90),
        )
        .unwrap();
    }
    directory
}

/// An archive by `mksquashfs`.
pub(crate) fn mksquashfs(source: &Path, options: &[&str]) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("archive.sqsh");
    let mut mksquashfs = Command::new("mksquashfs");
    mksquashfs
        .arg(source)
        .arg(&path)
        .args(["-quiet", "-no-progress"]);
    run(mksquashfs.args(options));
    (directory, path)
}

fn assert_read(options: &[&[&str]]) {
    let source = tree();
    for options in options {
        let (_directory, path) = mksquashfs(source.path(), options);
        println!("{options:?}");
        assert_as_linux_sees_it(&path);
    }
}

#[test]
fn every_compressor() {
    assert_read(&[
        &["-comp", "gzip"],
        &["-comp", "lzo"],
        &["-comp", "lz4", "-Xhc"],
        &["-comp", "xz", "-Xbcj", "x86"],
        &["-comp", "zstd"],
    ]);
}
