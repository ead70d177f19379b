//! The scene of the end-to-end tests: one `wrangler dev` with the consumer and
//! the sandbox Worker in several set-ups, the container host, and what plays
//! R2's endpoint and a bad network.
//!
//! All of it ends when the stage is dropped, and when this process dies.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fs::{self, File},
    iter,
    ops::Deref,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use reqwest::Client;
use sandbox_local_host::{self as host, Host};
use sandbox_toolbox::project;
use serde_json::{Value, json};
use tokio::{
    sync::{Mutex, MutexGuard},
    task::spawn_blocking,
};
use xtask::{
    artifacts::{self, AgentProfile},
    wrangler::{self, Wrangler},
};

use crate::{
    bucket::Bucket,
    command_line::CommandLine,
    consumer::{Consumer, Sandbox, Setup},
    documents,
    faulty_gateway::{Fault, FaultyGateway},
    http_api::HttpApi,
    liar::Liar,
    r2_stand_in::{BUCKET_NAME, R2StandIn, Requests},
    rust_consumer::RustConsumer,
    s3_server::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY},
};

/// How long an archive may be read by one URL in [`Setup::Faulty`].
pub const ARCHIVE_URL: Duration = Duration::from_secs(6);

/// When the host ends a container whose object has not asked for more: sooner
/// than the platform, so that tests see an object that does not ask.
pub const INACTIVITY_TIMEOUT: Duration = Duration::from_secs(4);

/// Everything that runs, and the ways to reach it.
#[derive(Debug)]
pub struct Stage {
    /// A Worker that uses sandboxes.
    pub consumer: Consumer,
    /// The example of that name.
    pub coding_agent: CodingAgent,
    /// A Worker in Rust that uses the sandboxes of [`Setup::Main`].
    pub rust_consumer: RustConsumer,
    /// The first consumer with an old compatibility date.
    pub old_consumer: Consumer,
    /// Where the backups are.
    pub bucket: Bucket,
    /// For requests of other kinds.
    pub client: Client,
    /// What went to the S3 endpoint of [`Setup::Production`].
    pub s3_requests: Arc<Requests>,
    /// What answers in the agent's place in [`Setup::Lying`].
    pub liar: Liar,
    address: String,
    api_token: String,
    sandboxctl: PathBuf,
    faulty_gateway: Mutex<FaultyGateway>,
    // Ended in this order.
    _wrangler: Wrangler,
    _s3: S3Server,
    host: Host,
    _lock: File,
}

impl Stage {
    /// Builds what has changed and starts everything.
    pub async fn set() -> Result<Self> {
        Self::set_with(|_| {}).await
    }

    /// The same, with a container host that is changed before it starts.
    pub async fn set_with(change: fn(&mut host::Options)) -> Result<Self> {
        let state = project::target_dir().join("e2e");
        fs::create_dir_all(&state)?;
        let lock = File::create(state.join("lock"))?;
        let (lock, sandboxctl, host) = spawn_blocking(move || {
            lock.lock()?;
            documents::write_samples()?;
            artifacts::worker()?;
            artifacts::rust_consumer()?;
            let agent = artifacts::agent(AgentProfile::Development)?;
            let mut options = host::Options::new(agent);
            options.inactivity_timeout = INACTIVITY_TIMEOUT;
            change(&mut options);
            let host = Host::start(options)?;
            anyhow::Ok((lock, artifacts::sandboxctl()?, host))
        })
        .await??;

        let port = wrangler::free_port()?;
        let address = format!("http://127.0.0.1:{port}");
        let client = Client::new();
        let bucket = Bucket::new(client.clone(), format!("{address}/bucket"));
        let s3_requests = Arc::new(Requests::default());
        let s3 = S3Server::start(R2StandIn::new(bucket.clone(), s3_requests.clone())).await?;
        let faulty_target = format!("{}/gateway", worker_address(&address, Setup::Faulty));
        let faulty_gateway = FaultyGateway::start(client.clone(), faulty_target).await?;

        let liar = Liar::start(client.clone()).await?;

        let api_token = project::random_token()?;
        let gateway = [
            ("SANDBOX_API_TOKEN", api_token.clone()),
            ("GATEWAY_SECRET", project::random_token()?),
            ("GATEWAY_URL", format!("{address}/gateway")),
        ];
        let settings = |setup| match setup {
            Setup::Main | Setup::Patient => gateway.to_vec(),
            Setup::Lying => {
                let mut settings = gateway.to_vec();
                settings.push(("SLEEP_AFTER_SECONDS", "0".to_owned()));
                settings
            }
            Setup::Unconfigured => Vec::new(),
            Setup::Faulty => {
                let mut settings = gateway.to_vec();
                settings[2].1 = faulty_gateway.address().to_owned();
                settings.push(("ARCHIVE_URL_SECONDS", ARCHIVE_URL.as_secs().to_string()));
                settings
            }
            Setup::Production => vec![
                ("SANDBOX_API_TOKEN", api_token.clone()),
                ("R2_ACCESS_KEY_ID", ACCESS_KEY_ID.to_owned()),
                ("R2_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY.to_owned()),
                ("BACKUP_BUCKET_NAME", BUCKET_NAME.to_owned()),
                ("BACKUP_BUCKET_ENDPOINT", s3.origin().to_owned()),
            ],
        };
        let consumer = project::root().join("tests/consumer");
        let mut configs = vec![
            consumer.join("wrangler.toml"),
            consumer.join("wrangler-old.toml"),
            project::root().join("tests/rust-consumer/wrangler.toml"),
        ];
        let agent_token = project::random_token()?;
        configs.push(write_example(&state, &[("AGENT_TOKEN", &agent_token)])?);
        for setup in Setup::ALL {
            let mut variables: BTreeMap<_, _> = settings(setup).into_iter().collect();
            let host_url = match setup {
                Setup::Lying => liar.origin().to_owned(),
                _ => host.url(),
            };
            variables.insert("LOCAL_CONTAINER_HOST", host_url);
            variables.insert("LOCAL_CONTAINER_HOST_TOKEN", host.token().to_owned());
            // There is no Docker.
            configs.push(write_config(&state, setup, &variables, None)?);
        }
        let persisted = state.join("wrangler");
        if persisted.exists() {
            fs::remove_dir_all(&persisted)?;
        }
        let mut options = wrangler::Options::new(configs, persisted);
        options.port = Some(port);
        let wrangler = spawn_blocking(move || Wrangler::start(&options)).await??;

        Ok(Self {
            consumer: Consumer::new(client.clone(), address.clone()),
            coding_agent: CodingAgent {
                address: format!("{address}/coding-agent"),
                token: agent_token,
            },
            rust_consumer: RustConsumer::new(client.clone(), format!("{address}/rust")),
            old_consumer: Consumer::new(client.clone(), format!("{address}/old")),
            bucket,
            client,
            s3_requests,
            liar,
            address,
            api_token,
            sandboxctl,
            faulty_gateway: Mutex::new(faulty_gateway),
            _wrangler: wrangler,
            _s3: s3,
            host,
            _lock: lock,
        })
    }

    /// Where `my-sandbox-worker` answers, without a slash at its end.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The secret of the HTTP routes.
    pub fn api_token(&self) -> &str {
        &self.api_token
    }

    /// The HTTP routes of a sandbox. `name` is as it stands in a URL.
    pub fn http(&self, name: &str) -> HttpApi {
        self.http_with(Setup::Main, name, Some(&self.api_token))
    }

    /// The HTTP routes of a sandbox of another Worker, with another token or none.
    pub fn http_with(&self, setup: Setup, name: &str, token: Option<&str>) -> HttpApi {
        let worker = worker_address(&self.address, setup);
        HttpApi::new(self.client.clone(), &worker, name, token)
    }

    /// Where programs are, the command line included.
    pub fn path_with_sandboxctl(&self) -> OsString {
        let directory = self.sandboxctl.parent().unwrap_or(Path::new("/"));
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::split_paths(&path);
        env::join_paths(iter::once(directory.to_owned()).chain(path))
            .expect("the target directory has no colon in its name")
    }

    /// The command line, for a sandbox.
    pub fn sandboxctl(&self, sandbox: &str) -> CommandLine {
        self.sandboxctl_of(Setup::Main, sandbox)
    }

    /// The command line, for a sandbox of another Worker.
    pub fn sandboxctl_of(&self, setup: Setup, sandbox: &str) -> CommandLine {
        let worker = worker_address(&self.address, setup);
        CommandLine::new(self.sandboxctl.clone(), worker, &self.api_token, sandbox)
    }

    /// Waits for a turn with the gateway of [`Setup::Faulty`] and makes this go wrong.
    pub async fn faulty_gateway(&self, fault: Fault) -> FaultyTurn<'_> {
        let turn = FaultyTurn(self.faulty_gateway.lock().await);
        turn.set(fault);
        turn
    }

    /// Kills the container of a sandbox, as a machine that fails would, and
    /// returns when it is gone.
    pub async fn kill_container(&self, sandbox: &Sandbox) {
        let container = format!(
            "{}/v1/containers/{}",
            self.host.url(),
            sandbox.object_id().await
        );
        let killed = async {
            self.client
                .post(format!("{container}/signal"))
                .bearer_auth(self.host.token())
                .json(&json!({ "signal": 9 }))
                .send()
                .await?
                .error_for_status()?;
            self.client
                .get(format!("{container}/wait"))
                .bearer_auth(self.host.token())
                .send()
                .await?
                .error_for_status()?
                .json::<Value>()
                .await
        };
        killed.await.expect("the host kills the container");
    }
}

/// `examples/coding-agent`
#[derive(Debug)]
pub struct CodingAgent {
    /// Without a slash at its end.
    pub address: String,
    /// Its secret `AGENT_TOKEN`.
    pub token: String,
}

/// The only use of the faulty gateway at a time. Nothing goes wrong any more
/// when it is dropped.
#[derive(Debug)]
pub struct FaultyTurn<'a>(MutexGuard<'a, FaultyGateway>);

impl Deref for FaultyTurn<'_> {
    type Target = FaultyGateway;

    fn deref(&self) -> &FaultyGateway {
        &self.0
    }
}

impl Drop for FaultyTurn<'_> {
    fn drop(&mut self) {
        self.set(Fault::None);
    }
}

fn worker_address(address: &str, setup: Setup) -> String {
    match setup {
        Setup::Main => address.to_owned(),
        _ => format!("{address}/workers/{}", setup.as_str()),
    }
}

/// The example's own configuration, with variables.
fn write_example(directory: &Path, variables: &[(&str, &str)]) -> Result<PathBuf> {
    let example = project::root().join("examples/coding-agent");
    let original = example.join("wrangler.toml");
    let mut config: toml::Table = fs::read_to_string(&original)?
        .parse()
        .with_context(|| original.display().to_string())?;
    let absolute = |value: &mut toml::Value| {
        if let Some(path) = value.as_str() {
            *value = example.join(path).to_string_lossy().into_owned().into();
        }
    };
    absolute(&mut config["main"]);
    for (_, path) in config["alias"].as_table_mut().context("alias")? {
        absolute(path);
    }
    let variables: BTreeMap<_, _> = variables.iter().copied().collect();
    config.insert("vars".into(), toml::Value::try_from(variables)?);
    let path = directory.join("coding-agent.toml");
    fs::write(&path, toml::to_string(&config)?)?;
    Ok(path)
}

/// The project's own Wrangler configuration, with another name, other
/// variables, and other containers or none.
pub(crate) fn write_config(
    directory: &Path,
    setup: Setup,
    variables: &BTreeMap<&str, String>,
    containers: Option<toml::Value>,
) -> Result<PathBuf> {
    let original = project::root().join("wrangler.toml");
    let mut config: toml::Table = fs::read_to_string(&original)?
        .parse()
        .with_context(|| original.display().to_string())?;
    let main = match setup {
        Setup::Faulty | Setup::Lying => "tests/consumer/faulty.mjs",
        _ => config["main"].as_str().context("main of wrangler.toml")?,
    };
    let main = project::root().join(main).to_string_lossy().into_owned();
    config.insert("main".into(), main.into());
    if setup != Setup::Main {
        let name = format!("{}-sandbox-worker", setup.as_str());
        config.insert("name".into(), name.into());
    }
    config.insert("vars".into(), toml::Value::try_from(variables)?);
    if setup == Setup::Main {
        let metrics = json!([{ "binding": "BACKUP_METRICS", "dataset": "tests" }]);
        let metrics = toml::Value::try_from(metrics)?;
        config.insert("analytics_engine_datasets".into(), metrics);
    }
    // It is built already.
    config.remove("build");
    config.remove("containers");
    if let Some(containers) = containers {
        config.insert("containers".into(), containers);
    }
    let path = directory.join(format!("{}.toml", setup.as_str()));
    fs::write(&path, toml::to_string(&config)?)?;
    Ok(path)
}
