//! [`Strategy::Extract`]: a plain copy, unpacked beside the target and exchanged
//! with it.

use std::{
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use cow_fuse::Session;
use rustix::{
    fs::{Mode, fstat},
    io::Errno,
};
use sandbox_shared::{Strategy, report::Listed};
use squashfs::{image, reader::ReadAt};

use super::{
    super::{
        target::{find, not_used, remove_if_empty, system, unmount_or_detach},
        users,
    },
    RestoreStrategy,
    mounted::cover,
};
use crate::{
    convert,
    paths::place::{Place, proc_path},
    restore::{
        MountError,
        slot::{Copy, Slot, identity},
    },
};

#[derive(Debug)]
pub(super) struct Extract;

impl RestoreStrategy for Extract {
    fn name(&self) -> Strategy {
        Strategy::Extract
    }

    fn is_lazy(&self) -> bool {
        false
    }

    /// In the directory that the target is in, since only within one file system
    /// can the two be exchanged.
    fn copy(&self, target: &Path, slot: &Path) -> Option<Copy> {
        let slot = slot.file_name().unwrap_or_default().to_string_lossy();
        Some(Copy {
            path: target.with_file_name(format!(".sandbox-restore-{slot}")),
            identity: None,
            left_out: Listed::default(),
        })
    }

    fn serve(&self, _slot: &Slot, _source: Arc<dyn ReadAt>) -> Result<Session, MountError> {
        Err(io::Error::from(io::ErrorKind::Unsupported).into())
    }

    fn build(&self, slot: &mut Slot) -> Result<(), MountError> {
        let copy = slot.record.copy.as_mut().ok_or(MountError::Unreadable)?;
        // Recorded before it is filled: only what is known to be ours is ever
        // removed.
        let directory = Place::find(&copy.path)?.make(Mode::RWXU)?;
        let about = fstat(&directory).map_err(system("look at the copy"))?;
        copy.identity = Some((about.st_dev, about.st_ino));
        slot.save()?;
        let left_out = image::unpack_into(&slot.archive(), directory)?;
        if let Some(copy) = &mut slot.record.copy {
            copy.left_out = convert::left_out(&left_out);
        }
        slot.save()?;
        // All of it is in the copy now.
        std::fs::remove_file(slot.archive())?;
        Ok(())
    }

    fn built_at(&self, slot: &Slot) -> PathBuf {
        let copy = slot.record.copy.as_ref();
        copy.map(|copy| copy.path.clone()).unwrap_or_default()
    }

    fn is_built(&self, slot: &Slot) -> io::Result<bool> {
        let copy = slot.record.copy.as_ref();
        Ok(copy.is_some_and(|copy| {
            copy.identity.is_some() && identity(&copy.path).ok() == copy.identity
        }))
    }

    fn attach(&self, slot: &Slot) -> Result<(), MountError> {
        let place = Place::find(&slot.record.target)?;
        match exchange(slot, &place) {
            // Where one may mount, it can be covered at least.
            Err(error @ MountError::CannotReplace { .. }) => {
                let copy = Place::find(&self.built_at(slot))?.open()?;
                cover(&place, proc_path(copy.as_fd()).as_ref()).map_err(|_| error)?;
            }
            exchanged => exchanged?,
        }
        match self.is_attached(slot)? {
            true => Ok(()),
            false => Err(MountError::Unreadable),
        }
    }

    fn detach(&self, slot: &Slot, force: bool) -> Result<(), MountError> {
        let target = &slot.record.target;
        if let Some(place) = find(target)?
            && is_copy(slot, &place)
        {
            not_used(&slot.record.dir, users::of_directory(target), force)?;
            match find(&self.built_at(slot))?.is_some_and(|place| is_copy(slot, &place)) {
                // It covers the target.
                true => unmount_or_detach(&place.path())?,
                false => exchange(slot, &place)?,
            }
        }
        Ok(())
    }

    fn is_attached(&self, slot: &Slot) -> io::Result<bool> {
        Ok(find(&slot.record.target)?.is_some_and(|place| is_copy(slot, &place)))
    }

    fn is_current(&self, slot: &Slot) -> io::Result<bool> {
        self.is_attached(slot)
    }

    fn replace_dead(&self, _slot: &Slot) -> Result<(), MountError> {
        Err(io::Error::from(io::ErrorKind::Unsupported).into())
    }

    fn remove_built(&self, slot: &Slot) -> io::Result<()> {
        let Some(copy) = &slot.record.copy else {
            return Ok(());
        };
        let Some(place) = find(&copy.path)? else {
            return Ok(());
        };
        match copy.identity {
            Some(_) if is_copy(slot, &place) => place.remove_tree(),
            // Something else has its name now.
            Some(_) => Ok(()),
            None => remove_if_empty(&place),
        }
    }
}

/// Whether a directory is the copy, under whichever name.
fn is_copy(slot: &Slot, place: &Place) -> bool {
    slot.record.copy.as_ref().is_some_and(|copy| {
        copy.identity.is_some() && identity(&place.path()).ok() == copy.identity
    })
}

/// Exchanges the target with the copy, which is beside it.
fn exchange(slot: &Slot, target: &Place) -> Result<(), MountError> {
    let copy = Extract.built_at(slot);
    let copy = copy.file_name().unwrap_or_default();
    target.exchange(copy).map_err(|errno| match errno {
        Errno::BUSY | Errno::XDEV | Errno::INVAL => MountError::CannotReplace {
            dir: slot.record.target.clone(),
            source: errno.into(),
        },
        _ => system("exchange directories")(errno),
    })
}
