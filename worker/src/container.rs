//! The container of a sandbox, behind one interface: Cloudflare's own in
//! production, a process of the local container host in development.
//!
//! Every failure here is `CONTAINER_UNAVAILABLE`: the caller may try again.

use std::time::Duration;

use sandbox_shared::{ErrorCode, Result, SandboxError};
use wasm_bindgen::JsValue;
use worker::{Headers, Method, RequestInit, RequestRedirect, Response, State};

use crate::config::Config;
use local::LocalContainer;
use platform::PlatformContainer;

mod local;
mod platform;

/// A container that may or may not be running.
pub enum Container {
    /// `ctx.container` of the Durable Object.
    Platform(PlatformContainer),
    /// A process that the local container host runs.
    Local(LocalContainer),
}

/// A request to the agent.
pub struct AgentRequest {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Headers; the bearer token is among them.
    pub headers: Headers,
    /// A string, bytes, or a `ReadableStream`.
    pub body: Option<JsValue>,
}

impl AgentRequest {
    fn init(self) -> (String, RequestInit) {
        let mut init = RequestInit::new();
        init.with_method(self.method)
            .with_headers(self.headers)
            .with_body(self.body)
            // Whoever answers in the agent's place must not send us elsewhere.
            .with_redirect(RequestRedirect::Manual);
        (self.path, init)
    }
}

impl Container {
    /// The container of the Durable Object whose state this is.
    pub fn of(state: &State, config: &Config) -> Result<Self> {
        if let Some(container) = state.container() {
            return Ok(Self::Platform(PlatformContainer::new(container)));
        }
        match &config.local_host {
            Some(host) => Ok(Self::Local(LocalContainer::new(
                host,
                state.id().to_string(),
            ))),
            None => Err(SandboxError::new(
                ErrorCode::ContainerUnavailable,
                "this Durable Object has no container: add [[containers]] to the Wrangler \
                 configuration, or set LOCAL_CONTAINER_HOST for development without Docker",
            )),
        }
    }

    /// Whether it runs, as far as the platform knows.
    pub async fn is_running(&self) -> Result<bool> {
        match self {
            Self::Platform(container) => Ok(container.is_running()),
            Self::Local(container) => container.is_running().await,
        }
    }

    /// Starts it with these environment variables. The agent in it is not
    /// ready yet when this answers.
    pub async fn start(&self, env: &[(&str, &str)]) -> Result<()> {
        match self {
            Self::Platform(container) => container.start(env),
            Self::Local(container) => container.start(env).await,
        }
    }

    /// Answers when it has ended, with what is known of the reason.
    pub async fn wait_for_exit(&self) -> String {
        match self {
            Self::Platform(container) => container.wait_for_exit().await,
            Self::Local(container) => container.wait_for_exit().await,
        }
    }

    /// Ends it and everything in it. What it had on disk is gone.
    pub async fn destroy(&self) -> Result<()> {
        match self {
            Self::Platform(container) => container.destroy().await,
            Self::Local(container) => container.destroy().await,
        }
    }

    /// Has the platform stop it when its Durable Object has been inactive for so
    /// long, and not before. Counts from now on, and is forgotten when the object
    /// restarts.
    pub async fn set_inactivity_timeout(&self, timeout: Duration) -> Result<()> {
        match self {
            Self::Platform(container) => container.set_inactivity_timeout(timeout).await,
            Self::Local(container) => container.set_inactivity_timeout(timeout).await,
        }
    }

    /// Sends a request to the agent.
    pub async fn fetch(&self, request: AgentRequest) -> Result<Response> {
        match self {
            Self::Platform(container) => container.fetch(request).await,
            Self::Local(container) => container.fetch(request).await,
        }
    }
}

/// A `CONTAINER_UNAVAILABLE` for a failure while doing something.
fn unavailable(doing: &str, error: impl std::fmt::Display) -> SandboxError {
    SandboxError::new(
        ErrorCode::ContainerUnavailable,
        format!("{doing} failed: {error}; it is safe to try again"),
    )
}
