//! Every kind of entry, and everything about it, comes back.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{FileExt, MetadataExt},
    },
    path::Path,
    process::Command,
};

use squashfs::format::compressor::Compressor;
use squashfs::writer::Options;

use crate::{harness::*, zoo::zoo};

#[test]
fn every_kind_of_entry_comes_back() {
    let source = tempfile::tempdir().unwrap();
    zoo(source.path());
    for format in [Compressor::Lz4, Compressor::Zstd, Compressor::Gzip] {
        for block_size in [4 << 10, 128 << 10, 1 << 20] {
            for pack_tails in [false, true] {
                let options = Options {
                    pack_tails,
                    ..options(format, block_size)
                };
                assert_round_trip(source.path(), &options);
            }
        }
    }
}

#[test]
fn all_readers_agree() {
    let source = tempfile::tempdir().unwrap();
    zoo(source.path());
    let expected = archived(snapshot(source.path()));
    for format in [Compressor::Lz4, Compressor::Zstd, Compressor::Gzip] {
        let archive = Archive::of(source.path(), &options(format, 128 << 10));

        let mounted = archive.mount_fuse();
        let mut shown = snapshot(mounted.path());
        // It lists attributes without value, but does not find them.
        let with_empty = shown.get_mut(Path::new("one.bin")).unwrap();
        with_empty.xattrs.insert("user.empty".into(), Vec::new());
        for (path, facts) in &mut shown {
            // It numbers inodes itself, so that names of one file look like
            // several files, and it mixes two prefixes up, also in archives
            // of mksquashfs.
            facts.twins.clone_from(&expected[path].twins);
            let xattrs = std::mem::take(&mut facts.xattrs);
            let xattrs = xattrs.into_iter().map(|(name, value)| {
                let name = name.to_str().unwrap();
                let name = match name.split_once('.').unwrap() {
                    ("trusted", rest) => format!("security.{rest}"),
                    ("security", rest) => format!("trusted.{rest}"),
                    _ => name.to_owned(),
                };
                (name.into(), value)
            });
            facts.xattrs = xattrs.collect();
        }
        assert_same(&expected, &shown);
        drop(mounted);

        let unpacked = archive.unpack();
        assert_same(&expected, &snapshot(&unpacked.path().join("unpacked")));
    }
}

#[test]
fn backhand_agrees() {
    let source = tempfile::tempdir().unwrap();
    zoo(source.path());
    // Backhand refuses targets of 256 bytes and more.
    fs::remove_file(source.path().join("long-link")).unwrap();
    let expected = archived(snapshot(source.path()));
    for format in [Compressor::Lz4, Compressor::Zstd, Compressor::Gzip] {
        let archive = Archive::of(source.path(), &options(format, 128 << 10));
        assert_backhand_agrees(&archive, &expected);
    }
}

/// Reads an archive with crate backhand, which knows no hard links, sockets'
/// types or xattrs: kinds, metadata and content are compared.
fn assert_backhand_agrees(archive: &Archive, expected: &Snapshot) {
    use backhand::{FilesystemReader, InnerNode};
    let file = std::io::BufReader::new(File::open(&archive.path).unwrap());
    let reader = FilesystemReader::from_reader(file).unwrap();
    let mut seen = 0;
    for node in reader.files() {
        let path = node.fullpath.strip_prefix("/").unwrap();
        let facts = &expected[path];
        let (kind, content) = match &node.inner {
            InnerNode::File(file) => {
                let mut content = Vec::new();
                std::io::Read::read_to_end(&mut reader.file(file).reader(), &mut content).unwrap();
                ('f', content)
            }
            InnerNode::Symlink(link) => ('l', link.link.as_os_str().as_bytes().to_vec()),
            InnerNode::Dir(_) => ('d', Vec::new()),
            InnerNode::CharacterDevice(_) => ('c', Vec::new()),
            InnerNode::BlockDevice(_) => ('b', Vec::new()),
            InnerNode::NamedPipe => ('p', Vec::new()),
            InnerNode::Socket => ('s', Vec::new()),
        };
        assert_eq!(kind, facts.file_type, "{}", path.display());
        assert!(content == facts.content, "{}", path.display());
        let header = node.header;
        assert_eq!(
            u32::from(header.permissions),
            facts.mode,
            "{}",
            path.display()
        );
        assert_eq!((header.uid, header.gid), (facts.uid, facts.gid));
        assert_eq!(i64::from(header.mtime), facts.mtime);
        seen += 1;
    }
    assert_eq!(seen, expected.len());
}

#[test]
fn access_control_lists_are_kept_under_another_name() {
    let source = tempfile::tempdir().unwrap();
    let file = source.path().join("file");
    let directory = source.path().join("directory");
    fs::write(&file, "content").unwrap();
    fs::create_dir(&directory).unwrap();
    run(Command::new("setfacl")
        .args(["-m", "u:1234:rwx"])
        .arg(&file));
    run(Command::new("setfacl")
        .args(["-d", "-m", "g:4321:r-x"])
        .arg(&directory));
    let before = snapshot(source.path());
    assert!(
        before[Path::new("file")]
            .xattrs
            .contains_key(OsStr::new("system.posix_acl_access"))
    );
    let archive = assert_round_trip(source.path(), &Options::default());
    assert!(archive.summary.report.dropped_xattrs.is_empty());

    let shown = snapshot(archive.mount().path());
    let kept = |path: &str| {
        shown[Path::new(path)]
            .xattrs
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(kept("file"), ["trusted.system.posix_acl_access"]);
    assert_eq!(kept("directory"), ["trusted.system.posix_acl_default"]);
}

#[test]
fn any_byte_may_be_in_a_name() {
    let source = tempfile::tempdir().unwrap();
    let mut names: Vec<Vec<u8>> = (1..=255u8)
        .filter(|&byte| byte != b'/' && byte != b'.')
        .map(|byte| vec![byte])
        .collect();
    names.extend([
        b"...".to_vec(),
        b"-rf *".to_vec(),
        b"new\nline\r\n".to_vec(),
        b"\x1b[31mred".to_vec(),
        vec![0xff; 255],
        "š".repeat(127).into_bytes(),
        b"e\xcc\x81".to_vec(),
        "é".into(),
        b"a b'c\"d`$(e)".to_vec(),
    ]);
    let directories = source.path().join("directories");
    fs::create_dir(&directories).unwrap();
    for name in names {
        let name = OsString::from_vec(name);
        fs::write(source.path().join(&name), name.as_bytes()).unwrap();
        fs::create_dir(directories.join(&name)).unwrap();
    }
    assert_round_trip(source.path(), &Options::default());
}

#[test]
fn holes_stay_holes() {
    const MIB: u64 = 1 << 20;
    let source = tempfile::tempdir().unwrap();
    let at = |name: &str| source.path().join(name);
    let sparse = |name: &str, size: u64, data: &[(u64, usize)]| {
        let file = File::create(at(name)).unwrap();
        file.set_len(size).unwrap();
        for &(offset, length) in data {
            file.write_all_at(&noise(offset, length), offset).unwrap();
        }
    };
    sparse("all-hole", 5 * MIB + 17, &[]);
    sparse("small-hole", 1000, &[]);
    sparse(
        "islands",
        40 * MIB,
        &[(MIB, 10), (20 * MIB - 5, 10), (33 * MIB, 200_000)],
    );
    sparse(
        "data-at-both-ends",
        9 * MIB + 100,
        &[(0, 1), (9 * MIB + 99, 1)],
    );
    sparse("hole-at-the-end", 3 * MIB, &[(0, 300_000)]);
    for pack_tails in [false, true] {
        let options = Options {
            pack_tails,
            ..Options::default()
        };
        let archive = assert_round_trip(source.path(), &options);
        assert!(archive.summary.size < MIB, "{}", archive.summary.size);

        // What is not a hole in the archive is at most what touches a block with data.
        let mounted = archive.mount();
        let used = |name: &str| mounted.path().join(name).metadata().unwrap().blocks() * 512;
        assert_eq!(used("all-hole"), 0);
        assert_eq!(used("small-hole"), 0);
        let block = 128 << 10;
        assert!(used("islands") <= 5 * block, "{}", used("islands"));
        assert!(used("data-at-both-ends") <= 2 * block);
        assert!(used("hole-at-the-end") <= 3 * block);
        drop(mounted);

        let unpacked = archive.unpack();
        let islands = unpacked.path().join("unpacked/islands").metadata().unwrap();
        assert!(islands.blocks() * 512 < MIB, "{}", islands.blocks());
    }
}

#[test]
fn files_may_be_larger_than_32_bits_can_say() {
    const GIB: u64 = 1 << 30;
    let source = tempfile::tempdir().unwrap();
    let path = source.path().join("huge");
    let file = File::create(&path).unwrap();
    file.set_len(50 * GIB + 3).unwrap();
    file.write_all_at(b"near the end", 50 * GIB - 9).unwrap();
    file.write_all_at(b"past four", 4 * GIB + 1).unwrap();

    let archive = Archive::of(source.path(), &Options::default());
    let mounted = archive.mount();
    let copy = File::open(mounted.path().join("huge")).unwrap();
    assert_eq!(copy.metadata().unwrap().len(), 50 * GIB + 3);
    let read = |offset, length| {
        let mut bytes = vec![0; length];
        copy.read_exact_at(&mut bytes, offset).unwrap();
        bytes
    };
    assert_eq!(read(50 * GIB - 10, 13), b"\0near the end");
    assert_eq!(read(4 * GIB, 11), b"\0past four\0");
    assert_eq!(read(50 * GIB, 3), b"end");
}
