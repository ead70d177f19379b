//! The command line: what the Durable Object can do, for a person at a shell.
//!
//! Allowed roots are not enforced here: whoever has a shell decides. Exit
//! codes: 0 done, 1 failed, 2 wrong usage.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sandbox_shared::{ErrorCode, SandboxError};

use crate::{config::Config, init, server};

/// Backs directories up and restores them.
#[derive(Debug, Parser)]
#[command(name = "sandbox-agent", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the HTTP API that the Durable Object calls.
    Serve,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("sandbox-agent: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode, SandboxError> {
    if matches!(command, Command::Serve) && init::is_needed() {
        return init::run().map(ExitCode::from).map_err(internal);
    }
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(internal)?
        .block_on(async {
            match command {
                Command::Serve => server::serve(Config::from_env()?).await,
            }
        })?;
    Ok(ExitCode::SUCCESS)
}

fn internal(error: std::io::Error) -> SandboxError {
    SandboxError::new(ErrorCode::InternalError, error.to_string())
}
