//! Random edits of a tree.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, lchown, symlink},
    path::{Path, PathBuf},
};

use proptest::prelude::*;
use rustix::fs::FileType;

use crate::{
    harness::*,
    zoo::{node, set_mtime, set_xattr},
};

#[derive(Clone, Debug)]
pub(crate) enum Edit {
    Write {
        length: usize,
        seed: u64,
        random: bool,
    },
    Zeros {
        length: usize,
    },
    Directory,
    Symlink(String),
    LinkTo(PathBuf),
    Fifo,
    Socket,
    Device(bool, u16, u32),
    Mode(u32),
    Owner(u32, u32),
    Time(i64),
    Xattr(String, Vec<u8>),
    RenameTo(PathBuf),
    Remove,
}

/// A few names, so that edits meet.
fn path() -> impl Strategy<Value = PathBuf> {
    prop::collection::vec(
        prop::sample::select(vec!["a", "b", "ab", "é", "-", "z z"]),
        1..4,
    )
    .prop_map(|components| components.iter().collect())
}

fn edit() -> impl Strategy<Value = Edit> {
    let length = prop_oneof![
        3 => 0usize..2000,
        2 => 4000usize..9000,
        1 => 100_000usize..300_000,
    ];
    prop_oneof![
        8 => (length.clone(), 0..4u64, any::<bool>())
            .prop_map(|(length, seed, random)| Edit::Write { length, seed, random }),
        1 => length.prop_map(|length| Edit::Zeros { length }),
        4 => Just(Edit::Directory),
        2 => "[a-z/.]{1,60}".prop_map(Edit::Symlink),
        3 => path().prop_map(Edit::LinkTo),
        1 => Just(Edit::Fifo),
        1 => Just(Edit::Socket),
        1 => (any::<bool>(), 0..4096u16, 0..1_048_576u32).prop_map(|(b, ma, mi)| Edit::Device(b, ma, mi)),
        3 => (0..0o10000u32).prop_map(Edit::Mode),
        2 => (any::<u32>(), 0..3u32)
            .prop_map(|(uid, gid)| Edit::Owner(uid.min(u32::MAX - 1), gid)),
        2 => (-10i64..0x2_0000_0000).prop_map(Edit::Time),
        3 => ("[a-c]{1,3}", prop::collection::vec(any::<u8>(), 0..50))
            .prop_map(|(name, value)| Edit::Xattr(name, value)),
        2 => path().prop_map(Edit::RenameTo),
        1 => Just(Edit::Remove),
    ]
}

/// Does what can be done: an edit that does not fit the tree does nothing.
pub(crate) fn apply(root: &Path, path: &Path, edit: &Edit) {
    let target = root.join(path);
    let exists = target.symlink_metadata().is_ok();
    if let Some(parent) = target.parent() {
        let _ = fs::create_dir_all(parent);
        if !parent.is_dir() {
            return;
        }
    }
    match edit {
        Edit::Write {
            length,
            seed,
            random,
        } if !target.is_dir() => {
            let _ = fs::remove_file(&target);
            let content = if *random {
                noise(*seed, *length)
            } else {
                prose(*seed, *length)
            };
            fs::write(&target, content).unwrap();
        }
        Edit::Zeros { length } if !exists => fs::write(&target, vec![0; *length]).unwrap(),
        Edit::Directory => drop(fs::create_dir_all(&target)),
        Edit::Symlink(to) if !exists => symlink(to, &target).unwrap(),
        Edit::LinkTo(other) => drop(fs::hard_link(&target, root.join(other))),
        Edit::Fifo if !exists => node(&target, FileType::Fifo, 0o600, 0),
        Edit::Socket if !exists => node(&target, FileType::Socket, 0o600, 0),
        Edit::Device(block, major, minor) if !exists => {
            // Character device 0:0 is a whiteout to overlay file systems.
            let kind = if *block {
                FileType::BlockDevice
            } else {
                FileType::CharacterDevice
            };
            let device = rustix::fs::makedev(u32::from(*major), *minor);
            node(&target, kind, 0o600, device);
        }
        Edit::Mode(mode) if exists && !target.is_symlink() => {
            fs::set_permissions(&target, Permissions::from_mode(*mode)).unwrap();
        }
        Edit::Owner(uid, gid) if exists => lchown(&target, Some(*uid), Some(*gid)).unwrap(),
        Edit::Time(seconds) if exists => set_mtime(&target, *seconds),
        Edit::Xattr(name, value) if exists => {
            set_xattr(&target, &format!("trusted.{name}"), value);
        }
        Edit::RenameTo(other) => drop(fs::rename(&target, root.join(other))),
        Edit::Remove if target.is_dir() => drop(fs::remove_dir_all(&target)),
        Edit::Remove => drop(fs::remove_file(&target)),
        _ => {}
    }
}

pub(crate) fn edits() -> impl Strategy<Value = Vec<(PathBuf, Edit)>> {
    prop::collection::vec((path(), edit()), 1..60)
}
