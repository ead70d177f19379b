//! What the strategies have in common that mount something: it is bound over the
//! target, and unmounted from there.
//!
//! Code in the sandbox may own the directories above a target and move them at
//! any time. So everything that is done to a target is done at a [`Place`], and a
//! mount that has moved with its directory is found by what it shows.

use std::{
    fmt::Debug,
    io,
    os::{
        fd::AsFd,
        unix::fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use cow_fuse::{Options, Session, archive::Archive, lower::Lower};
use rustix::{
    fs::{CWD, statvfs},
    io::Errno,
    mount::{
        MoveMountFlags, OpenTreeFlags, UnmountFlags, mount_bind, move_mount, open_tree, unmount,
    },
};
use sandbox_shared::Strategy;
use squashfs::{
    image::ArchiveError,
    reader::{self, ReadAt},
};

use super::{
    super::{
        table,
        target::{find, not_used, system, unmount_or_detach},
        users,
    },
    RestoreStrategy,
};
use crate::{
    paths::place::{Place, proc_path},
    restore::{
        MountError,
        slot::{Copy, Slot},
    },
};

/// Times that a mount which has been moved is looked for.
const ATTEMPTS: u32 = 64;

/// Entries of the top directory that are looked at before a mount counts as
/// one of the archive.
const LOOKED_AT: usize = 64;

/// A strategy that mounts something at the root of its slot.
pub(super) trait Mounted: Debug + Send + Sync {
    /// Its name.
    fn name(&self) -> Strategy;

    /// As [`RestoreStrategy::serve`].
    fn serve(&self, slot: &Slot, source: Arc<dyn ReadAt>) -> Result<Session, MountError>;

    /// Mounts at the slot's root what its daemon has not mounted there.
    fn mount(&self, slot: &Slot) -> Result<(), MountError>;

    /// The directory whose entries a new mount must show.
    fn shown_when_new(&self, slot: &Slot) -> PathBuf;
}

impl<T: Mounted> RestoreStrategy for T {
    fn name(&self) -> Strategy {
        Mounted::name(self)
    }

    fn is_lazy(&self) -> bool {
        true
    }

    fn copy(&self, _target: &Path, _slot: &Path) -> Option<Copy> {
        None
    }

    fn serve(&self, slot: &Slot, source: Arc<dyn ReadAt>) -> Result<Session, MountError> {
        Mounted::serve(self, slot, source)
    }

    fn build(&self, slot: &mut Slot) -> Result<(), MountError> {
        self.mount(slot)?;
        let below = match slot.record.devices.is_empty() {
            true => self.shown_when_new(slot),
            // It has been written to.
            false => slot.root(),
        };
        if !shows(&slot.root(), &below)? {
            return Err(MountError::Unreadable);
        }
        let mounted = table::topmost(&slot.root())?.ok_or(MountError::Unreadable)?;
        slot.record.devices.push(mounted.device);
        slot.save()?;
        Ok(())
    }

    fn built_at(&self, slot: &Slot) -> PathBuf {
        slot.root()
    }

    fn is_built(&self, slot: &Slot) -> io::Result<bool> {
        Ok(table::topmost(&slot.root())?
            .is_some_and(|entry| slot.record.devices.last() == Some(&entry.device)))
    }

    fn attach(&self, slot: &Slot) -> Result<(), MountError> {
        cover(&Place::find(&slot.record.target)?, &slot.root())?;
        if self.is_attached(slot)? && is_alive(slot) {
            Ok(())
        } else {
            Err(MountError::Unreadable)
        }
    }

    fn detach(&self, slot: &Slot, force: bool) -> Result<(), MountError> {
        let target = &slot.record.target;
        for _ in 0..ATTEMPTS {
            let Some(mounted) = attached(slot)?.pop() else {
                return Ok(());
            };
            // It stays there while this holds the directory that it is in, for
            // mount points cannot be moved, only what is above them.
            let Some(place) = find(&mounted.point)? else {
                continue;
            };
            if place.mount_id().ok() != Some(mounted.id) {
                continue;
            }
            match unmount(place.path(), UnmountFlags::NOFOLLOW) {
                Err(Errno::BUSY) => {
                    not_used(&slot.record.dir, users::of_mount(mounted.id), force)?;
                    unmount_or_detach(&place.path())?;
                }
                unmounted => unmounted.map_err(system("unmount"))?,
            }
        }
        Err(MountError::Moving(target.clone()))
    }

    fn is_attached(&self, slot: &Slot) -> io::Result<bool> {
        match table::topmost(&slot.record.target)? {
            Some(top) => is_ours(slot, &top.device),
            None => Ok(false),
        }
    }

    fn is_current(&self, slot: &Slot) -> io::Result<bool> {
        let device = |point: &Path| Ok::<_, io::Error>(table::topmost(point)?.map(|e| e.device));
        let current = device(&slot.root())?;
        Ok(current.is_some() && current == device(&slot.record.target)?)
    }

    fn replace_dead(&self, slot: &Slot) -> Result<(), MountError> {
        let place = Place::find(&slot.record.target)?;
        let target = place.open()?;
        let is_covered = match table::topmost(&slot.record.target)? {
            Some(top) => is_ours(slot, &top.device)? && place.mount_id().ok() == Some(top.id),
            None => false,
        };
        let tree = open_tree(
            CWD,
            slot.root(),
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
        )
        .map_err(system("open_tree"))?;
        let beneath = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH
            | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH
            | MoveMountFlags::MOVE_MOUNT_BENEATH;
        if is_covered && move_mount(&tree, "", &target, "", beneath).is_ok() {
            drop(target);
            unmount_or_detach(&place.path())?;
        } else {
            // Before Linux 6.5: the dead one stays below it, to the end.
            mount_bind(slot.root(), proc_path(target.as_fd())).map_err(system("bind"))?;
        }
        if self.is_current(slot)? && is_alive(slot) {
            Ok(())
        } else {
            Err(MountError::Unreadable)
        }
    }

    fn remove_built(&self, _slot: &Slot) -> io::Result<()> {
        Ok(())
    }
}

/// Opens an archive for a file system.
pub(super) fn open(source: Arc<dyn ReadAt>) -> Result<Arc<dyn Lower>, MountError> {
    reader::Archive::open(source, &reader::Options::default())
        .map(|archive| Arc::new(Archive::new(Arc::new(archive))) as Arc<dyn Lower>)
        .map_err(|error| MountError::Archive(ArchiveError::from(error)))
}

/// How a FUSE file system is mounted.
pub(super) fn fuse_options() -> Options {
    Options {
        source: "sandbox-agent".to_owned(),
        ..Options::default()
    }
}

/// The error of a FUSE file system that could not be mounted.
pub(super) fn fuse_failed(source: io::Error) -> MountError {
    MountError::System {
        call: "mount a FUSE file system",
        source,
    }
}

/// Binds a directory over a place.
pub(super) fn cover(place: &Place, shown: &Path) -> Result<(), MountError> {
    let target = place.open()?;
    mount_bind(shown, proc_path(target.as_fd())).map_err(system("bind"))
}

/// What shows this slot outside of it, and is not covered itself: at the
/// target, or where that has been moved to.
fn attached(slot: &Slot) -> io::Result<Vec<table::Entry>> {
    let mounts = table::uncovered()?;
    let mut built = mounts.iter().filter(|entry| entry.point == slot.root());
    // Numbers of devices of before say something at the target only.
    let current = built.next().map(|entry| entry.device.clone());
    let mut attached = Vec::new();
    for entry in mounts {
        let is_here = match entry.point == slot.record.target {
            true => is_ours(slot, &entry.device)?,
            false => Some(&entry.device) == current.as_ref() && !entry.point.starts_with(&slot.dir),
        };
        if is_here {
            attached.push(entry);
        }
    }
    Ok(attached)
}

/// Whether a device is one of this slot, and not of another one by now: the
/// kernel gives the number of one that is gone to the next.
fn is_ours(slot: &Slot, device: &str) -> io::Result<bool> {
    let slots = slot.dir.parent().unwrap_or(&slot.dir);
    let is_others = |entry: &table::Entry| {
        let point = &entry.point;
        entry.device == device && point.starts_with(slots) && !point.starts_with(&slot.dir)
    };
    Ok(slot.record.devices.iter().any(|ours| ours == device)
        && !table::read()?.iter().any(is_others))
}

/// Whether the target can really be read. A FUSE daemon that has died leaves a
/// mount in which every call fails.
fn is_alive(slot: &Slot) -> bool {
    readable(&slot.lower()) && readable(&slot.record.target)
}

fn readable(dir: &Path) -> bool {
    statvfs(dir).is_ok()
        && std::fs::read_dir(dir)
            .is_ok_and(|mut entries| entries.next().is_none_or(|entry| entry.is_ok()))
}

/// Whether `upper` has the first entries of `lower`, and those can be looked at
/// in both. How many there are makes no difference to how long this takes.
fn shows(upper: &Path, lower: &Path) -> io::Result<bool> {
    let mut listing = std::fs::read_dir(lower)?.take(LOOKED_AT).peekable();
    if listing.peek().is_none() {
        return Ok(std::fs::read_dir(upper)?.next().is_none());
    }
    for entry in listing {
        let entry = entry?;
        let below = entry.metadata()?;
        if below.file_type().is_char_device() && below.rdev() == 0 {
            // To overlayfs it is a whiteout, in any layer, and cannot be shown.
            continue;
        }
        let above = upper.join(entry.file_name()).symlink_metadata();
        let about = |of: &std::fs::Metadata| (of.mode(), of.uid(), of.gid(), of.mtime());
        match above {
            Ok(above) if about(&above) == about(&below) => {}
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => return Ok(false),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn another_directory_is_not_taken_for_the_one_below() {
        let dir = tempfile::tempdir().unwrap();
        let [lower, upper] = ["lower", "upper"].map(|name| dir.path().join(name));
        for layer in [&lower, &upper] {
            std::fs::create_dir(layer).unwrap();
        }
        assert!(shows(&upper, &lower).unwrap());
        let make = |layer: &Path| {
            let file = std::fs::File::create(layer.join("file")).unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH)
                .unwrap();
        };
        make(&upper);
        assert!(!shows(&upper, &lower).unwrap());
        make(&lower);
        assert!(shows(&upper, &lower).unwrap());
        let other = std::fs::Permissions::from_mode(0o4711);
        std::fs::set_permissions(upper.join("file"), other).unwrap();
        assert!(!shows(&upper, &lower).unwrap());
        std::fs::remove_file(upper.join("file")).unwrap();
        assert!(!shows(&upper, &lower).unwrap());
    }
}
