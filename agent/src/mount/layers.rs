//! Putting a mount together and taking it apart.
//!
//! A restored directory is built away from its target, in the slot, checked
//! there, and only then attached: bound over the target, or exchanged with it
//! for an unpacked copy, if that can be. Attaching and detaching are single system calls and
//! undo each other, so a restore can change its mind. Every step of taking
//! apart works whether or not it has been done before.

use std::{
    ffi::CString,
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt},
    },
    path::Path,
    process::{Command, Stdio},
};

use rustix::{
    fs::{CWD, RenameFlags, XattrFlags, lgetxattr, llistxattr, lsetxattr, renameat_with, statvfs},
    io::Errno,
    mount::{
        MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_bind, move_mount,
        open_tree, unmount,
    },
};
use sandbox_shared::Strategy;

use super::{
    MountError, daemon,
    record::{Slot, identity},
    table,
    users::{self, User},
};
use crate::{archive::image, fuse::archive_file};

/// Device nodes of an archive do not work, whatever the strategy.
const FLAGS: MountFlags = MountFlags::NODEV;

/// Entries of the top directory that are looked at before a mount counts as
/// one of the archive.
const LOOKED_AT: usize = 64;

impl Slot {
    /// Builds the directory in the slot, with what has been written to it if
    /// it was there before. Its daemon runs, or the whole archive is here.
    pub(super) fn assemble(&mut self) -> Result<(), MountError> {
        if let Some(copy) = &mut self.record.copy {
            let left_out = image::unpack(&self.dir.join("archive.sqsh"), &copy.path)?;
            copy.left_out = left_out.into();
            copy.identity = Some(identity(&copy.path)?);
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
        match &self.record.copy {
            Some(copy) => match self.exchange(&copy.path) {
                // Where one may mount, it can be covered at least.
                Err(error @ MountError::CannotReplace { .. }) => {
                    mount_bind(&copy.path, &self.record.target).map_err(|_| error)?;
                }
                exchanged => exchanged?,
            },
            None => mount_bind(self.root(), &self.record.target).map_err(system("bind"))?,
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
            if self.is_attached()? {
                not_used(users::of_directory(target))?;
                match identity(&copy.path).ok() == copy.identity {
                    true => take_away(target)?,
                    false => self.exchange(&copy.path)?,
                }
            }
            return Ok(());
        }
        while self.is_attached()? {
            match unmount(target, UnmountFlags::NOFOLLOW) {
                Err(Errno::BUSY) => {
                    not_used(users::of_mount(target))?;
                    take_away(target)?;
                }
                unmounted => unmounted.map_err(system("unmount"))?,
            }
        }
        Ok(())
    }

    fn exchange(&self, copy: &Path) -> Result<(), MountError> {
        renameat_with(CWD, copy, CWD, &self.record.target, RenameFlags::EXCHANGE).map_err(|errno| {
            match errno {
                Errno::BUSY | Errno::XDEV | Errno::INVAL => MountError::CannotReplace {
                    dir: self.record.target.clone(),
                    source: errno.into(),
                },
                _ => system("exchange directories")(errno),
            }
        })
    }

    /// Whether the target shows what is in this slot, and not something that
    /// was mounted over it.
    pub(super) fn is_attached(&self) -> io::Result<bool> {
        match &self.record.copy {
            Some(copy) => {
                Ok(copy.identity.is_some() && identity(&self.record.target).ok() == copy.identity)
            }
            None => {
                let Some(top) = table::topmost(&self.record.target)? else {
                    return Ok(false);
                };
                Ok(self.record.devices.contains(&top.device) && !self.is_others(&top.device)?)
            }
        }
    }

    /// Whether a device is that of another slot by now: the kernel gives the
    /// number of one that is gone to the next.
    fn is_others(&self, device: &str) -> io::Result<bool> {
        let slots = self.dir.parent().unwrap_or(&self.dir);
        let is_others = |entry: &table::Entry| {
            let point = &entry.point;
            entry.device == device && point.starts_with(slots) && !point.starts_with(&self.dir)
        };
        Ok(table::read()?.iter().any(is_others))
    }

    /// Puts what has been built anew in the place of the mount that has died,
    /// so that nobody ever sees what both cover.
    pub(super) fn relieve(&self) -> Result<(), MountError> {
        let target = &self.record.target;
        let tree = open_tree(
            CWD,
            self.root(),
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
        )
        .map_err(system("open_tree"))?;
        let beneath = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_BENEATH;
        match move_mount(&tree, "", CWD, target, beneath) {
            Ok(()) => take_away(target)?,
            // Before Linux 6.5: the dead one stays below it, to the end.
            Err(_) => mount_bind(self.root(), target).map_err(system("bind"))?,
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
        if let Some(copy) = &self.record.copy {
            remove_tree(&copy.path)?;
        }
        remove_tree(&self.record.scratch)?;
        for dir in self.record.made.iter().rev() {
            match std::fs::remove_dir(dir) {
                Err(error)
                    if !matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
                    ) =>
                {
                    return Err(error.into());
                }
                _ => {}
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
