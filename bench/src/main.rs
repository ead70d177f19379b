//! `cargo xtask bench`: every figure that the documents have.
//!
//! Everything is made here, from seeds, and measured beside what others do, in
//! turns and in one run. The agent is the one that ships, driven over its own
//! protocol. Tables go to standard output, progress to standard error.
#![forbid(unsafe_code)]

mod agent;
mod content;
mod create;
mod formats;
mod measure;
mod memory;
mod reference;
mod report;
mod restore;
mod stack;
mod store;
mod tree;

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Parser};
use sandbox_toolbox::project;

/// What is measured.
#[derive(Clone, Debug, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
enum Bench {
    /// Making a backup, beside mksquashfs and an upload of what it made
    Create(create::Options),
    /// Compressors and levels, on real trees, by upload speed
    Formats(formats::Options),
    /// The most memory that a backup takes
    Memory(memory::Options),
    /// Using a restored directory, beside what others mount
    Restore(restore::Options),
}

/// What all benchmarks take.
#[derive(Args, Clone, Debug)]
pub(crate) struct Common {
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
    pub agent: PathBuf,
    /// How the agent was built, for tables
    #[arg(long, hide = true, default_value = "given to it")]
    pub agent_build: String,
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

    /// Whether a target was met.
    fn verdict(&self, met: bool) -> String {
        match met {
            _ if self.quick => "too small to tell",
            true => "met",
            false => "**missed**",
        }
        .into()
    }

    /// The agent to measure.
    fn prepare(&self) -> Result<PathBuf> {
        let directory = self.directory();
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        fs::canonicalize(&self.agent)
            .with_context(|| format!("cannot use {}", self.agent.display()))
    }
}

fn main() -> Result<()> {
    match Bench::parse() {
        Bench::Create(options) => create::run(&options),
        Bench::Formats(options) => formats::run(&options),
        Bench::Memory(options) => memory::run(&options),
        Bench::Restore(options) => restore::run(&options),
    }
}
