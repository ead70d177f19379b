//! `cargo xtask bench restore`: how soon a restored directory can be used, and
//! how fast it is, by every strategy, beside what others mount.

use std::{
    fs::{self},
    num::NonZeroU64,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use sandbox_shared::{ArchiveChecksum, Compression, Strategy};
use serde::Serialize;

use super::{
    Common,
    agent::{Agent, Scratch, create},
    create::TreeName,
    measure::Spread,
    report::{Machine, write_json},
    stack::{Restored, Source, Stack},
    store::{Speed, Store},
    tree::{self, Shape},
};
use sandbox_toolbox::process;

mod tables;
mod task;

use tables::{start_table, targets, work_table};
use task::{Task, quiet};

/// The store that archives of several sizes are restored from.
const STORE: Speed = Speed {
    bytes_per_second: Some(100_000_000),
    latency: Duration::from_millis(20),
};

/// Seconds from the request to the first file's content, at any size.
const FIRST_FILE: f64 = 1.0;

/// Options of `bench restore`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Where everything goes, how often, how large.
    #[command(flatten)]
    pub common: Common,
    /// Only these parts
    #[arg(long, value_enum, default_values_t = [Part::Work, Part::Start])]
    pub part: Vec<Part>,
    /// Only these strategies, and not what they are compared with
    #[arg(long, value_parser = strategy)]
    pub strategy: Vec<Strategy>,
    /// Megabytes of the archives of `--part start`; 300, 1000 and 5000 unless given
    #[arg(long, value_name = "MB")]
    pub size: Vec<usize>,
}

fn strategy(name: &str) -> Result<Strategy> {
    let mut all = Strategy::ALL.into_iter();
    all.find(|strategy| strategy.as_str() == name)
        .context("no such strategy")
}

/// Parts of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// What is done in a restored directory
    Work,
    /// How soon the first file can be read
    Start,
}

/// One task on one stack.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WorkRow {
    stack: String,
    task: Task,
    seconds: Spread,
}

/// One archive on one stack.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StartRow {
    stack: String,
    archive_bytes: u64,
    /// From the request to the content of a file.
    first_file_seconds: Spread,
    /// Requests to the store until then, those of the pull among them.
    first_file_requests: u64,
    /// From the request until every file has been read.
    everything_seconds: f64,
    /// From the store until then.
    bytes_read: u64,
    /// Of all processes that serve the directory together.
    peak_memory_bytes: u64,
}

#[derive(Serialize)]
struct Rows {
    work: Vec<WorkRow>,
    start: Vec<StartRow>,
}

/// Runs everything and prints the tables.
pub(crate) fn run(options: &Options) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("only root can mount file systems and empty the page cache");
    }
    let bench = Bench {
        program: options.common.prepare()?,
        scratch: Scratch::new(&options.common.directory().join("restore"))?,
        runs: options
            .common
            .runs
            .unwrap_or(if options.common.quick { 1 } else { 3 }),
        options,
    };
    let strategies = bench.strategies()?;
    let mut rows = Rows {
        work: Vec::new(),
        start: Vec::new(),
    };
    if options.part.contains(&Part::Work) {
        rows.work = bench.work(&strategies)?;
    }
    if options.part.contains(&Part::Start) {
        rows.start = bench.start(&strategies)?;
    }
    let common = &options.common;
    let machine = Machine::here(common)?;
    println!("{machine}");
    println!(
        "{} runs of each, in turns. Cold: the page cache has been emptied, and the archive is on \
         this machine's disk.\n",
        bench.runs
    );
    if !rows.work.is_empty() {
        println!(
            "{}\n{}",
            work_table(&rows.work),
            targets(common, &rows.work)
        );
    }
    if !rows.start.is_empty() {
        println!("{}", start_table(common, &rows.start));
    }
    match &common.json {
        Some(path) => write_json(path, &machine, &rows),
        None => Ok(()),
    }
}

struct Bench<'a> {
    options: &'a Options,
    program: PathBuf,
    scratch: Scratch,
    runs: usize,
}

/// What is restored.
struct Archive {
    file: PathBuf,
    checksum: ArchiveChecksum,
}

impl Bench<'_> {
    /// Those that work here and are asked for.
    fn strategies(&self) -> Result<Vec<Strategy>> {
        let state = self.scratch.path().join("state");
        let agent = Agent::start(&self.program, &state, self.scratch.path())?;
        let mut strategies = agent.status()?.strategies;
        let asked = &self.options.strategy;
        strategies.retain(|strategy| asked.is_empty() || asked.contains(strategy));
        Ok(strategies)
    }

    /// What is measured, ours first.
    fn stacks(&self, strategies: &[Strategy], others: &[Stack]) -> Vec<Stack> {
        let others = match self.options.strategy.is_empty() {
            true => others,
            false => &[],
        };
        let ours = strategies.iter().copied().map(Stack::Ours);
        ours.chain(others.iter().copied()).collect()
    }

    fn archive(&self, tree: &Path) -> Result<Archive> {
        let archive = self.scratch.path().join("archive.sqsh");
        create(&self.program, tree, &archive, &Compression::default())?;
        let part_size_bytes = NonZeroU64::new(8 << 20).context("not zero")?;
        let mut verify = Command::new(&self.program);
        verify
            .arg("verify")
            .arg(&archive)
            .arg(format!("--part-size={part_size_bytes}"));
        let sha256 = process::output(&mut verify)?.trim().to_owned();
        let checksum = ArchiveChecksum {
            sha256,
            part_size_bytes,
        };
        Ok(Archive {
            file: archive,
            checksum,
        })
    }

    /// An archive that nobody has to download.
    fn source<'a>(&'a self, store: &'a Store, archive: &'a Archive, tree: &'a Path) -> Source<'a> {
        Source {
            program: &self.program,
            store,
            archive: &archive.file,
            checksum: &archive.checksum,
            tree,
            is_remote: false,
            scratch: self.scratch.path().join("slots"),
        }
    }

    fn work(&self, strategies: &[Strategy]) -> Result<Vec<WorkRow>> {
        let tree = repository(&self.options.common)?;
        let archive = self.archive(&tree)?;
        let store = Store::start(Speed::default())?;
        let source = self.source(&store, &archive, &tree);
        let stacks = self.stacks(strategies, &[Stack::Fuse, Stack::Linux, Stack::Plain]);
        let mut figures = vec![[(); Task::ALL.len()].map(|()| Vec::new()); stacks.len()];
        for _ in 0..self.runs {
            for (stack, figures) in stacks.iter().zip(&mut figures) {
                let seconds = self
                    .work_on(*stack, &source)
                    .with_context(|| stack.name())?;
                eprintln!("{}: {seconds:.2?}", stack.name());
                for (figures, seconds) in figures.iter_mut().zip(seconds) {
                    figures.push(seconds);
                }
            }
        }
        let rows = stacks.iter().zip(figures).flat_map(|(stack, figures)| {
            Task::ALL
                .into_iter()
                .zip(figures)
                .map(|(task, figures)| WorkRow {
                    stack: stack.name(),
                    task,
                    seconds: Spread::of(figures),
                })
        });
        Ok(rows.collect())
    }

    /// The seconds that each task took.
    fn work_on(&self, stack: Stack, source: &Source<'_>) -> Result<[f64; Task::ALL.len()]> {
        tree::settle(true)?;
        let restored = Restored::new(stack, source)?;
        let directory = restored.directory();
        fs::read(directory.join(".gitignore"))?;
        let first = restored.since.elapsed().as_secs_f64();
        restored.wait_until_whole(source.store)?;
        let mut seconds = [first; Task::ALL.len()];
        for (task, seconds) in Task::ALL.into_iter().zip(&mut seconds).skip(1) {
            tree::settle(task.is_cold())?;
            let started = Instant::now();
            task.run(directory)
                .with_context(|| task.title().to_owned())?;
            *seconds = started.elapsed().as_secs_f64();
        }
        Ok(seconds)
    }

    fn start(&self, strategies: &[Strategy]) -> Result<Vec<StartRow>> {
        let sizes: &[usize] = match &*self.options.size {
            [] if self.options.common.quick => &[30],
            [] => &[300, 1000, 5000],
            sizes => sizes,
        };
        let stacks = self.stacks(strategies, &[Stack::Fuse]);
        let mut rows = Vec::new();
        for &files in sizes {
            let shape = Shape::Random {
                files,
                bytes: 1_000_000,
            };
            let tree = shape.ensure(&self.options.common.trees())?;
            let archive = self.archive(&tree)?;
            let store = Store::start(STORE)?;
            let source = Source {
                is_remote: true,
                ..self.source(&store, &archive, &tree)
            };
            for stack in &stacks {
                let row = self
                    .start_on(*stack, &source, files)
                    .with_context(|| stack.name())?;
                eprintln!(
                    "{}, {} bytes: {:?}, everything in {:.1} s",
                    row.stack, row.archive_bytes, row.first_file_seconds, row.everything_seconds
                );
                rows.push(row);
            }
        }
        Ok(rows)
    }

    fn start_on(&self, stack: Stack, source: &Source<'_>, files: usize) -> Result<StartRow> {
        let mut first_file = Vec::new();
        let mut requests = 0;
        let mut last = None;
        // What makes no difference to the others takes this one minutes.
        let runs = if stack == Stack::Fuse { 1 } else { self.runs };
        for _ in 0..runs {
            // The one before it must not be in the way.
            drop(last.take());
            tree::settle(false)?;
            let restored = Restored::new(stack, source)?;
            let file = format!("{}.bin", files / 2);
            fs::read(restored.directory().join(file))?;
            first_file.push(restored.since.elapsed().as_secs_f64());
            requests = source.store.requests();
            last = Some(restored);
        }
        let restored = last.context("at least one run")?;
        Task::ColdRead.run(restored.directory())?;
        Ok(StartRow {
            stack: stack.name(),
            archive_bytes: fs::metadata(source.archive)?.len(),
            first_file_seconds: Spread::of(first_file),
            first_file_requests: requests,
            everything_seconds: restored.since.elapsed().as_secs_f64(),
            bytes_read: source.store.bytes_read(),
            peak_memory_bytes: restored.usage()?.peak_memory_bytes,
        })
    }
}

/// The tree of packages with a repository in it, of the Python part.
fn repository(common: &Common) -> Result<PathBuf> {
    let shape = TreeName::Packages.shape(common.quick);
    shape.ensure_with(&common.trees(), "-repository", |root| {
        fs::write(root.join(".gitignore"), "node_modules/\nshare/\n")?;
        let git = |arguments: &[&str]| {
            quiet(
                Command::new("git")
                    .args(["-c", "user.name=bench", "-c", "user.email=bench@localhost"])
                    .args(["-c", "gc.auto=0", "-c", "core.compression=1"])
                    .args(arguments)
                    .current_dir(root),
            )
        };
        git(&["init", "--quiet"])?;
        git(&["add", "--all"])?;
        git(&["commit", "--quiet", "--message=All"])?;
        git(&["repack", "-a", "-d", "--quiet"])
    })
}
