//! A name in a directory that is held open.
//!
//! Whoever may rename the directories above a path can lead it elsewhere
//! between two looks at it. A place is found once, from the root of the file
//! system, component by component and through no symbolic link, and what is done
//! there is done below the handle of its directory. So it is done where the path
//! led when it was found, whatever its name means by now.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, ResolveFlags, mkdirat, openat,
        openat2, renameat_with, unlinkat,
    },
    io::Errno,
};

const DIRECTORY: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// A path that names the open file itself.
pub fn proc_path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Opens the directory at an absolute `path` in which nothing is a symbolic
/// link, as a handle to start from (`O_PATH`). A link in it is an error.
pub fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = DIRECTORY | OFlags::PATH;
    let mut directory = openat(CWD, "/", flags, Mode::empty())?;
    for component in path.components() {
        match component {
            Component::RootDir => {}
            Component::Normal(name) => directory = openat(directory, name, flags, Mode::empty())?,
            _ => return Err(io::ErrorKind::InvalidFilename.into()),
        }
    }
    Ok(directory)
}

/// Directories on the way to `path`, itself included, that do not exist, outermost
/// first.
pub fn missing(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut missing = Vec::new();
    for directory in path.ancestors() {
        match open_directory(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                missing.push(directory.to_owned());
            }
            found => {
                found?;
                break;
            }
        }
    }
    missing.reverse();
    Ok(missing)
}

/// Whether an error says that a path does not lead where it led.
pub fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// See the module.
#[derive(Debug)]
pub struct Place {
    parent: OwnedFd,
    name: OsString,
}

impl Place {
    /// The one at an absolute path in which nothing but the last name may be a
    /// symbolic link. Something may be there, or nothing.
    pub fn find(path: &Path) -> io::Result<Self> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidFilename.into());
        };
        Ok(Self {
            parent: open_directory(parent)?,
            name: name.to_owned(),
        })
    }

    /// A path for system calls that take no handle and do not follow a link that
    /// is last.
    pub fn path(&self) -> PathBuf {
        Path::new(&proc_path(self.parent.as_fd())).join(&self.name)
    }

    /// Opens the directory that is there, as a handle to start from.
    pub fn open(&self) -> io::Result<OwnedFd> {
        let flags = DIRECTORY | OFlags::PATH;
        Ok(openat(&self.parent, &self.name, flags, Mode::empty())?)
    }

    /// Makes a directory, and opens it for reading.
    pub fn make(&self, mode: Mode) -> io::Result<OwnedFd> {
        mkdirat(&self.parent, &self.name, mode)?;
        let flags = DIRECTORY | OFlags::RDONLY;
        Ok(openat(&self.parent, &self.name, flags, Mode::empty())?)
    }

    /// The number of the mount whose top is there, or that the place is on.
    pub fn mount_id(&self) -> io::Result<u64> {
        let directory = self.open()?;
        let about = format!("/proc/self/fdinfo/{}", directory.as_raw_fd());
        let about = std::fs::read_to_string(about)?;
        let id = about.lines().find_map(|line| line.strip_prefix("mnt_id:"));
        id.and_then(|id| id.trim().parse().ok())
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Exchanges what is there with what has another name in the same directory.
    pub fn exchange(&self, other: &OsStr) -> Result<(), Errno> {
        let (parent, name) = (&self.parent, &self.name);
        renameat_with(parent, other, parent, name, RenameFlags::EXCHANGE)
    }

    /// Removes an empty directory.
    pub fn remove_directory(&self) -> io::Result<()> {
        Ok(unlinkat(&self.parent, &self.name, AtFlags::REMOVEDIR)?)
    }

    /// Removes a directory with all that is in it, but for what is mounted there:
    /// that is an error.
    pub fn remove_tree(&self) -> io::Result<()> {
        Ok(remove_tree(self.parent.as_fd(), &self.name)?)
    }
}

fn remove_tree(parent: impl AsFd, name: &OsStr) -> Result<(), Errno> {
    let parent = parent.as_fd();
    let flags = DIRECTORY | OFlags::RDONLY;
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
    let directory = match openat2(parent, name, flags, Mode::empty(), resolve) {
        // A sandbox may know or allow no such call.
        Err(Errno::NOSYS | Errno::PERM) => openat(parent, name, flags, Mode::empty()),
        opened => opened,
    }?;
    // Listed before anything is removed: what a listing shows after that is
    // left open (`readdir(3)`).
    let mut entries = Vec::new();
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            entries.push((entry.file_name().to_owned(), entry.file_type()));
        }
    }
    for (entry, kind) in entries {
        let removed = match kind {
            FileType::Directory => Err(Errno::ISDIR),
            _ => unlinkat(&directory, &entry, AtFlags::empty()),
        };
        match removed {
            Err(Errno::ISDIR | Errno::PERM) => {
                use std::os::unix::ffi::OsStrExt;
                remove_tree(&directory, OsStr::from_bytes(entry.to_bytes()))?;
            }
            Err(Errno::NOENT) => {}
            removed => removed?,
        }
    }
    unlinkat(parent, name, AtFlags::REMOVEDIR)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use rustix::mount::{UnmountFlags, mount_bind, unmount};

    use super::*;

    fn playground() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        (dir, path)
    }

    #[test]
    fn no_link_is_followed_to_a_place() {
        let (_dir, base) = playground();
        fs::create_dir_all(base.join("real/below")).unwrap();
        symlink("real", base.join("link")).unwrap();
        assert!(Place::find(&base.join("real/below")).is_ok());
        for path in ["link/below", "real/below/../below"] {
            assert!(Place::find(&base.join(path)).is_err(), "{path}");
        }
        let link = Place::find(&base.join("link")).unwrap();
        assert!(is_gone(&link.open().unwrap_err()));
        assert!(missing(&base.join("link/new")).is_err());
        let new = [base.join("real/new"), base.join("real/new/er")];
        assert_eq!(missing(&new[1]).unwrap(), new);
    }

    #[test]
    fn a_place_stays_where_it_was_found() {
        let (_dir, base) = playground();
        fs::create_dir_all(base.join("real")).unwrap();
        fs::create_dir_all(base.join("other/name")).unwrap();
        let place = Place::find(&base.join("real/name")).unwrap();
        fs::rename(base.join("real"), base.join("moved")).unwrap();
        symlink("other", base.join("real")).unwrap();
        place.make(Mode::RWXU).unwrap();
        assert!(base.join("moved/name").is_dir());
        place.remove_tree().unwrap();
        assert!(!base.join("moved/name").exists());
        assert!(base.join("other/name").is_dir());
    }

    #[test]
    fn a_tree_is_removed_and_nothing_that_links_and_mounts_lead_to() {
        let (_dir, base) = playground();
        fs::create_dir_all(base.join("outside")).unwrap();
        fs::write(base.join("outside/precious"), "").unwrap();
        fs::create_dir_all(base.join("tree/a/mount")).unwrap();
        fs::write(base.join("tree/a/file"), "").unwrap();
        symlink("../../outside", base.join("tree/a/link")).unwrap();
        let mount = base.join("tree/a/mount");
        mount_bind(base.join("outside"), &mount).unwrap();
        let place = Place::find(&base.join("tree")).unwrap();
        let refused = place.remove_tree();
        unmount(&mount, UnmountFlags::empty()).unwrap();
        assert!(refused.is_err());
        assert!(base.join("outside/precious").exists());
        place.remove_tree().unwrap();
        assert!(!base.join("tree").exists());
        assert!(base.join("outside/precious").exists());
    }
}
