//! Restored directories.
//!
//! What is guaranteed:
//! - the new directory is built and has been read before the target is
//!   touched; if anything fails, the target is as it was, an older restore
//!   included; how long it takes does not depend on the archive's size;
//! - what arrives later is checked, too, and what is found to be wrong is not
//!   served any more;
//! - a directory whose daemon dies is served anew, with what was written to it,
//!   or fails every call: it never looks like an empty one;
//! - writes never reach the archive, and restoring again discards them;
//! - unmounting leaves nothing: no mount, no process, no loop device, no file;
//! - all this holds for mounts of a process that was killed, too: what is on
//!   disk in the state directory is the truth, not the memory of an agent.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::try_join_all;
use rustix::fs::Mode;
use sandbox_shared::{
    AbsolutePath, AllowedRoots, BackupId, ErrorCode, Result, SandboxError, Strategy,
    methods::{Failure, Row},
    protocol::{ArchiveSource, MountState, MountStatus, UnmountResult},
};
use squashfs::image::ArchiveError;
use time::OffsetDateTime;
use tokio::sync::OnceCell;

use crate::{
    convert,
    paths::{
        self,
        place::{self, Place},
    },
    state::StateDir,
    transfer::{
        Store, TransferError,
        lazy::{self, LazyArchive},
    },
};

pub mod daemon;
mod probe;
mod record;
mod removal;
mod strategy;
mod supervise;
mod table;
mod users;

pub use users::User;

use daemon::Address;
use probe::{Capabilities, Capability};
use record::{Record, Slot};

/// How long a mount may take to answer before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a directory could not be restored or taken away.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MountError {
    /// A system call failed.
    #[error("cannot {call}: {source}")]
    System {
        /// What it was to do.
        call: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// A program failed.
    #[error("{program} failed: {reason}")]
    Program {
        /// Its name.
        program: &'static str,
        /// What it said last.
        reason: String,
    },
    /// What was built does not show what is in the archive.
    #[error("the mount does not show the content of the archive")]
    Unreadable,
    /// Processes use the restored directory.
    #[error(
        "{dir} is in use by {}; end them, or ask with force to take it away under them",
        list(users)
    )]
    Busy {
        /// Which directory.
        dir: String,
        /// Some of the processes.
        users: Vec<User>,
    },
    /// A directory cannot be exchanged with the unpacked copy.
    #[error("{} cannot be replaced, because it is a mount point or lies on another layer: {source}", dir.display())]
    CannotReplace {
        /// Which.
        dir: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Directories above a target are being moved.
    #[error("{} is being moved about by another process; try again", .0.display())]
    Moving(PathBuf),
    /// No strategy works here, or not the one asked for.
    #[error("{0}")]
    NoStrategy(String),
    /// The agent is about to end.
    #[error("the agent is stopping")]
    Closed,
    /// The directory is not a restored one.
    #[error("{0} is not a restored directory")]
    NotMounted(String),
    /// The archive is not one, or cannot be unpacked.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The download failed.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// A request that must not be served, or what a daemon has said.
    #[error("{}", .0.message)]
    Refused(#[from] SandboxError),
    /// A file of our own failed.
    #[error("{0}")]
    Local(#[from] io::Error),
}

impl Failure for MountError {
    fn of(self, method: &Row) -> SandboxError {
        let message = self.to_string();
        match self {
            Self::Refused(error) => error,
            Self::Archive(error) => convert::archive_error(&error, method),
            Self::Transfer(error) => error.of(method),
            Self::Busy { users, .. } => {
                let users = users
                    .into_iter()
                    .map(|user| serde_json::json!({ "pid": user.pid, "command": user.command }));
                method
                    .failed(message)
                    .with("processes", users.collect::<Vec<_>>())
            }
            Self::NotMounted(_) => SandboxError::invalid_config(message),
            Self::Closed => SandboxError::new(ErrorCode::ContainerUnavailable, message),
            _ => method.failed(message),
        }
    }
}

fn list(users: &[User]) -> String {
    let users: Vec<_> = users.iter().map(User::to_string).collect();
    users.join(", ")
}

/// What to restore.
#[derive(Clone, Debug)]
pub struct Restore {
    /// Which backup.
    pub id: BackupId,
    /// Where to. Made if it does not exist.
    pub dir: AbsolutePath,
    /// Where the archive is.
    pub source: Source,
    /// Forces one strategy.
    pub strategy: Option<Strategy>,
    /// Takes an older restore away under the processes that use it.
    pub force: bool,
}

/// Where an archive comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// An object store.
    Remote(ArchiveSource),
    /// A file, which is copied.
    File(PathBuf),
}

/// All restored directories of a state directory.
#[derive(Clone, Debug)]
pub struct Mounts {
    state: StateDir,
    store: Store,
    /// Bytes of an archive that each restored directory may keep on disk.
    cache_bytes: Option<u64>,
    capabilities: Arc<OnceCell<Capabilities>>,
    /// Where archives that are not whole are read from, by slot.
    addresses: Arc<Mutex<HashMap<PathBuf, Address>>>,
    /// Set when no restore may take place any more.
    closed: Arc<AtomicBool>,
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
    /// The mounts whose records are in `state`.
    pub fn new(state: StateDir, store: Store, cache_bytes: Option<u64>) -> Self {
        Self {
            state,
            store,
            cache_bytes,
            capabilities: Arc::default(),
            addresses: Arc::default(),
            closed: Arc::default(),
        }
    }

    async fn capabilities(&self) -> &Capabilities {
        let state = self.state.clone();
        self.capabilities
            .get_or_init(async || {
                tokio::task::spawn_blocking(move || Capabilities::probe(&state))
                    .await
                    .unwrap_or_default()
            })
            .await
    }

    /// Strategies that work here, best first. The first call tries them.
    pub async fn strategies(&self) -> Vec<Strategy> {
        let working = &self.capabilities().await.working;
        working.iter().map(|found| found.strategy.name()).collect()
    }

    async fn choose(&self, forced: Option<Strategy>) -> Result<Capability, MountError> {
        let found = self.capabilities().await;
        let fits = |strategy: Strategy| forced.is_none_or(|forced| forced == strategy);
        let mut working = found.working.iter();
        if let Some(capability) = working.find(|found| fits(found.strategy.name())) {
            return Ok(capability.clone());
        }
        let reasons: Vec<_> = found
            .failures
            .iter()
            .filter(|(strategy, _)| fits(*strategy))
            .map(|(strategy, reason)| format!("{strategy}: {reason}"))
            .collect();
        let which = forced.map_or(
            "no restore strategy works",
            |_| "the strategy asked for does not work",
        );
        Err(MountError::NoStrategy(format!(
            "{which} in this container ({})",
            reasons.join("; ")
        )))
    }

    /// Restores a directory. `roots` are enforced where they are given.
    /// `fetched` hears how many bytes are here, where all must be. Dropping the
    /// future before it is done leaves the target as it was.
    pub async fn restore(
        &self,
        request: Restore,
        roots: Option<&AllowedRoots>,
        fetched: impl Fn(u64),
    ) -> Result<MountStatus, MountError> {
        let target = match roots {
            Some(roots) => paths::target_dir(request.dir.as_str(), roots)?,
            None => paths::resolve_target(Path::new(request.dir.as_str()))?,
        };
        if target.parent().is_none() || self.state.path().starts_with(&target) {
            return Err(SandboxError::invalid_config(format!(
                "dir {} would cover the agent's own files",
                request.dir
            ))
            .into());
        }
        let capability = self.choose(request.strategy).await?;
        let Restore {
            id,
            dir,
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
            let slot = Slot::create(&mounts.state, strategy, |slot| Record {
                copy: strategy.copy(&target, slot),
                id,
                dir: dir.into(),
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
        let attached = slot.status(MountState::Active);
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
            if let Err(error) = old.strategy.detach(old, force) {
                reattach(&older);
                return Err(error);
            }
        }
        let done = slot.strategy.attach(slot).and_then(|()| {
            // The directories that an older restore has made are ours now.
            for old in older.iter().filter(|old| old.record.target == target) {
                slot.record
                    .made
                    .splice(0..0, old.record.made.iter().cloned());
            }
            Ok(slot.complete()?)
        });
        if let Err(error) = done {
            slot.strategy.detach(slot, true)?;
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

    /// Takes a restored directory away: what was there before is there again.
    /// Where processes use it, only by `force`.
    pub async fn unmount(
        &self,
        dir: AbsolutePath,
        force: bool,
    ) -> Result<UnmountResult, MountError> {
        let dir = String::from(dir);
        let mounts = self.clone();
        let asked = dir.clone();
        blocking(move || {
            let _lock = mounts.state.lock()?;
            let target =
                paths::resolve_target(Path::new(&asked)).unwrap_or_else(|_| PathBuf::from(&asked));
            let slots = Slot::all(&mounts.state)?;
            let matches = |slot: &Slot| slot.record.target == target || slot.record.dir == asked;
            if !slots.iter().any(matches) {
                return Err(MountError::NotMounted(asked));
            }
            // With it goes what was restored further down: it is in there.
            discard_all(slots, force, |slot| {
                matches(slot) || slot.record.target.starts_with(&target)
            })
        })
        .await?;
        Ok(UnmountResult { success: true, dir })
    }

    /// Takes all restored directories away, and refuses to restore any more.
    pub async fn close(&self) -> Result<(), MountError> {
        self.closed.store(true, Ordering::Relaxed);
        let mounts = self.clone();
        blocking(move || {
            let _lock = mounts.state.lock()?;
            discard_all(Slot::all(&mounts.state)?, true, |_| true)
        })
        .await
    }

    /// Removes what processes that are gone have left half made or dead.
    /// Directories that are still served stay: they may hold a user's work.
    pub async fn clean_up(&self) -> Result<(), MountError> {
        let state = self.state.clone();
        let (lock, slots, removed) = blocking(move || {
            let lock = state.lock()?;
            state.remove_leftovers()?;
            let (complete, removed) = discard_failed(&state)?;
            put_back(&complete);
            Ok((lock, complete, removed))
        })
        .await?;
        let (mut alive, mut dead) = (Vec::new(), Vec::new());
        for slot in slots {
            let lost = match self.look_at(slot.clone()).await {
                Ok(status) => status.state == MountState::Lost,
                // Perhaps not.
                Err(_) => false,
            };
            if lost {
                dead.push(slot);
            } else {
                alive.push(slot.record.target.clone());
                self.watch(slot);
            }
        }
        for slot in &mut dead {
            // Replaced by one that has taken over the directories that it made.
            if alive.contains(&slot.record.target) {
                slot.record.made.clear();
            }
        }
        blocking(move || {
            let _lock = lock;
            removed.and(discard_all(dead, true, |_| true))
        })
        .await
    }

    /// All restored directories, each looked at.
    pub async fn status(&self) -> Result<Vec<MountStatus>, MountError> {
        let state = self.state.clone();
        let mut slots = blocking(move || Ok(Slot::all(&state)?)).await?;
        slots.retain(|slot| slot.record.complete);
        let looks = slots.into_iter().map(|slot| self.look_at(slot));
        let mut statuses = try_join_all(looks).await?;
        statuses.sort_by(|a, b| a.dir.cmp(&b.dir));
        Ok(statuses)
    }

    /// How a restored directory is. Fails where this process lacks what it
    /// takes to look.
    async fn look_at(&self, slot: Slot) -> Result<MountStatus, MountError> {
        let mut status = slot.status(MountState::Lost);
        if slot.strategy.is_lazy() {
            let progress = match daemon::progress(&slot).await {
                Ok(progress) => progress,
                Err(MountError::Local(error)) if daemon::is_unknown(&error) => {
                    return Err(error.into());
                }
                Err(_) => return Ok(status),
            };
            status.cached_bytes = progress.cached_bytes;
            status.verified = progress.verified;
            status.problem = progress.problem;
            // One that the store refused has expired, whatever it said.
            status.url_expires_at = match progress.needs_url {
                true => Some(OffsetDateTime::UNIX_EPOCH),
                false => progress.url_expires_at,
            };
            if progress.damaged {
                status.state = MountState::Damaged;
                return Ok(status);
            }
        }
        // A file system that hangs must not hang us.
        let look = blocking(move || Ok(slot.strategy.is_current(&slot)?));
        if let Ok(current) = tokio::time::timeout(PATIENCE, look).await
            && current?
        {
            status.state = MountState::Active;
        }
        Ok(status)
    }

    fn addresses(&self) -> MutexGuard<'_, HashMap<PathBuf, Address>> {
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
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
    let is_detached =
        |slot: &&Slot| slot.record.complete && !slot.strategy.is_attached(slot).unwrap_or(false);
    attach_all(slots.iter().filter(is_detached).collect());
}

/// Attaches slots, the last one first.
fn attach_all(slots: Vec<&Slot>) {
    for slot in slots.into_iter().rev() {
        if let Err(error) = slot.strategy.attach(slot) {
            crate::log::warn(format_args!(
                "{} could not be put back: {error}",
                slot.record.dir
            ));
        }
    }
}

/// Attaches what a process that was killed had detached, to put something else
/// in its place, and did not come to that.
fn put_back(slots: &[Slot]) {
    let (attached, mut detached): (Vec<&Slot>, Vec<&Slot>) = slots
        .iter()
        .partition(|slot| slot.strategy.is_attached(slot).unwrap_or(true));
    // What is there has taken its place, or hides that.
    detached.retain(|slot| {
        let hides = |other: &&Slot| slot.record.target.starts_with(&other.record.target);
        slot.strategy.is_built(slot).unwrap_or(false) && !attached.iter().any(hides)
    });
    detached.sort_by_key(|slot| std::cmp::Reverse(slot.record.target.components().count()));
    attach_all(detached);
}

/// Discards what restores that did not succeed have left. Gives the slots of those
/// that did, and how that went. The state must be locked.
fn discard_failed(state: &StateDir) -> Result<(Vec<Slot>, Result<(), MountError>), MountError> {
    Slot::remove_unrecorded(state)?;
    let (complete, failed) = Slot::all(state)?
        .into_iter()
        .partition(|slot| slot.record.complete);
    Ok((complete, discard_all(failed, true, |_| true)))
}

/// Discards some slots, innermost targets first. One that fails does not stop
/// the others.
fn discard_all(
    mut slots: Vec<Slot>,
    force: bool,
    which: impl Fn(&Slot) -> bool,
) -> Result<(), MountError> {
    slots.retain(|slot| which(slot));
    slots.sort_by_key(|slot| std::cmp::Reverse(slot.record.target.components().count()));
    let mut failure = Ok(());
    for slot in slots {
        failure = failure.and(slot.discard(force));
    }
    failure
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, MountError> + Send + 'static,
) -> Result<T, MountError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}
