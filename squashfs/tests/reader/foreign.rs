//! Archives by `mksquashfs`, with every compressor and option it has, and some
//! of our own.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
};

use squashfs::format::compressor::Compressor;
use squashfs::{image, reader, writer::Options};
use tempfile::TempDir;

use crate::{
    harness::*,
    view::*,
    zoo::{set_xattr, zoo},
};

/// A tree with some of everything.
pub(crate) fn tree() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let at = |name: &str| root.join(name);
    fs::create_dir(at("zoo")).unwrap();
    zoo(&at("zoo"));
    fs::create_dir_all(at("several/levels/of/directories")).unwrap();
    fs::write(at("several/levels/of/directories/file"), "content").unwrap();
    fs::write(at("blocks"), prose(3, 700_001)).unwrap();
    fs::copy(at("blocks"), at("the same blocks")).unwrap();
    let sparse = File::create(at("sparse")).unwrap();
    sparse.set_len(5_000_000).unwrap();
    sparse.write_at(&prose(7, 50_000), 2_200_000).unwrap();
    // One long value in several sets, which is stored once and out of line.
    for (number, name) in ["blocks", "sparse", "several"].iter().enumerate() {
        set_xattr(&at(name), "user.long", &noise(8, 3000));
        set_xattr(&at(name), "user.own", number.to_string().as_bytes());
    }
    for number in 0..1200 {
        let directory = at(&format!("many/{}", number % 2));
        fs::create_dir_all(&directory).unwrap();
        let name = directory.join(format!("entry number {number:05}"));
        fs::write(name, prose(number, number as usize % 90)).unwrap();
    }
    directory
}

/// An archive by `mksquashfs`.
pub(crate) fn mksquashfs(source: &Path, options: &[&str]) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("archive.sqsh");
    let mut mksquashfs = Command::new("mksquashfs");
    mksquashfs.arg(source).arg(&path);
    mksquashfs.args(["-quiet", "-no-progress"]);
    run(mksquashfs.args(options));
    (directory, path)
}

/// Linux's driver and the reader see the same, entry by entry.
fn assert_as_linux_sees_it(path: &Path) {
    // A loop device ends at a whole sector.
    let padded = tempfile::NamedTempFile::new().unwrap();
    let length = fs::copy(path, &padded).unwrap();
    let length = length.next_multiple_of(4096);
    padded.as_file().set_len(length).unwrap();
    let mounted = mount_file(padded.path());
    let expected = with_acl_names(snapshot(mounted.path()));
    assert_same(&expected, &view(&open(path)));
    image::read_through(path).unwrap();
}

fn assert_read(options: &[&[&str]]) {
    let source = tree();
    for options in options {
        let (_directory, path) = mksquashfs(source.path(), options);
        println!("mksquashfs {options:?}");
        assert_as_linux_sees_it(&path);
    }
}

#[test]
fn every_compressor() {
    assert_read(&[
        &["-comp", "gzip", "-Xstrategy", "default,huffman_only"],
        &["-comp", "lzo", "-b", "4096"],
        &["-comp", "lz4", "-Xhc"],
        &["-comp", "xz", "-Xbcj", "x86"],
        &["-comp", "zstd"],
    ]);
}

#[test]
fn every_compressor_with_the_largest_blocks() {
    assert_read(&[
        &["-comp", "gzip", "-b", "1M"],
        &["-comp", "lzo", "-b", "1M"],
        &["-comp", "lz4", "-b", "1M"],
        &["-comp", "xz", "-b", "1M"],
        &["-comp", "zstd", "-b", "1M"],
    ]);
}

#[test]
fn lzma_which_linux_does_not_read() {
    let source = tempfile::tempdir().unwrap();
    for number in 0..300 {
        let name = source.path().join(format!("file {number}"));
        fs::write(name, prose(number, number as usize * 1000)).unwrap();
    }
    fs::write(source.path().join("noise"), noise(1, 300_000)).unwrap();
    let (_directory, path) = mksquashfs(source.path(), &["-comp", "lzma"]);
    assert_same(&snapshot(source.path()), &view(&open(&path)));
}

#[test]
fn parts_that_are_not_compressed() {
    assert_read(&[
        &["-noI"],
        &["-noD"],
        &["-noF"],
        &["-noX"],
        &["-noI", "-noD", "-noF", "-noX", "-b", "4096"],
    ]);
}

#[test]
fn other_ways_to_store() {
    assert_read(&[
        &["-no-fragments", "-b", "4096"],
        &["-always-use-fragments"],
        &["-no-duplicates"],
        &["-no-sparse"],
        &["-no-exports", "-nopad"],
        &["-no-xattrs"],
        &["-all-root"],
        &[
            "-p",
            "pseudo d 755 1 2",
            "-p",
            "pseudo/device c 666 3 4 1 3",
        ],
    ]);
}

#[test]
fn our_own() {
    let source = tree();
    let expected = with_acl_names(archived(snapshot(source.path())));
    for format in [Compressor::Lz4, Compressor::Zstd, Compressor::Gzip] {
        for (block_size, pack_tails) in [(4 << 10, true), (128 << 10, false), (1 << 20, true)] {
            let options = Options {
                pack_tails,
                ..options(format, block_size)
            };
            let archive = Archive::of(source.path(), &options);
            assert_same(&expected, &view(&open(&archive.path)));
            image::read_through(&archive.path).unwrap();
        }
    }
}

#[test]
fn without_memory_it_is_only_slower() {
    let source = tree();
    let (_directory, path) = mksquashfs(source.path(), &["-comp", "lz4"]);
    let expected = view(&open(&path));
    let stingy = reader::Options {
        cache_bytes: 0,
        preload_bytes: 0,
    };
    assert_same(&expected, &view(&open_with(&path, &stingy)));
}

#[test]
fn what_is_in_it_is_counted_and_described() {
    let source = tree();
    let (_directory, path) = mksquashfs(source.path(), &["-comp", "lzo", "-b", "64K"]);
    let entries = snapshot(source.path());
    let count = |kinds: &str| {
        let entries = entries.values();
        entries
            .filter(|facts| kinds.contains(facts.file_type))
            .count() as u64
    };
    let listing = image::list(&path).unwrap();
    assert_eq!(listing.files, count("f"));
    assert_eq!(listing.directories, count("d"));
    assert_eq!(listing.symlinks, count("l"));
    assert_eq!(listing.special, count("bcps"));
    let description = image::describe(&path).unwrap();
    assert_eq!(description.compression, "lzo");
    assert_eq!(description.block_size, 64 << 10);
}
