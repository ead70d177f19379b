//! `sandboxctl`, as people and scripts run it.

use std::{
    path::PathBuf,
    process::{Output, Stdio},
};

use reqwest::Url;
use serde::de::DeserializeOwned;
use tokio::{io::AsyncWriteExt, process::Command};

use crate::relay::Relay;

/// The program, with its settings for one sandbox.
#[derive(Clone, Debug)]
pub struct CommandLine {
    program: PathBuf,
    url: String,
    token: String,
    sandbox: String,
}

/// How a run ended.
#[derive(Debug)]
pub struct Ran {
    /// The exit code.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

impl Ran {
    /// Of a process that has ended by itself.
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().expect("it was not killed"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// What a run that must have succeeded printed, as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> T {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl CommandLine {
    pub(crate) fn new(program: PathBuf, url: String, token: &str, sandbox: &str) -> Self {
        Self {
            program,
            url,
            token: token.to_owned(),
            sandbox: sandbox.to_owned(),
        }
    }

    /// The same with another token.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        token.clone_into(&mut self.token);
        self
    }

    /// The same through a relay to the Worker's port.
    #[must_use]
    pub async fn through_a_relay(mut self) -> (Self, Relay) {
        let mut url = Url::parse(&self.url).unwrap();
        let relay = Relay::to(url.port().unwrap()).await;
        url.set_port(Some(relay.port())).unwrap();
        self.url = url.into();
        (self, relay)
    }

    /// A run that is about to begin, killed if nobody waits for its end.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env("SANDBOX_URL", &self.url)
            .env("SANDBOX_API_TOKEN", &self.token)
            .env("SANDBOX", &self.sandbox)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs it to its end.
    pub async fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().await.unwrap())
    }

    /// Runs it with this on its standard input.
    pub async fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut process = self
            .command(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = process.stdin.take().unwrap();
        stdin.write_all(input).await.unwrap();
        drop(stdin);
        Ran::of(process.wait_with_output().await.unwrap())
    }
}
