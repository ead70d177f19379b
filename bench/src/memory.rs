//! `cargo xtask bench memory`: the most memory that a backup takes, of much
//! data and of many files, with a store that is faster than the agent and with
//! one that is slower.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::Result;
use clap::Args;
use sandbox_shared::Compression;
use serde::Serialize;

use super::{
    Common,
    agent::{Agent, Scratch},
    measure::Usage,
    report::{Machine, Table, mebibytes, write_json},
    store::{Speed, Store},
    tree::Shape,
};

/// The most bytes of memory that a backup may take.
const TARGET: u64 = 256 << 20;
/// Bytes a second that a slow store takes.
const SLOW: u64 = 100_000_000;

/// Options of `bench memory`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Where everything goes, how often, how large.
    #[command(flatten)]
    pub common: Common,
    /// Leave the trees there, 14 GB, for the next time
    #[arg(long)]
    pub keep: bool,
}

/// One backup.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    tree: Shape,
    /// Of the store; unlimited when absent.
    bytes_per_second: Option<u64>,
    seconds: f64,
    #[serde(flatten)]
    usage: Usage,
    archive_bytes: u64,
}

/// Runs everything and prints the table.
pub(crate) fn run(options: &Options) -> Result<()> {
    let program = options.common.prepare()?;
    let directory = options.common.directory();
    let scratch = Scratch::new(&directory.join("memory"))?;
    let mut rows = Vec::new();
    for tree in shapes(options.common.quick) {
        let path = tree.ensure(&options.common.trees())?;
        for bytes_per_second in [None, Some(SLOW)] {
            let store = Store::start(Speed {
                bytes_per_second,
                latency: Duration::ZERO,
            })?;
            let agent = Agent::start(&program, &scratch.path().join("state"), &directory)?;
            let started = Instant::now();
            let archive = agent.backup(&path, &Compression::default(), &store)?;
            let row = Row {
                tree,
                bytes_per_second,
                seconds: started.elapsed().as_secs_f64(),
                usage: agent.usage()?,
                archive_bytes: archive.size_bytes,
            };
            eprintln!("{}: {:?}", tree.title(), row.usage);
            rows.push(row);
        }
        if !options.keep {
            fs::remove_dir_all(path)?;
        }
    }
    let machine = Machine::here(&options.common)?;
    println!("{machine}\n{}", table(&options.common, &rows));
    match &options.common.json {
        Some(path) => write_json(path, &machine, &rows),
        None => Ok(()),
    }
}

fn shapes(quick: bool) -> [Shape; 2] {
    let (files, of_each, tiny) = if quick {
        (2, 50_000_000, 5000)
    } else {
        (10, 1_000_000_000, 1_000_000)
    };
    [
        Shape::Random {
            files,
            bytes: of_each,
        },
        Shape::Tiny {
            files: tiny,
            bytes: 256,
        },
    ]
}

fn table(common: &Common, rows: &[Row]) -> Table {
    let mut table = Table::new(
        "Memory of a backup",
        &[
            "tree",
            "store MB/s",
            "backup s",
            "processor s",
            "archive MB",
            "peak memory MiB",
            "target",
            "",
        ],
    );
    for row in rows {
        let peak = row.usage.peak_memory_bytes;
        let speed = row.bytes_per_second.map(|bytes| bytes / 1_000_000);
        table.row([
            row.tree.title(),
            speed.map_or_else(|| "unlimited".into(), |speed| speed.to_string()),
            format!("{:.1}", row.seconds),
            format!("{:.1}", row.usage.cpu_seconds),
            format!("{:.0}", row.archive_bytes as f64 / 1e6),
            mebibytes(peak as f64),
            format!("≤ {}", TARGET >> 20),
            common.verdict(peak <= TARGET),
        ]);
    }
    table
}
