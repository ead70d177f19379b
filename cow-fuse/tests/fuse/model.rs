//! Random sequences of operations, done in a mounted archive and in a plain
//! directory: every answer has to be the same, and the trees in the end.
//!
//! Names are few, so that operations meet; the tree that is archived is the work
//! of such a sequence, too. Times are compared as far as they are set or left
//! alone; "now" is "now".

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::Command,
};

use proptest::prelude::*;
use rustix::{
    fs::{AtFlags, CWD, FallocateFlags, FileType, Gid, Mode, RenameFlags, Uid, XattrFlags},
    io::Errno,
};
use squashfs::writer;

use crate::{
    harness::{self, Snapshot, assert_same, mount_file, noise, set_times, snapshot},
    mounts::{self, Cow, Overlay, View},
};

/// 2001: before all tests.
const LONG_AGO: i64 = 1_000_000_000;

#[derive(Clone, Debug)]
enum Operation {
    Create(PathBuf),
    Write(PathBuf, u64, Vec<u8>),
    Append(PathBuf, Vec<u8>),
    Truncate(PathBuf, u64),
    Allocate(PathBuf, u32, u64, u64),
    CopyRange(PathBuf, PathBuf, u64, u64, usize),
    Rename(PathBuf, PathBuf, u32),
    Link(PathBuf, PathBuf),
    Unlink(PathBuf),
    Mkdir(PathBuf, u32),
    Rmdir(PathBuf),
    Symlink(String, PathBuf),
    Fifo(PathBuf),
    Chmod(PathBuf, u32),
    Chown(PathBuf, Option<u32>, Option<u32>),
    SetTimes(PathBuf, i64),
    SetXattr(PathBuf, String, Vec<u8>, u32),
    RemoveXattr(PathBuf, String),
    List(PathBuf),
    Stat(PathBuf),
    Read(PathBuf),
    Open(usize, PathBuf),
    WriteOpen(usize, u64, Vec<u8>),
    ReadOpen(usize),
    TruncateOpen(usize, u64),
    Close(usize),
    RemoveAll(PathBuf),
    Remount,
    Kill,
}

fn path() -> impl Strategy<Value = PathBuf> {
    let name = prop::sample::select(vec!["a", "b", "c", "d é"]);
    prop::collection::vec(name, 1..4).prop_map(|names| names.iter().collect())
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![4 => 0usize..300, 2 => 3000usize..9000, 1 => 130_000usize..300_000];
    (any::<u64>(), length).prop_map(|(seed, length)| noise(seed, length))
}

fn place() -> impl Strategy<Value = u64> {
    prop_oneof![3 => 0u64..500, 2 => 3000u64..9000, 1 => 100_000u64..400_000]
}

fn xattr_name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["user.a", "user.b", "trusted.c", "nonsense", "user."])
        .prop_map(str::to_owned)
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    let how = prop::sample::select(vec![0u32, 1, 2, 3]);
    prop_oneof![
        4 => path().prop_map(Create),
        6 => (path(), place(), bytes()).prop_map(|(p, o, b)| Write(p, o, b)),
        3 => (path(), bytes()).prop_map(|(p, b)| Append(p, b)),
        3 => (path(), place()).prop_map(|(p, s)| Truncate(p, s)),
        1 => (path(), how, place(), place()).prop_map(|(p, h, o, l)| Allocate(p, h, o, l)),
        1 => (path(), path(), place(), place(), 1usize..200_000)
            .prop_map(|(a, b, c, d, l)| CopyRange(a, b, c, d, l)),
        8 => (path(), path(), prop::sample::select(vec![0u32, 0, 0, 1, 2]))
            .prop_map(|(a, b, f)| Rename(a, b, f)),
        4 => (path(), path()).prop_map(|(a, b)| Link(a, b)),
        4 => path().prop_map(Unlink),
        6 => (path(), 0..0o10000u32).prop_map(|(p, m)| Mkdir(p, m)),
        3 => path().prop_map(Rmdir),
        // Targets stay below the root: what follows them must not get out.
        2 => ("[ab][ab/]{0,18}", path()).prop_map(|(t, p)| Symlink(t, p)),
        1 => path().prop_map(Fifo),
        3 => (path(), 0..0o10000u32).prop_map(|(p, m)| Chmod(p, m)),
        // Not neither: the kernel does not tell FUSE then, though on a disk it
        // takes the set-id bits away.
        3 => (path(), 0..3000u32, 0..3000u32, 0..3)
            .prop_map(|(p, u, g, which)| Chown(p, (which != 0).then_some(u), (which != 1).then_some(g))),
        3 => (path(), -5..LONG_AGO).prop_map(|(p, t)| SetTimes(p, t)),
        3 => (path(), xattr_name(), prop::collection::vec(any::<u8>(), 0..40), 0..3u32)
            .prop_map(|(p, n, v, f)| SetXattr(p, n, v, f)),
        2 => (path(), xattr_name()).prop_map(|(p, n)| RemoveXattr(p, n)),
        2 => path().prop_map(List),
        2 => path().prop_map(Stat),
        2 => path().prop_map(Read),
        3 => (0..3usize, path()).prop_map(|(s, p)| Open(s, p)),
        3 => (0..3usize, place(), bytes()).prop_map(|(s, o, b)| WriteOpen(s, o, b)),
        2 => (0..3usize).prop_map(ReadOpen),
        1 => (0..3usize, place()).prop_map(|(s, l)| TruncateOpen(s, l)),
        1 => (0..3usize).prop_map(Close),
        1 => path().prop_map(RemoveAll),
        1 => Just(Remount),
        1 => Just(Kill),
    ]
}

/// A directory that operations are done in, and the files open there.
struct World {
    root: PathBuf,
    open: BTreeMap<usize, File>,
}

type Answer = io::Result<String>;

impl World {
    fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            open: BTreeMap::new(),
        }
    }

    fn opened(&self, slot: usize) -> io::Result<&File> {
        self.open.get(&slot).ok_or(Errno::BADF.into())
    }

    fn apply(&mut self, operation: &Operation) -> Answer {
        use Operation::*;
        let at = |path: &PathBuf| self.root.join(path);
        // Nothing here may wait for a FIFO's other end.
        let reading = || {
            let mut options = OpenOptions::new();
            options.read(true).custom_flags(libc_nonblock());
            options
        };
        let writing = || {
            let mut options = OpenOptions::new();
            options.write(true).custom_flags(libc_nonblock());
            options
        };
        let mut answer = String::new();
        match operation {
            Create(path) => drop(writing().create_new(true).open(at(path))?),
            Write(path, offset, bytes) => {
                let file = writing().create(true).truncate(false).open(at(path))?;
                file.write_all_at(bytes, *offset)?;
            }
            Append(path, bytes) => {
                let mut file = writing().append(true).open(at(path))?;
                file.write_all(bytes)?;
            }
            Truncate(path, size) => writing().open(at(path))?.set_len(*size)?,
            Allocate(path, how, offset, length) => {
                let how = match how {
                    0 => FallocateFlags::empty(),
                    1 => FallocateFlags::KEEP_SIZE,
                    2 => FallocateFlags::KEEP_SIZE | FallocateFlags::PUNCH_HOLE,
                    _ => FallocateFlags::ZERO_RANGE,
                };
                let file = writing().open(at(path))?;
                rustix::fs::fallocate(&file, how, *offset, *length)?;
            }
            CopyRange(from, to, read, written, length) => {
                let (mut read, mut written) = (*read, *written);
                let from = reading().open(at(from))?;
                let to = writing().open(at(to))?;
                let mut left = *length;
                while left > 0 {
                    let (from_at, to_at) = (Some(&mut read), Some(&mut written));
                    match rustix::fs::copy_file_range(&from, from_at, &to, to_at, left) {
                        Ok(0) => break,
                        Ok(copied) => left -= copied,
                        // An overlay's two files may be on two file systems.
                        Err(Errno::XDEV) => {
                            let mut content = vec![0; left];
                            let copied = from.read_at(&mut content, read)?;
                            to.write_all_at(&content[..copied], written)?;
                            left -= copied;
                            break;
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
                write!(answer, "{left} left").unwrap();
            }
            Rename(from, to, flags) => {
                let flags = match flags {
                    0 => RenameFlags::empty(),
                    1 => RenameFlags::NOREPLACE,
                    _ => RenameFlags::EXCHANGE,
                };
                rustix::fs::renameat_with(CWD, at(from), CWD, at(to), flags)?;
            }
            Link(from, to) => {
                rustix::fs::linkat(CWD, at(from), CWD, at(to), AtFlags::empty())?;
            }
            Unlink(path) => rustix::fs::unlinkat(CWD, at(path), AtFlags::empty())?,
            Mkdir(path, mode) => rustix::fs::mkdirat(CWD, at(path), Mode::from(*mode))?,
            Rmdir(path) => rustix::fs::unlinkat(CWD, at(path), AtFlags::REMOVEDIR)?,
            Symlink(target, path) => rustix::fs::symlinkat(target.as_str(), CWD, at(path))?,
            Fifo(path) => {
                rustix::fs::mknodat(CWD, at(path), FileType::Fifo, Mode::from(0o644), 0)?;
            }
            Chmod(path, mode) => {
                rustix::fs::chmodat(CWD, at(path), Mode::from(*mode), AtFlags::empty())?;
            }
            Chown(path, uid, gid) => {
                let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
                rustix::fs::chownat(CWD, at(path), uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
            }
            SetTimes(path, seconds) => set_times(&at(path), *seconds, 0)?,
            SetXattr(path, name, value, flags) => {
                let flags = XattrFlags::from_bits_retain(*flags);
                rustix::fs::lsetxattr(at(path), name.as_str(), value, flags)?;
            }
            RemoveXattr(path, name) => rustix::fs::lremovexattr(at(path), name.as_str())?,
            List(path) => {
                let mut names = Vec::new();
                for entry in fs::read_dir(at(path))? {
                    let entry = entry?;
                    names.push((entry.file_name(), entry.file_type()?));
                }
                names.sort_by(|(a, _), (b, _)| a.cmp(b));
                write!(answer, "{names:?}").unwrap();
            }
            Stat(path) => {
                let stat = rustix::fs::statat(CWD, at(path), AtFlags::SYMLINK_NOFOLLOW)?;
                let (mode, links) = (stat.st_mode, stat.st_nlink);
                write!(answer, "{mode:o} {links} {}:{}", stat.st_uid, stat.st_gid).unwrap();
            }
            Read(path) => {
                let mut content = Vec::new();
                reading().open(at(path))?.read_to_end(&mut content)?;
                write!(answer, "{} {}", content.len(), blake3(&content)).unwrap();
            }
            Open(slot, path) => {
                let file = reading().write(true).open(at(path))?;
                self.open.insert(*slot, file);
            }
            WriteOpen(slot, offset, bytes) => self.opened(*slot)?.write_all_at(bytes, *offset)?,
            ReadOpen(slot) => {
                let file = self.opened(*slot)?;
                let stat = rustix::fs::fstat(file)?;
                let mut content = vec![0; 1 << 20];
                let length = file.read_at(&mut content, 0)?;
                let content = &content[..length];
                let links = stat.st_nlink;
                write!(answer, "{links} {} {}", stat.st_size, blake3(content)).unwrap();
            }
            TruncateOpen(slot, size) => self.opened(*slot)?.set_len(*size)?,
            Close(slot) => drop(self.open.remove(slot)),
            RemoveAll(path) => fs::remove_dir_all(at(path))?,
            Remount | Kill => {}
        }
        Ok(answer)
    }
}

fn libc_nonblock() -> i32 {
    rustix::fs::OFlags::NONBLOCK.bits().cast_signed()
}

fn blake3(content: &[u8]) -> String {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    hasher.write(content);
    format!("{:x}", hasher.finish())
}

/// A tree without the differences between one "now" and another.
fn described(root: &Path) -> Snapshot {
    let mut tree = snapshot(root);
    for facts in tree.values_mut() {
        if facts.mtime > LONG_AGO {
            facts.mtime = i64::MAX;
        }
        // A write into a FIFO never reaches the file system, and Linux updates
        // its time for those on disks only.
        if facts.file_type == 'p' {
            facts.mtime = 0;
        }
    }
    tree
}

/// The work of a sequence, made to look old.
fn lower(operations: &[Operation]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut world = World::new(directory.path());
    for operation in operations {
        let _ = world.apply(operation);
    }
    let mut paths: Vec<_> = snapshot(directory.path()).into_keys().collect();
    // What is inside first: setting those times does not change that of the
    // directory, but reading it may.
    paths.reverse();
    for path in paths {
        set_times(&directory.path().join(path), LONG_AGO - 1, 0).unwrap();
    }
    directory
}

fn copy_of(directory: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    let mut from = directory.to_owned();
    from.push(".");
    harness::run(Command::new("cp").arg("-a").args([&from, copy.path()]));
    copy
}

fn assert_answers(operation: &Operation, expected: &Answer, found: &Answer) {
    let errno = |error: &io::Error| Errno::from_io_error(error);
    let same = match (expected, found) {
        (Ok(expected), Ok(found)) => expected == found,
        (Err(expected), Err(found)) => errno(expected) == errno(found),
        _ => false,
    };
    assert!(
        same,
        "{operation:.200?}: expected {expected:?}, found {found:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        max_shrink_iters: 400,
        ..ProptestConfig::default()
    })]

    #[test]
    fn copy_on_write_is_like_a_disk(
        before in prop::collection::vec(operation(), 0..60),
        operations in prop::collection::vec(operation(), 1..120),
    ) {
        let original = lower(&before);
        let reference = copy_of(original.path());
        let mut expected = World::new(reference.path());
        let mut cow = Cow::of(mounts::archive_of(original.path()));
        let mut found = World::new(cow.path());
        for operation in &operations {
            match operation {
                Operation::Remount => {
                    expected.open.clear();
                    found.open.clear();
                    cow.remount();
                }
                Operation::Kill => {
                    let after = cow.as_if_killed();
                    assert_same(&described(reference.path()), &described(&after.path()));
                }
                operation => {
                    let answer = found.apply(operation);
                    assert_answers(operation, &expected.apply(operation), &answer);
                }
            }
        }
        assert_same(&described(reference.path()), &described(&cow.path()));
        expected.open.clear();
        found.open.clear();
        cow.remount();
        assert_same(&described(reference.path()), &described(&cow.path()));
        prop_assert_eq!(
            described(&cow.path()).values().filter(|facts| facts.file_type == 'f').count() >= cow.copies(),
            true,
            "files without a node are left in the upper directory"
        );
    }

    #[test]
    fn overlays_over_an_archive_are_like_one_over_its_source(
        before in prop::collection::vec(operation(), 0..40),
        operations in prop::collection::vec(operation(), 1..80),
    ) {
        let original = lower(&before);
        // Squashfs without any has other errors for those that are asked for.
        rustix::fs::lsetxattr(original.path(), "user.top", b"x", XattrFlags::empty()).unwrap();
        let file = harness::Archive::of(original.path(), &writer::Options::default());
        let squashfs = mount_file(&file.path);
        let plain = Overlay::over(original.path());
        let ours = [
            Overlay::of(mounts::archive_of(original.path())),
            Overlay::over(squashfs.path()),
        ];
        let mut expected = World::new(plain.path());
        let mut found = ours.each_ref().map(|overlay| World::new(overlay.path()));
        for operation in &operations {
            let answer = expected.apply(operation);
            for world in &mut found {
                assert_answers(operation, &answer, &world.apply(operation));
            }
        }
        for overlay in &ours {
            assert_same(&described(&plain.path()), &described(&overlay.path()));
        }
    }

    #[test]
    fn a_view_is_like_its_source(
        operations in prop::collection::vec(operation(), 0..100),
    ) {
        let original = lower(&operations);
        let view = View::of(mounts::archive_of(original.path()));
        assert_same(&snapshot(original.path()), &snapshot(view.path()));
        let overlay = Overlay::of(mounts::archive_of(original.path()));
        let merged = |root: &Path| {
            let mut tree = snapshot(root);
            // The top shows the upper directory's attributes, and overlayfs does
            // not count the links of directories.
            tree.remove(Path::new(""));
            let directories = tree.values_mut().filter(|facts| facts.file_type == 'd');
            directories.for_each(|facts| facts.links = 0);
            tree
        };
        assert_same(&merged(original.path()), &merged(&overlay.path()));
    }
}
