//! Keeping restored directories served.

use std::{
    io,
    path::Path,
    time::{Duration, Instant},
};

use sandbox_shared::{
    SandboxError,
    protocol::{MountState, RenewUrl},
};

use super::{Address, MountError, Mounts, Slot, blocking, daemon};

/// Daemons of a directory that may die one soon after the other: what kills
/// them would do so for ever.
const ATTEMPTS: u32 = 5;
/// A daemon that lives so long counts as a good one.
const GOOD: Duration = Duration::from_secs(60);
/// Before a directory is served anew once that has failed; longer every time.
const PAUSE: Duration = Duration::from_millis(500);

impl Mounts {
    /// Serves a directory anew whenever its daemon dies, until it is taken away.
    pub(super) fn watch(&self, slot: Slot) {
        let mounts = self.clone();
        tokio::spawn(async move {
            let mut attempts = 0;
            while attempts < ATTEMPTS {
                let start = Instant::now();
                daemon::gone(&slot).await;
                attempts = if start.elapsed() > GOOD {
                    1
                } else {
                    attempts + 1
                };
                match mounts.serve_anew(&slot.dir).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        eprintln!("sandbox-agent: {} is not served: {error}", slot.record.dir);
                        tokio::time::sleep(PAUSE * attempts).await;
                    }
                }
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
        if daemon::progress(&slot).await.is_ok() {
            return Ok(true);
        }
        let slot = blocking(move || {
            slot.dismantle()?;
            Ok(slot)
        })
        .await?;
        let address = self.addresses().get(&slot.dir).cloned();
        daemon::start(&slot.dir, address.as_ref()).await?;
        blocking(move || {
            let _lock = lock;
            let mut slot = slot;
            slot.assemble()?;
            slot.relieve()?;
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
        if slot.record.copy.is_some() {
            return Err(SandboxError::invalid_request(format!(
                "{} is unpacked: it needs no URL",
                slot.record.dir
            ))
            .into());
        }
        self.addresses().insert(slot.dir.clone(), address.clone());
        if self.look_at(slot.clone()).await.state != MountState::Lost {
            return daemon::readdress(&slot, &address).await;
        }
        if self.serve_anew(&slot.dir).await? {
            self.watch(slot);
        }
        Ok(())
    }
}
