//! The container platform, played on this machine for development and tests.
//!
//! What holds here as on the platform: a container starts with a fresh disk,
//! the agent is its process 1, and stopping it leaves neither a process nor a
//! file; and it is ended when its Durable Object has been inactive for the time
//! that the object has asked for. Two containers see nothing of each other's files and processes. They
//! share the machine's network, so the agents' tokens are what keeps one from
//! calling another.
//!
//! The Worker reaches the host over loopback HTTP, with a bearer token:
//!
//! | request | answer |
//! |---|---|
//! | `POST /v1/containers/{id}/start` `{"env":{…}}` | `{"address":"127.0.0.1:…"}`; 409 with the address if it runs |
//! | `GET /v1/containers/{id}` | `{"running":…,"address":…}` |
//! | `GET /v1/containers/{id}/wait` | once it has ended, or does not run: `{"exitCode":…,"signal":…}` |
//! | `POST /v1/containers/{id}/signal` `{"signal":15}` | `{"running":…}` |
//! | `PUT /v1/containers/{id}/inactivity-timeout` `{"milliseconds":…}` | `{"running":…}` |
//! | `DELETE /v1/containers/{id}` | once nothing of it is left: `{"running":false}` |
#![forbid(unsafe_code)]

mod api;
mod container;
mod disk;
mod front;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{net::TcpListener, sync::oneshot};

use sandbox_toolbox::project;

/// How a host is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// The agent's static binary, run as `sandbox-agent serve`.
    pub agent: PathBuf,
    /// Where containers keep their disks while they run: on a file system
    /// that can be the upper layer of an overlay.
    pub disks: PathBuf,
    /// Where `{id}.log` collects what the agents of a container write.
    pub logs: PathBuf,
    /// Loopback port; any free one when 0.
    pub port: u16,
    /// Bearer token of the API; a random one when absent.
    pub token: Option<String>,
    /// Whether containers get this machine's loop devices, which they share
    /// with everything else on it.
    pub loop_devices: bool,
    /// How long a container runs whose object is inactive and has asked for
    /// nothing else.
    pub inactivity_timeout: Duration,
}

impl Options {
    /// A host on a free port, with its files in cargo's target directory.
    pub fn new(agent: impl Into<PathBuf>) -> Self {
        let base = project::target_dir().join("containers");
        Self {
            agent: agent.into(),
            disks: base.join("disks"),
            logs: base.join("logs"),
            port: 0,
            token: None,
            loop_devices: false,
            inactivity_timeout: Duration::from_secs(60),
        }
    }
}

/// A running host. Dropping it kills its containers and removes their disks.
#[derive(Debug)]
pub struct Host {
    address: SocketAddr,
    token: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Host {
    /// Starts a host on a thread of its own.
    pub fn start(options: Options) -> Result<Self> {
        let token = match &options.token {
            Some(token) => token.clone(),
            None => project::random_token()?,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
        let listener = runtime
            .block_on(TcpListener::bind(address))
            .with_context(|| format!("the container host cannot listen on {address}"))?;
        let address = listener.local_addr()?;
        let platform = container::Platform::new(&options)?;
        let (stop, stopped) = oneshot::channel();
        let expected = token.clone();
        let thread = thread::Builder::new()
            .name("container host".into())
            .spawn(move || runtime.block_on(api::serve(listener, platform, expected, stopped)))?;
        Ok(Self {
            address,
            token,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where the API is: `http://127.0.0.1:{port}`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The API's bearer token.
    pub fn token(&self) -> &str {
        &self.token
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}
