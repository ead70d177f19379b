//! `cargo xtask bench create`: making backups, beside `mksquashfs` and an
//! upload of what it made.
//!
//! Ours and the reference take turns, so that whatever else the machine does
//! meets both, and ratios are those of neighbouring runs.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use sandbox_shared::{Compression, CompressionFormat};
use serde::Serialize;

use super::{
    Common,
    agent::{Agent, Scratch, create},
    measure::{Run, Spread},
    reference,
    report::{Machine, Table, mebibytes, spread, write_json},
    store::{Speed, Store},
    tree::{self, Shape},
};

/// Options of `bench create`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Where everything goes, how often, how large.
    #[command(flatten)]
    pub common: Common,
    /// What the store takes, in millions of bytes a second.
    #[arg(long, default_value_t = 100)]
    pub rate: u64,
    /// Only these states of the page cache.
    #[arg(long, value_enum, default_values_t = [Cache::Warm, Cache::Cold])]
    pub cache: Vec<Cache>,
    /// Only these trees.
    #[arg(long, value_enum, default_values_t = [TreeName::Packages, TreeName::Random, TreeName::Tiny])]
    pub tree: Vec<TreeName>,
}

/// What of a tree is in memory when a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Cache {
    /// All of it.
    Warm,
    /// Nothing. Takes root.
    Cold,
}

/// Which tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TreeName {
    /// Small files as packages have them.
    Packages,
    /// Large files that cannot be compressed.
    Random,
    /// Very many very small files.
    Tiny,
}

impl TreeName {
    /// What it is made of.
    pub(super) fn shape(self, quick: bool) -> Shape {
        match (self, quick) {
            (Self::Packages, false) => Shape::Packages {
                files: 60_000,
                bytes: 1_300_000_000,
            },
            (Self::Packages, true) => Shape::Packages {
                files: 600,
                bytes: 12_000_000,
            },
            (Self::Random, false) => Shape::Random {
                files: 8,
                bytes: 128 << 20,
            },
            (Self::Random, true) => Shape::Random {
                files: 8,
                bytes: 2 << 20,
            },
            (Self::Tiny, false) => Shape::Tiny {
                files: 200_000,
                bytes: 1 << 10,
            },
            (Self::Tiny, true) => Shape::Tiny {
                files: 2000,
                bytes: 1 << 10,
            },
        }
    }
}

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Work {
    /// From a directory to an archive on disk.
    Archive,
    /// From a directory to an object in the store.
    Backup,
}

/// All runs of one kind of work on one tree.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    tree: Shape,
    cache: Cache,
    work: Work,
    ours: Vec<Run>,
    reference: Vec<Run>,
}

impl Row {
    /// What our time may be of the reference's.
    fn target(&self) -> f64 {
        match (self.work, self.tree) {
            (Work::Backup, _) => 0.65,
            (Work::Archive, Shape::Random { .. }) => 1.0,
            (Work::Archive, _) => 1.0 / 1.3,
        }
    }

    /// Our time in the reference's, of neighbouring runs.
    fn ratio(&self) -> Spread {
        let pairs = self.ours.iter().zip(&self.reference);
        Spread::of(pairs.map(|(ours, reference)| ours.seconds / reference.seconds))
    }

    /// The medians of a figure, `ours / reference`.
    fn medians(&self, figure: impl Fn(&Run) -> f64 + Copy, shown: fn(f64) -> String) -> String {
        let [ours, reference] = [&self.ours, &self.reference].map(|runs| median(runs, figure));
        format!("{} / {}", shown(ours), shown(reference))
    }

    /// What the ratio of whole backups would be if ours took no longer than
    /// the store takes for so many bytes.
    fn least_ratio(&self, rate: u64) -> Option<f64> {
        if self.work == Work::Archive {
            return None;
        }
        let archive = self.ours.first()?.archive_bytes;
        let store = archive as f64 / (rate * 1_000_000) as f64;
        Some(store / median(&self.reference, |run| run.seconds))
    }
}

fn median(runs: &[Run], figure: impl Fn(&Run) -> f64) -> f64 {
    Spread::of(runs.iter().map(figure)).median
}

/// Runs everything and prints the tables.
pub(crate) fn run(options: &Options) -> Result<()> {
    let bench = Bench::new(options)?;
    let mut rows = Vec::new();
    for name in &options.tree {
        let shape = name.shape(options.common.quick);
        let tree = shape.ensure(&options.common.trees())?;
        bench.rehearse(&tree)?;
        for cache in &options.cache {
            for work in [Work::Archive, Work::Backup] {
                rows.push(bench.row(shape, &tree, *cache, work)?);
            }
        }
    }
    let machine = Machine::here(&options.common)?;
    println!("{machine}");
    println!(
        "zstd, level 3, blocks of 128 KiB, {} threads; a store that takes {} MB/s; {} runs of \
         each, in turns. On the tree of files of one size, mksquashfs does not look for \
         duplicates, which would take it minutes.\n",
        tree::cores(),
        options.rate,
        options.common.runs(),
    );
    println!("{}\n{}", times(options, &rows), needs(options, &rows));
    match &options.common.json {
        Some(path) => write_json(path, &machine, &rows),
        None => Ok(()),
    }
}

struct Bench<'a> {
    options: &'a Options,
    program: PathBuf,
    store: Store,
    scratch: Scratch,
    compression: Compression,
}

impl<'a> Bench<'a> {
    fn new(options: &'a Options) -> Result<Self> {
        if options.cache.contains(&Cache::Cold) && !rustix::process::geteuid().is_root() {
            bail!("only root can empty the page cache: use --cache warm");
        }
        Ok(Self {
            program: options.common.prepare()?,
            store: Store::start(Speed {
                bytes_per_second: Some(options.rate * 1_000_000),
                latency: Duration::ZERO,
            })?,
            scratch: Scratch::new(&options.common.directory().join("create"))?,
            compression: Compression {
                format: CompressionFormat::Zstd,
                level: Some(3),
                ..Compression::default()
            },
            options,
        })
    }

    /// Checks that what is timed is the same work: what the agent uploads is
    /// what it writes to a file, and `unsquashfs` can read it.
    fn rehearse(&self, tree: &Path) -> Result<()> {
        let parts = Scratch::new(&self.scratch.path().join("parts"))?;
        self.store.begin(Some(parts.path().to_owned()));
        self.agent()?.backup(tree, &self.compression, &self.store)?;
        let uploaded = self.scratch.path().join("uploaded.sqsh");
        self.store.assemble(&uploaded)?;
        let written = self.scratch.path().join("written.sqsh");
        self.our_archive(tree, &written)?;
        if !are_equal(&uploaded, &written)? {
            bail!("the agent uploaded another archive than it wrote");
        }
        reference::check(&uploaded)?;
        fs::remove_file(uploaded)?;
        fs::remove_file(written)?;
        Ok(())
    }

    fn row(&self, shape: Shape, tree: &Path, cache: Cache, work: Work) -> Result<Row> {
        let mut row = Row {
            tree: shape,
            cache,
            work,
            ours: Vec::new(),
            reference: Vec::new(),
        };
        for number in 1..=self.options.common.runs() {
            let ours = self.timed(tree, cache, || match work {
                Work::Archive => self.our_archive(tree, &self.archive()),
                Work::Backup => self.our_backup(tree),
            })?;
            let reference = self.timed(tree, cache, || match work {
                Work::Archive => self.reference_archive(shape, tree),
                Work::Backup => self.reference_backup(shape, tree),
            })?;
            eprintln!(
                "{}, {cache:?}, {work:?}, run {number}: {:.2} s, reference {:.2} s",
                shape.title(),
                ours.seconds,
                reference.seconds,
            );
            row.ours.push(ours);
            row.reference.push(reference);
        }
        Ok(row)
    }

    /// Brings the page cache into its state, works, and removes the archive.
    fn timed(&self, tree: &Path, cache: Cache, work: impl FnOnce() -> Result<Run>) -> Result<Run> {
        tree::settle(cache == Cache::Cold)?;
        if cache == Cache::Warm {
            tree::read_through(tree)?;
        }
        let run = work()?;
        fs::remove_file(self.archive()).ok();
        Ok(run)
    }

    fn archive(&self) -> PathBuf {
        self.scratch.path().join("archive.sqsh")
    }

    fn agent(&self) -> Result<Agent> {
        let state = self.scratch.path().join("state");
        Agent::start(&self.program, &state, &self.options.common.directory())
    }

    fn our_archive(&self, tree: &Path, archive: &Path) -> Result<Run> {
        create(&self.program, tree, archive, &self.compression)
    }

    fn our_backup(&self, tree: &Path) -> Result<Run> {
        // A new one for each run: a process only knows its peak since it began.
        let agent = self.agent()?;
        self.store.begin(None);
        let before = agent.usage()?;
        let started = Instant::now();
        let archive = agent.backup(tree, &self.compression, &self.store)?;
        let seconds = started.elapsed().as_secs_f64();
        let mut usage = agent.usage()?;
        usage.cpu_seconds -= before.cpu_seconds;
        usage.disk_bytes -= before.disk_bytes;
        Ok(Run {
            seconds,
            usage,
            archive_bytes: archive.size_bytes,
        })
    }

    fn reference_archive(&self, shape: Shape, tree: &Path) -> Result<Run> {
        let finds_duplicates = !matches!(shape, Shape::Tiny { .. });
        let archive = self.archive();
        reference::archive(tree, &archive, &self.compression, finds_duplicates)
    }

    fn reference_backup(&self, shape: Shape, tree: &Path) -> Result<Run> {
        self.store.begin(None);
        let started = Instant::now();
        let run = self.reference_archive(shape, tree)?;
        reference::upload(&self.archive(), &self.store)?;
        Ok(Run {
            seconds: started.elapsed().as_secs_f64(),
            ..run
        })
    }
}

fn are_equal(one: &Path, other: &Path) -> Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let mut buffers = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let length = one.read(&mut buffers.0)?;
        if length == 0 {
            return Ok(true);
        }
        other.read_exact(&mut buffers.1[..length])?;
        if buffers.0[..length] != buffers.1[..length] {
            return Ok(false);
        }
    }
}

fn seconds(runs: &[Run]) -> Spread {
    Spread::of(runs.iter().map(|run| run.seconds))
}

fn times(options: &Options, rows: &[Row]) -> Table {
    let mut table = Table::new(
        "Time, in seconds (minimum / median / maximum)",
        &[
            "tree",
            "cache",
            "work",
            "ours",
            "reference",
            "ours ÷ reference",
            "least possible",
            "target",
            "",
            "processor s, ours / reference",
        ],
    );
    for row in rows {
        let ratio = row.ratio();
        table.row([
            row.tree.title(),
            format!("{:?}", row.cache).to_lowercase(),
            match row.work {
                Work::Archive => "archive to disk".into(),
                Work::Backup => "whole backup".into(),
            },
            spread(seconds(&row.ours)),
            spread(seconds(&row.reference)),
            spread(ratio),
            row.least_ratio(options.rate)
                .map_or_else(String::new, |least| format!("{least:.2}")),
            format!("≤ {:.2}", row.target()),
            options.common.verdict(ratio.median <= row.target()),
            row.medians(|run| run.usage.cpu_seconds, |s| format!("{s:.1}")),
        ]);
    }
    table
}

fn needs(options: &Options, rows: &[Row]) -> Table {
    let mut table = Table::new(
        "What a whole backup takes (medians; ours / reference)",
        &[
            "tree",
            "cache",
            "peak memory MiB",
            "target",
            "",
            "temporary disk MB",
            "target",
            "",
            "archive MB",
        ],
    );
    let megabytes = |bytes: f64| format!("{:.1}", bytes / 1e6);
    for row in rows.iter().filter(|row| row.work == Work::Backup) {
        let peak = |run: &Run| run.usage.peak_memory_bytes as f64;
        let disk = |run: &Run| run.usage.disk_bytes as f64;
        table.row([
            row.tree.title(),
            format!("{:?}", row.cache).to_lowercase(),
            row.medians(peak, mebibytes),
            "< ¼".into(),
            options
                .common
                .verdict(median(&row.ours, peak) < median(&row.reference, peak) / 4.0),
            row.medians(disk, megabytes),
            "0".into(),
            options.common.verdict(median(&row.ours, disk) == 0.0),
            row.medians(|run| run.archive_bytes as f64, megabytes),
        ]);
    }
    table
}
