//! Keeping restored directories served.

use std::{
    io,
    path::Path,
    time::{Duration, Instant},
};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use sandbox_shared::{
    SandboxError,
    protocol::{MountState, RenewUrl},
};

use super::{Address, MountError, Mounts, Slot, blocking, daemon, strategy};

/// Daemons of a directory that may die one soon after the other before there is
/// a backoff: what kills them may do so for ever.
const ATTEMPTS: u32 = 5;
/// A daemon that lives so long counts as a good one.
const GOOD: Duration = Duration::from_secs(60);
/// Before a directory is served anew once that has failed, twice as long every
/// time, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

fn backoff() -> ExponentialBackoff {
    let (first, longest) = BACKOFF;
    ExponentialBuilder::default()
        .with_min_delay(first)
        .with_max_delay(longest)
        .without_max_times()
        .build()
}

impl Mounts {
    /// Serves a directory anew whenever its daemon dies, until it is taken away.
    /// One that is unpacked has none.
    pub(super) fn watch(&self, slot: Slot) {
        if !strategy::of(&slot).is_lazy() {
            return;
        }
        let mounts = self.clone();
        tokio::spawn(async move {
            let (mut deaths, mut backoffs) = (0, backoff());
            loop {
                let start = Instant::now();
                daemon::gone(&slot).await;
                if start.elapsed() > GOOD {
                    (deaths, backoffs) = (0, backoff());
                }
                deaths += 1;
                match mounts.serve_anew(&slot.dir).await {
                    Ok(true) if deaths <= ATTEMPTS => continue,
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        crate::log::warn(format_args!(
                            "{} is not served: {error}",
                            slot.record.dir
                        ));
                    }
                }
                tokio::time::sleep(backoffs.next().unwrap_or(BACKOFF.1)).await;
            }
            mounts.addresses().remove(&slot.dir);
        });
    }

    /// Serves a directory whose daemon has died, with what was written to it.
    /// Until that has succeeded the dead mount stays where it is, so that
    /// nobody takes what it covers for the directory. False if there is no
    /// such directory any more.
    async fn serve_anew(&self, dir: &Path) -> Result<bool, MountError> {
        let (state, dir) = (self.state.clone(), dir.to_owned());
        let found = blocking(move || {
            let lock = state.lock()?;
            match Slot::load(&dir) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                slot => Ok(Some((lock, slot?))),
            }
        });
        let Some((lock, slot)) = found.await?.filter(|(_, slot)| slot.record.complete) else {
            return Ok(false);
        };
        let is_served = match daemon::progress(&slot).await {
            Err(MountError::Local(error)) if daemon::is_unknown(&error) => return Err(error.into()),
            progress => progress.is_ok(),
        };
        let found = blocking(move || {
            // One that was not attached in the end serves nobody.
            if is_served && strategy::of(&slot).is_current(&slot)? {
                return Ok(None);
            }
            slot.stop_serving()?;
            Ok(Some(slot))
        });
        let Some(slot) = found.await? else {
            return Ok(true);
        };
        let address = self.addresses().get(&slot.dir).cloned();
        daemon::start(&slot.dir, address.as_ref()).await?;
        blocking(move || {
            let _lock = lock;
            let mut slot = slot;
            if let Err(error) = rebuild(&mut slot) {
                // Or it would be waited for, and it serves nobody.
                let _ = slot.stop_serving();
                return Err(error);
            }
            Ok(true)
        })
        .await
    }

    /// Gives a restored directory a fresh URL. One that is lost is served anew.
    pub async fn renew(&self, request: RenewUrl) -> Result<(), MountError> {
        let RenewUrl {
            id,
            dir,
            url,
            url_expires_at,
        } = request;
        let address = Address {
            url,
            expires_at: Some(url_expires_at),
        };
        let state = self.state.clone();
        let slots = blocking(move || Ok(Slot::all(&state)?)).await?;
        let slot = slots
            .into_iter()
            .find(|slot| slot.record.complete && slot.record.dir == dir && slot.record.id == id)
            .ok_or(MountError::NotMounted(dir))?;
        if !strategy::of(&slot).is_lazy() {
            return Err(SandboxError::invalid_request(format!(
                "{} is unpacked: it needs no URL",
                slot.record.dir
            ))
            .into());
        }
        self.addresses().insert(slot.dir.clone(), address.clone());
        if self.look_at(slot.clone()).await?.state != MountState::Lost {
            return daemon::readdress(&slot, &address).await;
        }
        self.serve_anew(&slot.dir).await.map(drop)
    }
}

/// Builds a directory whose mount has died again, and puts it in its place.
fn rebuild(slot: &mut Slot) -> Result<(), MountError> {
    let strategy = strategy::of(slot);
    strategy.build(slot)?;
    strategy.replace_dead(slot)
}
