//! [`Strategy::Fuse`]: a copy-on-write file system in user space.

use std::{io, path::PathBuf, sync::Arc};

use cow_fuse::{Session, cow};
use sandbox_shared::Strategy;
use squashfs::reader::ReadAt;

use super::mounted::{Mounted, fuse_failed, fuse_options, open};
use crate::restore::{MountError, slot::Slot};

#[derive(Debug)]
pub(super) struct Fuse;

impl Mounted for Fuse {
    fn name(&self) -> Strategy {
        Strategy::Fuse
    }

    fn serve(&self, slot: &Slot, source: Arc<dyn ReadAt>) -> Result<Session, MountError> {
        std::fs::create_dir_all(slot.upper())?;
        cow::serve(open(source)?, &slot.upper(), &slot.root(), &fuse_options())
            .map_err(|error| fuse_failed(io::Error::other(error)))
    }

    /// The daemon has done it.
    fn mount(&self, _slot: &Slot) -> Result<(), MountError> {
        Ok(())
    }

    /// Nothing is below it to compare it with.
    fn shown_when_new(&self, slot: &Slot) -> PathBuf {
        slot.root()
    }
}
