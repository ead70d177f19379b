//! Being process 1 of a container.
//!
//! The kernel gives orphans to process 1, which must wait for them, or they
//! stay as zombies. An agent that waited for any child would take the exit
//! statuses of its own commands away from the runtime that started them. So
//! process 1 becomes a small init: it starts the agent as its only child,
//! passes signals on, waits for whoever dies, and ends as the agent ends.
//! Under another init (`docker run --init`) none of this happens.

use std::{io, process::Command};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use tokio::signal::unix::{SignalKind, signal};

/// Whether this process is process 1.
pub fn is_needed() -> bool {
    std::process::id() == 1
}

/// Runs this same program, with the same arguments, as a child, and gives the
/// exit code it ended with.
pub fn run() -> io::Result<u8> {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?
        .block_on(supervise())
}

async fn supervise() -> io::Result<u8> {
    // Before the child starts, so that none of its signals is missed.
    let mut children = signal(SignalKind::child())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let agent = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .spawn()?;
    let agent = Pid::from_raw(agent.id().cast_signed()).ok_or(io::ErrorKind::InvalidData)?;
    loop {
        tokio::select! {
            _ = children.recv() => {
                while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
                    if pid == agent {
                        let code = status
                            .exit_status()
                            .or_else(|| status.terminating_signal().map(|signal| 128 + signal));
                        return Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1));
                    }
                }
            }
            // The agent may already be gone; then its end is about to be seen.
            _ = terminate.recv() => { let _ = kill_process(agent, Signal::TERM); }
            _ = interrupt.recv() => { let _ = kill_process(agent, Signal::INT); }
        }
    }
}
