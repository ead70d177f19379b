//! Entries that only root can read.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
};

use rustix::process::{Gid, Uid};

use crate::harness::noise;

/// Runs with the rights of nobody, on a thread of its own.
pub(crate) fn as_nobody<T: Send>(action: impl FnOnce() -> T + Send) -> T {
    const NOBODY: u32 = 65534;
    let run = || {
        let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
        rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
        rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
        action()
    };
    std::thread::scope(|scope| scope.spawn(run).join().unwrap())
}

pub(crate) fn with_locked_entries() -> tempfile::TempDir {
    let source = tempfile::tempdir().unwrap();
    fs::set_permissions(source.path(), Permissions::from_mode(0o755)).unwrap();
    for number in 0..12 {
        let path = source.path().join(format!("locked-{number:02}"));
        fs::write(&path, "secret").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }
    let large = source.path().join("large");
    fs::write(&large, noise(1, 1 << 20)).unwrap();
    fs::set_permissions(&large, Permissions::from_mode(0o600)).unwrap();
    fs::create_dir(source.path().join("closed")).unwrap();
    fs::write(source.path().join("closed/inside"), "").unwrap();
    fs::set_permissions(source.path().join("closed"), Permissions::from_mode(0o700)).unwrap();
    for name in ["open", "wide"] {
        fs::write(source.path().join(name), name).unwrap();
        fs::set_permissions(source.path().join(name), Permissions::from_mode(0o644)).unwrap();
    }
    source
}
