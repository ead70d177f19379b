//! Brings the container up when it is needed, and lets it sleep when it is not.
//! While it runs, renews the URLs of archives that it still has to fetch.
//!
//! One start at a time; the token is kept in the Durable Object's storage, so
//! that an object that was evicted finds its running container again.

use std::{
    cell::{Cell, RefCell},
    pin::pin,
    rc::Rc,
    time::Duration,
};

use futures_util::future::{Either, select};
use sandbox_shared::{
    BackupId, ErrorCode, Result, SandboxError, hex,
    protocol::{self, MountStatus, RenewUrl},
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use worker::{Delay, State, Storage};

use crate::{
    agent::Agent,
    backup::auto_restore::{self, Failure},
    clock,
    config::Config,
    container::Container,
    random_bytes,
    storage::presign::Presigner,
    timing::{Part, measure},
};

/// From the start of the container until its agent must answer. An image that
/// is not on the machine yet has to be fetched in this time.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// First and longest pause between two questions whether the agent is there.
/// The platform has no event for a port that begins to listen.
const POLL_PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// A URL is renewed when so much of its time is left: one part of so many.
const RENEWAL_MARGIN: u32 = 6;
/// Before a renewal that failed is tried again.
const RENEWAL_PAUSE: Duration = Duration::from_secs(30);

/// From the beginning of a backup, or from the last time, until it is looked
/// whether it was interrupted.
const RECOVERY_PAUSE: Duration = Duration::from_secs(60);

/// Where it is kept in storage what the alarm is for.
const ALARMS_KEY: &str = "alarms";
/// Where the token is kept in storage.
const TOKEN_KEY: &str = "agent-token";
/// Which backups were restored to this container.
const RESTORED_KEY: &str = "restored-backups";
/// As many of them, the latest, are known.
const MAX_RESTORED: usize = 1000;

/// The container of one sandbox over time.
pub struct Lifecycle {
    state: State,
    config: Rc<Config>,
    agent: RefCell<Option<Rc<Agent>>>,
    starting: tokio::sync::Mutex<()>,
    /// Uses under way; the container does not sleep meanwhile.
    uses: Cell<u32>,
    alarms: RefCell<Option<Alarms>>,
    /// What could not be put back into this container, once that was tried.
    put_back: RefCell<Option<Vec<Failure>>>,
}

/// What the one alarm of a Durable Object is for, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Alarms {
    /// The container is to be stopped, unless it is in use.
    sleep: Option<i64>,
    /// A URL is to be renewed.
    renewal: Option<i64>,
    /// What an interrupted backup left is to be removed.
    #[serde(default)]
    recovery: Option<i64>,
}

impl Alarms {
    fn first(self) -> Option<i64> {
        let all = [self.sleep, self.renewal, self.recovery];
        all.into_iter().flatten().min()
    }
}

#[derive(Serialize, Deserialize)]
struct TokenRecord {
    token: String,
}

/// The agent, held awake while this is alive.
pub struct AgentInUse {
    agent: Rc<Agent>,
    _use: Use,
}

/// One use of the container, counted for as long as it lives.
struct Use(Rc<Lifecycle>);

impl Use {
    fn begin(lifecycle: &Rc<Lifecycle>) -> Self {
        lifecycle.uses.set(lifecycle.uses.get() + 1);
        Self(lifecycle.clone())
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        self.0.uses.set(self.0.uses.get() - 1);
    }
}

impl std::ops::Deref for AgentInUse {
    type Target = Agent;

    fn deref(&self) -> &Agent {
        &self.agent
    }
}

impl AgentInUse {
    /// Whether it is in the container that this one is, or was, in.
    pub fn is(&self, other: &Rc<Agent>) -> bool {
        Rc::ptr_eq(&self.agent, other)
    }
}

impl Lifecycle {
    /// The container of the Durable Object whose state this is.
    pub fn new(state: State, config: Rc<Config>) -> Self {
        Self {
            state,
            config,
            agent: RefCell::new(None),
            starting: tokio::sync::Mutex::new(()),
            uses: Cell::new(0),
            alarms: RefCell::new(None),
            put_back: RefCell::new(None),
        }
    }

    /// The Durable Object's storage.
    pub fn storage(&self) -> Storage {
        self.state.storage()
    }

    /// The agent, started if need be, and kept from sleeping until dropped.
    pub async fn agent(self: &Rc<Self>) -> Result<AgentInUse> {
        measure(Part::Container, self.agent_in_use()).await
    }

    async fn agent_in_use(self: &Rc<Self>) -> Result<AgentInUse> {
        let _use = Use::begin(self);
        let _one_at_a_time = self.starting.lock().await;
        let agent = match self.connected().await? {
            Some(agent) => agent,
            None => self.start().await?,
        };
        self.postpone_sleep().await?;
        Ok(AgentInUse { agent, _use })
    }

    /// The agent of the container that ran when this object last looked.
    pub fn known_agent(&self) -> Option<Rc<Agent>> {
        self.agent.borrow().clone()
    }

    /// The agent if its container runs; starts nothing.
    pub async fn running_agent(&self) -> Result<Option<Rc<Agent>>> {
        let _one_at_a_time = self.starting.lock().await;
        self.connected().await
    }

    async fn connected(&self) -> Result<Option<Rc<Agent>>> {
        if let Some(agent) = self.known_agent() {
            if agent.container().is_running().await? {
                return Ok(Some(agent));
            }
            self.forget();
            return Ok(None);
        }
        let container = Container::of(&self.state, &self.config)?;
        if !container.is_running().await? {
            return Ok(None);
        }
        let record: Option<TokenRecord> = self.storage().get(TOKEN_KEY).await.map_err(storage)?;
        if let Some(TokenRecord { token }) = record {
            let agent = Agent::new(container, token);
            if agent.status().await.is_ok() {
                return Ok(Some(self.remember(agent)));
            }
        }
        // It runs, but not for us: nothing in it can be reached any more.
        Container::of(&self.state, &self.config)?.destroy().await?;
        Ok(None)
    }

    /// Whether everything that was to be put back has been, or was given up, since
    /// the container has started, or since this object has found it running.
    pub fn is_put_back(&self) -> bool {
        matches!(&*self.put_back.borrow(), Some(failures) if failures.is_empty())
    }

    /// What could not be put back and is going to be tried again.
    pub fn put_back_failures(&self) -> Vec<Failure> {
        self.put_back.borrow().clone().unwrap_or_default()
    }

    /// Notes how putting things back into the container of `agent` went, unless
    /// that is gone.
    pub fn set_put_back(&self, agent: &AgentInUse, failures: Vec<Failure>) {
        if self.known_agent().is_some_and(|known| agent.is(&known)) {
            *self.put_back.borrow_mut() = Some(failures);
        }
    }

    fn remember(&self, agent: Agent) -> Rc<Agent> {
        *self.put_back.borrow_mut() = None;
        let agent = Rc::new(agent);
        *self.agent.borrow_mut() = Some(agent.clone());
        agent
    }

    fn forget(&self) {
        *self.agent.borrow_mut() = None;
    }

    async fn start(&self) -> Result<Rc<Agent>> {
        let token = random_token()?;
        let record = TokenRecord {
            token: token.clone(),
        };
        self.storage()
            .put(TOKEN_KEY, record)
            .await
            .map_err(storage)?;
        self.storage().delete(RESTORED_KEY).await.map_err(storage)?;
        auto_restore::take_heart(&self.storage()).await?;
        let container = Container::of(&self.state, &self.config)?;
        container
            .start(&[
                (protocol::env::TOKEN, &token),
                (protocol::env::ALLOWED_ROOTS, &self.config.extra_roots),
            ])
            .await?;
        let agent = Agent::new(container, token);
        let outcome = {
            let ready = pin!(wait_until_ready(&agent));
            let exit = pin!(agent.container().wait_for_exit());
            match select(ready, exit).await {
                Either::Left((outcome, _)) => outcome,
                Either::Right((reason, _)) => Err(format!("the container ended: {reason}")),
            }
        };
        match outcome {
            Ok(()) => Ok(self.remember(agent)),
            Err(reason) => {
                let _ = agent.container().destroy().await;
                Err(SandboxError::new(
                    ErrorCode::ContainerUnavailable,
                    format!("the agent did not start: {reason}"),
                ))
            }
        }
    }

    /// Ends the container. What it had on disk is gone.
    pub async fn stop(&self) -> Result<()> {
        let _one_at_a_time = self.starting.lock().await;
        self.forget();
        Container::of(&self.state, &self.config)?.destroy().await
    }

    /// Has the alarm let the container sleep later, unless that was done a
    /// moment ago: each setting is a write to storage.
    async fn postpone_sleep(&self) -> Result<()> {
        let Some(after) = self.config.sleep_after.map(millis) else {
            return Ok(());
        };
        let at = now() + after;
        let alarms = self.alarms().await?;
        if alarms.sleep.is_some_and(|set| at - set < after / 10) {
            return Ok(());
        }
        let sleep = Some(at);
        self.set_alarms(Alarms { sleep, ..alarms }).await
    }

    /// Notes that a caller has this backup restored here: the agent may have URLs
    /// of its archive from now on.
    pub async fn note_restored(&self, id: &BackupId) -> Result<()> {
        let mut restored = self.restored().await?;
        if restored.last() == Some(id) {
            return Ok(());
        }
        restored.retain(|known| known != id);
        restored.push(id.clone());
        let surplus = restored.len().saturating_sub(MAX_RESTORED);
        restored.drain(..surplus);
        let storage = self.storage();
        storage
            .put(RESTORED_KEY, restored)
            .await
            .map_err(self::storage)
    }

    async fn restored(&self) -> Result<Vec<BackupId>> {
        let restored = self.storage().get(RESTORED_KEY).await.map_err(storage)?;
        Ok(restored.unwrap_or_default())
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
        let recovery = Some(now() + millis(RECOVERY_PAUSE));
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
            .map_err(self::storage)?;
        if let Some(at) = alarms.first() {
            // An alarm of the past rings at once; a delay cannot be negative.
            let delay = u64::try_from(at - now()).unwrap_or_default();
            let delay = Duration::from_millis(delay);
            storage.set_alarm(delay).await.map_err(self::storage)?;
        }
        Ok(())
    }

    /// The alarm rang: stops the container, unless it is in use, and renews
    /// what is about to expire. `recovered` says whether nothing is left of
    /// interrupted backups.
    pub async fn on_alarm(&self, recovered: bool) -> Result<()> {
        let Alarms {
            sleep, recovery, ..
        } = self.alarms().await?;
        let recovery = match recovery {
            Some(at) if at <= now() => (!recovered).then(|| now() + millis(RECOVERY_PAUSE)),
            later => later,
        };
        let is_time = sleep.is_some_and(|at| at <= now());
        if is_time && self.uses.get() == 0 {
            self.set_alarms(Alarms {
                recovery,
                ..Alarms::default()
            })
            .await?;
            return self.stop().await;
        }
        let sleep = match is_time {
            true => self.config.sleep_after.map(|after| now() + millis(after)),
            false => sleep,
        };
        // What fails must not keep the container from sleeping.
        let renewal = self.renew_all().await;
        let renewal = renewal.unwrap_or_else(|_| Some(now() + millis(RENEWAL_PAUSE)));
        self.set_alarms(Alarms {
            sleep,
            renewal,
            recovery,
        })
        .await
    }

    async fn renew_all(&self) -> Result<Option<i64>> {
        match self.running_agent().await? {
            Some(agent) => self.renew(&agent, &agent.status().await?.mounts).await,
            None => Ok(None),
        }
    }

    /// Renews URLs that are about to expire, of archives that are not whole
    /// yet, and says when to look again.
    pub async fn renew(&self, agent: &Agent, mounts: &[MountStatus]) -> Result<Option<i64>> {
        let mut next = None;
        // Whatever the agent says that it has: it gets URLs of no other backup.
        let restored = self.restored().await?;
        for mount in mounts.iter().filter(|mount| restored.contains(&mount.id)) {
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
                    Err(_) => now() + millis(RENEWAL_PAUSE),
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

async fn wait_until_ready(agent: &Agent) -> Result<(), String> {
    let deadline = clock::now() + START_DEADLINE;
    let (mut pause, longest) = POLL_PAUSE;
    loop {
        match agent.status().await {
            Ok(_) => return Ok(()),
            Err(error) if clock::now() >= deadline => return Err(error.message),
            Err(_) => {}
        }
        Delay::from(pause).await;
        pause = (pause * 2).min(longest);
    }
}

fn random_token() -> Result<String> {
    Ok(hex(&random_bytes::<32>()?))
}

fn storage(error: worker::Error) -> SandboxError {
    SandboxError::new(
        ErrorCode::InternalError,
        format!("the Durable Object's storage failed: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use sandbox_shared::{Strategy, protocol::MountState, report::Listed};

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
        let alarms = |sleep, renewal, recovery| {
            let alarms = Alarms {
                sleep,
                renewal,
                recovery,
            };
            alarms.first()
        };
        assert_eq!(alarms(Some(5), Some(3), Some(4)), Some(3));
        assert_eq!(alarms(Some(5), None, Some(4)), Some(4));
        assert_eq!(alarms(Some(5), None, None), Some(5));
        assert_eq!(alarms(None, None, None), None);
    }
}
