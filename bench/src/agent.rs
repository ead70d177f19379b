//! The real agent, driven over its HTTP protocol as the Durable Object does.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};
use sandbox_shared::{
    BackupId, Compression, Selection,
    protocol::{
        AgentStatus, CreateBackup, CreateEvent, PartUrl, PartUrls, UploadedArchive, env, paths,
    },
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    measure::{self, Run, Usage},
    store::Store,
};
use sandbox_toolbox::project;

/// How long it may take to give everything back when it is told to stop.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running agent. Dropping it makes it take its mounts away and end.
pub(super) struct Agent {
    process: Child,
    origin: String,
    token: String,
    http: ureq::Agent,
}

impl Agent {
    /// Starts the program with its state in `state_dir`, allowed to work on
    /// directories below `root`, and waits until it has looked at the machine.
    pub(super) fn start(program: &Path, state_dir: &Path, root: &Path) -> Result<Self> {
        let token = project::random_token()?;
        let mut process = Command::new(program)
            .arg("serve")
            .env(env::TOKEN, &token)
            .env(env::LISTEN, "127.0.0.1:0")
            .env(env::STATE_DIR, state_dir)
            .env(env::ALLOWED_ROOTS, root)
            .env("TMPDIR", state_dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut line = String::new();
        if let Some(output) = process.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let agent = Self {
            process,
            origin: match line.trim().rsplit(' ').next() {
                Some(address) if !address.is_empty() => format!("http://{address}"),
                _ => bail!("the agent did not say where it listens"),
            },
            token,
            http: ureq::Agent::config_builder()
                .http_status_as_error(false)
                .proxy(None)
                .build()
                .into(),
        };
        agent.status()?;
        Ok(agent)
    }

    pub(super) fn status(&self) -> Result<AgentStatus> {
        let mut response = self
            .http
            .get(format!("{}{}", self.origin, paths::STATUS))
            .header("Authorization", format!("Bearer {}", self.token))
            .call()?;
        Ok(serde_json::from_str(
            &response.body_mut().read_to_string()?,
        )?)
    }

    /// What it has used since it was started.
    pub(super) fn usage(&self) -> Result<Usage> {
        Usage::of_process(self.process.id())
    }

    /// Backs up `dir` into `store`, to the last part.
    pub(super) fn backup(
        &self,
        dir: &Path,
        compression: &Compression,
        store: &Store,
    ) -> Result<UploadedArchive> {
        let request = CreateBackup {
            id: BackupId::random(),
            dir: dir.to_str().context("not a path in UTF-8")?.into(),
            selection: Selection::default(),
            compression: compression.clone(),
        };
        let parts_path = paths::BACKUP_PARTS.replace("{id}", request.id.as_str());
        let mut events = self.events(paths::BACKUPS, &request)?;
        loop {
            match events.next()? {
                CreateEvent::PartsNeeded { first, count } => {
                    let urls = (first..first + count)
                        .map(|number| PartUrl {
                            number,
                            url: store.part_url(number),
                        })
                        .collect();
                    self.post(&parts_path, &PartUrls { urls })?;
                }
                CreateEvent::Uploaded(archive) => {
                    if store.complete(archive.parts.len())? != archive.size_bytes {
                        bail!("the store has other bytes than the agent sent");
                    }
                    return Ok(*archive);
                }
                CreateEvent::Failed(error) => return Err(error.into()),
                _ => {}
            }
        }
    }

    fn post<T: Serialize>(&self, path: &str, body: &T) -> Result<ureq::Body> {
        let response = self
            .http
            .post(format!("{}{path}", self.origin))
            .header("Authorization", format!("Bearer {}", self.token))
            .send_json(body)?;
        let status = response.status();
        let mut body = response.into_body();
        if !status.is_success() {
            bail!("{path}: {status}: {}", body.read_to_string()?);
        }
        Ok(body)
    }

    pub(super) fn events<T: Serialize>(&self, path: &str, body: &T) -> Result<Events> {
        let body = self.post(path, body)?;
        Ok(Events(BufReader::new(Box::new(body.into_reader()))))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let pid = Pid::from_child(&self.process);
        let ended = pidfd_open(pid, PidfdFlags::empty()).is_ok_and(|process| {
            kill_process(pid, Signal::TERM).ok();
            let patience = Timespec::try_from(PATIENCE).ok();
            let mut watched = [PollFd::new(&process, PollFlags::IN)];
            poll(&mut watched, patience.as_ref()).is_ok_and(|ready| ready > 0)
        });
        if !ended {
            self.process.kill().ok();
        }
        self.process.wait().ok();
    }
}

/// What the agent says while it works.
pub(super) struct Events(BufReader<Box<dyn std::io::Read>>);

impl Events {
    pub(super) fn next<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            bail!("the agent's answer ended early");
        }
        Ok(serde_json::from_str(&line)?)
    }
}

/// Writes an archive to disk, without an agent that runs.
pub(super) fn create(
    program: &Path,
    tree: &Path,
    archive: &Path,
    compression: &Compression,
) -> Result<Run> {
    let level = compression.level.map(|level| format!("--level={level}"));
    let mut arguments = vec![
        "create",
        tree.to_str().context("not UTF-8")?,
        "--output",
        archive.to_str().context("not UTF-8")?,
        "--format",
        compression.format.as_str(),
    ];
    arguments.extend(level.as_deref());
    let mut run = measure::run(program, &arguments)?;
    run.archive_bytes = fs::metadata(archive)?.len();
    Ok(run)
}

/// An empty directory that is removed when it is dropped.
pub(super) struct Scratch(std::path::PathBuf);

impl Scratch {
    pub(super) fn new(path: &Path) -> Result<Self> {
        if path.exists() {
            fs::remove_dir_all(path)?;
        }
        fs::create_dir_all(path)?;
        Ok(Self(path.to_owned()))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}
