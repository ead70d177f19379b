//! The scene of the tests with real containers: one `wrangler dev` with the
//! consumer and the sandbox Worker, whose containers a Docker engine runs, from
//! the image that the project's own Dockerfile makes.

use std::{collections::BTreeMap, fs, time::Duration};

use anyhow::Result;
use reqwest::Client;
use sandbox_toolbox::project;
use tokio::task::spawn_blocking;
use xtask::{
    artifacts::{self, AgentProfile},
    docker::{AGENT_IMAGE, Engine},
    wrangler::{self, Wrangler},
};

use crate::{
    bucket::Bucket,
    consumer::{Consumer, Sandbox, Setup},
    stage::write_config,
};

/// Idle seconds after which a container of [`Setup::Main`] sleeps: none of the
/// tests is idle for as long, except those that wait for it.
pub const SLEEP_AFTER: Duration = Duration::from_secs(15);

/// The same for [`Setup::Patient`]: longer than any test.
const PATIENT_SLEEP_AFTER: Duration = Duration::from_secs(600);

/// Everything that runs, and the ways to reach it.
#[derive(Debug)]
pub struct DockerStage {
    /// A Worker that uses sandboxes.
    pub consumer: Consumer,
    /// For requests of other kinds.
    pub client: Client,
    /// Where the backups are.
    pub bucket: Bucket,
    // Ended in this order.
    _wrangler: Wrangler,
    /// Runs the containers.
    pub engine: Engine,
}

impl DockerStage {
    /// Builds what has changed and starts everything.
    pub async fn set() -> Result<Self> {
        let engine = spawn_blocking(|| {
            artifacts::worker()?;
            let agent = artifacts::agent(AgentProfile::Development)?;
            let engine = Engine::start()?;
            engine.prepare_images(&agent)?;
            anyhow::Ok(engine)
        })
        .await??;
        let state = project::target_dir().join("docker-tests");
        if state.exists() {
            fs::remove_dir_all(&state)?;
        }
        fs::create_dir_all(&state)?;

        let port = wrangler::free_port()?;
        let address = format!("http://{}:{port}", engine.gateway());
        let secret = project::random_token()?;
        let variables = |sleep_after: Duration| {
            BTreeMap::from([
                ("GATEWAY_SECRET", secret.clone()),
                // As Docker calls the machine in its containers.
                (
                    "GATEWAY_URL",
                    format!("http://host.docker.internal:{port}/gateway"),
                ),
                ("SLEEP_AFTER_SECONDS", sleep_after.as_secs().to_string()),
            ])
        };
        let root = project::root().to_string_lossy();
        let image_vars = BTreeMap::from([("AGENT", AGENT_IMAGE)]);
        let container = toml::Table::from_iter([
            ("class_name".to_owned(), "Sandbox".into()),
            ("image".to_owned(), format!("{root}/Dockerfile").into()),
            ("image_build_context".to_owned(), root.as_ref().into()),
            ("image_vars".to_owned(), toml::Value::try_from(image_vars)?),
            ("max_instances".to_owned(), 10.into()),
        ]);
        let containers: toml::Value = vec![container].into();
        let mut configs = vec![project::root().join("tests/consumer/wrangler.toml")];
        for (setup, sleep_after) in [
            (Setup::Main, SLEEP_AFTER),
            (Setup::Patient, PATIENT_SLEEP_AFTER),
        ] {
            let variables = variables(sleep_after);
            configs.push(write_config(
                &state,
                setup,
                &variables,
                Some(containers.clone()),
            )?);
        }
        let mut options = wrangler::Options::new(configs, state.join("wrangler"));
        options.port = Some(port);
        options.containers = Some((&engine).into());
        let wrangler = spawn_blocking(move || Wrangler::start(&options)).await??;

        let client = Client::new();
        Ok(Self {
            consumer: Consumer::new(client.clone(), address.clone()),
            bucket: Bucket::new(client.clone(), format!("{address}/bucket")),
            client,
            _wrangler: wrangler,
            engine,
        })
    }

    /// The names of a sandbox's containers that run, without their sidecars.
    pub async fn containers(&self, sandbox: &Sandbox) -> Vec<String> {
        let filter = format!("name={}", sandbox.object_id().await);
        let names = self.docker(&["ps", "--filter", &filter, "--format", "{{.Names}}"]);
        let names = names.lines().filter(|name| !name.ends_with("-proxy"));
        names.map(str::to_owned).collect()
    }

    /// Kills the container of a sandbox, as a machine that fails would.
    pub async fn kill_container(&self, sandbox: &Sandbox) {
        let containers = self.containers(sandbox).await;
        assert_eq!(containers.len(), 1, "{containers:?}");
        self.docker(&["kill", &containers[0]]);
    }

    /// Runs Docker's client, which must succeed, and gives what it wrote.
    pub fn docker(&self, arguments: &[&str]) -> String {
        self.engine.docker(arguments).unwrap()
    }
}
