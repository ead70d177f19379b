//! The processes that serve archives, one for each restored directory.
//!
//! A daemon is on its own once it has started, so that a restored directory
//! outlives the agent or the command line that made it. It is found again by
//! its arguments, and spoken to through a socket in its slot. URLs, which are
//! secrets, reach it through its standard input or the socket, and are written
//! nowhere.

use std::{fs::File, io, os::unix::ffi::OsStrExt, path::Path, process::Stdio, time::Duration};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use sandbox_shared::{SandboxError, protocol::env};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    process::Command,
};

use super::{MountError, slot::Slot};
use crate::transfer::{TransferError, lazy};

pub mod serve;

/// How the command line names what a daemon does.
pub const COMMAND: &str = "serve-mount";

/// What a daemon has to say besides, in its slot.
const LOG: &str = "daemon.log";
/// How long a daemon may take to end.
const GRACE: Timespec = Timespec {
    tv_sec: 2,
    tv_nsec: 0,
};
/// How long a daemon may take to answer a question.
const PATIENCE: Duration = Duration::from_secs(5);
/// Before another attempt where this process lacks what it takes to ask.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest line that a daemon says, in bytes.
const LONGEST_LINE: u64 = 64 << 10;

/// Where an archive is read from.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Address {
    pub(super) url: String,
    #[serde(with = "time::serde::rfc3339::option")]
    pub(super) expires_at: Option<OffsetDateTime>,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Address")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl Address {
    /// Reads the URL.
    pub(super) fn read(&self) -> Result<lazy::Address, TransferError> {
        lazy::Address::new(&self.url, self.expires_at)
    }
}

/// What a daemon is asked.
#[derive(Serialize, Deserialize)]
enum Request {
    Progress,
    Address(Address),
}

/// What a daemon says, when it has started and when it is asked.
#[derive(Serialize, Deserialize)]
enum Answer {
    Ready,
    Progress(lazy::Progress),
    Failed(SandboxError),
}

/// Starts the daemon of a slot, and waits until it serves the archive.
pub(super) async fn start(slot: &Path, address: Option<&Address>) -> Result<(), MountError> {
    let log = File::create(slot.join(LOG))?;
    // Whatever is at the path of this program by now, this is the program.
    let mut daemon = Command::new("/proc/self/exe")
        .arg0(env!("CARGO_PKG_NAME"))
        .arg(COMMAND)
        .arg(slot)
        .current_dir("/")
        // It has no use for the token, and lives long.
        .env_remove(env::TOKEN)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()?;
    let (Some(mut input), Some(output)) = (daemon.stdin.take(), daemon.stdout.take()) else {
        return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
    };
    // A daemon that has ended already says why, or nothing.
    let _ = input.write_all(&line(&address)?).await;
    drop(input);
    match read(output).await {
        Ok(Answer::Failed(error)) => Err(MountError::Refused(error)),
        Ok(_) => Ok(()),
        Err(error) => {
            let log = std::fs::read_to_string(slot.join(LOG)).unwrap_or_default();
            Err(MountError::Program {
                program: COMMAND,
                reason: format!("{error}; it said: {}", log.trim()),
            })
        }
    }
}

/// How far the archive of a slot is.
pub(super) async fn progress(slot: &Slot) -> Result<lazy::Progress, MountError> {
    match ask(slot, &Request::Progress).await? {
        Answer::Progress(progress) => Ok(progress),
        _ => Err(io::Error::from(io::ErrorKind::InvalidData).into()),
    }
}

/// Gives a daemon another address to read from.
pub(super) async fn readdress(slot: &Slot, address: &Address) -> Result<(), MountError> {
    ask(slot, &Request::Address(address.clone()))
        .await
        .map(drop)
}

async fn ask(slot: &Slot, request: &Request) -> Result<Answer, MountError> {
    let answer = tokio::time::timeout(PATIENCE, async {
        let mut stream = UnixStream::connect(slot.socket()).await?;
        stream.write_all(&line(request)?).await?;
        read(stream).await
    });
    match answer
        .await
        .map_err(|_| io::ErrorKind::TimedOut.into())
        .flatten()?
    {
        Answer::Failed(error) => Err(MountError::Refused(error)),
        answer => Ok(answer),
    }
}

/// Whether a question could not be asked for want of something of this process:
/// that says nothing about the daemon.
pub(super) fn is_unknown(error: &io::Error) -> bool {
    let scarce = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOMEM,
        Errno::NOBUFS,
        Errno::AGAIN,
    ];
    Errno::from_io_error(error).is_some_and(|errno| scarce.contains(&errno))
}

/// Waits until the daemon of a slot is gone.
pub(super) async fn gone(slot: &Slot) {
    loop {
        match UnixStream::connect(slot.socket()).await {
            Ok(mut stream) => {
                // It says nothing unasked; the end is all that can come.
                let _ = stream.read(&mut [0]).await;
                return;
            }
            Err(error) if is_unknown(&error) => tokio::time::sleep(PAUSE).await,
            Err(_) => return,
        }
    }
}

/// Ends the daemon of a slot, and `mount(8)` if an agent was killed while that
/// ran, however far they have come.
pub(super) fn stop(slot: &Slot) -> io::Result<()> {
    for pid in serving(slot)? {
        let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else {
            continue;
        };
        let mut ended = [PollFd::new(&handle, PollFlags::IN)];
        for signal in [Signal::TERM, Signal::KILL] {
            // It may end in this moment.
            let _ = pidfd_send_signal(&handle, signal);
            if poll(&mut ended, Some(&GRACE))? > 0 {
                break;
            }
        }
    }
    Ok(())
}

/// Processes that were started for a slot.
fn serving(slot: &Slot) -> io::Result<Vec<Pid>> {
    let lower = slot.lower();
    let daemon = [COMMAND.as_bytes(), slot.dir.as_os_str().as_bytes()];
    let mount = [b"mount", lower.as_os_str().as_bytes()];
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| Pid::from_raw(name.parse().ok()?))
        else {
            continue;
        };
        // A process that has ended meanwhile has no command line.
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        // After the last one there is nothing.
        let is_ours = match line[..] {
            [_, command, slot, b""] if [command, slot] == daemon => true,
            [program, .., point, b""] => [program, point] == mount,
            _ => false,
        };
        if is_ours {
            found.push(pid);
        }
    }
    Ok(found)
}

fn line<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

async fn read(from: impl tokio::io::AsyncRead + Unpin) -> io::Result<Answer> {
    let mut line = String::new();
    let mut from = BufReader::new(from.take(LONGEST_LINE));
    if from.read_line(&mut line).await? == 0 {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "it ended without an answer",
        ));
    }
    Ok(serde_json::from_str(&line)?)
}
