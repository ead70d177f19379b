//! Taking a restored directory apart. Every step works whether or not it has been
//! done before.

use std::{io, path::Path};

use rustix::{
    io::Errno,
    mount::{UnmountFlags, unmount},
};

use super::{MountError, daemon, slot::Slot, table, users::User};
use crate::paths::place::{self, Place};

impl Slot {
    /// Takes everything down that serves the directory, but leaves what is
    /// attached, which is dead then, and all files.
    pub(super) fn stop_serving(&self) -> io::Result<()> {
        self.unmount_all()?;
        // They end when their mounts do, but may also be about to make one.
        daemon::stop(self)?;
        self.unmount_all()
    }

    fn unmount_all(&self) -> io::Result<()> {
        // Those made last come down first.
        let mounts = table::read()?;
        let ours = |entry: &&table::Entry| entry.point.starts_with(&self.dir);
        mounts
            .iter()
            .rev()
            .filter(ours)
            .try_for_each(|entry| unmount_or_detach(&entry.point))
    }

    /// Removes everything, the slot included.
    pub(super) fn discard(&self, force: bool) -> Result<(), MountError> {
        self.strategy.detach(self, force)?;
        if self.record.complete {
            let mut doomed = self.clone();
            doomed.record.complete = false;
            // So that nobody puts back what is half gone, if this process is
            // killed. On a full disk it goes all the same.
            let _ = doomed.save();
        }
        self.stop_serving()?;
        self.strategy.remove_built(self)?;
        remove_tree(&self.record.scratch)?;
        for dir in self.record.made.iter().rev() {
            if let Some(place) = find(dir)? {
                remove_if_empty(&place)?;
            }
        }
        // Last: as long as it is there, somebody can try again.
        remove_tree(&self.dir)?;
        Ok(())
    }
}

/// Refuses to take a directory from its users, unless by `force`.
pub(super) fn not_used(slot: &Slot, users: Vec<User>, force: bool) -> Result<(), MountError> {
    match users.is_empty() || force {
        true => Ok(()),
        false => Err(MountError::Busy {
            dir: slot.record.dir.clone(),
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

/// Removes a directory of the state directory, into which nobody else can look.
fn remove_tree(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
