//! What the one alarm of a Durable Object is for: letting the container sleep,
//! keeping it, renewing the URLs of archives that it still has to fetch, and
//! looking after interrupted backups.
//!
//! The platform stops a container some time after its object has left memory:
//! after the inactivity timeout that the object has set, or within a minute or
//! two where it has set none (Containers, "Durable Object Container API",
//! `setInactivityTimeout`). So that timeout is longer than the idle time after
//! which the alarm stops the container, and set again after every use.

use std::time::Duration;

use sandbox_shared::{
    Result,
    protocol::{MountStatus, RenewUrl},
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{Connected, Lifecycle, storage};
use crate::{clock, container::Container, storage::presign::Presigner};

/// The longest idle time that is left to the inactivity timeout; whoever wants
/// a longer one, or none, gets a heartbeat besides.
const LONGEST_IDLE: Duration = Duration::from_secs(60 * 60);
/// How much longer the inactivity timeout is, so that the alarm comes first even
/// when it is late.
const IDLE_MARGIN: Duration = Duration::from_secs(5 * 60);
/// Between two heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(20 * 60);
/// The inactivity timeout is not set again within this time.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// A URL is renewed when so much of its time is left: one part of so many.
const RENEWAL_MARGIN: u32 = 6;
/// Before a renewal that failed is tried again.
const RENEWAL_BACKOFF: Duration = Duration::from_secs(30);

/// From the beginning of a backup, or from the last time, until it is looked
/// whether it was interrupted.
const RECOVERY_DELAY: Duration = Duration::from_secs(60);

/// Where it is kept in storage what the alarm is for.
const ALARMS_KEY: &str = "alarms";

/// When the alarm is to ring for what, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Alarms {
    /// The container is to be stopped, unless it is in use.
    sleep: Option<i64>,
    /// The platform is to keep the container.
    heartbeat: Option<i64>,
    /// A URL is to be renewed.
    renewal: Option<i64>,
    /// What an interrupted backup left is to be removed.
    recovery: Option<i64>,
}

impl Alarms {
    fn first(self) -> Option<i64> {
        let all = [self.sleep, self.heartbeat, self.renewal, self.recovery];
        all.into_iter().flatten().min()
    }

    /// With a heartbeat to come, if the idle time needs one.
    fn with_heartbeat(mut self, sleep_after: Option<Duration>) -> Self {
        if let Some(every) = heartbeat(sleep_after)
            && self.heartbeat.is_none_or(|at| at <= now())
        {
            self.heartbeat = Some(now() + millis(every));
        }
        self
    }
}

/// How long the platform is to keep a container without its object.
fn inactivity_timeout(sleep_after: Option<Duration>) -> Duration {
    sleep_after.map_or(LONGEST_IDLE, |after| after.min(LONGEST_IDLE)) + IDLE_MARGIN
}

/// How often the platform has to be told again, where that is not long enough.
fn heartbeat(sleep_after: Option<Duration>) -> Option<Duration> {
    sleep_after
        .is_none_or(|after| after > LONGEST_IDLE)
        .then_some(HEARTBEAT)
}

impl Lifecycle {
    /// Has the container kept, and its idle time counted, from now on.
    pub(super) async fn keep_running(&self) -> Result<()> {
        // First: the alarm may be about to ring.
        self.postpone_sleep().await?;
        let connected = self.connected.borrow().clone();
        if let Some(connected) = connected
            && now() - self.kept_at.get() >= millis(KEPT_FOR)
        {
            self.keep(connected.agent.container()).await;
        }
        Ok(())
    }

    /// Tells the platform how long to keep the container once this object is not
    /// in memory.
    pub(super) async fn keep(&self, container: &Container) {
        let timeout = inactivity_timeout(self.config.sleep_after);
        match container.set_inactivity_timeout(timeout).await {
            Ok(()) => self.kept_at.set(now()),
            // It ends with its object then; the next use tries again.
            Err(error) => worker::console_error!("{error}"),
        }
    }

    /// Has the alarm let the container sleep later, unless that was done a
    /// moment ago: each setting is a write to storage.
    pub(super) async fn postpone_sleep(&self) -> Result<()> {
        let mut alarms = self.alarms().await?;
        match self.config.sleep_after.map(millis) {
            // It may have been another setting when it was set.
            None => alarms.sleep = None,
            Some(after) => {
                let at = now() + after;
                if alarms
                    .sleep
                    .is_none_or(|set| (at - set).abs() >= after / 10)
                {
                    alarms.sleep = Some(at);
                }
            }
        }
        self.change_alarms(alarms.with_heartbeat(self.config.sleep_after))
            .await
    }

    /// Has the alarm keep the container, where nothing else does.
    pub(super) async fn arm_heartbeat(&self) -> Result<()> {
        let alarms = self.alarms().await?;
        self.change_alarms(alarms.with_heartbeat(self.config.sleep_after))
            .await
    }

    async fn change_alarms(&self, alarms: Alarms) -> Result<()> {
        match alarms == self.alarms().await? {
            true => Ok(()),
            false => self.set_alarms(alarms).await,
        }
    }

    /// Has the alarm renew the URL of a directory that has just been restored.
    pub async fn renew_for(&self, mount: &MountStatus) -> Result<()> {
        let alarms = self.alarms().await?;
        match self.renewal_of(mount) {
            Some(at) if alarms.renewal.is_none_or(|set| at < set || set < now()) => {
                let renewal = Some(at);
                self.set_alarms(Alarms { renewal, ..alarms }).await
            }
            _ => Ok(()),
        }
    }

    /// Has the alarm look whether a backup that begins now was interrupted.
    pub async fn recover_later(&self) -> Result<()> {
        let alarms = self.alarms().await?;
        if alarms.recovery.is_some_and(|set| set > now()) {
            return Ok(());
        }
        let recovery = Some(now() + millis(RECOVERY_DELAY));
        self.set_alarms(Alarms { recovery, ..alarms }).await
    }

    async fn alarms(&self) -> Result<Alarms> {
        if let Some(known) = *self.alarms.borrow() {
            return Ok(known);
        }
        let stored: Option<Alarms> = self.storage().get(ALARMS_KEY).await.map_err(storage)?;
        Ok(*self.alarms.borrow_mut().insert(stored.unwrap_or_default()))
    }

    async fn set_alarms(&self, alarms: Alarms) -> Result<()> {
        *self.alarms.borrow_mut() = Some(alarms);
        let storage = self.storage();
        storage
            .put(ALARMS_KEY, alarms)
            .await
            .map_err(super::storage)?;
        if let Some(at) = alarms.first() {
            // An alarm of the past rings at once; a delay cannot be negative.
            let delay = u64::try_from(at - now()).unwrap_or_default();
            let delay = Duration::from_millis(delay);
            storage.set_alarm(delay).await.map_err(super::storage)?;
        }
        Ok(())
    }

    /// The alarm rang: stops the container, unless it is in use, and renews
    /// what is about to expire. `recovered` says whether nothing is left of
    /// interrupted backups.
    pub async fn on_alarm(&self, recovered: bool) -> Result<()> {
        let is_due = |at: Option<i64>| at.is_some_and(|at| at <= now());
        let mut alarms = self.alarms().await?;
        if is_due(alarms.recovery) {
            alarms.recovery = (!recovered).then(|| now() + millis(RECOVERY_DELAY));
        }
        if self.config.sleep_after.is_none() {
            alarms.sleep = None;
        }
        *self.alarms.borrow_mut() = Some(alarms);
        if is_due(alarms.sleep) {
            let _one_at_a_time = self.starting.lock().await;
            // It may have been used while this waited.
            let alarms = self.alarms().await?;
            if is_due(alarms.sleep) && self.uses.get() == 0 {
                self.end().await?;
                let Alarms { recovery, .. } = self.alarms().await?;
                return self
                    .set_alarms(Alarms {
                        recovery,
                        ..Alarms::default()
                    })
                    .await;
            }
        }
        if self.uses.get() > 0 {
            self.keep(&self.container()?).await;
            self.postpone_sleep().await?;
        }
        // What fails must not keep the container from sleeping.
        let heartbeat = self.beat().await;
        let renewal = self.renew_all().await;
        let renewal = renewal.unwrap_or_else(|_| Some(now() + millis(RENEWAL_BACKOFF)));
        // Others may have been set meanwhile.
        let alarms = self.alarms().await?;
        let to_come = |at: Option<i64>| at.filter(|at| *at > now());
        let first = |one: Option<i64>, other: Option<i64>| one.into_iter().chain(other).min();
        self.set_alarms(Alarms {
            heartbeat: first(heartbeat, to_come(alarms.heartbeat)),
            renewal: first(renewal, to_come(alarms.renewal)),
            ..alarms
        })
        .await
    }

    /// Has the container kept where its object alone can do that, and says when
    /// to do so again.
    async fn beat(&self) -> Option<i64> {
        let every = heartbeat(self.config.sleep_after)?;
        let container = self.container().ok()?;
        // Where that cannot be told, it may be running.
        if !container.is_running().await.unwrap_or(true) {
            return None;
        }
        self.keep(&container).await;
        Some(now() + millis(every))
    }

    async fn renew_all(&self) -> Result<Option<i64>> {
        match self.running_agent().await? {
            Some(agent) => self.renew(&agent, &agent.status().await?.mounts).await,
            None => Ok(None),
        }
    }

    /// Renews URLs that are about to expire, of archives that are not whole
    /// yet, and says when to look again.
    pub async fn renew(&self, agent: &Connected, mounts: &[MountStatus]) -> Result<Option<i64>> {
        let mut next = None;
        let Some(generation) = self.generation_of(agent).await? else {
            return Ok(None);
        };
        // Whatever the agent says that it has: it gets URLs of no other backup.
        let restored = |mount: &&MountStatus| generation.has_restored(&mount.id);
        for mount in mounts.iter().filter(restored) {
            let Some(mut at) = self.renewal_of(mount) else {
                continue;
            };
            if at <= now() {
                let presigner = Presigner::from_settings(&self.config.transfer)?;
                let (url, url_expires_at) = presigner.read_archive(&mount.id, clock::now());
                let renewal = RenewUrl {
                    id: mount.id.clone(),
                    dir: mount.dir.clone(),
                    url,
                    url_expires_at,
                };
                at = match agent.renew_url(&renewal).await {
                    Ok(()) => moment(url_expires_at) - self.renewal_margin(),
                    // It may have been unmounted; if not, it is tried again.
                    Err(_) => now() + millis(RENEWAL_BACKOFF),
                };
            }
            next = Some(next.map_or(at, |next: i64| next.min(at)));
        }
        Ok(next)
    }

    fn renewal_of(&self, mount: &MountStatus) -> Option<i64> {
        renewal_of(mount, self.renewal_margin())
    }

    /// Milliseconds before the end of a URL.
    fn renewal_margin(&self) -> i64 {
        millis(self.config.transfer.archive_expiry() / RENEWAL_MARGIN)
    }
}

/// When the URL of a restored directory is to be renewed, if it needs one: so
/// many milliseconds before its end.
fn renewal_of(mount: &MountStatus, margin: i64) -> Option<i64> {
    let expires_at = mount.url_expires_at.filter(|_| mount.is_partial())?;
    Some(moment(expires_at) - margin)
}

fn moment(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

fn now() -> i64 {
    moment(clock::now())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use sandbox_shared::{BackupId, Strategy, protocol::MountState, report::Listed};

    use super::*;

    #[test]
    fn a_url_is_renewed_in_time_and_only_where_bytes_are_missing() {
        let expires_at = OffsetDateTime::UNIX_EPOCH + Duration::from_secs(3600);
        let mut mount = MountStatus {
            id: BackupId::from_random([0; 16]),
            dir: "/app".into(),
            strategy: Strategy::Kernel,
            state: MountState::Active,
            size_bytes: 100,
            cached_bytes: 99,
            verified: false,
            url_expires_at: Some(expires_at),
            problem: None,
            left_out: Listed::default(),
        };
        assert_eq!(renewal_of(&mount, 600_000), Some(3_000_000));
        mount.cached_bytes = 100;
        assert_eq!(renewal_of(&mount, 600_000), None);
    }

    #[test]
    fn the_alarm_is_for_what_comes_first() {
        let alarms = |sleep, heartbeat, renewal, recovery| {
            let alarms = Alarms {
                sleep,
                heartbeat,
                renewal,
                recovery,
            };
            alarms.first()
        };
        assert_eq!(alarms(Some(5), Some(6), Some(3), Some(4)), Some(3));
        assert_eq!(alarms(Some(5), Some(6), None, Some(4)), Some(4));
        assert_eq!(alarms(Some(5), Some(6), None, None), Some(5));
        assert_eq!(alarms(None, Some(6), None, None), Some(6));
        assert_eq!(alarms(None, None, None, None), None);
    }

    #[test]
    fn the_platform_keeps_a_container_for_longer_than_it_may_idle() {
        for seconds in [1, 15, 600, 3600] {
            let after = Duration::from_secs(seconds);
            assert!(inactivity_timeout(Some(after)) > after);
            assert_eq!(heartbeat(Some(after)), None);
        }
        for after in [None, Some(Duration::from_secs(3601))] {
            assert!(inactivity_timeout(after) > 2 * heartbeat(after).unwrap());
        }
    }
}
