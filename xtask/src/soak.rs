//! `cargo xtask soak`: many cycles of backup and restore with random kills,
//! after which nothing may have grown. It is played on the stage of the
//! end-to-end tests (`tests/src/soak.rs`).

use std::num::{NonZeroU32, NonZeroU64};

use anyhow::{Context, Result};
use clap::Parser;
use sandbox_shared::Strategy;

use crate::setup;
use sandbox_toolbox::process;

/// Options of `cargo xtask soak`.
#[derive(Clone, Debug, Parser)]
#[command(name = "cargo xtask soak", bin_name = "cargo xtask soak")]
pub struct Options {
    /// Cycles of all sandboxes together
    #[arg(long, default_value = "1000")]
    pub cycles: NonZeroU32,
    /// Begin no more cycles after so many seconds
    #[arg(long)]
    pub seconds: Option<NonZeroU64>,
    /// Repeats the choices of an earlier run
    #[arg(long)]
    pub seed: Option<u64>,
    /// Restore by this strategy only, instead of by each in turn
    #[arg(long, value_parser = strategy)]
    pub strategy: Option<Strategy>,
    /// How many sandboxes are at it at once
    #[arg(long, default_value = "3")]
    pub sandboxes: NonZeroU32,
    /// Kill nothing
    #[arg(long)]
    pub calm: bool,
}

fn strategy(name: &str) -> Result<Strategy> {
    let mut all = Strategy::ALL.into_iter();
    all.find(|strategy| strategy.as_str() == name)
        .context("no such strategy")
}

impl Options {
    /// What the command line says. Ends the program if that is nothing sensible.
    pub fn from_command_line() -> Self {
        Self::parse()
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            format!("--cycles={}", self.cycles),
            format!("--sandboxes={}", self.sandboxes),
        ];
        arguments.extend(self.seconds.map(|seconds| format!("--seconds={seconds}")));
        arguments.extend(self.seed.map(|seed| format!("--seed={seed}")));
        let strategy = self.strategy;
        arguments.extend(strategy.map(|strategy| format!("--strategy={strategy}")));
        arguments.extend(self.calm.then(|| "--calm".to_owned()));
        arguments
    }
}

/// Runs the program that does it, which is among the tests.
pub fn run(options: &Options) -> Result<()> {
    setup::all()?;
    let program = [
        "run",
        "--quiet",
        "--package",
        "sandbox-tests",
        "--bin",
        "soak",
        "--",
    ];
    process::run(process::cargo().args(program).args(options.arguments()))
}
