//! The ways to serve a restored directory, behind one trait, a file each. What is
//! particular to one of them stands there; everybody else asks the trait.

use std::{
    fmt::Debug,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use cow_fuse::Session;
use sandbox_shared::Strategy;
use squashfs::reader::ReadAt;

use super::{
    MountError,
    slot::{Copy, Slot},
};

mod extract;
mod fuse;
mod kernel;
mod mounted;
mod overlay;
mod overlayfs;

/// All of them, best first.
pub(super) static ALL: [&dyn RestoreStrategy; 4] = [
    &kernel::Kernel,
    &overlay::Overlay,
    &fuse::Fuse,
    &extract::Extract,
];

/// That of a slot.
pub(super) fn of(slot: &Slot) -> &'static dyn RestoreStrategy {
    let name = slot.record.strategy;
    let known = ALL.into_iter().find(|strategy| strategy.name() == name);
    // A record with a name that this agent does not know cannot be read.
    known.unwrap_or(&extract::Extract)
}

/// How a restored directory is built in its slot, put in the place of its target,
/// and taken from there again. Attaching and detaching undo each other; what takes
/// something down works whether or not that has been done before.
pub(super) trait RestoreStrategy: Debug + Send + Sync {
    /// Its name.
    fn name(&self) -> Strategy;

    /// Whether a daemon serves the archive, which is fetched when it is read.
    /// Otherwise all of it is fetched before the directory is built, and is not
    /// needed afterwards.
    fn is_lazy(&self) -> bool;

    /// The copy that is going to be made of the archive, if one is.
    fn copy(&self, target: &Path, slot: &Path) -> Option<Copy>;

    /// In the daemon: mounts the file system that it needs of the archive. Reading
    /// through it may wait for what is not here yet.
    fn serve(&self, slot: &Slot, source: Arc<dyn ReadAt>) -> Result<Session, MountError>;

    /// Builds the directory, with what has been written to it if it was there
    /// before. Its daemon runs, or the whole archive is here.
    fn build(&self, slot: &mut Slot) -> Result<(), MountError>;

    /// Where that directory is before it is attached.
    fn built_at(&self, slot: &Slot) -> PathBuf;

    /// Whether there is one that could be attached.
    fn is_built(&self, slot: &Slot) -> io::Result<bool>;

    /// Puts it in the target's place, and looks at it there.
    fn attach(&self, slot: &Slot) -> Result<(), MountError>;

    /// Gives the target back what it was. Processes that use the directory are
    /// a reason not to, unless it is done by `force`: then they keep what they
    /// have, which is served no more.
    fn detach(&self, slot: &Slot, force: bool) -> Result<(), MountError>;

    /// Whether the target shows what is in this slot, and not something that was
    /// mounted over it.
    fn is_attached(&self, slot: &Slot) -> io::Result<bool>;

    /// Whether the target shows what is served now, and not what has died.
    fn is_current(&self, slot: &Slot) -> io::Result<bool>;

    /// Puts what has been built again in the place of the mount that has died, so
    /// that nobody ever sees what both cover.
    fn replace_dead(&self, slot: &Slot) -> Result<(), MountError>;

    /// Removes what is not in the slot.
    fn remove_built(&self, slot: &Slot) -> io::Result<()>;
}
