//! Brings the container up when it is needed, and lets it sleep when it is not.
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
use sandbox_shared::{ErrorCode, Result, SandboxError, hex, protocol};
use serde::{Deserialize, Serialize};
use worker::{Delay, State, Storage};

use crate::{agent::Agent, clock, config::Config, container::Container, random_bytes};

/// From the start of the container until its agent must answer. An image that
/// is not on the machine yet has to be fetched in this time.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// First and longest pause between two questions whether the agent is there.
/// The platform has no event for a port that begins to listen.
const POLL_PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// Where the token is kept in storage.
const TOKEN_KEY: &str = "agent-token";

/// The container of one sandbox over time.
pub struct Lifecycle {
    state: State,
    config: Rc<Config>,
    agent: RefCell<Option<Rc<Agent>>>,
    starting: tokio::sync::Mutex<()>,
    /// Uses under way; the container does not sleep meanwhile.
    uses: Cell<u32>,
    /// When the alarm was last set, in milliseconds.
    alarm_set_at: Cell<i128>,
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

impl Lifecycle {
    /// The container of the Durable Object whose state this is.
    pub fn new(state: State, config: Rc<Config>) -> Self {
        Self {
            state,
            config,
            agent: RefCell::new(None),
            starting: tokio::sync::Mutex::new(()),
            uses: Cell::new(0),
            alarm_set_at: Cell::new(0),
        }
    }

    /// The Durable Object's storage.
    pub fn storage(&self) -> Storage {
        self.state.storage()
    }

    /// The agent, started if need be, and kept from sleeping until dropped.
    pub async fn agent(self: &Rc<Self>) -> Result<AgentInUse> {
        let _use = Use::begin(self);
        let _one_at_a_time = self.starting.lock().await;
        let agent = match self.connected().await? {
            Some(agent) => agent,
            None => self.start().await?,
        };
        self.postpone_sleep().await?;
        Ok(AgentInUse { agent, _use })
    }

    /// The agent if its container runs; starts nothing.
    pub async fn running_agent(&self) -> Result<Option<Rc<Agent>>> {
        let _one_at_a_time = self.starting.lock().await;
        self.connected().await
    }

    async fn connected(&self) -> Result<Option<Rc<Agent>>> {
        let known = self.agent.borrow().clone();
        if let Some(agent) = known {
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

    fn remember(&self, agent: Agent) -> Rc<Agent> {
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

    /// Sets the alarm that lets the container sleep, unless it was set a
    /// moment ago: each setting is a write to storage.
    async fn postpone_sleep(&self) -> Result<()> {
        let Some(after) = self.config.sleep_after else {
            return Ok(());
        };
        let now = clock::now().unix_timestamp_nanos() / 1_000_000;
        let tenth = i128::try_from(after.as_millis() / 10).unwrap_or(i128::MAX);
        if now - self.alarm_set_at.get() < tenth {
            return Ok(());
        }
        self.storage().set_alarm(after).await.map_err(storage)?;
        self.alarm_set_at.set(now);
        Ok(())
    }

    /// The alarm rang: stops the container, unless it is in use.
    pub async fn on_alarm(&self) -> Result<()> {
        if self.uses.get() == 0 {
            return self.stop().await;
        }
        self.alarm_set_at.set(0);
        self.postpone_sleep().await
    }
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
