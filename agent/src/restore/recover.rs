//! What is left of processes that are gone, and of restores that failed.

use sandbox_shared::protocol::MountState;

use super::{MountError, Mounts, blocking, slot::Slot, strategy};
use crate::state::StateDir;

impl Mounts {
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
}

/// Attaches slots, the last one first.
pub(super) fn attach_all(slots: Vec<&Slot>) {
    for slot in slots.into_iter().rev() {
        if let Err(error) = strategy::of(slot).attach(slot) {
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
        .partition(|slot| strategy::of(slot).is_attached(slot).unwrap_or(true));
    // What is there has taken its place, or hides that.
    detached.retain(|slot| {
        let hides = |other: &&Slot| slot.record.target.starts_with(&other.record.target);
        strategy::of(slot).is_built(slot).unwrap_or(false) && !attached.iter().any(hides)
    });
    detached.sort_by_key(|slot| std::cmp::Reverse(slot.record.target.components().count()));
    attach_all(detached);
}

/// Discards what restores that did not succeed have left. Gives the slots of those
/// that did, and how that went. The state must be locked.
pub(super) fn discard_failed(
    state: &StateDir,
) -> Result<(Vec<Slot>, Result<(), MountError>), MountError> {
    Slot::remove_unrecorded(state)?;
    let (complete, failed) = Slot::all(state)?
        .into_iter()
        .partition(|slot| slot.record.complete);
    Ok((complete, discard_all(failed, true, |_| true)))
}

/// Discards some slots, innermost targets first. One that fails does not stop
/// the others.
pub(super) fn discard_all(
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
