//! Taking a restored directory apart. Every step works whether or not it has been
//! done before.

use std::{io, path::Path};

use super::{
    MountError, daemon,
    slot::Slot,
    strategy, table,
    target::{find, remove_if_empty, unmount_or_detach},
};

impl Slot {
    /// Takes everything down that serves the directory, but leaves what is
    /// attached, which is dead then, and all files.
    pub(super) fn stop_serving(&self) -> io::Result<()> {
        self.unmount_all()?;
        // They end when their mounts do, but may also be about to make one.
        daemon::stop(self)?;
        self.unmount_all()
    }

    fn unmount_all(&self) -> io::Result<()> {
        // Those made last come down first.
        let mounts = table::read()?;
        let ours = |entry: &&table::Entry| entry.point.starts_with(&self.dir);
        mounts
            .iter()
            .rev()
            .filter(ours)
            .try_for_each(|entry| unmount_or_detach(&entry.point))
    }

    /// Removes everything, the slot included.
    pub(super) fn discard(&self, force: bool) -> Result<(), MountError> {
        strategy::of(self).detach(self, force)?;
        if self.record.complete {
            let mut doomed = self.clone();
            doomed.record.complete = false;
            // So that nobody puts back what is half gone, if this process is
            // killed. On a full disk it goes all the same.
            let _ = doomed.save();
        }
        self.stop_serving()?;
        strategy::of(self).remove_built(self)?;
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

/// Removes a directory of the state directory, into which nobody else can look.
fn remove_tree(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
