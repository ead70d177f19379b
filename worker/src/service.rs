//! What one sandbox can do, whoever asks and however.
//!
//! Backing up, restoring, verifying and unmounting happen one at a time, in the order
//! they were asked for. Commands and files do not wait for them: a backup is
//! taken of a live tree.

mod backups;
mod commands;
mod files;
mod follow;

use std::rc::Rc;

use sandbox_shared::{
    AllowedRoots, Result,
    log::{OperationLogPage, OperationLogQuery},
    operation::{OperationId, OperationOutcome},
    progress::CancelResult,
    status::{ContainerState, ContainerStatus, SandboxStatus},
};
use worker::{Env, State};

use crate::{
    backup::{
        Context,
        auto_restore::{self, PutBack},
    },
    config::Config,
    lifecycle::{AgentInUse, Connected, Lifecycle},
    operation::{cancellation::Cancellation, queue::Operations},
    storage::{database::Database, index::Index, journal::Journal, log::OperationLog},
};

/// One sandbox.
pub struct Service {
    /// The settings.
    config: Rc<Config>,
    /// Its container.
    lifecycle: Rc<Lifecycle>,
    /// What is stored.
    index: Rc<Index>,
    /// What is done, one at a time.
    operations: Operations,
    /// What has been put back into the container.
    put_back: PutBack,
}

impl Service {
    /// The sandbox of the Durable Object whose state this is.
    pub fn new(state: State, env: Env) -> Self {
        let config = Rc::new(Config::from_env(env));
        let database = Rc::new(Database::new(state.storage().sql()));
        let index = Rc::new(Index::new(
            database.clone(),
            state.id().to_string(),
            state.id().name(),
        ));
        let log = OperationLog::new(database.clone());
        let journal = Journal::new(database);
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

    /// Runs a method when it is its turn.
    async fn run<T>(
        &self,
        cancellation: Cancellation,
        method: impl AsyncFnOnce(&Context<'_>) -> Result<T>,
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
                method(&context).await
            })
            .await
    }

    /// The agent, in a container that has what is to be put back in it.
    async fn agent(&self) -> Result<AgentInUse> {
        let agent = self.lifecycle.agent().await?;
        if self.put_back.is_done(agent.generation()) {
            return Ok(agent);
        }
        self.run(Cancellation::default(), auto_restore::put_back)
            .await
    }

    /// What became of a backup or restore whose answer was lost.
    pub async fn operation_outcome(&self, operation: OperationId) -> Result<OperationOutcome> {
        self.operations.outcome(operation).await
    }

    /// Ends the operation that runs, and leaves nothing of it.
    pub async fn cancel_operation(&self) -> CancelResult {
        CancelResult {
            cancelled: self.operations.progress().cancel().await,
        }
    }

    /// The operations that have ended, the last one first.
    pub fn operation_log(&self, query: &OperationLogQuery) -> Result<OperationLogPage> {
        self.operations.log().page(query)
    }

    /// How the sandbox is. Starts nothing.
    pub async fn status(&self) -> Result<SandboxStatus> {
        let agent = self.lifecycle.running_agent().await?;
        let generation = agent.as_ref().map(Connected::generation);
        let (state, strategies, mounts) = match agent {
            Some(agent) => {
                let status = agent.status().await?;
                // A good moment for what should have been done already; whoever
                // looks is not to suffer if it fails.
                let _ = self.lifecycle.renew(&agent, &status.mounts).await;
                (ContainerState::Running, status.strategies, status.mounts)
            }
            None => (ContainerState::Stopped, Vec::new(), Vec::new()),
        };
        Ok(SandboxStatus {
            container: ContainerStatus { state, strategies },
            mounts,
            auto_restore: auto_restore::status(
                &self.lifecycle.storage(),
                &self.put_back,
                generation,
            )
            .await?,
            operation: self.operations.progress().current(),
        })
    }

    /// The alarm rang.
    pub async fn on_alarm(&self) -> Result<()> {
        let recovered = self.operations.recover().await;
        self.lifecycle.on_alarm(recovered).await
    }

    /// The directories that may be backed up and restored to.
    pub fn allowed_roots(&self) -> Result<AllowedRoots> {
        self.config.allowed_roots()
    }

    /// Ends the container. What it had on disk, mounts included, is gone.
    pub async fn stop(&self) -> Result<()> {
        self.lifecycle.stop().await
    }
}
