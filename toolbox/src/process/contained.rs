//! A program in a process namespace of its own, by way of bubblewrap.
//!
//! The program is process 1 in there. When it ends, is killed, or we die
//! however suddenly, the kernel kills everything that it started.

use std::{
    io,
    os::{fd::OwnedFd, unix::process::CommandExt},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use command_fds::{CommandFdExt, FdMapping};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use serde::Deserialize;
use tokio::sync::watch;

use crate::project;

/// The descriptor on which bubblewrap reports the process that it made.
const INFO_FD: i32 = 3;

/// The descriptor whose end of file lets the program begin.
const BLOCK_FD: i32 = 4;

/// How a program ended, as a shell reports it: 128 + n after signal n.
pub type ExitCode = i32;

/// A running program. Dropping it kills it and all that it started.
#[derive(Debug)]
pub struct Contained {
    process: OwnedFd,
    exit: watch::Receiver<Option<ExitCode>>,
    keeper: Option<thread::JoinHandle<()>>,
}

/// What bubblewrap reports.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Info {
    child_pid: i32,
}

impl Contained {
    /// The beginning of a command for [`Contained::spawn`]: to be followed by
    /// bubblewrap's arguments for the file system, `--`, the program and its
    /// arguments.
    pub fn command() -> Result<Command> {
        let program = project::find_program("bwrap")
            .context("bubblewrap's program bwrap is missing: run cargo xtask setup")?;
        let mut command = Command::new(program);
        command
            .args(["--unshare-pid", "--as-pid-1", "--die-with-parent"])
            .args(["--info-fd", &INFO_FD.to_string()])
            .args(["--block-fd", &BLOCK_FD.to_string()]);
        Ok(command)
    }

    /// Starts what began with [`Contained::command`], without input and out of
    /// reach of the terminal's Ctrl-C.
    pub fn spawn(command: Command) -> Result<Self> {
        let (report, started) = mpsc::sync_channel(1);
        let (ended, exit) = watch::channel(None);
        // To the kernel a parent is a thread: this one lasts as long as the program.
        let keeper = thread::Builder::new()
            .name("contained".into())
            .spawn(move || match start(command) {
                Ok((mut bwrap, process)) => {
                    report.send(Ok(process)).ok();
                    ended.send_replace(Some(bwrap.wait().map_or(-1, exit_code)));
                }
                Err(error) => {
                    report.send(Err(error)).ok();
                }
            })?;
        Ok(Self {
            process: started.recv()??,
            exit,
            keeper: Some(keeper),
        })
    }

    /// Sends a signal to the program alone. No error if it has ended.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.process, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Changes from `None` once the program and all that it started are gone.
    pub fn exit(&self) -> watch::Receiver<Option<ExitCode>> {
        self.exit.clone()
    }

    /// Asks the program to end, and kills it when `patience` is over.
    pub fn stop(self, patience: Duration) -> Result<()> {
        self.signal(Signal::TERM)?;
        let ended = &mut [PollFd::new(&self.process, PollFlags::IN)];
        poll(ended, Some(&Timespec::try_from(patience)?))?;
        Ok(())
    }
}

impl Drop for Contained {
    fn drop(&mut self) {
        self.signal(Signal::KILL).ok();
        if let Some(keeper) = self.keeper.take() {
            keeper.join().ok();
        }
    }
}

/// Starts bubblewrap, and holds on to the process that it makes.
fn start(mut command: Command) -> Result<(Child, OwnedFd)> {
    let (info, report) = io::pipe()?;
    // A program that ended at once could be reaped before it is held: it waits.
    let (block, let_begin) = io::pipe()?;
    command
        .stdin(Stdio::null())
        .process_group(0)
        .fd_mappings(vec![
            FdMapping {
                parent_fd: report.into(),
                child_fd: INFO_FD,
            },
            FdMapping {
                parent_fd: block.into(),
                child_fd: BLOCK_FD,
            },
        ])?;
    let mut bwrap = command.spawn().context("cannot start bubblewrap")?;
    // The command holds our copies of the pipes' other ends.
    drop(command);
    let info = match io::read_to_string(info) {
        Ok(info) if !info.is_empty() => info,
        _ => bail!("bubblewrap made no process: {}", bwrap.wait()?),
    };
    let info: Info = serde_json::from_str(&info).context("bubblewrap's report")?;
    let pid = Pid::from_raw(info.child_pid).context("bubblewrap reported no process")?;
    let process = pidfd_open(pid, PidfdFlags::empty())
        .with_context(|| format!("process {} ended before it began", info.child_pid))?;
    drop(let_begin);
    Ok((bwrap, process))
}

fn exit_code(status: ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Contained {
        let mut command = Contained::command().unwrap();
        command
            .args(["--dev-bind", "/", "/", "--proc", "/proc", "--"])
            .args(["sh", "-c", script]);
        Contained::spawn(command).unwrap()
    }

    /// Waits for the end without a runtime.
    fn wait(contained: &Contained) -> ExitCode {
        let ended = &mut [PollFd::new(&contained.process, PollFlags::IN)];
        poll(ended, None).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let mut exit = contained.exit();
        let code = runtime.unwrap().block_on(async {
            let code = exit.wait_for(Option::is_some).await.unwrap();
            *code
        });
        code.unwrap()
    }

    #[test]
    fn the_exit_code_is_the_programs() {
        assert_eq!(wait(&shell("exit 7")), 7);
    }

    #[test]
    fn a_signal_reaches_the_program() {
        let (ready, writer) = io::pipe().unwrap();
        let mut command = Contained::command().unwrap();
        command
            .args(["--dev-bind", "/", "/", "--proc", "/proc", "--"])
            .args([
                "sh",
                "-c",
                "trap 'exit 3' TERM; echo ready; while :; do sleep 1; done",
            ])
            .stdout(writer);
        let contained = Contained::spawn(command).unwrap();
        let mut line = String::new();
        io::BufRead::read_line(&mut io::BufReader::new(ready), &mut line).unwrap();
        contained.signal(Signal::TERM).unwrap();
        assert_eq!(wait(&contained), 3);
    }

    #[test]
    fn what_the_program_started_dies_with_it() {
        // The pipe closes when the last process that holds it is gone.
        let (reader, writer) = io::pipe().unwrap();
        let mut command = Contained::command().unwrap();
        command
            .args(["--dev-bind", "/", "/", "--proc", "/proc", "--"])
            .args(["sh", "-c", "setsid sleep 1000 & echo started; sleep 1000"])
            .stdout(writer);
        let contained = Contained::spawn(command).unwrap();
        let mut reader = io::BufReader::new(reader);
        let mut line = String::new();
        io::BufRead::read_line(&mut reader, &mut line).unwrap();
        drop(contained);
        assert_eq!(io::read_to_string(reader).unwrap(), "");
    }
}
