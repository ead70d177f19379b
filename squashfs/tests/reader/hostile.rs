//! Archives that somebody made to do harm.

use std::{fs, path::Path};

use squashfs::{
    image::{self, ArchiveError},
    reader::{self, Kind, ReadError},
};
use tempfile::TempDir;

use crate::{foreign::mksquashfs, view::open};

/// An archive whose metadata can be edited, with `name` in it.
fn archive_with(name: &str) -> (TempDir, Vec<u8>) {
    let source = tempfile::tempdir().unwrap();
    fs::create_dir(source.path().join("sub")).unwrap();
    fs::create_dir(source.path().join("sub").join(name)).unwrap();
    fs::write(source.path().join("sub/zz-last"), "content").unwrap();
    let (directory, path) = mksquashfs(source.path(), &["-noI", "-noD", "-no-xattrs"]);
    let bytes = fs::read(path).unwrap();
    (directory, bytes)
}

/// Where the only occurrence of `name` is.
fn find(bytes: &[u8], name: &str) -> usize {
    let mut found = bytes
        .windows(name.len())
        .enumerate()
        .filter(|(_, window)| *window == name.as_bytes())
        .map(|(at, _)| at);
    let at = found.next().unwrap();
    assert_eq!(found.next(), None);
    at
}

/// Every way to go through the archive says that it is damaged.
fn assert_refused(bytes: &[u8], why: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hostile.sqsh");
    fs::write(&path, bytes).unwrap();
    let target = directory.path().join("target/within");
    fs::create_dir(target.parent().unwrap()).unwrap();
    let errors = [
        image::list(&path).map(drop).unwrap_err(),
        image::read_through(&path).unwrap_err(),
        image::unpack(&path, &target).map(drop).unwrap_err(),
    ];
    for error in errors {
        match &error {
            ArchiveError::Read(ReadError::Damaged { what, .. }) => {
                assert!(what.contains(why), "{error}");
            }
            _ => panic!("{error}"),
        }
    }
    let mut made = fs::read_dir(target.parent().unwrap()).unwrap();
    assert!(made.next().is_none(), "something was unpacked");
}

#[test]
fn names_that_lead_elsewhere() {
    for (name, instead) in [
        ("qqqqqqqqq", "../target"),
        ("qqqqqqqqq", "/etc/evil"),
        ("qq", ".."),
        ("qqq", "a\0b"),
        ("qqq", "a/b"),
        ("qqq", "./."),
    ] {
        let (_directory, mut bytes) = archive_with(name);
        let at = find(&bytes, name);
        bytes[at..at + name.len()].copy_from_slice(instead.as_bytes());
        assert_refused(&bytes, "a name that is none");
    }
    let (_directory, mut bytes) = archive_with("q");
    // Before it are its kind and its length.
    let at = find(&bytes, "\u{1}\0\0\0q") + 4;
    bytes[at] = b'.';
    assert_refused(&bytes, "a name that is none");
}

#[test]
fn names_that_occur_twice() {
    let (_directory, mut bytes) = archive_with("qq-first");
    let at = find(&bytes, "qq-first");
    bytes[at..at + 7].copy_from_slice(b"zz-last");
    bytes[at + 7] = b'!';
    assert_refused(&bytes, "not in order");
}

#[test]
fn a_directory_in_itself() {
    let (_directory, mut bytes) = archive_with("itself");
    let path = tempfile::tempdir().unwrap();
    let whole = path.path().join("whole.sqsh");
    fs::write(&whole, &bytes).unwrap();
    let archive = open(&whole);
    let sub = archive.lookup(archive.root(), b"sub").unwrap().unwrap();
    assert_eq!(archive.attributes(sub).unwrap().kind, Kind::Directory);
    // Its entry's offset is 8 bytes before its name.
    let at = find(&bytes, "itself") - 8;
    let offset = (sub.to_u64() as u16).to_le_bytes();
    bytes[at..at + 2].copy_from_slice(&offset);
    assert_refused(&bytes, "in two directories");
}

#[test]
fn an_archive_that_is_cut_off_anywhere() {
    let source = crate::foreign::tree();
    let (_directory, path) = mksquashfs(source.path(), &["-comp", "zstd", "-nopad"]);
    let bytes = fs::read(path).unwrap();
    let superblock = *reader::Archive::open(
        std::sync::Arc::new(bytes.clone()),
        &reader::Options::default(),
    )
    .unwrap()
    .superblock();
    for end in [
        0,
        50,
        96,
        superblock.inode_table.get(),
        superblock.directory_table.get(),
        superblock.fragment_table.get(),
        superblock.export_table.get(),
        superblock.id_table.get(),
        superblock.xattr_table.get(),
        superblock.bytes_used.get() - 1,
    ] {
        // Once as if the rest had not arrived, once as if nobody knew.
        let mut cut = bytes[..end as usize].to_vec();
        assert_cut(&cut);
        if let Some(used) = cut.get_mut(40..48) {
            used.copy_from_slice(&end.to_le_bytes());
            assert_cut(&cut);
        }
    }
}

fn assert_cut(bytes: &[u8]) {
    let directory = tempfile::tempdir().unwrap();
    let path: &Path = &directory.path().join("cut.sqsh");
    fs::write(path, bytes).unwrap();
    let error = image::read_through(path).unwrap_err();
    let is_right = matches!(
        error,
        ArchiveError::Read(ReadError::Damaged { .. } | ReadError::NotAnArchive(_))
    );
    assert!(is_right, "{error}");
}

#[test]
fn any_flipped_bit_of_compressed_tables_is_found_or_harmless() {
    let source = tempfile::tempdir().unwrap();
    for number in 0..40 {
        let name = source.path().join(format!("file-{number}"));
        fs::write(name, crate::harness::prose(number, 3000)).unwrap();
    }
    let (_directory, path) = mksquashfs(source.path(), &["-comp", "gzip", "-nopad"]);
    let bytes = fs::read(path).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("flipped.sqsh");
    let mut random = fastrand::Rng::with_seed(1);
    let mut found = 0;
    for _ in 0..200 {
        let mut flipped = bytes.clone();
        flipped[random.usize(..bytes.len())] ^= 1 << random.u8(..8);
        fs::write(&path, &flipped).unwrap();
        found += u64::from(image::read_through(&path).is_err());
    }
    // Checksums of zlib are over what it holds; little of an archive is not.
    assert!(found > 150, "{found}");
}
