//! A restore, which succeeds as a whole or leaves the target as it was.

use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use rustix::fs::Mode;
use sandbox_shared::{
    AbsolutePath, AllowedDir, AllowedRoots, BackupId, SandboxError, Strategy,
    protocol::{ArchiveSource, MountState, MountStatus},
};

use super::{
    MountError, Mounts, blocking, daemon,
    daemon::Address,
    recover::{attach_all, discard_failed},
    slot::{Record, Slot},
    status, strategy,
};
use crate::{
    paths::{
        self,
        place::{self, Place},
    },
    transfer::lazy::{self, LazyArchive},
};

/// What to restore.
#[derive(Clone, Debug)]
pub struct Restore {
    /// Which backup.
    pub id: BackupId,
    /// Where to. Made if it does not exist.
    pub destination: Destination,
    /// Where the archive is.
    pub source: Source,
    /// Forces one strategy.
    pub strategy: Option<Strategy>,
    /// Takes an older restore away under the processes that use it.
    pub force: bool,
}

/// Where a directory may be restored to.
#[derive(Clone, Debug)]
pub enum Destination {
    /// Wherever whoever has a shell says.
    Anywhere(AbsolutePath),
    /// Where the roots allow it, also behind symbolic links.
    Allowed(AllowedDir, AllowedRoots),
}

impl Destination {
    fn as_str(&self) -> &str {
        match self {
            Self::Anywhere(dir) => dir.as_str(),
            Self::Allowed(dir, _) => dir.as_str(),
        }
    }

    /// Where that really is.
    fn resolve(&self) -> Result<PathBuf, MountError> {
        match self {
            Self::Anywhere(dir) => Ok(paths::resolve_target(Path::new(dir.as_str()))?),
            Self::Allowed(dir, roots) => Ok(paths::target_dir(dir, roots)?),
        }
    }
}

/// Where an archive comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// An object store.
    Remote(ArchiveSource),
    /// A file, which is copied.
    File(PathBuf),
}

/// A slot that is removed unless its restore succeeds.
struct Building {
    slot: Slot,
    succeeded: bool,
}

impl Drop for Building {
    fn drop(&mut self) {
        if !self.succeeded {
            // Nobody is left to be told. Its record stays for the next restore.
            let _ = self.slot.discard(true);
        }
    }
}

impl Mounts {
    /// Restores a directory. `fetched` hears how many bytes are here, where all must be. Dropping the
    /// future before it is done leaves the target as it was.
    pub async fn restore(
        &self,
        request: Restore,
        fetched: impl Fn(u64),
    ) -> Result<MountStatus, MountError> {
        let target = request.destination.resolve()?;
        if target.parent().is_none() || self.state.path().starts_with(&target) {
            return Err(SandboxError::invalid_config(format!(
                "dir {} would cover the agent's own files",
                request.destination.as_str()
            ))
            .into());
        }
        let capability = self.choose(request.strategy).await?;
        let Restore {
            id,
            destination,
            source,
            force,
            ..
        } = request;
        let (size_bytes, checksum, address) = match &source {
            Source::File(path) => (tokio::fs::metadata(path).await?.len(), None, None),
            Source::Remote(source) => (
                source.size_bytes,
                source.checksum.clone(),
                Some(Address {
                    url: source.url.clone(),
                    expires_at: source.url_expires_at,
                }),
            ),
        };
        let strategy = capability.strategy;
        let is_lazy = strategy.is_lazy();
        let (mounts, cache_bytes) = (self.clone(), self.cache_bytes);
        let building = blocking(move || {
            if let Err(error) = mounts.remove_failed() {
                crate::log::warn(format_args!(
                    "what a failed restore has left could not be removed: {error}"
                ));
            }
            let slot = Slot::create(&mounts.state, |slot| Record {
                copy: strategy.copy(&target, slot),
                id,
                dir: destination.as_str().to_owned(),
                strategy: strategy.name(),
                scratch: capability.scratch(slot),
                size_bytes,
                checksum,
                cache_bytes: cache_bytes.filter(|_| is_lazy),
                devices: Vec::new(),
                made: Vec::new(),
                complete: false,
                target,
            })?;
            Ok(Building {
                slot,
                succeeded: false,
            })
        })
        .await?;
        let slot = &building.slot;
        if let Source::File(path) = source {
            // Its owner may write to it or truncate it while it is mounted.
            tokio::fs::copy(path, slot.archive()).await?;
            lazy::adopt(&slot.archive())?;
        }
        if is_lazy {
            daemon::start(&slot.dir, address.as_ref()).await?;
        } else {
            self.fetch(slot, address.as_ref(), fetched).await?;
        }
        // Not interrupted from here on: it is short, and ends in a known state.
        let mounts = self.clone();
        let slot = tokio::task::spawn_blocking(move || -> Result<_, MountError> {
            // All of it, not the fields one by one: dropping it has a meaning.
            let mut building = building;
            let slot = &mut building.slot;
            make_target(slot)?;
            strategy.build(slot)?;
            mounts.replace(slot, force)?;
            building.succeeded = true;
            Ok(slot.clone())
        })
        .await
        .map_err(io::Error::other)??;
        if let Some(address) = address.filter(|_| is_lazy) {
            self.addresses().insert(slot.dir.clone(), address);
        }
        self.watch(slot.clone());
        // It has succeeded, even if this process cannot see so now.
        let attached = status(&slot, MountState::Active);
        Ok(self.look_at(slot).await.unwrap_or(attached))
    }

    /// Removes what restores that failed could not remove then: whatever they
    /// were short of may be there again.
    fn remove_failed(&self) -> Result<(), MountError> {
        let _lock = self.state.lock()?;
        discard_failed(&self.state)?.1
    }

    /// Fetches and checks all of an archive.
    async fn fetch(
        &self,
        slot: &Slot,
        address: Option<&Address>,
        fetched: impl Fn(u64),
    ) -> Result<(), MountError> {
        let description = slot.description();
        let address = address.map(Address::read).transpose()?;
        let archive =
            LazyArchive::open(self.store.clone(), description, address, &slot.archive()).await?;
        Ok(archive.fill(fetched).await?)
    }

    /// Attaches `slot`, in place of what was restored there before.
    fn replace(&self, slot: &mut Slot, force: bool) -> Result<(), MountError> {
        let _lock = self.state.lock()?;
        if self.closed.load(Ordering::Relaxed) {
            return Err(MountError::Closed);
        }
        let target = slot.record.target.clone();
        let mut older = Slot::all(&self.state)?;
        // What was restored to a directory further down would be hidden, and
        // nobody could reach it to take it away.
        older.retain(|old| old.record.target.starts_with(&target));
        older.sort_by_key(|old| std::cmp::Reverse(old.record.target.components().count()));
        for old in &older {
            if let Err(error) = strategy::of(old).detach(old, force) {
                reattach(&older);
                return Err(error);
            }
        }
        let done = strategy::of(slot).attach(slot).and_then(|()| {
            // The directories that an older restore has made are ours now.
            for old in older.iter().filter(|old| old.record.target == target) {
                slot.record
                    .made
                    .splice(0..0, old.record.made.iter().cloned());
            }
            Ok(slot.complete()?)
        });
        if let Err(error) = done {
            strategy::of(slot).detach(slot, true)?;
            reattach(&older);
            return Err(error);
        }
        for mut old in older {
            old.record.made.clear();
            // The restore has succeeded. What is left of the old one has its
            // record, and goes with the next attempt.
            if let Err(error) = old.discard(true) {
                crate::log::warn(format_args!(
                    "an older restore could not be removed: {error}"
                ));
            }
        }
        Ok(())
    }
}

/// Makes the target where it is missing, having written down what is made.
fn make_target(slot: &mut Slot) -> io::Result<()> {
    slot.record.made = place::missing(&slot.record.target)?;
    slot.save()?;
    let permissions = Mode::from_raw_mode(0o777);
    for dir in &slot.record.made {
        Place::find(dir)?.make(permissions)?;
    }
    Ok(())
}

/// Puts back what was detached. The slots are in the order in which they were.
fn reattach(slots: &[Slot]) {
    let is_detached = |slot: &&Slot| {
        slot.record.complete && !strategy::of(slot).is_attached(slot).unwrap_or(false)
    };
    attach_all(slots.iter().filter(is_detached).collect());
}
