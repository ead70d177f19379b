//! Many threads at once.

use std::{
    collections::HashMap,
    fs, io,
    path::Path,
    sync::{Arc, Barrier, Mutex},
    thread,
};

use squashfs::reader::{Archive, FileSource, Options, ReadAt};

use crate::{
    foreign::{mksquashfs, tree},
    harness::*,
    view::view,
};

/// Counts how often each place was read.
struct Counting {
    inner: FileSource,
    reads: Mutex<HashMap<u64, u64>>,
}

impl Counting {
    fn open(path: &Path) -> Arc<Self> {
        Arc::new(Self {
            inner: FileSource::open(path).unwrap(),
            reads: Mutex::default(),
        })
    }
}

impl ReadAt for Counting {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        *self.reads.lock().unwrap().entry(offset).or_default() += 1;
        self.inner.read_exact_at(buffer, offset)
    }
}

#[test]
fn all_threads_see_the_same() {
    let source = tree();
    let (_directory, path) = mksquashfs(source.path(), &["-comp", "lz4"]);
    // So little memory that blocks come and go.
    let options = Options {
        cache_bytes: 2 << 20,
        preload_bytes: 0,
    };
    let archive = Archive::open(Arc::new(FileSource::open(&path).unwrap()), &options).unwrap();
    let expected = view(&archive);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| assert_same(&expected, &view(&archive)));
        }
    });
}

#[test]
fn a_block_is_decoded_once() {
    let source = tempfile::tempdir().unwrap();
    let content = prose(1, 3_000_000);
    fs::write(source.path().join("file"), &content).unwrap();
    for number in 0..200 {
        let name = source.path().join(format!("small-{number}"));
        fs::write(name, prose(number, 2000)).unwrap();
    }
    let (_directory, path) = mksquashfs(source.path(), &["-comp", "zstd"]);
    let counting = Counting::open(&path);
    let archive = Archive::open(counting.clone(), &Options::default()).unwrap();
    let file = archive.lookup(archive.root(), b"file").unwrap().unwrap();
    let threads = 8;
    let barrier = Barrier::new(threads);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                barrier.wait();
                // In pieces much smaller than a block.
                let mut buffer = vec![0; 10_000];
                for (number, piece) in content.chunks(buffer.len()).enumerate() {
                    let offset = (number * 10_000) as u64;
                    let length = archive.read(file, offset, &mut buffer).unwrap();
                    assert!(&buffer[..length] == piece);
                }
                for number in 0..200 {
                    let name = format!("small-{number}");
                    let small = archive.lookup(archive.root(), name.as_bytes());
                    let small = small.unwrap().unwrap();
                    let length = archive.read(small, 0, &mut buffer).unwrap();
                    assert!(buffer[..length] == prose(number, 2000));
                }
            });
        }
    });
    let reads = counting.reads.lock().unwrap();
    assert!(reads.len() > 20, "blocks were read: {reads:?}");
    assert!(reads.values().all(|&times| times == 1), "{reads:?}");
}

#[test]
fn a_read_that_failed_may_be_tried_again() {
    struct Flaky(Vec<u8>, Mutex<bool>);
    impl ReadAt for Flaky {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }
        fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
            if *self.1.lock().unwrap() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.0.read_exact_at(buffer, offset)
        }
    }
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("file"), prose(1, 300_000)).unwrap();
    let (_directory, path) = mksquashfs(source.path(), &[]);
    let flaky = Arc::new(Flaky(fs::read(path).unwrap(), Mutex::new(false)));
    let archive = Archive::open(flaky.clone(), &Options::default()).unwrap();
    let file = archive.lookup(archive.root(), b"file").unwrap().unwrap();
    let mut buffer = vec![0; 1000];
    *flaky.1.lock().unwrap() = true;
    for _ in 0..2 {
        let error = archive.read(file, 0, &mut buffer).unwrap_err();
        assert!(error.to_string().contains("cannot read"), "{error}");
    }
    *flaky.1.lock().unwrap() = false;
    assert_eq!(archive.read(file, 0, &mut buffer).unwrap(), 1000);
    assert!(buffer == prose(1, 1000));
}
