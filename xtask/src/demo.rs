//! The main job on the project itself: back up the checkout, damage it,
//! restore it, and prove that it is as it was.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use sandbox_shared::{
    BackupMetadata, BackupOptions, DirectoryBackup, RestoreBackupResult,
    files::{ExecRequest, ExecResult},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use ureq::{Agent, Body, http::Response};

use crate::{
    dev::{self, Server, Then},
    setup,
};
use sandbox_toolbox::{process, project};

const SANDBOX: &str = "demo";
const DIR: &str = "/workspace/project";

/// Names, kinds, permissions and contents, in one digest.
const DIGEST: &str = "{ find . -printf '%P %y %m %l\\n' | sort; \
                      find . -type f -print0 | sort -z | xargs -0 sha256sum; } | sha256sum";

/// `cargo xtask demo`; with `once` it ends after the story.
pub fn run(port: u16, once: bool) -> Result<()> {
    println!("Starting the Worker (the first time installs and builds everything) …");
    let state = project::root().join(".wrangler/demo");
    if state.exists() {
        fs::remove_dir_all(&state)?;
    }
    let started = Instant::now();
    let server = Server::start(port, &state, false)?;
    println!();
    row("wrangler dev", &server.url(), Some(started.elapsed()));
    let story = Story {
        base: format!("{}/v1/sandboxes/{SANDBOX}", server.url()),
        authorization: format!("Bearer {}", server.api_token),
        http: Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into(),
        state: state.join("state"),
    };
    let curl = dev::curl(&server, SANDBOX);
    let logs = format!(
        "Logs: {} and {}/{SANDBOX}*.log",
        server.log().display(),
        server.agent_logs.display()
    );
    server.run(move || {
        story.tell().context(logs)?;
        if once {
            return Ok(Then::Stop);
        }
        println!("{curl}");
        Ok(Then::Stay)
    })
}

/// What the story needs.
struct Story {
    base: String,
    authorization: String,
    http: Agent,
    /// Where Wrangler keeps R2's objects.
    state: PathBuf,
}

impl Story {
    fn tell(&self) -> Result<()> {
        let (_, took) = timed(|| self.shell("/", "true"))?;
        row("container", "started", Some(took));

        let checkout = checkout()?;
        let size = checkout.len() as u64;
        let (_, took) = timed(|| {
            self.put("/tmp/checkout.tar", &checkout)?;
            let unpack = format!("mkdir -p {DIR} && tar -xf /tmp/checkout.tar -C {DIR}");
            self.shell("/", &unpack)
        })?;
        let files = self.shell(DIR, "find . -type f | wc -l")?;
        let content = format!("this checkout: {files} files, {}", bytes(size));
        row(DIR, &content, Some(took));
        let before = self.shell(DIR, DIGEST)?;

        let mut options = BackupOptions::new(DIR);
        options.name = Some("before the damage".parse()?);
        let (backup, took) = timed(|| self.post::<DirectoryBackup>("backups", &options))?;
        let metadata = self.metadata(&backup)?;
        let archive = format!(
            "{} in R2, {} % of the content",
            bytes(metadata.size_bytes),
            metadata.size_bytes * 100 / metadata.counts.map_or(size, |counts| counts.bytes).max(1)
        );
        row("createBackup", &archive, Some(took));
        row("", &serde_json::to_string(&backup)?, None);

        let damage = "rm -rf shared worker && echo garbage > Cargo.toml && touch unwanted";
        self.shell(DIR, damage)?;
        ensure!(
            self.shell(DIR, DIGEST)? != before,
            "the directory is not damaged"
        );
        row("damage", damage, None);
        self.tree()?;

        let (restored, took) = timed(|| self.post::<RestoreBackupResult>("restore", &backup))?;
        row(
            "restoreBackup",
            &format!("served by the strategy {}", restored.strategy),
            Some(took),
        );
        let (after, took) = timed(|| self.shell(DIR, DIGEST))?;
        ensure!(after == before, "the restored directory is another");
        row("every file", "read and identical", Some(took));
        self.tree()?;
        println!();
        Ok(())
    }

    /// Shows what is at the top of the directory.
    fn tree(&self) -> Result<()> {
        let names = self.shell(
            DIR,
            "ls -CF --width=60 --tabsize=0 --group-directories-first",
        )?;
        println!();
        for line in names.lines() {
            println!("      {line}");
        }
        println!();
        Ok(())
    }

    /// Runs a command in the sandbox and returns what it printed, trimmed.
    fn shell(&self, cwd: &str, command: &str) -> Result<String> {
        let exec = ExecRequest {
            cwd: Some(cwd.parse()?),
            ..command.into()
        };
        let result: ExecResult = self.post("exec", &exec)?;
        ensure!(
            result.success,
            "{command:?} exited with {}: {}",
            result.exit_code,
            result.stderr
        );
        Ok(result.stdout.trim().into())
    }

    fn put(&self, path: &str, content: &[u8]) -> Result<()> {
        let request = self.http.put(format!("{}/files?path={path}", self.base));
        let request = request.header("Authorization", &self.authorization);
        answer::<Value>(request.send(content)?).map(drop)
    }

    fn post<T: DeserializeOwned>(&self, route: &str, body: &impl Serialize) -> Result<T> {
        let request = self.http.post(format!("{}/{route}", self.base));
        let request = request.header("Authorization", &self.authorization);
        answer(request.send_json(body)?)
    }

    /// Reads the metadata with Wrangler, as anybody can.
    fn metadata(&self, backup: &DirectoryBackup) -> Result<BackupMetadata> {
        let tools = setup::worker()?.node;
        let mut wrangler = tools.script(&tools.wrangler)?;
        wrangler
            .current_dir(project::root())
            .env("WRANGLER_SEND_METRICS", "false")
            .env("WRANGLER_LOG_PATH", self.state.join("logs"))
            .args(["r2", "object", "get", "--local", "--pipe"])
            .arg(format!("my-backup-bucket/backups/{}/meta.json", backup.id))
            .arg("--persist-to")
            .arg(&self.state);
        Ok(serde_json::from_str(&process::output(&mut wrangler)?)?)
    }
}

/// The project's current commit as a tar archive.
fn checkout() -> Result<Vec<u8>> {
    let archive = Command::new("git")
        .current_dir(project::root())
        .args(["archive", "--format=tar", "HEAD"])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run git")?;
    ensure!(
        archive.status.success(),
        "the demo backs up the project's own git checkout, which is not there"
    );
    Ok(archive.stdout)
}

fn answer<T: DeserializeOwned>(mut response: Response<Body>) -> Result<T> {
    let status = response.status();
    let body = response.body_mut().read_to_string()?;
    if !status.is_success() {
        bail!("{status}: {body}");
    }
    serde_json::from_str(&body).with_context(|| format!("an unexpected answer: {body}"))
}

fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Duration)> {
    let started = Instant::now();
    Ok((work()?, started.elapsed()))
}

fn row(what: &str, figures: &str, took: Option<Duration>) {
    let took = took.map_or_else(String::new, |took| format!("{:.2} s", took.as_secs_f64()));
    println!("{what:<20} {took:>9}   {figures}");
}

/// A size with three digits or so.
#[expect(clippy::cast_precision_loss, reason = "for people")]
fn bytes(count: u64) -> String {
    match count {
        0..1024 => format!("{count} B"),
        1024..1_048_576 => format!("{:.1} KiB", count as f64 / 1024.0),
        _ => format!("{:.1} MiB", count as f64 / 1_048_576.0),
    }
}
