//! `cargo xtask bench`: every figure that the documents have.
//!
//! Everything is made here, from seeds, and measured beside what others do, in
//! turns and in one run. The agent is the one that ships, driven over its own
//! protocol. Tables go to standard output, progress to standard error.

mod agent;
mod content;
pub mod create;
pub mod formats;
mod measure;
pub mod memory;
mod reference;
mod report;
pub mod restore;
mod stack;
mod store;
mod tree;

use std::{env, fs, path::PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use crate::{
    artifacts::{self, AgentProfile},
    process, project, setup,
};

/// What is measured.
#[derive(Clone, Debug, Subcommand)]
pub enum Bench {
    /// Making a backup, beside mksquashfs and an upload of what it made
    Create(create::Options),
    /// Compressors and levels, on real trees, by upload speed
    Formats(formats::Options),
    /// The most memory that a backup takes
    Memory(memory::Options),
    /// Using a restored directory, beside what others mount
    Restore(restore::Options),
    /// Lists of ten thousand backups
    List,
}

impl Bench {
    fn common(&self) -> Option<&Common> {
        match self {
            Self::Create(options) => Some(&options.common),
            Self::Formats(options) => Some(&options.common),
            Self::Memory(options) => Some(&options.common),
            Self::Restore(options) => Some(&options.common),
            Self::List => None,
        }
    }
}

/// What all benchmarks take.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Small trees and few runs, in seconds: to see that it works
    #[arg(long)]
    pub quick: bool,
    /// How often everything is measured
    #[arg(long)]
    pub runs: Option<usize>,
    /// For trees and archives: some gigabytes on a disk; below the target directory unless given
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Measure this agent instead of one that is built for it
    #[arg(long, value_name = "FILE")]
    pub agent: Option<PathBuf>,
    /// Also write all figures to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl Common {
    fn runs(&self) -> usize {
        self.runs.unwrap_or(if self.quick { 1 } else { 5 }).max(1)
    }

    fn directory(&self) -> PathBuf {
        let usual = || project::target_dir().join("bench");
        self.dir.clone().unwrap_or_else(usual)
    }

    fn trees(&self) -> PathBuf {
        self.directory().join("trees")
    }

    fn profile(&self) -> AgentProfile {
        if self.quick {
            AgentProfile::Development
        } else {
            AgentProfile::Release
        }
    }

    /// How the agent was built, for tables.
    fn agent_build(&self) -> String {
        match &self.agent {
            Some(_) => "given to it".into(),
            None => format!("of profile {}, static (musl)", self.profile().name()),
        }
    }

    /// Whether a target was met.
    fn verdict(&self, met: bool) -> String {
        match met {
            _ if self.quick => "too small to tell",
            true => "met",
            false => "**missed**",
        }
        .into()
    }

    /// Installs what is missing, and gives the agent to measure.
    fn prepare(&self) -> Result<PathBuf> {
        setup::benchmarks()?;
        let directory = self.directory();
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        match &self.agent {
            Some(agent) => {
                fs::canonicalize(agent).with_context(|| format!("cannot use {}", agent.display()))
            }
            None => artifacts::agent(self.profile()),
        }
    }
}

/// Runs one of the benchmarks; in an optimized build of this program, because
/// the store and the reference's upload are in it.
pub fn run(bench: &Bench) -> Result<()> {
    if cfg!(debug_assertions) && bench.common().is_some_and(|common| !common.quick) {
        return process::run(
            process::cargo()
                .args(["run", "--quiet", "--release", "--package", "xtask", "--"])
                .args(env::args_os().skip(1)),
        );
    }
    match bench {
        Bench::Create(options) => create::run(options),
        Bench::Formats(options) => formats::run(options),
        Bench::Memory(options) => memory::run(options),
        Bench::Restore(options) => restore::run(options),
        // On the stage of the end-to-end tests, which has a Worker and a bucket.
        Bench::List => process::run(process::cargo().args([
            "test",
            "--quiet",
            "--package",
            "sandbox-tests",
            "--test",
            "e2e",
            "--",
            "--ignored",
            "--nocapture",
            "scale::",
        ])),
    }
}
