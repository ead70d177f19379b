//! overlayfs over the read-only view of an archive.

use std::{
    ffi::CString,
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt},
    },
    path::Path,
};

use rustix::{
    fs::{XattrFlags, lgetxattr, llistxattr, lsetxattr},
    io::Errno,
    mount::MountFlags,
};

use super::super::target::system;
use crate::restore::{MountError, slot::Slot};

/// Device nodes of an archive do not work, whatever the strategy.
const FLAGS: MountFlags = MountFlags::NODEV;

/// Mounts it at the slot's root.
pub(super) fn mount(slot: &Slot) -> Result<(), MountError> {
    if !slot.upper().exists() {
        std::fs::create_dir_all(slot.upper())?;
        // The top directory shows the attributes of the upper one.
        copy_attributes(&slot.lower(), &slot.upper())?;
    }
    std::fs::create_dir_all(slot.work())?;
    let options = format!(
        "lowerdir={},upperdir={},workdir={},redirect_dir=on",
        slot.lower().display(),
        slot.upper().display(),
        slot.work().display()
    );
    let options =
        CString::new(options).map_err(|_| io::Error::from(io::ErrorKind::InvalidFilename))?;
    rustix::mount::mount(
        "sandbox-agent",
        slot.root(),
        "overlay",
        FLAGS,
        options.as_c_str(),
    )
    .map_err(system("mount overlayfs"))
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
