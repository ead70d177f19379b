//! Many cycles of changing a tree, backing it up, damaging it, restoring it and
//! looking at it again, in several sandboxes at once, while agents, daemons,
//! containers and Durable Objects are killed at random.
//!
//! Whatever was killed, the next operation works, a restored tree is the one
//! that was backed up, and nothing is left: in regular intervals everything is
//! put away, and what can leak is counted ([`levels`]).

mod cycle;
mod disturbance;
mod levels;

use std::{
    collections::BTreeMap,
    fs::File,
    io::Write,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use sandbox_shared::{Strategy, status::SandboxStatus};
use sandbox_toolbox::project;
pub use xtask::soak::Options;

use crate::{
    consumer::{Sandbox, Setup},
    faulty_gateway::Fault,
    stage::Stage,
};
use cycle::Player;
use levels::{Levels, Owner};

/// How often everything is put away and counted, unless there are too few cycles.
const SAMPLES: u32 = 20;

/// What it came to.
#[derive(Debug)]
pub struct Outcome {
    /// Cycles that were gone through.
    pub cycles: u32,
    /// That makes the same choices again.
    pub seed: u64,
    /// How often each strategy restored a tree.
    pub restores: BTreeMap<Strategy, u32>,
    /// How often each thing was done to them.
    pub disturbances: BTreeMap<&'static str, u32>,
    /// All in all.
    pub took: Duration,
    levels: Levels,
}

impl Outcome {
    /// Everything as Markdown.
    pub fn report(&self) -> String {
        let list = |counts: Vec<(String, u32)>| {
            let counts = counts.iter().map(|(what, times)| format!("{what} {times}"));
            let counts = counts.collect::<Vec<_>>();
            match counts.is_empty() {
                true => "nothing".to_owned(),
                false => counts.join(", "),
            }
        };
        let restores = self.restores.iter();
        let restores = restores.map(|(strategy, times)| (strategy.to_string(), *times));
        let disturbances = self.disturbances.iter();
        let disturbances = disturbances.map(|(what, times)| ((*what).to_owned(), *times));
        format!(
            "{} cycles in {:.0} s, seed {}.\nRestores: {}.\nMeanwhile: {}.\n\n{}",
            self.cycles,
            self.took.as_secs_f64(),
            self.seed,
            list(restores.collect()),
            list(disturbances.collect()),
            self.levels,
        )
    }

    /// What leaks.
    pub fn growth(&self) -> Vec<String> {
        self.levels.growth(&[Owner::Sandbox, Owner::All])
    }

    /// What leaks in the sandboxes, whatever else runs beside them.
    pub fn growth_in_sandboxes(&self) -> Vec<String> {
        self.levels.growth(&[Owner::Sandbox])
    }
}

/// What all sandboxes write down, to be read when one of them fails.
#[derive(Debug)]
struct Log {
    file: Mutex<File>,
    path: PathBuf,
}

impl Log {
    fn new(path: PathBuf) -> Result<Self> {
        Ok(Self {
            file: Mutex::new(File::create(&path)?),
            path,
        })
    }

    fn line(&self, line: &str) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(file, "{line}").ok();
    }
}

/// Goes through all cycles. An error says how to repeat what failed.
pub async fn run(stage: &Arc<Stage>, options: &Options) -> Result<Outcome> {
    let began = Instant::now();
    let seed = match options.seed {
        Some(seed) => seed,
        None => fastrand::u64(..),
    };
    let log = Arc::new(Log::new(project::target_dir().join("e2e/soak.log"))?);
    let failed = || {
        format!(
            "with --seed={seed}; what was done is in {}",
            log.path.display()
        )
    };
    // Nothing goes wrong with the network.
    let _turn = stage.faulty_gateway(Fault::None).await;

    let mut players = Vec::new();
    for number in 0..options.sandboxes.get() {
        let name = format!("soak-{number}");
        let sandbox = stage.consumer.sandbox_of(Setup::Faulty, &name);
        let strategies = match options.strategy {
            Some(strategy) => vec![strategy],
            None => strategies(&sandbox).await?,
        };
        players.push(Player::new(
            stage,
            sandbox,
            number,
            seed,
            strategies,
            options.calm,
            &log,
        ));
    }

    let cycles = options.cycles.get();
    let samples = SAMPLES.min(cycles.div_ceil(options.sandboxes.get()));
    let mut levels = Levels::default();
    let mut done = 0;
    for sample in 1..=samples {
        let target = cycles * sample / samples;
        players = play(players, target - done).await.with_context(failed)?;
        done = target;
        for player in &mut players {
            player.put_away().await.with_context(failed)?;
        }
        let sandboxes: Vec<_> = players.iter().map(|player| &player.sandbox).collect();
        levels.take(stage, &sandboxes).await.with_context(failed)?;
        log.line(&format!("-- {done} cycles\n{levels}"));
        let limit = options
            .seconds
            .map(|seconds| Duration::from_secs(seconds.get()));
        if limit.is_some_and(|limit| began.elapsed() >= limit) {
            break;
        }
    }

    let mut outcome = Outcome {
        cycles: done,
        seed,
        restores: BTreeMap::new(),
        disturbances: BTreeMap::new(),
        took: began.elapsed(),
        levels,
    };
    for player in players {
        for (strategy, times) in player.restores {
            *outcome.restores.entry(strategy).or_default() += times;
        }
        for (what, times) in player.disturbances {
            *outcome.disturbances.entry(what).or_default() += times;
        }
    }
    Ok(outcome)
}

/// Has all players at once go through some cycles, as evenly as can be.
async fn play(players: Vec<Player>, cycles: u32) -> Result<Vec<Player>> {
    let count = players.len() as u32;
    let tasks = (0..).zip(players).map(|(number, mut player)| {
        let share = cycles / count + u32::from(number < cycles % count);
        tokio::spawn(async move {
            for _ in 0..share {
                player.cycle().await?;
            }
            anyhow::Ok(player)
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut players = Vec::new();
    let mut failures = Vec::new();
    for task in tasks {
        match task.await.context("a sandbox broke its play off").flatten() {
            Ok(player) => players.push(player),
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    if !failures.is_empty() {
        bail!("{}", failures.join("\n"));
    }
    Ok(players)
}

/// The strategies that work in its container.
async fn strategies(sandbox: &Sandbox) -> Result<Vec<Strategy>> {
    sandbox.run("true").await;
    let status: SandboxStatus = serde_json::from_value(sandbox.status().await)?;
    Ok(status.container.strategies)
}
