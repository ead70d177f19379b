//! FUSE daemons: they are on their own once started, so that a restored
//! directory outlives a command line, and are found again by their arguments.

use std::{
    ffi::OsStr,
    io::{self, Read, Seek},
    os::unix::ffi::OsStrExt,
    path::Path,
    process::{Command, Stdio},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

use sandbox_shared::protocol::env;

use super::MountError;

/// How long a daemon may take to end after its mount has gone.
const GRACE: Timespec = Timespec {
    tv_sec: 2,
    tv_nsec: 0,
};

/// Programs that this module starts.
const PROGRAMS: [&str; 2] = ["squashfuse_ll", "fuse-overlayfs"];

/// Starts a daemon and waits until it has mounted.
pub(super) fn start(
    program: &'static str,
    options: &str,
    arguments: &[&Path],
) -> Result<(), MountError> {
    // Its standard error outlives the start, so it cannot be a pipe of ours.
    let mut said = tempfile::tempfile()?;
    let status = Command::new(program)
        .args(["-o", options])
        .args(arguments)
        .current_dir("/")
        // It has no use for the token, and lives long.
        .env_remove(env::TOKEN)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said.try_clone()?)
        .status()
        .map_err(|source| MountError::Program {
            program,
            reason: source.to_string(),
        })?;
    if status.success() {
        return Ok(());
    }
    let mut text = String::new();
    said.rewind()?;
    said.read_to_string(&mut text)?;
    let reason = text.trim().lines().last().unwrap_or("it did not say why");
    Err(MountError::Program {
        program,
        reason: reason.to_owned(),
    })
}

/// Waits until the daemons that serve something in `directory` have ended, and
/// kills those that do not.
pub(super) fn stop(directory: &Path) -> io::Result<()> {
    for pid in serving(directory)? {
        let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else {
            continue;
        };
        let mut ended = [PollFd::new(&handle, PollFlags::IN)];
        if poll(&mut ended, Some(&GRACE))? == 0 {
            pidfd_send_signal(&handle, Signal::KILL)?;
            poll(&mut ended, Some(&GRACE))?;
        }
    }
    Ok(())
}

/// Daemons of ours that have a path below `directory` among their arguments.
fn serving(directory: &Path) -> io::Result<Vec<Pid>> {
    let needle = directory.as_os_str().as_bytes();
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
        let mut arguments = line.split(|byte| *byte == 0);
        let program = arguments.next().map(OsStr::from_bytes).map(Path::new);
        let is_ours = program
            .and_then(Path::file_name)
            .is_some_and(|name| PROGRAMS.iter().any(|program| name == *program));
        let mentions = |argument: &[u8]| argument.windows(needle.len()).any(|w| w == needle);
        if is_ours && arguments.any(mentions) {
            found.push(pid);
        }
    }
    Ok(found)
}
