//! [`Strategy::Kernel`]: Linux's own squashfs on a loop device, whose file the daemon
//! serves, with overlayfs on top.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use cow_fuse::{Session, archive_file};
use sandbox_shared::Strategy;
use squashfs::reader::ReadAt;

use super::{
    mounted::{Mounted, fuse_failed, fuse_options},
    overlayfs,
};
use crate::restore::{MountError, slot::Slot};

#[derive(Debug)]
pub(super) struct Kernel;

impl Mounted for Kernel {
    fn name(&self) -> Strategy {
        Strategy::Kernel
    }

    fn serve(&self, slot: &Slot, source: Arc<dyn ReadAt>) -> Result<Session, MountError> {
        archive_file::serve(source, &slot.source(), &fuse_options()).map_err(fuse_failed)
    }

    fn mount(&self, slot: &Slot) -> Result<(), MountError> {
        mount_loop(&slot.source().join(archive_file::NAME), &slot.lower())?;
        overlayfs::mount(slot)
    }

    fn shown_when_new(&self, slot: &Slot) -> PathBuf {
        slot.lower()
    }
}

/// `mount(8)` finds a free loop device, and has the kernel free it again
/// together with the mount.
fn mount_loop(archive: &Path, at: &Path) -> Result<(), MountError> {
    let output = Command::new("mount")
        .args(["-t", "squashfs", "-o", "ro,nodev,loop"])
        .args([archive, at])
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
