//! What one sandbox can do, whoever asks and however.

use std::rc::Rc;

use sandbox_shared::Result;
use worker::{Env, State};

use crate::{
    backup::{
        Context,
        auto_restore::{self, PutBack},
    },
    config::Config,
    lifecycle::{AgentInUse, Lifecycle},
    operation::{cancellation::Cancellation, queue::Operations},
    storage::{index::Index, journal::Journal, log::OperationLog},
};

/// One sandbox.
pub struct Service {
    /// The settings.
    pub config: Rc<Config>,
    /// Its container.
    pub lifecycle: Rc<Lifecycle>,
    /// What is stored.
    pub index: Rc<Index>,
    /// What is done, one at a time.
    pub operations: Operations,
    /// What has been put back into the container.
    pub put_back: PutBack,
}

impl Service {
    /// The sandbox of the Durable Object whose state this is.
    pub fn new(state: State, env: Env) -> Self {
        let config = Rc::new(Config::from_env(env));
        let index = Rc::new(Index::new(
            state.storage().sql(),
            state.id().to_string(),
            state.id().name(),
        ));
        let log = OperationLog::new(state.storage().sql());
        let journal = Journal::new(state.storage().sql());
        let lifecycle = Lifecycle::new(state, config.clone());
        Self {
            operations: Operations::new(
                config.clone(),
                lifecycle.clone(),
                index.clone(),
                log,
                journal,
            ),
            put_back: PutBack::default(),
            index,
            lifecycle,
            config,
        }
    }

    /// Runs a verb when it is its turn.
    pub async fn run<T>(
        &self,
        cancellation: Cancellation,
        verb: impl AsyncFnOnce(&Context<'_>) -> Result<T>,
    ) -> Result<T> {
        self.operations
            .run(cancellation.clone(), async |progress| {
                let context = Context {
                    config: &self.config,
                    lifecycle: &self.lifecycle,
                    index: &self.index,
                    journal: self.operations.journal(),
                    put_back: &self.put_back,
                    progress,
                    cancellation,
                };
                verb(&context).await
            })
            .await
    }

    /// The agent, in a container that has what is to be put back in it.
    pub async fn agent(&self) -> Result<AgentInUse> {
        let agent = self.lifecycle.agent().await?;
        if self.put_back.is_done(agent.generation()) {
            return Ok(agent);
        }
        self.run(Cancellation::default(), auto_restore::put_back)
            .await
    }
}
