//! Trees of unusual shape, and properties of archives as a whole.

use std::{
    fs::{self, File},
    io,
    os::{fd::AsFd, unix::fs::FileExt},
    path::Path,
};

use rustix::fs::{Mode, OFlags, openat};
use squashfs::{
    format::compressor::Compressor,
    writer::{self, Control, FileSink, Options, Sink, WriteError},
};

use crate::harness::*;

/// Keeps everything, or fails.
#[derive(Default)]
struct Memory {
    bytes: Vec<u8>,
    fail_after: Option<usize>,
    cancel: Option<&'static Control>,
    finished: bool,
}

impl Sink for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        assert!(!self.finished);
        if self.bytes.is_empty() {
            self.bytes.resize(96, 0);
        }
        self.bytes.extend_from_slice(bytes);
        if let Some(control) = self.cancel {
            control.cancel();
        }
        match self.fail_after {
            Some(most) if self.bytes.len() > most => Err(io::ErrorKind::ConnectionReset.into()),
            _ => Ok(()),
        }
    }

    fn finish(&mut self, superblock: &[u8; 96]) -> io::Result<()> {
        self.bytes[..96].copy_from_slice(superblock);
        self.finished = true;
        Ok(())
    }
}

fn bytes_of(directory: &Path, options: &Options) -> Vec<u8> {
    let mut sink = Memory::default();
    let tree = tree_of(directory);
    let control = Control::default();
    let summary = writer::write(&tree, options, &control, &mut sink).unwrap();
    assert_eq!(summary.size, sink.bytes.len() as u64);
    sink.bytes
}

/// Small files, large ones, and some of each more than once.
fn mixed(root: &Path) {
    for directory in 0..20 {
        let path = root.join(format!("d{directory}"));
        fs::create_dir(&path).unwrap();
        for file in 0..60u64 {
            let length = (file * file * 7) as usize % 9000;
            fs::write(path.join(format!("f{file}")), prose(file, length)).unwrap();
        }
        let seed = directory % 7;
        fs::write(path.join("large"), noise(seed, 700_000)).unwrap();
        fs::write(path.join("text"), prose(directory, 400_000)).unwrap();
    }
}

#[test]
fn neither_threads_nor_memory_show() {
    let source = tempfile::tempdir().unwrap();
    mixed(source.path());
    for format in [Compressor::Lz4, Compressor::Zstd, Compressor::Gzip] {
        let with = |threads, in_flight| {
            let mut options = options(format, 128 << 10);
            options.threads = Some(threads);
            options.in_flight = in_flight;
            options.pack_tails = true;
            bytes_of(source.path(), &options)
        };
        let one = with(1, None);
        assert!(one == with(2, None));
        assert!(one == with(8, None));
        // So little that one thing is done after the other.
        assert!(one == with(2, Some(1)));
        assert!(one == with(8, Some(1 << 20)));
    }
}

#[test]
fn equal_content_is_stored_once() {
    let source = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| fs::write(source.path().join(name), content).unwrap();
    write("small", &noise(1, 50_000));
    write("large", &noise(2, 3_000_000));
    // As long and with the same start as another, but not the same.
    let mut other = noise(2, 3_000_000);
    other[2_999_999] ^= 1;
    write("different", &other);
    write("very-different", &noise(3, 3_000_000));
    let before = Archive::of(source.path(), &Options::default()).summary;
    assert_eq!(before.duplicates, 0);

    for copy in ["copy", "a-copy", "zzz"] {
        for original in ["small", "large"] {
            let content = fs::read(source.path().join(original)).unwrap();
            write(&format!("{copy}-of-{original}"), &content);
        }
    }
    let archive = assert_round_trip(source.path(), &Options::default());
    assert_eq!(archive.summary.duplicates, 6);
    let grown = archive.summary.size - before.size;
    assert!(grown <= 4096, "{grown}");
}

#[test]
fn what_cannot_be_compressed_takes_no_more_room() {
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("noise"), noise(1, 10 << 20)).unwrap();
    for format in [Compressor::Lz4, Compressor::Zstd, Compressor::Gzip] {
        let archive = assert_round_trip(source.path(), &options(format, 128 << 10));
        assert!(archive.summary.size <= (10 << 20) + 4096);
    }
}

#[test]
fn a_directory_may_have_100_000_entries() {
    const COUNT: usize = 100_000;
    let source = tempfile::tempdir().unwrap();
    let large = source.path().join("large");
    fs::create_dir(&large).unwrap();
    for number in 0..COUNT {
        let name = format!("{}-{number}", ["entry", "e", "another-name"][number % 3]);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            large.join(name),
            rustix::fs::FileType::RegularFile,
            Mode::from(0o644),
            0,
        )
        .unwrap();
    }
    fs::write(large.join("entry-99999x"), "found").unwrap();
    let archive = Archive::of(source.path(), &options(Compressor::Lz4, 128 << 10));
    assert_eq!(archive.summary.counts.files, COUNT as u64 + 1);
    let mounted = archive.mount();
    let large = mounted.path().join("large");
    assert_eq!(fs::read_dir(&large).unwrap().count(), COUNT + 1);
    // Looking names up goes by the index, not by reading on from the start.
    for number in (0..COUNT).step_by(37) {
        let name = format!("{}-{number}", ["entry", "e", "another-name"][number % 3]);
        assert!(large.join(&name).symlink_metadata().is_ok(), "{name}");
    }
    assert!(large.join("entry-100000").symlink_metadata().is_err());
    assert_eq!(fs::read(large.join("entry-99999x")).unwrap(), b"found");
}

#[test]
fn names_as_long_as_they_get_fill_a_directory() {
    let source = tempfile::tempdir().unwrap();
    for number in 0..2000 {
        let name = format!("{number:0>255}");
        fs::write(source.path().join(name), "").unwrap();
    }
    assert_round_trip(source.path(), &Options::default());
}

#[test]
fn directories_may_be_1000_levels_deep() {
    let source = tempfile::tempdir().unwrap();
    // Names long enough that no single path could name the deepest directory.
    let name = "level".repeat(6);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let open = |path: &Path| openat(rustix::fs::CWD, path, flags, Mode::empty()).unwrap();
    let mut at = open(source.path());
    for _ in 0..1000 {
        rustix::fs::mkdirat(&at, name.as_str(), Mode::from(0o755)).unwrap();
        at = openat(&at, name.as_str(), flags, Mode::empty()).unwrap();
    }
    let leaf = openat(
        &at,
        "leaf",
        OFlags::CREATE | OFlags::WRONLY,
        Mode::from(0o600),
    )
    .unwrap();
    File::from(leaf).write_all_at(b"deep", 0).unwrap();

    let archive = Archive::of(source.path(), &Options::default());
    assert_eq!(archive.summary.counts.directories, 1001);
    assert!(archive.summary.report.changes.is_empty());
    let mounted = archive.mount();
    let mut at = open(mounted.path());
    for _ in 0..1000 {
        at = openat(&at, name.as_str(), flags, Mode::empty()).unwrap();
    }
    let leaf = openat(at.as_fd(), "leaf", OFlags::RDONLY, Mode::empty()).unwrap();
    let mut content = [0; 5];
    let length = File::from(leaf).read_at(&mut content, 0).unwrap();
    assert_eq!(&content[..length], b"deep");
}

#[test]
fn an_empty_directory_is_an_archive() {
    let source = tempfile::tempdir().unwrap();
    let archive = assert_round_trip(source.path(), &Options::default());
    assert_eq!(archive.summary.size, 4096);
}

#[test]
fn data_may_start_where_other_data_ends() {
    const START: u64 = 5 << 30;
    let source = tempfile::tempdir().unwrap();
    mixed(source.path());
    let target = tempfile::NamedTempFile::new().unwrap();
    let options = Options {
        data_start: Some(START),
        ..Options::default()
    };
    let mut sink = FileSink::new(target.reopen().unwrap());
    let tree = tree_of(source.path());
    let control = Control::default();
    let summary = writer::write(&tree, &options, &control, &mut sink).unwrap();
    assert!(summary.size > START);

    let mounted = mount_file(target.path());
    assert_same(&snapshot(source.path()), &snapshot(mounted.path()));
}

#[test]
fn a_sink_that_fails_ends_it() {
    let source = tempfile::tempdir().unwrap();
    mixed(source.path());
    for fail_after in [0, 200_000] {
        let mut sink = Memory {
            fail_after: Some(fail_after),
            ..Memory::default()
        };
        let tree = tree_of(source.path());
        let result = writer::write(&tree, &Options::default(), &Control::default(), &mut sink);
        assert!(matches!(result, Err(WriteError::Sink(_))), "{result:?}");
        assert!(!sink.finished);
    }
}

#[test]
fn cancelling_ends_it() {
    let source = tempfile::tempdir().unwrap();
    mixed(source.path());
    let control: &'static Control = Box::leak(Box::default());
    let mut sink = Memory {
        cancel: Some(control),
        ..Memory::default()
    };
    let tree = tree_of(source.path());
    let result = writer::write(&tree, &Options::default(), control, &mut sink);
    assert!(matches!(result, Err(WriteError::Cancelled)), "{result:?}");
    assert!(!sink.finished);
}

#[test]
fn a_slow_sink_holds_the_readers_back() {
    const SIZE: usize = 64 << 20;
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("noise"), noise(1, SIZE)).unwrap();

    /// Notes how far reading is ahead of writing.
    struct Slow<'a> {
        control: &'a Control,
        written: u64,
        most_ahead: u64,
    }
    impl Sink for Slow<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
            use std::sync::atomic::Ordering;
            let read = self.control.read_bytes.load(Ordering::Relaxed);
            self.most_ahead = self.most_ahead.max(read.saturating_sub(self.written));
            self.written += bytes.len() as u64;
            Ok(())
        }
        fn finish(&mut self, _: &[u8; 96]) -> io::Result<()> {
            Ok(())
        }
    }
    let control = Control::default();
    let mut sink = Slow {
        control: &control,
        written: 0,
        most_ahead: 0,
    };
    let tree = tree_of(source.path());
    writer::write(
        &tree,
        &options(Compressor::Lz4, 128 << 10),
        &control,
        &mut sink,
    )
    .unwrap();
    assert!(sink.most_ahead <= 16 << 20, "{}", sink.most_ahead);
    assert!(sink.written >= SIZE as u64);
}

#[test]
fn block_sizes_that_no_reader_takes_are_refused() {
    let source = tempfile::tempdir().unwrap();
    for block_size in [0, 2048, 5000, 2 << 20] {
        let result = writer::write(
            &tree_of(source.path()),
            &options(Compressor::Lz4, block_size),
            &Control::default(),
            &mut Memory::default(),
        );
        assert!(
            matches!(result, Err(WriteError::Options(_))),
            "{block_size}"
        );
    }
}
