//! The disks of containers: directories that live as long as a container.
//!
//! A host that was killed leaves its disks behind. The next one finds them by
//! their lock, which nobody holds any more, and removes them.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::{Context, Result};

use sandbox_toolbox::project;

const LOCK: &str = "lock";

/// Directories of the machine that containers see, read-only. Where the
/// machine has a symbolic link, so does the container.
const SYSTEM: [&str; 6] = ["usr", "bin", "sbin", "lib", "lib32", "lib64"];

/// What containers see of the machine's `/etc`, read-only.
const SYSTEM_CONFIGURATION: [&str; 8] = [
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "resolv.conf",
    "ssl",
];

/// Where the agent is in a container.
pub(super) const AGENT: &str = "/opt/sandbox/bin/sandbox-agent";

/// The disks of one host.
#[derive(Debug)]
pub(super) struct Disks {
    directory: PathBuf,
    made: AtomicU64,
    /// Held for as long as the host lives.
    _lock: File,
}

impl Disks {
    /// A place for new disks in `parent`, which dead hosts' disks are removed from.
    pub(super) fn new(parent: &Path) -> Result<Self> {
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        // The path is bound into containers, which have another root.
        let parent = parent.canonicalize()?;
        // No host is between making its directory and locking it while we look.
        let arrivals = File::create(parent.join(LOCK))?;
        arrivals.lock()?;
        for entry in fs::read_dir(&parent)? {
            let directory = entry?.path();
            if directory.is_dir() && !is_locked(&directory.join(LOCK))? {
                remove(&directory)?;
            }
        }
        let name = project::random_token()?;
        let directory = parent.join(&name[..16]);
        fs::DirBuilder::new().mode(0o700).create(&directory)?;
        let lock = File::create(directory.join(LOCK))?;
        lock.lock()?;
        Ok(Self {
            directory,
            made: AtomicU64::new(0),
            _lock: lock,
        })
    }

    /// A new disk with the directories that sandboxes have.
    pub(super) fn make(&self, hostname: &str) -> io::Result<PathBuf> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let root = self.directory.join(number.to_string());
        let directory = |path: &str, mode: u32| {
            let path = root.join(path);
            fs::create_dir_all(&path)?;
            // Not by `mkdir`, whose mode the umask would cut.
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))
        };
        directory("", 0o755)?;
        for path in [
            "app",
            "etc",
            "home",
            "opt/sandbox/bin",
            "var/lib/sandbox-agent",
            "workspace",
        ] {
            directory(path, 0o755)?;
        }
        directory("root", 0o700)?;
        directory("tmp", 0o1777)?;
        directory("var/tmp", 0o1777)?;
        symlink("/run", root.join("var/run"))?;
        for name in SYSTEM {
            if let Ok(target) = fs::read_link(Path::new("/").join(name)) {
                symlink(target, root.join(name))?;
            }
        }
        for (name, content) in configuration(hostname) {
            fs::write(root.join("etc").join(name), content)?;
        }
        symlink("/proc/self/mounts", root.join("etc/mtab"))?;
        Ok(root)
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        // What is left is for the next host.
        remove(&self.directory).ok();
    }
}

/// What containers see of the machine, as pairs of a path outside and inside.
pub(super) fn system() -> impl Iterator<Item = (PathBuf, PathBuf)> {
    let directories = SYSTEM.map(|name| Path::new("/").join(name));
    let configuration = SYSTEM_CONFIGURATION.map(|name| Path::new("/etc").join(name));
    let bound = directories
        .into_iter()
        .filter(|path| !path.is_symlink())
        .chain(configuration);
    // resolv.conf may be a link to a place that containers do not have.
    bound.filter_map(|path| Some((path.canonicalize().ok()?, path)))
}

/// The loop devices of the machine, and what hands them out.
pub(super) fn loop_devices() -> io::Result<Vec<PathBuf>> {
    let is_one = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.and_then(|name| name.strip_prefix("loop"))
            .is_some_and(|rest| rest == "-control" || rest.parse::<u32>().is_ok())
    };
    let entries = fs::read_dir("/dev")?.map(|entry| Ok(entry?.path()));
    let paths: io::Result<Vec<PathBuf>> = entries.collect();
    Ok(paths?.into_iter().filter(is_one).collect())
}

fn configuration(hostname: &str) -> [(&'static str, String); 6] {
    let hosts = format!("127.0.0.1 localhost {hostname}\n::1 localhost\n");
    let passwd = "root:x:0:0:root:/root:/bin/sh\n\
                  nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
    [
        ("fuse.conf", "user_allow_other\n".into()),
        ("group", "root:x:0:\nnogroup:x:65534:\n".into()),
        ("hostname", format!("{hostname}\n")),
        ("hosts", hosts),
        (
            "nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files dns\n".into(),
        ),
        ("passwd", passwd.into()),
    ]
}

/// Removes a directory and all that is in it, also what its owner may not read.
pub(super) fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            make_readable(directory)?;
            fs::remove_dir_all(directory)
        }
        other => other,
    }
}

/// Overlayfs makes directories without any permission, which stop everybody but root.
fn make_readable(directory: &Path) -> io::Result<()> {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            make_readable(&entry.path())?;
        }
    }
    Ok(())
}

fn is_locked(path: &Path) -> io::Result<bool> {
    match File::open(path) {
        Ok(lock) => match lock.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that is removed at the end of the test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = project::target_dir().join("tmp").join(name);
            remove(&path).ok();
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            remove(&self.0).ok();
        }
    }

    #[test]
    fn disks_of_dead_hosts_are_removed_and_those_of_living_ones_are_not() {
        let scratch = Scratch::new("disks");
        let living = Disks::new(&scratch.0).unwrap();
        let kept = living.make("kept").unwrap();
        let dead = scratch.0.join("dead/0/work");
        fs::create_dir_all(&dead).unwrap();
        fs::set_permissions(&dead, fs::Permissions::from_mode(0o0)).unwrap();
        File::create(scratch.0.join("dead/lock")).unwrap();

        drop(Disks::new(&scratch.0).unwrap());

        assert!(!scratch.0.join("dead").exists());
        assert!(kept.join("workspace").is_dir());
        drop(living);
        assert!(!kept.exists());
    }
}
