//! [`Strategy::Overlay`]: a FUSE view of the archive, with overlayfs on top.

use std::{path::PathBuf, sync::Arc};

use cow_fuse::{Session, view};
use sandbox_shared::Strategy;
use squashfs::reader::ReadAt;

use super::{
    mounted::{Mounted, fuse_failed, fuse_options, open},
    overlayfs,
};
use crate::restore::{MountError, slot::Slot};

#[derive(Debug)]
pub(super) struct Overlay;

impl Mounted for Overlay {
    fn name(&self) -> Strategy {
        Strategy::Overlay
    }

    fn serve(&self, slot: &Slot, source: Arc<dyn ReadAt>) -> Result<Session, MountError> {
        view::serve(open(source)?, &slot.lower(), &fuse_options()).map_err(fuse_failed)
    }

    fn mount(&self, slot: &Slot) -> Result<(), MountError> {
        overlayfs::mount(slot)
    }

    fn shown_when_new(&self, slot: &Slot) -> PathBuf {
        slot.lower()
    }
}
