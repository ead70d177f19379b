//! `cargo xtask`: see `--help`.
#![forbid(unsafe_code)]

use std::{ffi::OsString, num::NonZeroU64, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::{
    artifacts::{self, AgentProfile},
    bench, check, demo, dev, generate, lifecycle, setup, soak,
};

/// Everything that is done with this project beside writing it.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Back up, damage and restore this checkout in a local sandbox
    Demo {
        /// End afterwards instead of leaving the server running
        #[arg(long)]
        once: bool,
        /// Where the Worker listens on 127.0.0.1
        #[arg(long, default_value_t = 8787)]
        port: u16,
    },
    /// Run the Worker with local containers
    Dev {
        /// Where the Worker listens on 127.0.0.1
        #[arg(long, default_value_t = 8787)]
        port: u16,
    },
    /// Format, lints, builds, all tests but those with real containers
    Test {
        /// Only the tests with real containers, by a Docker engine of their
        /// own; Debian, as root
        #[arg(long)]
        docker: bool,
    },
    /// Run public test suites over the mounts of restored directories
    Suites,
    /// Back up and restore a thousand times, kill what can be killed meanwhile,
    /// and see that nothing grows
    Soak(soak::Options),
    /// Measure, beside what others do: create, formats, memory, restore, list
    #[command(disable_help_flag = true)]
    Bench {
        /// Which benchmark, and its options
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Print the rules by which R2 removes what nobody can restore any more
    Lifecycle {
        /// The longest TTL in use, in seconds
        #[arg(long, default_value = "259200")]
        ttl: NonZeroU64,
    },
    /// Write what is derived from the contract in shared/
    Generate,
    /// Install what is missing on this machine (the other commands do, too)
    Setup,
    /// Build the Worker into worker/build
    Worker,
    /// Build the agent as a static binary and print its path
    Agent {
        /// Less optimized, quicker to build again
        #[arg(long)]
        dev: bool,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Demo { once, port } => demo::run(port, once),
        Task::Dev { port } => dev::run(port),
        Task::Test { docker: false } => check::run(),
        Task::Test { docker: true } => check::docker(),
        Task::Suites => check::suites(),
        Task::Soak(options) => soak::run(&options),
        Task::Bench { arguments } => bench::run(&arguments),
        Task::Lifecycle { ttl } => lifecycle::print(ttl),
        Task::Generate => generate::run(),
        Task::Setup => setup::all().map(drop),
        Task::Worker => artifacts::worker(),
        Task::Agent { dev } => {
            let profile = if dev {
                AgentProfile::Development
            } else {
                AgentProfile::Release
            };
            println!("{}", artifacts::agent(profile)?.display());
            Ok(())
        }
    }
}
