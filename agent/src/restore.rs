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
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::try_join_all;
use parking_lot::{Mutex, MutexGuard};
use sandbox_shared::{
    AbsolutePath, Result, Strategy,
    protocol::{MountState, MountStatus, UnmountResult},
};
use time::OffsetDateTime;
use tokio::sync::OnceCell;

use crate::{paths, state::StateDir, transfer::Store};

pub mod daemon;
mod error;
mod probe;
mod recover;
mod removal;
mod slot;
mod strategy;
mod supervise;
mod table;
mod target;
mod transaction;
mod users;

pub use error::MountError;
pub use transaction::{Destination, Restore, Source};
pub use users::User;

use daemon::Address;
use probe::{Capabilities, Capability};
use recover::discard_all;
use slot::Slot;

/// How long a mount may take to answer before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(5);

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
        let mut status = status(&slot, MountState::Lost);
        if strategy::of(&slot).is_lazy() {
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
        let look = blocking(move || Ok(strategy::of(&slot).is_current(&slot)?));
        if let Ok(current) = tokio::time::timeout(PATIENCE, look).await
            && current?
        {
            status.state = MountState::Active;
        }
        Ok(status)
    }

    fn addresses(&self) -> MutexGuard<'_, HashMap<PathBuf, Address>> {
        self.addresses.lock()
    }
}

/// What is known of a restored directory without asking its daemon.
fn status(slot: &Slot, state: MountState) -> MountStatus {
    let record = &slot.record;
    let is_whole = !strategy::of(slot).is_lazy();
    let copy = record.copy.as_ref();
    MountStatus {
        id: record.id.clone(),
        dir: record.dir.clone(),
        strategy: record.strategy,
        state,
        size_bytes: record.size_bytes,
        cached_bytes: if is_whole { record.size_bytes } else { 0 },
        verified: is_whole && record.checksum.is_some(),
        url_expires_at: None,
        problem: None,
        left_out: copy.map(|copy| copy.left_out.clone()).unwrap_or_default(),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, MountError> + Send + 'static,
) -> Result<T, MountError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}
