//! Large directories, deep trees, long files.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::fs::FileType;
use squashfs::format::compressor::Compressor;
use squashfs::reader::{self, FileSource, ReadAt};

use crate::{foreign::mksquashfs, harness::*, view::*, zoo::node};

/// Counts reads.
struct Counting {
    inner: FileSource,
    reads: AtomicU64,
}

impl ReadAt for Counting {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.inner.read_exact_at(buffer, offset)
    }
}

#[test]
fn names_of_a_directory_of_100_000_are_found_at_once() {
    const ENTRIES: u64 = 100_000;
    let source = tempfile::tempdir().unwrap();
    for number in 0..ENTRIES {
        let name = source.path().join(format!("file-{number:06}"));
        node(&name, FileType::RegularFile, 0o644, 0);
    }
    let ours = Archive::of(source.path(), &options(Compressor::Zstd, 4096));
    let (_directory, theirs) = mksquashfs(source.path(), &["-comp", "lz4", "-no-duplicates"]);
    for path in [&ours.path, &theirs] {
        let counting = Arc::new(Counting {
            inner: FileSource::open(path).unwrap(),
            reads: AtomicU64::new(0),
        });
        let no_memory = reader::Options {
            cache_bytes: 0,
            preload_bytes: 0,
        };
        let archive = reader::Archive::open(counting.clone(), &no_memory).unwrap();
        let root = archive.root();
        let reads_of = |work: &dyn Fn()| {
            let before = counting.reads.load(Ordering::Relaxed);
            work();
            counting.reads.load(Ordering::Relaxed) - before
        };
        // The inode and its index of some 300 entries, and the listing.
        let most = 8;
        for number in (0..ENTRIES).step_by(997) {
            let name = format!("file-{number:06}");
            let reads = reads_of(&|| {
                let found = archive.lookup(root, name.as_bytes()).unwrap();
                assert!(found.is_some(), "{name}");
            });
            assert!(reads <= most, "{reads} reads for {name}");
            let missing = format!("file-{number:06}x");
            assert_eq!(archive.lookup(root, missing.as_bytes()).unwrap(), None);
        }
        for missing in ["", "a", "file-", "z", "file-999999"] {
            assert_eq!(archive.lookup(root, missing.as_bytes()).unwrap(), None);
        }

        let all = names(&open(path), root);
        assert_eq!(all.len() as u64, ENTRIES);
        assert!(all.is_sorted_by(|(a, _), (b, _)| a < b));
        assert_eq!(all[77_777].0, b"file-077777");

        // Going on at a place is as quick as finding a name.
        let mut entries = archive.read_dir(root, 0).unwrap();
        let mut places = Vec::new();
        while let Some(entry) = entries.next_entry().unwrap() {
            places.push(entry.next);
        }
        for number in (0..ENTRIES as usize - 1).step_by(9973) {
            let reads = reads_of(&|| {
                let mut entries = archive.read_dir(root, places[number]).unwrap();
                let entry = entries.next_entry().unwrap().unwrap();
                assert_eq!(entry.name, all[number + 1].0);
                assert_eq!(entry.inode, all[number + 1].1);
            });
            assert!(reads <= most, "{reads} reads to go on");
        }
        let mut rest = archive.read_dir(root, *places.last().unwrap()).unwrap();
        assert!(rest.next_entry().unwrap().is_none());
    }
}

#[test]
fn a_thousand_levels() {
    let source = tempfile::tempdir().unwrap();
    let deep: PathBuf = (0..1000).map(|_| "d").collect();
    fs::create_dir_all(source.path().join(&deep)).unwrap();
    fs::write(source.path().join(&deep).join("file"), "at the bottom").unwrap();
    let archive = Archive::of(source.path(), &options(Compressor::Zstd, 4096));
    assert_same(&snapshot(source.path()), &view(&open(&archive.path)));
}

#[test]
fn any_place_of_a_long_file_with_holes() {
    const LENGTH: u64 = 40_000_000;
    let source = tempfile::tempdir().unwrap();
    let path = source.path().join("file");
    let file = File::create(&path).unwrap();
    file.set_len(LENGTH).unwrap();
    // 10,000 blocks, mostly holes, so that some are far from any landmark.
    for start in (0..LENGTH).step_by(1_700_000) {
        let data = if start % 3 == 0 {
            noise(start, 50_000)
        } else {
            prose(start, 300_000)
        };
        let length = data.len().min((LENGTH - start) as usize);
        file.write_all_at(&data[..length], start).unwrap();
    }
    let content = fs::read(&path).unwrap();
    let ours = Archive::of(source.path(), &options(Compressor::Lz4, 4096));
    let (_directory, theirs) = mksquashfs(source.path(), &["-b", "4096"]);
    for path in [&ours.path, &theirs] {
        let archive = open(path);
        let file = archive.lookup(archive.root(), b"file").unwrap().unwrap();
        let mut random = fastrand::Rng::with_seed(7);
        let mut buffer = vec![0; 70_000];
        for _ in 0..400 {
            let offset = random.u64(..LENGTH + 10);
            let length = random.usize(..buffer.len());
            let read = archive.read(file, offset, &mut buffer[..length]).unwrap();
            let start = offset.min(LENGTH) as usize;
            let end = (start + length).min(LENGTH as usize);
            assert!(buffer[..read] == content[start..end], "{offset} {length}");
        }

        // What is said to be a hole is zero, and there are holes.
        let mut at = 0;
        let mut holes = 0;
        while let Some(data) = archive.seek_data(file, at).unwrap() {
            assert!(content[at as usize..data as usize].iter().all(|&b| b == 0));
            holes += data - at;
            at = archive.seek_hole(file, data).unwrap().unwrap();
            assert!(at > data);
        }
        assert!(content[at as usize..].iter().all(|&b| b == 0));
        assert!(holes > LENGTH / 2, "{holes}");
        assert_eq!(archive.seek_data(file, LENGTH).unwrap(), None);
        assert_eq!(archive.seek_hole(file, LENGTH).unwrap(), None);
        assert_eq!(archive.seek_data(file, u64::MAX).unwrap(), None);
    }
}
