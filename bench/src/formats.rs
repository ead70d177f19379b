//! `cargo xtask bench formats`: which compressor and level make the fastest
//! backup of which tree at which upload speed.
//!
//! The trees are those that building this project puts on a machine, and one
//! that cannot be compressed.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::Args;
use sandbox_shared::{
    Compression,
    CompressionFormat::{self, Gzip, Lz4, Zstd},
};
use serde::Serialize;

use super::{
    Common,
    agent::{Agent, Scratch, create},
    measure::Spread,
    report::{Machine, Table, write_json},
    store::{Speed, Store},
    tree::{self, Shape},
};
use sandbox_toolbox::{process, project};

/// What is compared.
const FORMATS: [(CompressionFormat, Option<u32>); 6] = [
    (Lz4, None),
    (Zstd, Some(1)),
    (Zstd, Some(3)),
    (Zstd, Some(6)),
    (Zstd, Some(9)),
    (Gzip, Some(6)),
];
/// Upload speeds in millions of bytes a second.
const SPEEDS: [u64; 4] = [10, 50, 100, 500];
/// The one at which backups are really made.
const MEASURED: u64 = 100;

/// Options of `bench formats`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Where everything goes, how often, how large.
    #[command(flatten)]
    pub common: Common,
}

/// One format on one tree.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    tree: &'static str,
    format: CompressionFormat,
    level: Option<u32>,
    tree_bytes: u64,
    archive_bytes: u64,
    /// To make the archive.
    seconds: Spread,
    /// Of all cores, to make the archive.
    cpu_seconds: Spread,
    /// To make it and upload it at [`MEASURED`].
    backup_seconds: Spread,
}

impl Row {
    fn name(&self) -> String {
        match self.level {
            Some(level) => format!("{} {level}", self.format.as_str()),
            None => self.format.as_str().into(),
        }
    }

    /// Of a whole backup. The agent compresses and uploads at the same time,
    /// so the slower of both decides. It compresses on all cores; what they
    /// take does not depend on what else the machine does.
    fn seconds_at(&self, speed: u64) -> f64 {
        let upload = self.archive_bytes as f64 / (speed * 1_000_000) as f64;
        upload.max(self.cpu_seconds.median / tree::cores() as f64)
    }
}

/// Runs everything and prints the tables.
pub(crate) fn run(options: &Options) -> Result<()> {
    let common = &options.common;
    let program = common.prepare()?;
    let scratch = Scratch::new(&common.directory().join("formats"))?;
    let store = Store::start(Speed {
        bytes_per_second: Some(MEASURED * 1_000_000),
        latency: Duration::ZERO,
    })?;
    let mut rows = Vec::new();
    for (name, path) in trees(common)? {
        for (format, level) in FORMATS {
            let compression = Compression {
                format,
                level,
                ..Compression::default()
            };
            let mut archives = Vec::new();
            let mut backups = Vec::new();
            let mut tree_bytes = 0;
            for _ in 0..common.runs() {
                let archive = scratch.path().join("archive.sqsh");
                ready(&path)?;
                archives.push(create(&program, &path, &archive, &compression)?);
                fs::remove_file(&archive)?;
                ready(&path)?;
                let agent = Agent::start(&program, &scratch.path().join("state"), &path)?;
                store.begin(None);
                let started = Instant::now();
                tree_bytes = agent.backup(&path, &compression, &store)?.counts.bytes;
                backups.push(started.elapsed().as_secs_f64());
            }
            let row = Row {
                tree: name,
                format,
                level,
                tree_bytes,
                archive_bytes: archives.first().map_or(0, |run| run.archive_bytes),
                seconds: Spread::of(archives.iter().map(|run| run.seconds)),
                cpu_seconds: Spread::of(archives.iter().map(|run| run.usage.cpu_seconds)),
                backup_seconds: Spread::of(backups),
            };
            eprintln!(
                "{name}, {}: {} bytes in {:.2} s, backup {:.2} s",
                row.name(),
                row.archive_bytes,
                row.seconds.median,
                row.backup_seconds.median
            );
            rows.push(row);
        }
    }
    let machine = Machine::here(common)?;
    println!("{machine}");
    println!(
        "Medians of {} runs, warm cache, {} threads. By upload speed: the longer of sending the \
         archive and making it, which is processor time shared by all cores. The last column is \
         measured: backups into a store that takes {MEASURED} MB/s.\n",
        common.runs(),
        tree::cores(),
    );
    println!("{}", table(&rows));
    match &common.json {
        Some(path) => write_json(path, &machine, &rows),
        None => Ok(()),
    }
}

fn ready(tree: &Path) -> Result<()> {
    tree::settle(false)?;
    tree::read_through(tree)
}

/// Names and paths of the trees.
fn trees(common: &Common) -> Result<Vec<(&'static str, PathBuf)>> {
    let media = Shape::Random {
        files: 64,
        bytes: if common.quick { 64 << 10 } else { 4 << 20 },
    };
    let media = ("media (random)", media.ensure(&common.trees())?);
    if common.quick {
        return Ok(vec![media]);
    }
    let sysroot = process::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(".cargo")))
        .context("neither CARGO_HOME nor HOME is set")?;
    Ok(vec![
        (
            "source code (cargo's registry)",
            cargo_home.join("registry/src"),
        ),
        (
            "node_modules (of this project)",
            project::root().join("node_modules"),
        ),
        (
            "Rust (the compiler and its libraries)",
            Path::new(sysroot.trim()).join("lib"),
        ),
        media,
    ])
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(
        "Formats: archive, and seconds of a whole backup by upload speed (best in bold)",
        &[
            "tree",
            "format",
            "archive MB",
            "of tree",
            "processor s",
            "10 MB/s",
            "50 MB/s",
            "100 MB/s",
            "500 MB/s",
            "measured",
        ],
    );
    for row in rows {
        let at = SPEEDS.map(|speed| {
            let seconds = row.seconds_at(speed);
            let rivals = rows.iter().filter(|rival| rival.tree == row.tree);
            let best = rivals
                .map(|rival| rival.seconds_at(speed))
                .fold(f64::INFINITY, f64::min);
            // Within what two runs of the same differ by.
            if seconds <= best * 1.03 {
                format!("**{seconds:.1}**")
            } else {
                format!("{seconds:.1}")
            }
        });
        let megabytes = row.archive_bytes as f64 / 1e6;
        let share = row.archive_bytes as f64 / row.tree_bytes as f64;
        let cells = [
            row.tree.into(),
            row.name(),
            format!("{megabytes:.0}"),
            format!("{:.0} %", share * 100.0),
            format!("{:.1}", row.cpu_seconds.median),
        ];
        let measured = format!("{:.1}", row.backup_seconds.median);
        table.row(cells.into_iter().chain(at).chain([measured]));
    }
    table
}
