//! What is done at targets, which code in the sandbox may move at any time.

use std::{io, path::Path};

use rustix::{
    io::Errno,
    mount::{UnmountFlags, unmount},
};

use super::{MountError, users::User};
use crate::paths::place::{self, Place};

/// Refuses to take a directory from its users, unless by `force`.
pub(super) fn not_used(dir: &str, users: Vec<User>, force: bool) -> Result<(), MountError> {
    match users.is_empty() || force {
        true => Ok(()),
        false => Err(MountError::Busy {
            dir: dir.to_owned(),
            users,
        }),
    }
}

/// The error of a system call.
pub(super) fn system(call: &'static str) -> impl Fn(Errno) -> MountError {
    move |errno| MountError::System {
        call,
        source: errno.into(),
    }
}

/// Unmounts. Where a process still uses the mount, it is detached at once and
/// ends with its last user, and nothing new can find its way in.
pub(super) fn unmount_or_detach(point: &Path) -> io::Result<()> {
    match unmount(point, UnmountFlags::NOFOLLOW) {
        Err(Errno::BUSY) => Ok(unmount(
            point,
            UnmountFlags::NOFOLLOW | UnmountFlags::DETACH,
        )?),
        // It is not a mount, or not any more.
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A place, unless the directory that it is in is not there any more.
pub(super) fn find(path: &Path) -> io::Result<Option<Place>> {
    match Place::find(path) {
        Err(error) if place::is_gone(&error) => Ok(None),
        found => found.map(Some),
    }
}

pub(super) fn remove_if_empty(place: &Place) -> io::Result<()> {
    match place.remove_directory() {
        Err(error)
            if !place::is_gone(&error) && error.kind() != io::ErrorKind::DirectoryNotEmpty =>
        {
            Err(error)
        }
        _ => Ok(()),
    }
}
