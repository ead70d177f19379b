//! A mounted file system and the threads that serve it.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
};

use fuser::{Config, Filesystem, InitFlags, KernelConfig, MountOption, SessionACL};
use rustix::{
    fs::{major, minor},
    mount::{UnmountFlags, unmount},
};

/// How to mount.
#[derive(Clone, Debug)]
pub struct Options {
    /// Threads that answer requests. More than there are cores, as some of them
    /// wait for the lower tree's bytes to arrive.
    pub threads: usize,
    /// What the table of mounts shows as the source.
    pub source: String,
    /// Whether device nodes work.
    pub devices: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            threads: 16,
            source: "cow-fuse".to_owned(),
            devices: false,
        }
    }
}

/// A mounted file system that is being served. Dropping it unmounts.
#[derive(Debug)]
pub struct Session {
    mountpoint: PathBuf,
    server: Option<JoinHandle<io::Result<()>>>,
}

impl Session {
    pub(super) fn start(
        file_system: impl Filesystem,
        mountpoint: &Path,
        options: &Options,
        read_only: bool,
    ) -> io::Result<Self> {
        let mountpoint = mountpoint.canonicalize()?;
        let mut config = Config::default();
        config.acl = SessionACL::All;
        config.n_threads = Some(options.threads.max(1));
        config.mount_options = vec![
            MountOption::FSName(options.source.clone()),
            MountOption::DefaultPermissions,
            MountOption::Suid,
        ];
        if options.devices {
            config.mount_options.push(MountOption::Dev);
        }
        if read_only {
            config.mount_options.push(MountOption::RO);
        }
        let session = fuser::Session::new(file_system, &mountpoint, &config)?;
        let server = thread::Builder::new()
            .name("fuse".to_owned())
            .spawn(move || session.run())?;
        read_ahead(&mountpoint);
        Ok(Self {
            mountpoint,
            server: Some(server),
        })
    }

    /// Takes the mount away. Whoever still uses it is served on until done.
    ///
    /// # Errors
    /// Those of `umount2(2)`; `EINVAL` if nothing is mounted there any more.
    pub fn unmount(&self) -> io::Result<()> {
        Ok(unmount(
            &self.mountpoint,
            UnmountFlags::DETACH | UnmountFlags::NOFOLLOW,
        )?)
    }

    /// Waits until it has been unmounted, by [`Self::unmount`] or otherwise, and
    /// nobody uses it any more.
    ///
    /// # Errors
    /// The connection to the kernel failed.
    pub fn wait(mut self) -> io::Result<()> {
        self.server.take().map_or(Ok(()), |server| {
            server
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("a thread that served requests panicked")))
        })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self
            .server
            .as_ref()
            .is_some_and(|server| !server.is_finished())
        {
            // It is gone already, or it cannot be helped.
            let _ = self.unmount();
        }
    }
}

/// Asks for `flags` as far as this kernel has them, and for large requests.
pub(super) fn request(config: &mut KernelConfig, flags: InitFlags) {
    // They are offered, so they are not refused.
    let _ = config.add_capabilities(flags & config.capabilities());
    // What one request can carry: 256 pages, the kernel's usual limit.
    let _ = config.set_max_write(1 << 20);
    let _ = config.set_max_background(64);
}

/// Asks for what the file systems with directories need, and for `flags` as far
/// as this kernel has them.
///
/// # Errors
/// The kernel would have to open files and directories with us: it is older than
/// Linux 5.1.
pub(super) fn negotiate(config: &mut KernelConfig, flags: InitFlags) -> io::Result<()> {
    let needed = InitFlags::FUSE_NO_OPEN_SUPPORT
        | InitFlags::FUSE_NO_OPENDIR_SUPPORT
        | InitFlags::FUSE_DO_READDIRPLUS
        | InitFlags::FUSE_PARALLEL_DIROPS;
    request(config, flags);
    config
        .add_capabilities(needed)
        .map_err(|_| io::Error::from(io::ErrorKind::Unsupported))
}

/// Lets the kernel read 1 MiB ahead instead of 128 KiB. Only root of the whole
/// machine can, and everything works without.
fn read_ahead(mountpoint: &Path) {
    if let Ok(about) = fs::metadata(mountpoint) {
        let device = about.dev();
        let file = format!(
            "/sys/class/bdi/{}:{}/read_ahead_kb",
            major(device),
            minor(device)
        );
        let _ = fs::write(file, "1024");
    }
}
