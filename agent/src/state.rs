//! The agent's own directory: temporary files, and one directory per mount.

use std::{
    fs::{DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, flock},
    process::geteuid,
};
use tempfile::{NamedTempFile, TempDir};

/// Prefix of temporary files, by which a new agent recognises what one that
/// was killed left behind.
const TEMPORARY_PREFIX: &str = "tmp-";

/// A state directory. Several processes may use it: an agent and command lines.
#[derive(Clone, Debug)]
pub struct StateDir {
    root: PathBuf,
}

impl StateDir {
    /// Opens the directory, and makes it where it is missing. Only the owner
    /// may look into it: it holds the content of backups.
    pub fn open(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        private_dir(&root)?;
        // Mount tables show resolved paths.
        let root = root.canonicalize()?;
        private_dir(&root.join("mounts"))?;
        private_dir(&root.join("tmp"))?;
        Ok(Self { root })
    }

    /// Its path, without symbolic links.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Holds one directory per mount.
    pub fn mounts(&self) -> PathBuf {
        self.root.join("mounts")
    }

    /// A file that is removed when it is dropped. It is locked while it is in
    /// use, so that nobody takes it for a leftover.
    pub fn temporary_file(&self) -> io::Result<NamedTempFile> {
        let file = tempfile::Builder::new()
            .prefix(TEMPORARY_PREFIX)
            .tempfile_in(self.root.join("tmp"))?;
        flock(file.as_file(), FlockOperation::NonBlockingLockExclusive)?;
        Ok(file)
    }

    /// A directory that is removed when it is dropped, locked as
    /// [`Self::temporary_file`] is.
    pub fn temporary_dir(&self) -> io::Result<TemporaryDir> {
        let dir = tempfile::Builder::new()
            .prefix(TEMPORARY_PREFIX)
            .tempdir_in(self.root.join("tmp"))?;
        let lock = File::open(dir.path())?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(TemporaryDir { dir, _lock: lock })
    }

    /// Removes temporary files and directories whose process is gone.
    pub fn remove_leftovers(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(self.root.join("tmp"))? {
            let path = entry?.path();
            let abandoned = File::open(&path)
                .is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok());
            if abandoned && path.symlink_metadata()?.is_dir() {
                std::fs::remove_dir_all(&path)?;
            } else if abandoned {
                std::fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Waits until no other process changes mounts, and keeps others from it
    /// until the file is dropped. Blocks.
    pub fn lock(&self) -> io::Result<File> {
        let file = File::create(self.root.join("lock"))?;
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(file)
    }
}

/// See [`StateDir::temporary_dir`].
#[derive(Debug)]
pub struct TemporaryDir {
    dir: TempDir,
    _lock: File,
}

impl TemporaryDir {
    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Fails where somebody else can look into a directory, or has made it.
pub(crate) fn check_private(path: &Path) -> io::Result<()> {
    let about = path.symlink_metadata()?;
    let is_ours = about.is_dir() && about.uid() == geteuid().as_raw() && about.mode() & 0o077 == 0;
    match is_ours {
        true => Ok(()),
        false => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

/// Makes a directory, and those above it, for the owner only.
pub(crate) fn private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_others_may_have_made_is_not_private() {
        let base = tempfile::tempdir().unwrap();
        let [ours, open, link] = ["ours", "open", "link"].map(|name| base.path().join(name));
        private_dir(&ours).unwrap();
        check_private(&ours).unwrap();
        DirBuilder::new().mode(0o711).create(&open).unwrap();
        symlink(&ours, &link).unwrap();
        for path in [open, link] {
            assert!(check_private(&path).is_err(), "{path:?}");
        }
        // Only root can give it to somebody else.
        if geteuid().is_root() {
            std::os::unix::fs::chown(&ours, Some(1000), None).unwrap();
            assert!(check_private(&ours).is_err());
        }
    }
}
