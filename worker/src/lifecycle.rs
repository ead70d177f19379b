//! Brings the container up when it is needed, and lets it sleep when it is not.
//!
//! One start at a time. Nothing that a container has on its disk ends with it
//! without need: one that does not answer is asked again, and only one that
//! says that it is not ours is replaced.

mod alarms;
mod generation;

use std::{
    cell::{Cell, RefCell},
    pin::pin,
    rc::Rc,
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::future::{Either, select};
use sandbox_shared::{
    BackupId, ErrorCode, Result, SandboxError, hex,
    protocol::{self, AgentStatus},
};
use tokio::sync::{Mutex, MutexGuard, watch};
use wasm_bindgen_futures::spawn_local;
use worker::{Delay, State, Storage};

use crate::{
    agent::{Agent, Recognition},
    clock,
    config::Config,
    container::Container,
    random_bytes,
    timing::{Part, measure},
};
use alarms::Alarms;
use generation::Generation;

/// From the start of the container until its agent must answer. An image that
/// is not on the machine yet has to be fetched in this time. Also how long a
/// caller waits for the agent of a container that runs.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// How long those ask it again who can do without.
const LOOK_DEADLINE: Duration = Duration::from_secs(5);
/// How long one question how it is may take. An agent whose restored directories
/// hang says so after ten seconds.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// First and longest backoff between two questions whether the agent is there.
/// The platform has no event for a port that begins to listen.
const POLL_BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// The container of one sandbox over time.
pub struct Lifecycle {
    state: State,
    config: Rc<Config>,
    connected: RefCell<Option<Connected>>,
    starting: Mutex<()>,
    /// Uses under way; the container does not sleep meanwhile.
    uses: Cell<u32>,
    /// Callers who have asked for its end: nobody waits for its agent meanwhile.
    stops: watch::Sender<u32>,
    alarms: RefCell<Option<Alarms>>,
    /// When the platform was told last how long to keep the container, in
    /// milliseconds since 1970.
    kept_at: Cell<i64>,
}

/// The agent of a container that was found running.
#[derive(Clone)]
pub struct Connected {
    agent: Rc<Agent>,
    generation: u32,
}

impl Connected {
    /// The number of its container: each start of one has a higher one.
    pub fn generation(&self) -> u32 {
        self.generation
    }
}

impl Connected {
    /// How the agent is, if it says so soon.
    pub async fn status(&self) -> Result<AgentStatus> {
        let status = within(ANSWER_LIMIT, self.agent.status()).await;
        status.unwrap_or_else(|| {
            Err(SandboxError::new(
                ErrorCode::ContainerUnavailable,
                format!("of the agent: {}; it is safe to try again", no_answer()),
            ))
        })
    }
}

impl std::ops::Deref for Connected {
    type Target = Agent;

    fn deref(&self) -> &Agent {
        &self.agent
    }
}

/// What is there instead of a container of ours.
enum Found {
    Ours(Connected),
    /// It runs, and does not accept our token: nothing in it can be reached.
    Foreign,
    Nothing,
}

/// The agent, held awake while this is alive.
pub struct AgentInUse {
    connected: Connected,
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
        let uses = self.0.uses.get() - 1;
        self.0.uses.set(uses);
        if uses == 0 {
            // The idle time begins now, however the use has ended.
            let lifecycle = self.0.clone();
            spawn_local(async move {
                if let Err(error) = lifecycle.keep_running().await {
                    worker::console_warn!("keeping the container: {error}");
                }
            });
        }
    }
}

impl std::ops::Deref for AgentInUse {
    type Target = Connected;

    fn deref(&self) -> &Connected {
        &self.connected
    }
}

impl Lifecycle {
    /// The container of the Durable Object whose state this is.
    pub fn new(state: State, config: Rc<Config>) -> Rc<Self> {
        let lifecycle = Rc::new(Self {
            state,
            config,
            connected: RefCell::new(None),
            starting: Mutex::new(()),
            uses: Cell::new(0),
            stops: watch::Sender::new(0),
            alarms: RefCell::new(None),
            kept_at: Cell::new(0),
        });
        lifecycle.keep_after_restart();
        lifecycle
    }

    /// The platform forgets the timeout when the object restarts.
    fn keep_after_restart(self: &Rc<Self>) {
        let Ok(container @ Container::Platform(_)) = self.container() else {
            return;
        };
        let lifecycle = self.clone();
        spawn_local(async move {
            if container.is_running().await.unwrap_or_default() {
                lifecycle.keep(&container).await;
                if let Err(error) = lifecycle.arm_heartbeat().await {
                    worker::console_warn!("keeping the container: {error}");
                }
            }
        });
    }

    /// The Durable Object's storage.
    pub fn storage(&self) -> Storage {
        self.state.storage()
    }

    fn container(&self) -> Result<Container> {
        Container::of(&self.state, &self.config)
    }

    /// The agent, started if need be, and kept from sleeping until dropped.
    pub async fn agent(self: &Rc<Self>) -> Result<AgentInUse> {
        measure(Part::Container, self.agent_in_use()).await
    }

    async fn agent_in_use(self: &Rc<Self>) -> Result<AgentInUse> {
        let _use = Use::begin(self);
        // Before anything can fail: a container that does not answer is not idle.
        self.postpone_sleep().await?;
        let one_at_a_time = self.starting.lock().await;
        let connected = match self.find(START_DEADLINE).await? {
            Found::Ours(connected) => connected,
            Found::Foreign => {
                self.container()?.destroy().await?;
                self.start(&one_at_a_time).await?
            }
            Found::Nothing => self.start(&one_at_a_time).await?,
        };
        self.keep_running().await?;
        Ok(AgentInUse { connected, _use })
    }

    /// The agent if its container runs; starts and ends nothing.
    pub async fn running_agent(&self) -> Result<Option<Connected>> {
        let _one_at_a_time = self.starting.lock().await;
        match self.find(LOOK_DEADLINE).await? {
            Found::Ours(connected) => Ok(Some(connected)),
            Found::Foreign | Found::Nothing => Ok(None),
        }
    }

    async fn find(&self, deadline: Duration) -> Result<Found> {
        let known = self.connected.borrow().clone();
        if let Some(connected) = known {
            if connected.agent.container().is_running().await? {
                return Ok(Found::Ours(connected));
            }
            *self.connected.borrow_mut() = None;
            return Ok(Found::Nothing);
        }
        let container = self.container()?;
        if !container.is_running().await? {
            return Ok(Found::Nothing);
        }
        let generation = Generation::load(&self.storage()).await?;
        let token = generation.as_ref().map(|it| it.token.clone());
        let agent = Agent::new(container, token.unwrap_or_default());
        let ready = self.wait_until_ready(&agent, deadline).await;
        match (ready, generation) {
            (Ok(Recognition::Ours), Some(generation)) => {
                Ok(Found::Ours(self.connect(agent, generation).await?))
            }
            (Ok(_), _) => Ok(Found::Foreign),
            (Err(_), _) if !agent.container().is_running().await? => Ok(Found::Nothing),
            (Err(reason), _) => Err(SandboxError::new(
                ErrorCode::ContainerUnavailable,
                format!(
                    "the container runs, but its agent does not answer: {reason}. It is safe to \
                     try again; stop ends the container, with all that it has on disk"
                ),
            )),
        }
    }

    async fn connect(&self, agent: Agent, mut generation: Generation) -> Result<Connected> {
        if generation.begin_use() {
            generation.store(&self.storage()).await?;
        }
        self.keep(agent.container()).await;
        let connected = Connected {
            agent: Rc::new(agent),
            generation: generation.number,
        };
        *self.connected.borrow_mut() = Some(connected.clone());
        Ok(connected)
    }

    async fn start(&self, _one_at_a_time: &MutexGuard<'_, ()>) -> Result<Connected> {
        let storage = self.storage();
        let previous = Generation::load(&storage).await?;
        let generation = Generation::after(previous.as_ref(), random_token()?);
        generation.store(&storage).await?;
        let container = self.container()?;
        container
            .start(&[
                (protocol::env::TOKEN, &generation.token),
                (protocol::env::ALLOWED_ROOTS, &self.config.extra_roots),
            ])
            .await?;
        let agent = Agent::new(container, generation.token.clone());
        let outcome = {
            let ready = pin!(self.wait_until_ready(&agent, START_DEADLINE));
            let exit = pin!(agent.container().wait_for_exit());
            match select(ready, exit).await {
                Either::Left((Ok(Recognition::Ours), _)) => Ok(()),
                Either::Left((Ok(Recognition::Foreign), _)) => {
                    Err("it does not accept the token that it was given".to_owned())
                }
                Either::Left((Err(reason), _)) => Err(reason),
                Either::Right((reason, _)) => Err(format!("the container ended: {reason}")),
            }
        };
        match outcome {
            Ok(()) => self.connect(agent, generation).await,
            Err(reason) => {
                // There is nothing in it yet.
                let _ = agent.container().destroy().await;
                Err(SandboxError::new(
                    ErrorCode::ContainerUnavailable,
                    format!("the agent did not start: {reason}"),
                ))
            }
        }
    }

    /// Ends the container, as a caller has asked. What it had on disk is gone.
    pub async fn stop(&self) -> Result<()> {
        self.stops.send_modify(|stops| *stops += 1);
        let stopped = self.stop_now().await;
        self.stops.send_modify(|stops| *stops -= 1);
        stopped
    }

    async fn stop_now(&self) -> Result<()> {
        let _one_at_a_time = self.starting.lock().await;
        if let Some(mut generation) = Generation::load(&self.storage()).await? {
            generation.end_as_asked();
            generation.store(&self.storage()).await?;
        }
        self.end().await
    }

    async fn end(&self) -> Result<()> {
        *self.connected.borrow_mut() = None;
        self.container()?.destroy().await
    }

    /// The container that holds what callers count on now, if there is one: the
    /// one that a backup is meant to be of.
    pub async fn meant(&self) -> Result<Option<u32>> {
        let generation = Generation::load(&self.storage()).await?;
        let missed = generation.filter(Generation::is_missed);
        Ok(missed.map(|generation| generation.number))
    }

    /// Whether the caller of a backup of `dir` knows that container: it is the
    /// one that was `meant`, and not one that has taken the place of another
    /// without anybody having been told. Whoever is told no has been told.
    pub async fn is_what_was_meant(
        &self,
        agent: &Connected,
        meant: Option<u32>,
        dir: &str,
    ) -> Result<bool> {
        let _one_at_a_time = self.starting.lock().await;
        let Some(mut generation) = self.generation_of(agent).await? else {
            return Ok(false);
        };
        if generation.knows(dir) {
            return Ok(meant.is_none_or(|meant| meant == generation.number));
        }
        generation.tell();
        generation.store(&self.storage()).await?;
        Ok(false)
    }

    /// Notes that a caller has restored `dir` in the container of `agent`.
    pub async fn note_restored_dir(&self, agent: &Connected, dir: &str) -> Result<()> {
        self.note(agent, |generation| generation.note_restored_dir(dir))
            .await
    }

    /// The container of `agent`, unless another has been started since.
    async fn generation_of(&self, agent: &Connected) -> Result<Option<Generation>> {
        let last = Generation::load(&self.storage()).await?;
        Ok(last.filter(|last| last.number == agent.generation))
    }

    /// Notes that a backup is restored in the container of `agent`, which may have
    /// URLs of its archive from now on.
    pub async fn note_restored(&self, agent: &Connected, id: &BackupId) -> Result<()> {
        self.note(agent, |generation| generation.note_restored(id))
            .await
    }

    /// Changes what is known of the container of `agent`, and stores it if `change`
    /// says that it is news.
    async fn note(
        &self,
        agent: &Connected,
        change: impl FnOnce(&mut Generation) -> bool,
    ) -> Result<()> {
        let _one_at_a_time = self.starting.lock().await;
        if let Some(mut generation) = self.generation_of(agent).await?
            && change(&mut generation)
        {
            generation.store(&self.storage()).await?;
        }
        Ok(())
    }

    /// Asks the agent until it answers, or `deadline` is over, its container has
    /// ended or is to be: connections are lost while it comes up, or when it lacks
    /// descriptors.
    async fn wait_until_ready(
        &self,
        agent: &Agent,
        deadline: Duration,
    ) -> Result<Recognition, String> {
        let deadline = clock::now() + deadline;
        let (first, longest) = POLL_BACKOFF;
        let mut backoffs = ExponentialBuilder::default()
            .with_min_delay(first)
            .with_max_delay(longest)
            .without_max_times()
            .build();
        let mut stops = self.stops.subscribe();
        loop {
            let stop = pin!(stops.wait_for(|stops| *stops > 0));
            let answer = pin!(within(ANSWER_LIMIT, agent.recognizes_us()));
            let reason = match select(stop, answer).await {
                Either::Left(_) => return Err("it is being stopped".to_owned()),
                Either::Right((Some(Ok(recognition)), _)) => return Ok(recognition),
                Either::Right((Some(Err(error)), _)) => error.message,
                Either::Right((None, _)) => no_answer(),
            };
            if clock::now() >= deadline {
                return Err(reason);
            }
            Delay::from(backoffs.next().unwrap_or(longest)).await;
            if !agent.container().is_running().await.unwrap_or(true) {
                return Err("it has ended".to_owned());
            }
        }
    }
}

fn no_answer() -> String {
    format!("it has not answered for {} s", ANSWER_LIMIT.as_secs())
}

/// What `work` comes to, unless it takes longer than `limit`.
async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    match select(pin!(work), pin!(Delay::from(limit))).await {
        Either::Left((outcome, _)) => Some(outcome),
        Either::Right(_) => None,
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
