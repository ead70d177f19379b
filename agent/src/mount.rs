//! Restored directories.
//!
//! What is guaranteed:
//! - an archive is complete and checked, and the new directory is built and
//!   has been read, before the target is touched; if anything fails, the
//!   target is as it was, an older restore included;
//! - writes never reach the archive, and restoring again discards them;
//! - unmounting leaves nothing: no mount, no process, no loop device, no file;
//! - all this holds for mounts of a process that was killed, too: what is on
//!   disk in the state directory is the truth, not the memory of an agent.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sandbox_shared::{
    BackupId, ErrorCode, Result, SandboxError, Strategy,
    protocol::{ArchiveSource, MountState, MountStatus, UnmountResult},
    rules::{self, AllowedRoots},
};
use tokio::sync::OnceCell;

use crate::{
    archive::{ArchiveError, image},
    paths,
    state::StateDir,
    transfer::{Store, TransferError},
};

mod daemon;
mod layers;
mod probe;
mod record;
mod table;

use probe::{Capabilities, Capability};
use record::{Copy, Record, Slot};

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
    /// A directory cannot be exchanged with the unpacked copy.
    #[error("{} cannot be replaced, because it is a mount point or lies on another layer: {source}", dir.display())]
    CannotReplace {
        /// Which.
        dir: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
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
    /// A request that must not be served.
    #[error(transparent)]
    Refused(#[from] SandboxError),
    /// A file of our own failed.
    #[error("{0}")]
    Local(#[from] io::Error),
}

impl From<MountError> for SandboxError {
    fn from(error: MountError) -> Self {
        let message = error.to_string();
        let code = match error {
            MountError::Refused(error) => return error,
            MountError::Transfer(TransferError::NotFound) => ErrorCode::BackupNotFound,
            MountError::NotMounted(_) => ErrorCode::InvalidBackupConfig,
            MountError::Closed => ErrorCode::ContainerUnavailable,
            _ => ErrorCode::BackupRestoreFailed,
        };
        Self::new(code, message)
    }
}

/// What to restore.
#[derive(Clone, Debug)]
pub struct Restore {
    /// Which backup.
    pub id: BackupId,
    /// Where to, absolute. Made if it does not exist.
    pub dir: String,
    /// Where the archive is.
    pub source: Source,
    /// Forces one strategy.
    pub strategy: Option<Strategy>,
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
    capabilities: Arc<OnceCell<Capabilities>>,
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
            // Nobody is left to be told. Its record stays, for another try.
            let _ = self.slot.discard();
        }
    }
}

impl Mounts {
    /// The mounts whose records are in `state`.
    pub fn new(state: StateDir, store: Store) -> Self {
        Self {
            state,
            store,
            capabilities: Arc::default(),
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
        working.iter().map(|found| found.strategy).collect()
    }

    async fn choose(&self, forced: Option<Strategy>) -> Result<Capability, MountError> {
        let found = self.capabilities().await;
        let fits = |strategy: Strategy| forced.is_none_or(|forced| forced == strategy);
        if let Some(capability) = found.working.iter().find(|c| fits(c.strategy)) {
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
    /// `downloaded` hears how many bytes are here. Dropping the future before
    /// it is done leaves the target as it was.
    pub async fn restore(
        &self,
        request: Restore,
        roots: Option<&AllowedRoots>,
        downloaded: impl Fn(u64),
    ) -> Result<MountStatus, MountError> {
        let target = match roots {
            Some(roots) => paths::target_dir(&request.dir, roots)?,
            None => paths::resolve_target(Path::new(&rules::check_file_path(&request.dir)?))?,
        };
        if target.parent().is_none() || self.state.path().starts_with(&target) {
            return Err(SandboxError::invalid_config(format!(
                "dir {} would cover the agent's own files",
                request.dir
            ))
            .into());
        }
        let capability = self.choose(request.strategy).await?;
        let state = self.state.clone();
        let Restore {
            id, dir, source, ..
        } = request;
        let building = blocking(move || {
            let slot = Slot::create(&state, |slot| Record {
                copy: (capability.strategy == Strategy::Extract).then(|| Copy {
                    path: beside(&target, slot),
                    identity: None,
                }),
                id,
                dir,
                strategy: capability.strategy,
                scratch: capability.scratch(slot),
                device: None,
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
        self.fetch(source, building.slot.archive(), downloaded)
            .await?;
        // Not interrupted from here on: it is short, and ends in a known state.
        let mounts = self.clone();
        tokio::task::spawn_blocking(move || {
            // All of it, not the fields one by one: dropping it has a meaning.
            let mut building = building;
            let slot = &mut building.slot;
            image::describe(&slot.archive())?;
            make_target(slot)?;
            slot.assemble()?;
            mounts.replace(slot)?;
            let status = status_of(slot, MountState::Active);
            building.succeeded = true;
            Ok(status)
        })
        .await
        .map_err(io::Error::other)?
    }

    async fn fetch(
        &self,
        source: Source,
        archive: PathBuf,
        downloaded: impl Fn(u64),
    ) -> Result<(), MountError> {
        match source {
            Source::Remote(source) => {
                let file = std::fs::File::options()
                    .read(true)
                    .write(true)
                    .create_new(true)
                    .open(&archive)?;
                Ok(self
                    .store
                    .download(&source, file, &archive, downloaded)
                    .await?)
            }
            Source::File(path) => {
                // Its owner may write to it or truncate it while it is mounted.
                tokio::fs::copy(path, archive).await?;
                Ok(())
            }
        }
    }

    /// Attaches `slot`, in place of what was restored there before.
    fn replace(&self, slot: &mut Slot) -> Result<(), MountError> {
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
            if let Err(error) = old.detach() {
                reattach(&older);
                return Err(error);
            }
        }
        let done = slot.attach().and_then(|()| {
            // The directories that an older restore has made are ours now.
            for old in older.iter().filter(|old| old.record.target == target) {
                slot.record
                    .made
                    .splice(0..0, old.record.made.iter().cloned());
            }
            Ok(slot.complete()?)
        });
        if let Err(error) = done {
            slot.detach()?;
            reattach(&older);
            return Err(error);
        }
        for mut old in older {
            old.record.made.clear();
            // The restore has succeeded. What is left of the old one has its
            // record, and goes with the next attempt.
            if let Err(error) = old.discard() {
                eprintln!("sandbox-agent: an older restore could not be removed: {error}");
            }
        }
        Ok(())
    }

    /// Takes a restored directory away: what was there before is there again.
    pub async fn unmount(&self, dir: &str) -> Result<UnmountResult, MountError> {
        let dir = rules::check_file_path(dir)?;
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
            discard_all(slots, |slot| {
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
            discard_all(Slot::all(&mounts.state)?, |_| true)
        })
        .await
    }

    /// Removes what processes that are gone have left half made or dead.
    /// Directories that are still readable stay: they may hold a user's work.
    pub async fn clean_up(&self) -> Result<(), MountError> {
        let mounts = self.clone();
        blocking(move || {
            let _lock = mounts.state.lock()?;
            mounts.state.remove_leftovers()?;
            Slot::remove_unrecorded(&mounts.state)?;
            discard_all(Slot::all(&mounts.state)?, |slot| {
                !(slot.record.complete && slot.is_attached().unwrap_or(false) && slot.is_alive())
            })
        })
        .await
    }

    /// All restored directories, each looked at.
    pub async fn status(&self) -> Result<Vec<MountStatus>, MountError> {
        let mut statuses = Vec::new();
        let state = self.state.clone();
        for slot in blocking(move || Ok(Slot::all(&state)?)).await? {
            if !slot.record.complete {
                continue;
            }
            let status = status_of(&slot, MountState::Lost);
            // A daemon that hangs must not hang us.
            let look = tokio::task::spawn_blocking(move || {
                slot.is_attached().unwrap_or(false) && slot.is_alive()
            });
            let alive = matches!(tokio::time::timeout(PATIENCE, look).await, Ok(Ok(true)));
            statuses.push(MountStatus {
                state: if alive {
                    MountState::Active
                } else {
                    MountState::Lost
                },
                ..status
            });
        }
        statuses.sort_by(|a, b| a.dir.cmp(&b.dir));
        Ok(statuses)
    }
}

fn status_of(slot: &Slot, state: MountState) -> MountStatus {
    MountStatus {
        id: slot.record.id.clone(),
        dir: slot.record.dir.clone(),
        strategy: slot.record.strategy,
        state,
    }
}

/// The name of an unpacked copy, in the directory that the target is in, since
/// only within one file system can the two be exchanged.
fn beside(target: &Path, slot: &Path) -> PathBuf {
    let slot = slot.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".sandbox-restore-{slot}"))
}

/// Makes the target where it is missing, having written down what is made.
fn make_target(slot: &mut Slot) -> io::Result<()> {
    // Not what merely cannot be looked at, like a mount whose daemon has died.
    let is_missing = |path: &&Path| {
        path.symlink_metadata()
            .is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    };
    let missing = slot.record.target.ancestors().take_while(is_missing);
    slot.record.made = missing.map(Path::to_owned).collect();
    slot.record.made.reverse();
    slot.save()?;
    slot.record.made.iter().try_for_each(std::fs::create_dir)
}

/// Puts back what was detached. Outermost first.
fn reattach(slots: &[Slot]) {
    for slot in slots.iter().rev() {
        let attached = slot.is_attached().unwrap_or(false);
        if slot.record.complete
            && !attached
            && let Err(error) = slot.attach()
        {
            eprintln!(
                "sandbox-agent: {} could not be put back: {error}",
                slot.record.dir
            );
        }
    }
}

/// Discards some slots, innermost targets first. One that fails does not stop
/// the others.
fn discard_all(mut slots: Vec<Slot>, which: impl Fn(&Slot) -> bool) -> Result<(), MountError> {
    slots.retain(|slot| which(slot));
    slots.sort_by_key(|slot| std::cmp::Reverse(slot.record.target.components().count()));
    let mut failure = Ok(());
    for slot in slots {
        failure = failure.and(slot.discard());
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
