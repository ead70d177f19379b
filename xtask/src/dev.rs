//! The whole product on this machine: the container host and the Worker in a
//! real `wrangler dev`.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context, Result, bail};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use crate::{
    artifacts::{self, AgentProfile},
    setup,
    wrangler::{self, Wrangler},
};
use sandbox_local_host::{self as host, Host};
use sandbox_toolbox::project;

/// Bearer token of the HTTP routes.
const API_TOKEN: &str = "SANDBOX_API_TOKEN";

/// The Worker, ready to be used.
#[derive(Debug)]
pub struct Server {
    /// The value of the secret `SANDBOX_API_TOKEN`.
    pub api_token: String,
    /// Where the agents' logs are.
    pub agent_logs: PathBuf,
    // Ended in this order.
    wrangler: Wrangler,
    _host: Host,
}

impl Server {
    /// Installs and builds what is missing and starts everything, with state in
    /// `state`. `verbose` shows Wrangler's log.
    pub fn start(port: u16, state: &Path, verbose: bool) -> Result<Self> {
        let secrets = project::root().join(".dev.vars");
        let api_token = api_token(&secrets)?;
        setup::all()?;
        let agent = artifacts::agent(AgentProfile::Development)?;
        artifacts::worker()?;
        let host_options = host::Options::new(agent);
        let agent_logs = host_options.logs.clone();
        let host = Host::start(host_options)?;
        let mut options = wrangler::Options::new([project::root().join("wrangler.toml")], state)
            .variable("GATEWAY_URL", format!("http://127.0.0.1:{port}/gateway"))
            .variable("LOCAL_CONTAINER_HOST", host.url())
            .variable("LOCAL_CONTAINER_HOST_TOKEN", host.token());
        options.env_files.push(secrets);
        options.port = Some(port);
        options.verbose = verbose;
        Ok(Self {
            api_token,
            agent_logs,
            wrangler: Wrangler::start(&options)?,
            _host: host,
        })
    }

    /// Where the Worker is, without a slash at its end.
    pub fn url(&self) -> String {
        self.wrangler.url()
    }

    /// Wrangler's log.
    pub fn log(&self) -> &Path {
        self.wrangler.log()
    }

    /// Runs `work` beside the server, and returns when `work` says so, has
    /// failed, or we are told to stop. Afterwards nothing runs any more.
    pub fn run(self, work: impl FnOnce() -> Result<Then> + Send + 'static) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (done, mut result) = oneshot::channel();
        runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            let mut hangup = signal(SignalKind::hangup())?;
            // Not waited for: it ends with us.
            thread::spawn(move || done.send(work()).ok());
            let mut working = true;
            loop {
                tokio::select! {
                    result = &mut result, if working => match result? {
                        Ok(Then::Stay) => working = false,
                        Ok(Then::Stop) => return Ok(()),
                        Err(error) => return Err(error),
                    },
                    () = self.wrangler.ended() => bail!("wrangler ended; see {}", self.log().display()),
                    _ = interrupt.recv() => return Ok(()),
                    _ = terminate.recv() => return Ok(()),
                    _ = hangup.recv() => return Ok(()),
                }
            }
        })
    }
}

/// What follows when the work beside a server is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The server goes on.
    Stay,
    /// It ends.
    Stop,
}

/// `cargo xtask dev`
pub fn run(port: u16) -> Result<()> {
    let state = project::root().join(".wrangler/dev");
    let server = Server::start(port, &state, true)?;
    println!("\nAgents' logs: {}", server.agent_logs.display());
    println!("{}\n", curl(&server, "my-sandbox"));
    server.run(|| Ok(Then::Stay))
}

/// Commands for a shell in the project's directory that use the server.
pub fn curl(server: &Server, sandbox: &str) -> String {
    let base = format!("{}/v1/sandboxes/{sandbox}", server.url());
    format!(
        "In another terminal:\n\n  \
         token={}\n  \
         curl -H \"Authorization: Bearer $token\" {base}/status\n  \
         curl -H \"Authorization: Bearer $token\" {base}/exec -d '{{\"command\": \"ls -la\"}}'\n  \
         curl -H \"Authorization: Bearer $token\" {base}/backups -d '{{\"dir\": \"/workspace\"}}'\n  \
         curl -H \"Authorization: Bearer $token\" {base}/restore -d '{{\"id\": \"…\", \"dir\": \"/workspace\"}}'\n\n\
         Ctrl-C ends everything.",
        server.api_token
    )
}

/// The token in the secrets' file, which is made with random secrets if there is none.
fn api_token(secrets: &Path) -> Result<String> {
    if !secrets.exists() {
        let content = format!(
            "# Secrets of `wrangler dev`, made by cargo xtask.\n{API_TOKEN}={}\nGATEWAY_SECRET={}\n",
            project::random_token()?,
            project::random_token()?
        );
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(secrets)?
            .write_all(content.as_bytes())?;
    }
    let content = fs::read_to_string(secrets)?;
    variable(&content, API_TOKEN)
        .with_context(|| format!("{} has no {API_TOKEN}", secrets.display()))
}

/// The value of a variable in an env file.
fn variable(file: &str, name: &str) -> Option<String> {
    file.lines().find_map(|line| {
        let (found, value) = line.split_once('=')?;
        let quotes = ['"', '\''];
        (found.trim() == name).then(|| value.trim().trim_matches(quotes).to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_with_and_without_quotes() {
        let file = "# A=0\nAB=1\nA = \"two\"\nC='3'\n";
        assert_eq!(variable(file, "A").as_deref(), Some("two"));
        assert_eq!(variable(file, "C").as_deref(), Some("3"));
        assert_eq!(variable(file, "D"), None);
    }
}
