//! Making one of everything that can be in a directory.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, lchown, symlink},
    path::Path,
};

use rustix::fs::{CWD, FileType, Mode, XattrFlags};

use crate::harness::*;

pub(crate) fn node(path: &Path, file_type: FileType, mode: u32, device: u64) {
    rustix::fs::mknodat(CWD, path, file_type, Mode::from(mode), device).unwrap();
}

pub(crate) fn set_mtime(path: &Path, seconds: i64) {
    set_times(path, seconds, 999_999_999).unwrap();
}

pub(crate) fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

/// One of everything.
pub(crate) fn zoo(root: &Path) {
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
