//! `sandboxctl`: backups of sandboxes, for a person at a shell.
//!
//! What was asked for goes to standard output, as text for people or, with
//! `--json`, as the Worker said it. Everything else goes to standard
//! error, and progress only if that is a terminal. Exit codes are those of
//! restic: see [`failure`].
#![forbid(unsafe_code)]

mod api;
mod arguments;
mod commands;
mod failure;
mod interrupt;
mod output;
mod progress;
mod selector;

use std::process::ExitCode;

use clap::{Parser, error::ErrorKind};

use crate::{arguments::Arguments, failure::Failure};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nothing is left to be told if this fails.
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                // Of `exec`, every other code may be the command's.
                _ if arguments::means_exec(std::env::args_os()) => failure::NOT_RUN.into(),
                _ => failure::FAILED.into(),
            };
        }
    };
    let json = arguments.connection.json;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(commands::run(arguments));
            // Somebody may still be reading a standard input that never ends.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(Failure::Local {
            what: "the runtime".into(),
            error,
        }),
    };
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            output::complain(&failure, json);
            failure.exit_code().into()
        }
    }
}
