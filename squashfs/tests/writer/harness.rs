//! Making archives, mounting them, and describing directory trees so that two
//! can be compared entry by entry.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    fs::{self, File},
    io::Read,
    os::{
        fd::AsFd,
        unix::{
            ffi::{OsStrExt, OsStringExt},
            fs::{FileTypeExt, MetadataExt},
        },
    },
    path::{Path, PathBuf},
    process::Command,
};

use rustix::{
    fs::{
        AtFlags, CWD, Dir, FileType, Timespec, Timestamps, fstat, lgetxattr, llistxattr,
        readlinkat, statat, utimensat,
    },
    io::Errno,
};
use squashfs::{
    format::compressor::Compressor,
    source::{Source, read_xattrs, read_xattrs_of_entry},
    tree::{Builder, Tree},
    writer::{self, Control, FileSink, Options, Summary},
};
use tempfile::TempDir;

/// Everything that is in a directory.
pub(crate) fn tree_of(directory: &Path) -> Tree {
    let source = Source::open(directory).unwrap();
    let about = fstat(source.root()).unwrap();
    let (mut tree, root) = Builder::new(source, &about).unwrap();
    let mut links = HashMap::new();
    let mut pending = vec![root];
    while let Some(directory) = pending.pop() {
        let handle = tree.source().open_directory(&tree.path(&directory));
        let handle = handle.unwrap();
        let xattrs = read_xattrs(handle.as_fd()).unwrap();
        tree.set_attributes(&directory, &fstat(&handle).unwrap(), xattrs);
        tree.begin_directory(&directory);
        let entries = Dir::read_from(&handle).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().to_bytes().to_vec())
            .filter(|name| name != b"." && name != b"..")
            .collect();
        names.sort();
        let below = pending.len();
        for name in &names {
            let name = name.as_slice();
            let about = statat(&handle, name, AtFlags::SYMLINK_NOFOLLOW).unwrap();
            let inode = (about.st_dev, about.st_ino);
            if let Some(&file) = links.get(&inode) {
                tree.add_link(name, file).unwrap();
                continue;
            }
            let xattrs = || read_xattrs_of_entry(handle.as_fd(), name).unwrap();
            let file = match FileType::from_raw_mode(about.st_mode) {
                FileType::Directory => {
                    pending.push(tree.add_directory(name, &about).unwrap());
                    continue;
                }
                FileType::RegularFile => tree.add_file(name, &about),
                FileType::Symlink => {
                    let target = readlinkat(&handle, name, Vec::new()).unwrap();
                    tree.add_symlink(name, target.as_bytes(), &about, xattrs())
                }
                _ => tree.add_special(name, &about, xattrs()),
            };
            links.insert(inode, file.unwrap());
        }
        pending[below..].reverse();
    }
    tree.finish()
}

pub(crate) fn options(compressor: Compressor, block_size: u32) -> Options {
    Options {
        compressor,
        block_size,
        threads: Some(2),
        ..Options::default()
    }
}

/// An archive in a file of its own.
pub(crate) struct Archive {
    pub(crate) path: PathBuf,
    pub(crate) summary: Summary,
    _directory: TempDir,
}

impl Archive {
    pub(crate) fn of(directory: &Path, options: &Options) -> Self {
        Self::of_tree(&tree_of(directory), options)
    }

    pub(crate) fn of_tree(tree: &Tree, options: &Options) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("archive.sqsh");
        let mut sink = FileSink::new(File::create(&path).unwrap());
        let summary = writer::write(tree, options, &Control::default(), &mut sink).unwrap();
        assert_eq!(summary.size, fs::metadata(&path).unwrap().len());
        Self {
            path,
            summary,
            _directory: directory,
        }
    }

    /// Mounts it with Linux's own driver.
    pub(crate) fn mount(&self) -> Mounted {
        mount_file(&self.path)
    }

    /// Mounts it with squashfuse.
    pub(crate) fn mount_fuse(&self) -> Mounted {
        let directory = tempfile::tempdir().unwrap();
        run(Command::new("squashfuse")
            .arg(&self.path)
            .arg(directory.path()));
        Mounted(Some(directory))
    }

    /// Unpacks it with unsquashfs.
    pub(crate) fn unpack(&self) -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        let mut unsquashfs = Command::new("unsquashfs");
        unsquashfs.args(["-quiet", "-no-progress", "-dest"]);
        run(unsquashfs
            .arg(directory.path().join("unpacked"))
            .arg(&self.path));
        directory
    }
}

/// Sets access and modification time, of a symbolic link itself.
pub(crate) fn set_times(path: &Path, tv_sec: i64, tv_nsec: i64) -> Result<(), Errno> {
    let time = Timespec { tv_sec, tv_nsec };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)
}

/// Mounts an archive with Linux's own driver.
pub(crate) fn mount_file(archive: &Path) -> Mounted {
    let directory = tempfile::tempdir().unwrap();
    let mut mount = Command::new("mount");
    mount.args(["-t", "squashfs", "-o", "loop,ro"]);
    run(mount.arg(archive).arg(directory.path()));
    Mounted(Some(directory))
}

/// A mounted archive; unmounted at the end.
pub(crate) struct Mounted(Option<TempDir>);

impl Mounted {
    pub(crate) fn path(&self) -> &Path {
        self.0.as_ref().unwrap().path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let directory = self.0.take().unwrap();
        let unmounted = Command::new("umount").arg(directory.path()).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            // Better a stray directory than a recursive removal through a mount.
            let _ = directory.keep();
        }
    }
}

/// Runs a program that has to succeed. Mounting needs root, loop devices and
/// squashfs in the kernel; without them these tests fail, and say so.
pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?}: {error}");
    });
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Everything about an entry that an archive has to keep.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) file_type: char,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: i64,
    pub(crate) links: u64,
    pub(crate) size: u64,
    pub(crate) device: u64,
    pub(crate) content: Vec<u8>,
    pub(crate) xattrs: BTreeMap<OsString, Vec<u8>>,
    /// Other names of the same file.
    pub(crate) twins: Vec<PathBuf>,
}

impl std::fmt::Debug for Facts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            file_type,
            mode,
            uid,
            gid,
            mtime,
            links,
            size,
            device,
            content,
            xattrs,
            twins,
        } = self;
        let start = String::from_utf8_lossy(&content[..content.len().min(40)]);
        write!(
            f,
            "{file_type} {mode:o} {uid}:{gid} @{mtime} ×{links} {size} B dev {device:x} \
             {start:?}… {xattrs:?} = {twins:?}"
        )
    }
}

pub(crate) type Snapshot = BTreeMap<PathBuf, Facts>;

/// Describes a tree, its root included.
pub(crate) fn snapshot(root: &Path) -> Snapshot {
    let mut entries = Snapshot::new();
    let mut names: BTreeMap<(u64, u64), Vec<PathBuf>> = BTreeMap::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(relative) = pending.pop() {
        let path = root.join(&relative);
        let metadata = fs::symlink_metadata(&path).unwrap();
        let kind = metadata.file_type();
        let mut content = Vec::new();
        let file_type = if kind.is_dir() {
            for entry in fs::read_dir(&path).unwrap() {
                pending.push(relative.join(entry.unwrap().file_name()));
            }
            'd'
        } else if kind.is_symlink() {
            content = fs::read_link(&path).unwrap().into_os_string().into_vec();
            'l'
        } else if kind.is_file() {
            File::open(&path)
                .and_then(|mut file| file.read_to_end(&mut content))
                .unwrap();
            'f'
        } else if kind.is_fifo() {
            'p'
        } else if kind.is_socket() {
            's'
        } else if kind.is_block_device() {
            'b'
        } else {
            'c'
        };
        if file_type != 'd' {
            let inode = (metadata.dev(), metadata.ino());
            names.entry(inode).or_default().push(relative.clone());
        }
        let facts = Facts {
            file_type,
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            gid: metadata.gid(),
            mtime: metadata.mtime(),
            links: metadata.nlink(),
            size: if kind.is_dir() { 0 } else { metadata.size() },
            device: metadata.rdev(),
            content,
            xattrs: xattrs(&path),
            twins: Vec::new(),
        };
        entries.insert(relative, facts);
    }
    for mut twins in names.into_values().filter(|twins| twins.len() > 1) {
        twins.sort();
        for twin in &twins {
            entries.get_mut(twin).unwrap().twins.clone_from(&twins);
        }
    }
    entries
}

fn xattrs(path: &Path) -> BTreeMap<OsString, Vec<u8>> {
    let mut names = vec![0; 65536];
    let length = match llistxattr(path, &mut names[..]) {
        // An archive without any.
        Err(Errno::NOTSUP) => 0,
        length => length.unwrap(),
    };
    let value = |name: &[u8]| {
        let mut value = vec![0; 65536];
        match lgetxattr(path, name, &mut value[..]) {
            // Listed and yet not there: the comparison will miss it.
            Err(Errno::NODATA) => return None,
            length => value.truncate(length.unwrap()),
        }
        Some((OsString::from_vec(name.to_vec()), value))
    };
    names[..length]
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
        .filter_map(value)
        .collect()
}

/// What the archive of a tree has to look like: times that do not fit are
/// clamped, and ACLs have another name.
pub(crate) fn archived(mut source: Snapshot) -> Snapshot {
    for facts in source.values_mut() {
        facts.mtime = facts.mtime.clamp(0, i64::from(u32::MAX));
        let xattrs = std::mem::take(&mut facts.xattrs);
        facts.xattrs = xattrs
            .into_iter()
            .map(|(name, value)| match name.as_bytes() {
                b"system.posix_acl_access" | b"system.posix_acl_default" => {
                    let mut escaped = OsString::from("trusted.");
                    escaped.push(name);
                    (escaped, value)
                }
                _ => (name, value),
            })
            .collect();
    }
    source
}

/// Compares two trees and shows the first differences, not all content.
pub(crate) fn assert_same(expected: &Snapshot, actual: &Snapshot) {
    let paths: std::collections::BTreeSet<_> = expected.keys().chain(actual.keys()).collect();
    let differences: Vec<_> = paths
        .into_iter()
        .filter(|path| expected.get(*path) != actual.get(*path))
        .take(5)
        .map(|path| {
            format!(
                "{}:\n  expected {:?}\n  found    {:?}",
                path.display(),
                expected.get(path),
                actual.get(path)
            )
        })
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Archives a directory and compares it with what Linux's driver shows.
pub(crate) fn assert_round_trip(directory: &Path, options: &Options) -> Archive {
    let archive = Archive::of(directory, options);
    let mounted = archive.mount();
    assert_same(&archived(snapshot(directory)), &snapshot(mounted.path()));
    drop(mounted);
    archive
}

/// Bytes that hardly compress, the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Bytes that compress well, the same for the same seed.
pub(crate) fn prose(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 64);
    let mut number = seed;
    while bytes.len() < length {
        bytes.extend_from_slice(format!("line {number} of many; ").as_bytes());
        number += 1;
    }
    bytes.truncate(length);
    bytes
}
