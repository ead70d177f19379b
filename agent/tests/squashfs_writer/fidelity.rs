//! Every kind of entry, and everything about it, comes back.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, Permissions},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{FileExt, MetadataExt, PermissionsExt, lchown, symlink},
    },
    path::Path,
    process::Command,
};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};
use sandbox_agent::archive::squashfs::writer::Options;
use sandbox_shared::backup::CompressionFormat;

use crate::harness::*;

pub(crate) fn node(path: &Path, file_type: FileType, mode: u32, device: u64) {
    rustix::fs::mknodat(CWD, path, file_type, Mode::from(mode), device).unwrap();
}

pub(crate) fn set_mtime(path: &Path, seconds: i64) {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: 999_999_999,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

pub(crate) fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

/// One of everything.
fn zoo(root: &Path) {
    let at = |name: &str| root.join(name);
    for (name, length) in [
        ("empty", 0),
        ("one", 1),
        ("just-below-a-block", 4095),
        ("a-block", 4096),
        ("just-above-a-block", 4097),
        ("big-below", (128 << 10) - 1),
        ("big-block", 128 << 10),
        ("big-above", (128 << 10) + 1),
        ("blocks", 1_234_567),
    ] {
        fs::write(at(&format!("{name}.txt")), prose(length as u64, length)).unwrap();
        fs::write(at(&format!("{name}.bin")), noise(length as u64, length)).unwrap();
    }
    fs::write(at("zeros-small"), vec![0; 3000]).unwrap();
    fs::write(at("zeros"), vec![0; 300_000]).unwrap();

    fs::create_dir_all(at("directory/empty")).unwrap();
    symlink("one.txt", at("link")).unwrap();
    symlink("../..//nowhere\n\\", at("directory/dangling")).unwrap();
    symlink("x".repeat(4095), at("long-link")).unwrap();
    fs::hard_link(at("one.txt"), at("directory/second-name")).unwrap();
    fs::hard_link(at("one.txt"), at("third-name")).unwrap();
    fs::hard_link(at("link"), at("link-again")).unwrap();
    fs::hard_link(at("blocks.bin"), at("directory/blocks-again")).unwrap();

    node(&at("fifo"), FileType::Fifo, 0o640, 0);
    fs::hard_link(at("fifo"), at("fifo-again")).unwrap();
    node(&at("socket"), FileType::Socket, 0o755, 0);
    node(
        &at("block"),
        FileType::BlockDevice,
        0o660,
        rustix::fs::makedev(259, 70_000),
    );
    node(
        &at("char"),
        FileType::CharacterDevice,
        0o666,
        rustix::fs::makedev(1, 3),
    );

    for mode in [0o0, 0o7, 0o70, 0o700, 0o1777, 0o2755, 0o4755, 0o7777] {
        let file = at(&format!("mode-{mode:04o}"));
        fs::write(&file, format!("{mode}")).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        let directory = at(&format!("directory/mode-{mode:04o}"));
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, Permissions::from_mode(mode)).unwrap();
    }
    for (name, uid, gid) in [("owned", 1000, 100), ("far", 4_000_000_000, 65_536)] {
        fs::write(at(name), name).unwrap();
        lchown(at(name), Some(uid), Some(gid)).unwrap();
        symlink(name, at(&format!("link-{name}"))).unwrap();
        lchown(at(&format!("link-{name}")), Some(gid), Some(uid)).unwrap();
    }

    set_xattr(&at("one.txt"), "user.short", b"value");
    set_xattr(&at("one.bin"), "user.empty", b"");
    set_xattr(&at("blocks.txt"), "user.long", &noise(1, 3000));
    set_xattr(&at("directory"), "user.on-directory", b"\0\xff");
    set_xattr(&at("directory"), "trusted.secret", b"s");
    set_xattr(&at("link"), "trusted.on-link", b"l");
    set_xattr(&at("long-link"), "security.on-link", b"l");
    set_xattr(&at("fifo"), "trusted.on-fifo", b"f");
    set_xattr(&at("char"), "trusted.on-device", b"d");
    set_xattr(&at("socket"), "security.on-socket", b"s");
    // cap_net_raw+ep, as ping has it: VFS_CAP_REVISION_2.
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    set_xattr(&at("mode-4755"), "security.capability", capability);
    // A set that others have, too.
    for name in ["big-above.txt", "big-above.bin", "zeros"] {
        set_xattr(&at(name), "user.shared", b"by all three");
        set_xattr(&at(name), "user.and", b"another");
    }

    for (name, seconds) in [
        ("empty.txt", -1_000_000_000),
        ("empty.bin", 0),
        ("zeros", 0x7fff_ffff),
        ("one.bin", 0x8000_0000),
        ("zeros-small", 0xffff_ffff),
        ("owned", 0x1_0000_0001),
        ("link", 1_234_567_890),
        ("directory/empty", 1),
        ("directory", 2),
    ] {
        set_mtime(&at(name), seconds);
    }
    set_mtime(root, 3);
}

#[test]
fn every_kind_of_entry_comes_back() {
    let source = tempfile::tempdir().unwrap();
    zoo(source.path());
    for format in [
        CompressionFormat::Lz4,
        CompressionFormat::Zstd,
        CompressionFormat::Gzip,
    ] {
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
    for format in [
        CompressionFormat::Lz4,
        CompressionFormat::Zstd,
        CompressionFormat::Gzip,
    ] {
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
    for format in [
        CompressionFormat::Lz4,
        CompressionFormat::Zstd,
        CompressionFormat::Gzip,
    ] {
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
