//! A real `wrangler dev` with its own state, ports and log.
//!
//! It runs in a process namespace of its own, so that dropping it, or our own
//! death, leaves no `workerd` behind.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::mpsc::RecvTimeoutError,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    docker::{EGRESS_IMAGE, Engine},
    setup,
};
use sandbox_toolbox::{
    process::{self, Contained, Log},
    project,
};

/// The line by which Wrangler says that it serves.
const READY: &str = "Ready on http";

/// How long Wrangler may take to end on its own.
const PATIENCE: Duration = Duration::from_secs(5);

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Wrangler configuration files. The first Worker is the one that the
    /// port serves; the others are reached by bindings.
    pub configs: Vec<PathBuf>,
    /// Variables and secrets. When there is any, Wrangler reads `.dev.vars`
    /// only if `env_files` names it.
    pub variables: Vec<(String, String)>,
    /// Files with more variables, which `variables` override.
    pub env_files: Vec<PathBuf>,
    /// Holds the state of R2, Durable Objects, KV and D1, the log and what
    /// else Wrangler writes. Made if it does not exist.
    pub state: PathBuf,
    /// Loopback port; any free one when absent.
    pub port: Option<u16>,
    /// The engine that runs containers, when there is one.
    pub containers: Option<Containers>,
    /// How long the Worker's build and Wrangler's start may take together.
    pub patience: Duration,
    /// Whether the log goes to standard output, too.
    pub verbose: bool,
}

impl Options {
    /// One or more Workers on a free port.
    pub fn new(
        configs: impl IntoIterator<Item = impl Into<PathBuf>>,
        state: impl Into<PathBuf>,
    ) -> Self {
        Self {
            configs: configs.into_iter().map(Into::into).collect(),
            variables: Vec::new(),
            env_files: Vec::new(),
            state: state.into(),
            port: None,
            containers: None,
            patience: Duration::from_secs(900),
            verbose: false,
        }
    }

    /// Adds a variable or secret.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }
}

/// How Wrangler reaches the engine that runs containers.
#[derive(Clone, Debug)]
pub struct Containers {
    /// Docker's client, or what stands for it.
    pub client: PathBuf,
    /// As in `DOCKER_HOST`.
    pub host: String,
    /// The image of the sidecar through which containers are reached.
    pub egress_image: String,
    /// What containers call this machine. Wrangler listens there, instead of
    /// on loopback, so that they reach the gateway.
    pub gateway: Ipv4Addr,
}

impl From<&Engine> for Containers {
    fn from(engine: &Engine) -> Self {
        Self {
            client: engine.wrapper(),
            host: engine.host(),
            egress_image: EGRESS_IMAGE.to_owned(),
            gateway: engine.gateway(),
        }
    }
}

/// A port that is free now, for what must know its address before it listens.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?.port())
}

/// A running `wrangler dev`. Dropping it ends it.
#[derive(Debug)]
pub struct Wrangler {
    address: SocketAddr,
    log: PathBuf,
    process: Option<Contained>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Wrangler {
    /// Starts Wrangler and returns when it serves.
    pub fn start(options: &Options) -> Result<Self> {
        let tools = setup::worker()?.node;
        fs::create_dir_all(&options.state)?;
        let state = options.state.canonicalize()?;
        let port = options.port.map_or_else(free_port, Ok)?;
        let containers = options.containers.as_ref();
        let ip = containers.map_or(Ipv4Addr::LOCALHOST, |containers| containers.gateway);
        let address = SocketAddr::from((ip, port));
        let (output, log_end) = io::pipe()?;
        let log = state.join("wrangler.log");

        let mut command = Contained::command()?;
        command
            .args(["--dev-bind", "/", "/", "--proc", "/proc", "--"])
            .arg(&tools.node)
            .arg(&tools.wrangler)
            .arg("dev")
            .args(["--ip", &ip.to_string(), "--port", &port.to_string()])
            .args(["--inspector-port", "0"])
            .arg(format!("--enable-containers={}", containers.is_some()))
            .arg("--show-interactive-dev-session=false")
            .arg("--persist-to")
            .arg(state.join("state"));
        for config in &options.configs {
            command.arg("--config").arg(config);
        }
        for file in &options.env_files {
            command.arg("--env-file").arg(file);
        }
        if !options.variables.is_empty() {
            let file = state.join("variables.env");
            fs::write(&file, env_file(&options.variables)?)?;
            command.arg("--env-file").arg(file);
        }
        command
            .current_dir(project::root())
            .env("PATH", tools.path()?)
            .env("CI", "true")
            .env("NO_COLOR", "1")
            .env("CLOUDFLARE_CF_FETCH_ENABLED", "false")
            .env("WRANGLER_SEND_METRICS", "false")
            .env("WRANGLER_LOG_PATH", state.join("logs"))
            // Or Workers of the same name in another Wrangler would be taken for ours.
            .env("WRANGLER_REGISTRY_PATH", state.join("registry"))
            .stdout(log_end.try_clone()?)
            .stderr(log_end);
        if let Some(containers) = containers {
            command
                .env("WRANGLER_DOCKER_BIN", &containers.client)
                .env("DOCKER_HOST", &containers.host)
                .env("DOCKER_BUILDKIT", "1")
                .env("MINIFLARE_CONTAINER_EGRESS_IMAGE", &containers.egress_image);
        }
        process::outside_cargo(&mut command);

        let (reader, readiness) = Log::new(&log, READY, options.verbose)?.collect(output);
        let wrangler = Self {
            address,
            log,
            process: Some(Contained::spawn(command)?),
            reader: Some(reader),
        };
        let deadline = Instant::now() + options.patience;
        match readiness.recv_timeout(deadline - Instant::now()) {
            Ok(()) => Ok(wrangler),
            Err(RecvTimeoutError::Timeout) => bail!(
                "wrangler is not ready after {} s:\n{}",
                options.patience.as_secs(),
                process::last_lines(wrangler.log())
            ),
            Err(RecvTimeoutError::Disconnected) => {
                bail!(
                    "wrangler ended before it was ready:\n{}",
                    process::last_lines(wrangler.log())
                )
            }
        }
    }

    /// Where the first Worker is: `http://127.0.0.1:{port}`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What Wrangler and the Workers wrote.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Returns when Wrangler has ended by itself.
    pub async fn ended(&self) {
        if let Some(process) = &self.process {
            process.exit().wait_for(Option::is_some).await.ok();
        }
    }
}

impl Drop for Wrangler {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.stop(PATIENCE).ok();
        }
        if let Some(reader) = self.reader.take() {
            reader.join().ok();
        }
    }
}

/// Nothing is expanded or escaped between single quotes.
fn env_file(variables: &[(String, String)]) -> Result<String> {
    let mut file = String::new();
    for (name, value) in variables {
        ensure!(
            !value.contains(['\'', '\n', '\r']),
            "the value of {name} cannot be written to an env file"
        );
        file.push_str(&format!("{name}='{value}'\n"));
    }
    Ok(file)
}
