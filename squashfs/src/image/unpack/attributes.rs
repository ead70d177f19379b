//! Owners, permissions, times and extended attributes.

use std::{
    ffi::OsStr,
    os::{fd::AsFd, unix::ffi::OsStrExt},
};

use rustix::{
    fs::{
        AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, chmod, chownat, fchmod, fchown,
        fsetxattr, futimens, setxattr, utimensat,
    },
    io::Errno,
};

use super::{New, PERMISSIONS, Unpacker, at};
use crate::{
    image::ArchiveError,
    reader::{Attributes, Kind},
    source::proc_path,
};

impl Unpacker<'_> {
    /// Gives something new the attributes that it does not have yet: owner
    /// first, as changing that takes set-id bits and capabilities away; time
    /// last.
    pub(super) fn finish(&self, new: &New, path: &dyn Fn() -> Vec<u8>) -> Result<(), ArchiveError> {
        let New {
            handle, attributes, ..
        } = new;
        let failed = |errno: Errno| at(&path())(errno);
        let is_open = matches!(attributes.kind, Kind::File | Kind::Directory);
        let owner = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
        if owner != (self.uid, new.gid) {
            let (uid, gid) = (Some(owner.0), Some(owner.1));
            let changed = match is_open {
                true => fchown(handle, uid, gid),
                false => chownat(handle, "", uid, gid, AtFlags::EMPTY_PATH),
            };
            match changed {
                Err(Errno::PERM) if !self.uid.is_root() => self.leave_out(path(), b"owner"),
                result => result.map_err(failed)?,
            }
        }
        if attributes.xattr_set.is_some() {
            self.set_xattrs(new, is_open, path)?;
        }
        let mode = mode_of(attributes);
        if mode != new.mode || !PERMISSIONS.contains(mode) {
            match is_open {
                true => fchmod(handle, mode),
                // It is no link: the mode of links is never another.
                false => chmod(proc_path(handle.as_fd()), mode),
            }
            .map_err(failed)?;
        }
        let times = times(attributes);
        match is_open {
            true => futimens(handle, &times),
            false => utimensat(handle, "", &times, AtFlags::EMPTY_PATH),
        }
        .map_err(failed)
    }

    fn set_xattrs(
        &self,
        new: &New,
        is_open: bool,
        path: &dyn Fn() -> Vec<u8>,
    ) -> Result<(), ArchiveError> {
        for xattr in self.archive.xattrs(new.inode)? {
            let name = OsStr::from_bytes(&xattr.name);
            let flags = XattrFlags::empty();
            let set = match is_open {
                true => fsetxattr(&new.handle, name, &xattr.value, flags),
                false => setxattr(proc_path(new.handle.as_fd()), name, &xattr.value, flags),
            };
            match set {
                Err(Errno::NOTSUP | Errno::PERM) => self.leave_out(path(), &xattr.name),
                result => result.map_err(at(&path()))?,
            }
        }
        Ok(())
    }

    /// Gives directories the permissions that would have kept us out, those
    /// further down first.
    pub(super) fn lock_directories(&self) -> Result<(), ArchiveError> {
        let mut locked = std::mem::take(&mut *self.locked.lock());
        locked.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
        for (path, inode) in locked {
            let directory = self.open_directory(&path, inode)?;
            self.finish(&directory, &|| path.clone())?;
        }
        Ok(())
    }
}

pub(super) fn mode_of(attributes: &Attributes) -> Mode {
    Mode::from_raw_mode(attributes.mode.into())
}

/// The mask of this process, which only setting it tells otherwise. If it is not
/// known, all permissions are set explicitly.
pub(super) fn umask() -> Mode {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    let mask = line.and_then(|text| u32::from_str_radix(text.trim(), 8).ok());
    Mode::from_raw_mode(mask.unwrap_or(0o777))
}

fn times(attributes: &Attributes) -> Timestamps {
    let time = Timespec {
        tv_sec: attributes.mtime.into(),
        tv_nsec: 0,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}
