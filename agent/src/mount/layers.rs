//! Putting a mount together and taking it apart.
//!
//! A restored directory is built away from its target, in the slot, checked
//! there, and only then attached: bound over the target, or exchanged with it
//! for an unpacked copy, if that can be. Attaching and detaching are single system calls and
//! undo each other, so a restore can change its mind. Every step of taking
//! apart works whether or not it has been done before.
//!
//! Code in the sandbox may own the directories above a target and move them at
//! any time. So everything that is done to a target is done at a [`Place`], and a
//! mount that has moved with its directory is found by what it shows.

use std::{
    ffi::CString,
    io,
    os::{
        fd::AsFd,
        unix::{
            ffi::OsStrExt,
            fs::{FileTypeExt, MetadataExt, PermissionsExt},
        },
    },
    path::Path,
    process::{Command, Stdio},
};

use rustix::{
    fs::{CWD, Mode, XattrFlags, fstat, lgetxattr, llistxattr, lsetxattr, statvfs},
    io::Errno,
    mount::{
        MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_bind, move_mount,
        open_tree, unmount,
    },
};
use sandbox_shared::Strategy;

use super::{
    MountError, daemon,
    record::{Copy, Slot, identity},
    table,
    users::{self, User},
};
use crate::{
    archive::image,
    fuse::archive_file,
    paths::place::{self, Place, proc_path},
};

/// Device nodes of an archive do not work, whatever the strategy.
const FLAGS: MountFlags = MountFlags::NODEV;

/// Times that a mount which has been moved is looked for.
const ATTEMPTS: u32 = 64;

/// Entries of the top directory that are looked at before a mount counts as
/// one of the archive.
const LOOKED_AT: usize = 64;

impl Slot {
    /// Builds the directory in the slot, with what has been written to it if
    /// it was there before. Its daemon runs, or the whole archive is here.
    pub(super) fn assemble(&mut self) -> Result<(), MountError> {
        if let Some(copy) = &mut self.record.copy {
            // Recorded before it is filled: only what is known to be ours is ever
            // removed.
            let directory = Place::find(&copy.path)?.make(Mode::RWXU)?;
            let about = fstat(&directory).map_err(system("look at the copy"))?;
            copy.identity = Some((about.st_dev, about.st_ino));
            self.save()?;
            let left_out = image::unpack_into(&self.archive(), directory)?;
            self.record.copy = self.record.copy.take().map(|copy| Copy {
                left_out: left_out.into(),
                ..copy
            });
            self.save()?;
            // All of it is in the copy now.
            std::fs::remove_file(self.archive())?;
            return Ok(());
        }
        let strategy = self.record.strategy;
        if strategy == Strategy::Kernel {
            self.mount_loop(&self.source().join(archive_file::NAME))?;
        }
        // Otherwise the daemon has mounted it already.
        if strategy != Strategy::Fuse {
            self.mount_overlay()?;
        }
        let is_new = self.record.devices.is_empty();
        let shows = match strategy {
            Strategy::Kernel | Strategy::Overlay if is_new => shows(&self.root(), &self.lower()),
            // Nothing is below it, or it has been written to.
            _ => shows(&self.root(), &self.root()),
        };
        if !shows? {
            return Err(MountError::Unreadable);
        }
        let mounted = table::topmost(&self.root())?.ok_or(MountError::Unreadable)?;
        self.record.devices.push(mounted.device);
        self.save()?;
        Ok(())
    }

    fn mount_overlay(&self) -> Result<(), MountError> {
        if !self.upper().exists() {
            std::fs::create_dir_all(self.upper())?;
            // The top directory shows the attributes of the upper one.
            copy_attributes(&self.lower(), &self.upper())?;
        }
        std::fs::create_dir_all(self.work())?;
        let options = format!(
            "lowerdir={},upperdir={},workdir={},redirect_dir=on",
            self.lower().display(),
            self.upper().display(),
            self.work().display()
        );
        let options =
            CString::new(options).map_err(|_| io::Error::from(io::ErrorKind::InvalidFilename))?;
        mount(
            "sandbox-agent",
            self.root(),
            "overlay",
            FLAGS,
            options.as_c_str(),
        )
        .map_err(system("mount overlayfs"))
    }

    /// `mount(8)` finds a free loop device, and has the kernel free it again
    /// together with the mount.
    fn mount_loop(&self, archive: &Path) -> Result<(), MountError> {
        let output = Command::new("mount")
            .args(["-t", "squashfs", "-o", "ro,nodev,loop"])
            .args([archive, &self.lower()])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| MountError::Program {
                program: "mount",
                reason: error.to_string(),
            })?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(MountError::Program {
            program: "mount",
            reason: said.trim().lines().next().unwrap_or_default().to_owned(),
        })
    }

    /// Puts what was built in the target's place, and looks at it there.
    pub(super) fn attach(&self) -> Result<(), MountError> {
        let place = Place::find(&self.record.target)?;
        let cover = |shown: &Path| -> Result<(), MountError> {
            let target = place.open()?;
            mount_bind(shown, proc_path(target.as_fd())).map_err(system("bind"))
        };
        match &self.record.copy {
            Some(copy) => match self.exchange(&place, copy) {
                // Where one may mount, it can be covered at least.
                Err(error @ MountError::CannotReplace { .. }) => {
                    let copy = Place::find(&copy.path)?.open()?;
                    cover(proc_path(copy.as_fd()).as_ref()).map_err(|_| error)?;
                }
                exchanged => exchanged?,
            },
            None => cover(&self.root())?,
        }
        if self.is_attached()? && (self.record.copy.is_some() || self.is_alive()) {
            Ok(())
        } else {
            Err(MountError::Unreadable)
        }
    }

    /// Gives the target back what it was. Processes that use the directory are
    /// a reason not to, unless it is done by `force`: then they keep what they
    /// have, which is served no more.
    pub(super) fn detach(&self, force: bool) -> Result<(), MountError> {
        let target = &self.record.target;
        let not_used = |users: Vec<User>| match users.is_empty() || force {
            true => Ok(()),
            false => Err(MountError::Busy {
                dir: self.record.dir.clone(),
                users,
            }),
        };
        if let Some(copy) = &self.record.copy {
            if let Some(place) = find(target)?
                && is_copy(&place, copy)
            {
                not_used(users::of_directory(target))?;
                match find(&copy.path)?.is_some_and(|place| is_copy(&place, copy)) {
                    true => take_away(&place.path())?,
                    false => self.exchange(&place, copy)?,
                }
            }
            return Ok(());
        }
        for _ in 0..ATTEMPTS {
            let Some(mounted) = self.attached()?.pop() else {
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
                    not_used(users::of_mount(mounted.id))?;
                    take_away(&place.path())?;
                }
                unmounted => unmounted.map_err(system("unmount"))?,
            }
        }
        Err(MountError::Moving(target.clone()))
    }

    /// What shows this slot outside of it, and is not covered itself: at the
    /// target, or where that has been moved to.
    fn attached(&self) -> io::Result<Vec<table::Entry>> {
        let mounts = table::uncovered()?;
        let mut built = mounts.iter().filter(|entry| entry.point == self.root());
        // Numbers of devices of before say something at the target only.
        let current = built.next().map(|entry| entry.device.clone());
        let mut attached = Vec::new();
        for entry in mounts {
            let is_here = match entry.point == self.record.target {
                true => self.is_ours(&entry.device)?,
                false => {
                    Some(&entry.device) == current.as_ref() && !entry.point.starts_with(&self.dir)
                }
            };
            if is_here {
                attached.push(entry);
            }
        }
        Ok(attached)
    }

    fn exchange(&self, place: &Place, copy: &Copy) -> Result<(), MountError> {
        let copy = copy.path.file_name().unwrap_or_default();
        place.exchange(copy).map_err(|errno| match errno {
            Errno::BUSY | Errno::XDEV | Errno::INVAL => MountError::CannotReplace {
                dir: self.record.target.clone(),
                source: errno.into(),
            },
            _ => system("exchange directories")(errno),
        })
    }

    /// Whether the target shows what is in this slot, and not something that
    /// was mounted over it.
    pub(super) fn is_attached(&self) -> io::Result<bool> {
        match &self.record.copy {
            Some(copy) => Ok(find(&self.record.target)?.is_some_and(|place| is_copy(&place, copy))),
            None => {
                let Some(top) = table::topmost(&self.record.target)? else {
                    return Ok(false);
                };
                self.is_ours(&top.device)
            }
        }
    }

    /// Whether a device is one of this slot, and not of another one by now: the
    /// kernel gives the number of one that is gone to the next.
    fn is_ours(&self, device: &str) -> io::Result<bool> {
        let slots = self.dir.parent().unwrap_or(&self.dir);
        let is_others = |entry: &table::Entry| {
            let point = &entry.point;
            entry.device == device && point.starts_with(slots) && !point.starts_with(&self.dir)
        };
        Ok(self.record.devices.iter().any(|ours| ours == device)
            && !table::read()?.iter().any(is_others))
    }

    /// Puts what has been built anew in the place of the mount that has died,
    /// so that nobody ever sees what both cover.
    pub(super) fn relieve(&self) -> Result<(), MountError> {
        let place = Place::find(&self.record.target)?;
        let target = place.open()?;
        let is_covered = match table::topmost(&self.record.target)? {
            Some(top) => self.is_ours(&top.device)? && place.mount_id().ok() == Some(top.id),
            None => false,
        };
        let tree = open_tree(
            CWD,
            self.root(),
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
        )
        .map_err(system("open_tree"))?;
        let beneath = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH
            | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH
            | MoveMountFlags::MOVE_MOUNT_BENEATH;
        if is_covered && move_mount(&tree, "", &target, "", beneath).is_ok() {
            drop(target);
            take_away(&place.path())?;
        } else {
            // Before Linux 6.5: the dead one stays below it, to the end.
            mount_bind(self.root(), proc_path(target.as_fd())).map_err(system("bind"))?;
        }
        if self.is_current()? && self.is_alive() {
            Ok(())
        } else {
            Err(MountError::Unreadable)
        }
    }

    /// Whether what is in this slot could be attached.
    pub(super) fn is_built(&self) -> io::Result<bool> {
        match &self.record.copy {
            Some(copy) => Ok(copy.identity.is_some() && identity(&copy.path).ok() == copy.identity),
            None => Ok(table::topmost(&self.root())?
                .is_some_and(|entry| self.record.devices.last() == Some(&entry.device))),
        }
    }

    /// Whether the target shows what is served now, and not what has died.
    pub(super) fn is_current(&self) -> io::Result<bool> {
        if self.record.copy.is_some() {
            return self.is_attached();
        }
        let device = |point: &Path| Ok::<_, io::Error>(table::topmost(point)?.map(|e| e.device));
        let current = device(&self.root())?;
        Ok(current.is_some() && current == device(&self.record.target)?)
    }

    /// Whether the target can really be read. A FUSE daemon that has died
    /// leaves a mount in which every call fails.
    pub(super) fn is_alive(&self) -> bool {
        let lower_lives = self.record.copy.is_some() || readable(&self.lower());
        lower_lives && readable(&self.record.target)
    }

    /// Takes everything down that serves the directory, but leaves what is
    /// attached, which is dead then, and all files.
    pub(super) fn dismantle(&self) -> io::Result<()> {
        self.take_mounts_away()?;
        // They end when their mounts do, but may also be about to make one.
        daemon::stop(self)?;
        self.take_mounts_away()
    }

    fn take_mounts_away(&self) -> io::Result<()> {
        // Those made last come down first.
        let mounts = table::read()?;
        let ours = |entry: &&table::Entry| entry.point.starts_with(&self.dir);
        mounts
            .iter()
            .rev()
            .filter(ours)
            .try_for_each(|entry| take_away(&entry.point))
    }

    /// Removes everything, the slot included.
    pub(super) fn discard(&self, force: bool) -> Result<(), MountError> {
        self.detach(force)?;
        if self.record.complete {
            let mut doomed = self.clone();
            doomed.record.complete = false;
            // So that nobody puts back what is half gone, if this process is
            // killed. On a full disk it goes all the same.
            let _ = doomed.save();
        }
        self.dismantle()?;
        if let Some(copy) = &self.record.copy
            && let Some(place) = find(&copy.path)?
        {
            match copy.identity {
                Some(_) if is_copy(&place, copy) => place.remove_tree()?,
                // Something else has its name now.
                Some(_) => {}
                None => remove_if_empty(&place)?,
            }
        }
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

fn system(call: &'static str) -> impl Fn(Errno) -> MountError {
    move |errno| MountError::System {
        call,
        source: errno.into(),
    }
}

/// Unmounts. Where a process still uses the mount, it is detached at once and
/// ends with its last user, and nothing new can find its way in.
fn take_away(point: &Path) -> io::Result<()> {
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
fn find(path: &Path) -> io::Result<Option<Place>> {
    match Place::find(path) {
        Err(error) if place::is_gone(&error) => Ok(None),
        found => found.map(Some),
    }
}

/// Whether a directory is the copy, under whichever name.
fn is_copy(place: &Place, copy: &Copy) -> bool {
    copy.identity.is_some() && identity(&place.path()).ok() == copy.identity
}

fn remove_if_empty(place: &Place) -> io::Result<()> {
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

/// Mode, owner, extended attributes and time of a directory.
fn copy_attributes(from: &Path, to: &Path) -> io::Result<()> {
    let about = from.metadata()?;
    std::os::unix::fs::lchown(to, Some(about.uid()), Some(about.gid()))?;
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(about.mode() & 0o7777))?;
    let mut names = vec![0; 64 << 10];
    let mut value = vec![0; 64 << 10];
    let length = match llistxattr(from, &mut names[..]) {
        Err(Errno::OPNOTSUPP) => 0,
        length => length?,
    };
    for name in names[..length].split(|byte| *byte == 0) {
        // What begins otherwise belongs to overlayfs or to the system.
        if name.starts_with(b"user.") {
            let name = std::ffi::OsStr::from_bytes(name);
            let length = lgetxattr(from, name, &mut value[..])?;
            lsetxattr(to, name, &value[..length], XattrFlags::empty())?;
        }
    }
    std::fs::File::open(to)?.set_modified(about.modified()?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
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
