//! Commands: `/bin/sh -c` in a process group of its own.
//!
//! What is guaranteed:
//! - output arrives as it is written, in whole characters, and a slow reader
//!   slows the command down instead of filling memory;
//! - the exit is reported when the shell exits, with everything it wrote until
//!   then, even if something it left in the background keeps the pipes open;
//!   what that writes later is discarded, so that it does not die of `SIGPIPE`;
//! - the timeout, and a reader that goes away, kill the whole process group;
//! - the agent's own variables, its token above all, are not inherited;
//! - where memory runs out, a command is killed before what serves restored
//!   directories is.

use std::{
    io,
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    path::Path,
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    pipe::{PipeFlags, fcntl_getpipe_size, pipe_with},
    process::{Pid, Signal, kill_process_group},
};
use sandbox_shared::{
    AbsolutePath, SandboxError,
    files::{ExecEvent, ExecRequest},
    methods,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::pipe,
    process::{Child, Command},
    sync::mpsc,
};

mod decoder;

use decoder::Utf8Decoder;

/// Where commands run unless told otherwise.
const DEFAULT_CWD: &str = "/workspace";
/// What a shell's `timeout` exits with.
const TIMED_OUT: i32 = 124;
/// Bytes read at a time: what a pipe holds.
const CHUNK: usize = 64 << 10;
/// How long a killed shell may take to be gone.
const KILL_GRACE: Duration = Duration::from_secs(1);
/// The first to be killed (`proc_pid_oom_score_adj(5)`).
const OOM_SCORE_ADJ: &str = "1000";
/// Prefix of the variables that belong to the agent.
const PRIVATE_VARIABLES: &str = "SANDBOX_AGENT_";

/// Why a command could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The request is malformed.
    #[error(transparent)]
    Invalid(#[from] SandboxError),
    /// There is no such working directory.
    #[error("the working directory {0} does not exist")]
    NoDirectory(String),
    /// The operating system refused.
    #[error("cannot start /bin/sh: {0}")]
    Spawn(#[from] io::Error),
}

impl From<ExecError> for SandboxError {
    fn from(error: ExecError) -> Self {
        let failed = methods::EXEC.failed(error.to_string());
        match error {
            ExecError::Invalid(error) => error,
            ExecError::NoDirectory(cwd) => failed.with("cwd", cwd),
            ExecError::Spawn(_) => failed,
        }
    }
}

/// A command that runs. Dropping it kills its process group.
pub struct Running {
    group: Group,
    stdout: pipe::Receiver,
    stderr: pipe::Receiver,
    stdin: Option<(tokio::process::ChildStdin, String)>,
    timeout: Option<Duration>,
    started: Instant,
}

/// Starts a command.
pub fn start(request: ExecRequest) -> Result<Running, ExecError> {
    if request.command.contains('\0') {
        return Err(SandboxError::invalid_request("command must not contain NUL").into());
    }
    let cwd = working_directory(request.cwd.as_ref().map(AbsolutePath::as_str), DEFAULT_CWD)?;
    let (stdout, stdout_writer) = output_pipe()?;
    let (stderr, stderr_writer) = output_pipe()?;

    let mut command = Command::new("/bin/sh");
    command
        .arg("-c")
        .arg(&request.command)
        .current_dir(cwd)
        .process_group(0)
        .stdout(stdout_writer)
        .stderr(stderr_writer)
        .stdin(if request.stdin.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        });
    for (name, _) in std::env::vars_os() {
        if name
            .as_encoded_bytes()
            .starts_with(PRIVATE_VARIABLES.as_bytes())
        {
            command.env_remove(name);
        }
    }
    for (name, value) in request.env.unwrap_or_default() {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(SandboxError::invalid_request(format!(
                "env: {name:?} is not the name of a variable, or its value contains NUL"
            ))
            .into());
        }
        command.env(name, value);
    }
    let started = Instant::now();
    let mut child = command.spawn()?;
    if let Some(pid) = child.id() {
        // What it starts inherits it. Where it cannot be set, it runs all the same.
        let _ = std::fs::write(format!("/proc/{pid}/oom_score_adj"), OOM_SCORE_ADJ);
    }
    let stdin = child.stdin.take().zip(request.stdin);
    Ok(Running {
        group: Group(child),
        stdout,
        stderr,
        stdin,
        timeout: request.timeout.map(Duration::from_millis),
        started,
    })
}

fn working_directory(asked: Option<&str>, default: &str) -> Result<String, ExecError> {
    let cwd = asked.unwrap_or(default);
    match Path::new(cwd).metadata() {
        Ok(about) if about.is_dir() => Ok(cwd.to_owned()),
        // Only where there is none: one that cannot be looked at, for the time
        // being, must not send what is meant for it to the root.
        Err(error) if asked.is_none() && error.kind() == io::ErrorKind::NotFound => {
            Ok("/".to_owned())
        }
        _ => Err(ExecError::NoDirectory(cwd.to_owned())),
    }
}

fn output_pipe() -> io::Result<(pipe::Receiver, OwnedFd)> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    Ok((pipe::Receiver::from_owned_fd(reader)?, writer))
}

impl Running {
    /// Reports everything up to the exit. Ends early, and kills the process
    /// group, when nobody receives the events any more.
    pub async fn report(mut self, events: mpsc::Sender<ExecEvent>) {
        // A receiver that is gone is noticed by `closed` below.
        let _ = events
            .send(ExecEvent::Start {
                pid: self.group.id(),
            })
            .await;
        if let Some((mut stdin, text)) = self.stdin.take() {
            // A command need not read its input: EPIPE is no failure. The task
            // ends with the last reader of the pipe.
            tokio::spawn(async move {
                let _ = stdin.write_all(text.as_bytes()).await;
            });
        }
        let mut stdout = Output::new(self.stdout, |data| ExecEvent::Stdout { data });
        let mut stderr = Output::new(self.stderr, |data| ExecEvent::Stderr { data });
        let deadline = self
            .timeout
            .map(|limit| tokio::time::Instant::from_std(self.started) + limit);

        let status = {
            let pump = async {
                tokio::join!(stdout.pump(&events), stderr.pump(&events));
                // Both pipes are closed; the shell may still run.
                std::future::pending::<()>().await;
            };
            tokio::select! {
                status = self.group.0.wait() => Some(status),
                () = events.closed() => return,
                () = expire(deadline) => None,
                () = pump => unreachable!("pending never ends"),
            }
        };
        let duration = self.started.elapsed();
        let (exit_code, timed_out) = match status {
            Some(status) => (exit_code(status), false),
            None => {
                self.group.kill();
                // Normally at once; a process stuck in the kernel must not hold up the answer.
                let _ = tokio::time::timeout(KILL_GRACE, self.group.0.wait()).await;
                (TIMED_OUT, true)
            }
        };
        stdout.finish(&events).await;
        stderr.finish(&events).await;
        let exit = ExecEvent::Exit {
            exit_code,
            timed_out,
            duration: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        };
        let _ = events.send(exit).await;
    }
}

/// Ends at the deadline, if there is one.
async fn expire(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn exit_code(status: io::Result<ExitStatus>) -> i32 {
    status.map_or(-1, |status| {
        status
            .code()
            .or_else(|| status.signal().map(|signal| 128 + signal))
            .unwrap_or(-1)
    })
}

/// A shell and what it started.
struct Group(Child);

impl Group {
    /// Its process id; 0 once it has been waited for.
    fn id(&self) -> u32 {
        self.0.id().unwrap_or(0)
    }

    /// Kills the group, unless the shell is gone: from then on its id may
    /// belong to somebody else, and what it left in the background lives on.
    fn kill(&self) {
        let pid = self.0.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(pid) = pid {
            // The only possible failure is that nobody is left to kill.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// One output stream of a command.
struct Output {
    pipe: pipe::Receiver,
    decoder: Utf8Decoder,
    event: fn(String) -> ExecEvent,
    buffer: Vec<u8>,
    at_end: bool,
}

impl Output {
    fn new(pipe: pipe::Receiver, event: fn(String) -> ExecEvent) -> Self {
        Self {
            pipe,
            decoder: Utf8Decoder::default(),
            event,
            buffer: vec![0; CHUNK],
            at_end: false,
        }
    }

    /// Reports until the pipe is closed. Nothing is lost if this is dropped
    /// between two events: a place in the channel is taken before reading.
    async fn pump(&mut self, events: &mpsc::Sender<ExecEvent>) {
        while let Ok(place) = events.reserve().await {
            let text = match self.pipe.read(&mut self.buffer).await {
                Ok(0) | Err(_) => {
                    self.at_end = true;
                    return;
                }
                Ok(length) => self.decoder.push(&self.buffer[..length]),
            };
            if !text.is_empty() {
                place.send((self.event)(text));
            }
        }
    }

    /// Reports what is in the pipe now, without waiting for more, and leaves
    /// the rest to be discarded.
    async fn finish(mut self, events: &mpsc::Sender<ExecEvent>) {
        // What the shell wrote fits in the pipe; what is beyond that was
        // written by somebody who is still writing.
        let mut left = fcntl_getpipe_size(&self.pipe).unwrap_or(CHUNK);
        while !self.at_end && left > 0 {
            // Not through the runtime, which may not have heard yet that
            // there is something to read.
            match rustix::io::read(&self.pipe, &mut self.buffer[..left.min(CHUNK)]) {
                Ok(0) => self.at_end = true,
                Ok(length) => {
                    left -= length;
                    let text = self.decoder.push(&self.buffer[..length]);
                    if !text.is_empty() && events.send((self.event)(text)).await.is_err() {
                        return;
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => break,
            }
        }
        let rest = self.decoder.finish();
        if !rest.is_empty() {
            let _ = events.send((self.event)(rest)).await;
        }
        if !self.at_end {
            tokio::spawn(async move {
                let _ = tokio::io::copy(&mut self.pipe, &mut tokio::io::sink()).await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_default_directory_that_does_not_exist_is_replaced_by_the_root() {
        let base = tempfile::tempdir().unwrap();
        let path = |name: &str| base.path().join(name).to_str().unwrap().to_owned();
        let [absent, file] = ["absent", "file"].map(path);
        std::fs::write(&file, "").unwrap();
        let dir = path("");
        assert_eq!(working_directory(None, &dir).unwrap(), dir);
        assert_eq!(working_directory(None, &absent).unwrap(), "/");
        assert!(working_directory(None, &file).is_err());
        assert!(working_directory(Some(&absent), &dir).is_err());
    }
}
