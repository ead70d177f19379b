//! How the token reaches the agent.
//!
//! The platform has only the environment for it. But what a process was given
//! as its environment stays readable while it runs, and root with `CAP_SYS_ADMIN`
//! or `CAP_PERFMON` reads it even of a process that cannot be traced
//! (`may_access_mm` in Linux's `kernel/fork.c`). So the program replaces itself by
//! itself, and what it is then has the token on its standard input.

use std::{
    env::{args_os, current_exe, var_os},
    io::{self, Read, Write},
    os::unix::process::CommandExt,
    process::Command,
};

use rustix::pipe::PIPE_BUF;
use sandbox_shared::protocol::env::TOKEN;

/// The value of the variable when the token is on standard input.
const ON_STDIN: &str = "-";

/// Runs this program anew where the token is in its environment.
pub(crate) fn take_from_environment() -> io::Result<()> {
    let Some(token) = var_os(TOKEN).filter(|token| !token.is_empty() && token != ON_STDIN) else {
        return Ok(());
    };
    if token.len() > PIPE_BUF {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{TOKEN} is longer than {PIPE_BUF} bytes"),
        ));
    }
    let (reader, mut writer) = io::pipe()?;
    writer.write_all(token.as_encoded_bytes())?;
    drop(writer);
    let mut args = args_os();
    Err(Command::new(current_exe()?)
        .arg0(args.next().unwrap_or_default())
        .args(args)
        .env(TOKEN, ON_STDIN)
        .stdin(reader)
        .exec())
}

/// The token that was given; empty where there was none.
pub(crate) fn given() -> io::Result<String> {
    let mut token = String::new();
    if var_os(TOKEN).is_some_and(|value| value == ON_STDIN) {
        let limit = PIPE_BUF as u64;
        io::stdin().take(limit).read_to_string(&mut token)?;
    }
    Ok(token)
}
