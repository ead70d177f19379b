//! What is counted while nothing is restored and nothing stored.
//!
//! Something leaks if the least of it that the last quarter of the counts has
//! seen is more than the most that the first quarter has, and what that kind may
//! grow by for a known reason. Peaks and other programs do not disturb that.

use std::{fmt, fs, io, path::Path};

use anyhow::{Context, Result};
use sandbox_toolbox::project;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;

use super::cycle;
use crate::{
    consumer::Sandbox,
    processes::{self, Process},
    stage::Stage,
};

const MIB: u64 = 1 << 20;
/// What may grow without end.
const NOT_JUDGED: u64 = u64::MAX;

/// Prints, of the container that it runs in: processes, open files and KiB of
/// memory of the agent's, mounts, files where the agent keeps its own, their KiB.
const INSIDE: &str = r#"
set -- /proc/[0-9]*
processes=$# files=0 kib=0
for process; do
  name=
  read -r name 2>/dev/null < $process/comm
  [ "$name" = sandbox-agent ] || continue
  set -- $process/fd/*
  files=$((files + $#))
  while read -r key value _; do
    if [ "$key" = VmRSS: ]; then kib=$((kib + value)); fi
  done < $process/status
done
state=/var/lib/sandbox-agent
echo $processes $files $kib $(wc -l < /proc/self/mountinfo) \
  $(find $state /tmp /var/tmp /run -xdev | wc -l) $(du -skx $state | cut -f1)
"#;

/// Whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The sandbox that has most of it.
    Sandbox,
    /// All that runs, which may serve others, too.
    All,
}

/// Something that is counted.
#[derive(Debug)]
struct Kind {
    name: &'static str,
    owner: Owner,
    /// How much more there may be, for reasons that are no leak.
    may_grow: u64,
    bytes: bool,
}

const fn count(owner: Owner, name: &'static str, may_grow: u64) -> Kind {
    Kind {
        name,
        owner,
        may_grow,
        bytes: false,
    }
}

const fn bytes(owner: Owner, name: &'static str, may_grow: u64) -> Kind {
    Kind {
        name,
        owner,
        may_grow,
        bytes: true,
    }
}

/// In the order in which [`Levels::take`] counts.
const KINDS: [Kind; 21] = [
    count(Owner::Sandbox, "processes in a container", 0),
    // Connections of callers that stay open for some time.
    count(Owner::Sandbox, "open files of an agent", 4),
    bytes(Owner::Sandbox, "memory of an agent", 8 * MIB),
    count(Owner::Sandbox, "mounts in a container", 0),
    count(Owner::Sandbox, "files of an agent", 0),
    bytes(Owner::Sandbox, "disk used by an agent", 0),
    count(Owner::Sandbox, "uploads left open", 0),
    count(Owner::Sandbox, "rows: index of backups", 0),
    // Their bounds.
    count(Owner::Sandbox, "rows: journal of operations", 100),
    count(Owner::Sandbox, "rows: log of operations", 1000),
    count(Owner::All, "objects in R2", 0),
    // Its database's log is cut at 4 MiB.
    bytes(Owner::All, "disk used by R2's stand-in", 8 * MIB),
    count(Owner::All, "disks of containers", 0),
    count(Owner::All, "loop devices of archives", 0),
    count(Owner::All, "mounts outside of containers", 0),
    count(Owner::All, "processes", 0),
    count(Owner::All, "open files of the container host", 8),
    bytes(Owner::All, "memory of the container host", 16 * MIB),
    // What a Durable Object waits for when it is reset stays for ever.
    bytes(Owner::All, "memory of the Worker's WebAssembly", 4 * MIB),
    count(Owner::All, "open files of workerd", 8),
    // It plays R2 and the storage of Durable Objects, too, and grows with every
    // request, even if nothing is killed.
    bytes(Owner::All, "memory of workerd", NOT_JUDGED),
];

/// All that was counted, one line of [`KINDS`] each time.
#[derive(Debug, Default)]
pub(super) struct Levels {
    samples: Vec<[u64; KINDS.len()]>,
}

/// Rows of a Durable Object's tables.
#[derive(Deserialize)]
struct Rows {
    backups: u64,
    operations: u64,
    log: u64,
}

impl Levels {
    /// Counts once.
    pub(super) async fn take(&mut self, stage: &Stage, sandboxes: &[&Sandbox]) -> Result<()> {
        let mut most = [0; 10];
        for sandbox in sandboxes {
            for (most, level) in most.iter_mut().zip(inside(sandbox).await?) {
                *most = level.max(*most);
            }
        }
        let objects = stage.bucket.keys("backups/").await.len() as u64;
        let sandbox = sandboxes.first().context("no sandbox")?;
        let outside = outside(objects, ask(sandbox, "memoryBytes").await?)?;
        let mut sample = [0; KINDS.len()];
        let levels = most.into_iter().chain(outside);
        for (place, level) in sample.iter_mut().zip(levels) {
            *place = level;
        }
        self.samples.push(sample);
        Ok(())
    }

    /// The least and the most of a kind in the first and the last quarter.
    fn quarters(&self, kind: usize) -> Option<[(u64, u64); 2]> {
        let quarter = (self.samples.len() / 4).max(1);
        let range = |samples: &[[u64; KINDS.len()]]| {
            let levels = || samples.iter().map(|sample| sample[kind]);
            Some((levels().min()?, levels().max()?))
        };
        let first = self.samples.get(..quarter)?;
        Some([
            range(first)?,
            range(&self.samples[self.samples.len() - quarter..])?,
        ])
    }

    /// What leaks, of those whose levels can be told from others'.
    pub(super) fn growth(&self, owners: &[Owner]) -> Vec<String> {
        let grown = KINDS.iter().enumerate().filter_map(|(number, kind)| {
            let [(_, before), (after, _)] = self.quarters(number)?;
            let grown = owners.contains(&kind.owner) && after > before.saturating_add(kind.may_grow);
            grown.then(|| {
                let (before, after) = (kind.shown(before), kind.shown(after));
                format!("{}: never more than {before} in the first quarter, never less than {after} in the last", kind.name)
            })
        });
        grown.collect()
    }
}

impl Kind {
    fn shown(&self, level: u64) -> String {
        if self.bytes {
            format!("{:.1} MiB", level as f64 / MIB as f64)
        } else {
            level.to_string()
        }
    }

    fn shown_range(&self, (least, most): (u64, u64)) -> String {
        let (least, most) = (self.shown(least), self.shown(most));
        if least == most {
            return most;
        }
        format!("{} to {most}", least.trim_end_matches(" MiB"))
    }
}

impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| | first quarter | last quarter | may grow by |")?;
        writeln!(f, "|---|--:|--:|--:|")?;
        for (number, kind) in KINDS.iter().enumerate() {
            if let Some([first, last]) = self.quarters(number) {
                let (first, last) = (kind.shown_range(first), kind.shown_range(last));
                let may_grow = match kind.may_grow {
                    NOT_JUDGED => "not judged".to_owned(),
                    may_grow => kind.shown(may_grow),
                };
                writeln!(f, "| {} | {first} | {last} | {may_grow} |", kind.name)?;
            }
        }
        Ok(())
    }
}

/// Levels of one sandbox, in the order of [`KINDS`].
async fn inside(sandbox: &Sandbox) -> Result<[u64; 10]> {
    let counted = sandbox.run(INSIDE).await;
    let numbers: Result<Vec<u64>, _> = counted.split_whitespace().map(str::parse).collect();
    let numbers: Option<[u64; 6]> = numbers.ok().and_then(|numbers| numbers.try_into().ok());
    let [processes, files, memory, mounts, own_files, disk] =
        numbers.with_context(|| format!("these are no six numbers: {counted}"))?;
    let rows: Rows = ask(sandbox, "rows").await?;
    Ok([
        processes,
        files,
        memory * 1024,
        mounts,
        own_files,
        disk * 1024,
        sandbox.open_uploads().await,
        rows.backups,
        rows.operations,
        rows.log,
    ])
}

/// What a sandbox of [`Setup::Faulty`](crate::consumer::Setup) says of itself.
async fn ask<T: DeserializeOwned>(sandbox: &Sandbox, what: &str) -> Result<T> {
    cycle::call(&sandbox.clone().bare_stub(), what, json!([])).await
}

/// Levels of all that runs, in the order of [`KINDS`].
fn outside(objects: u64, web_assembly: u64) -> Result<[u64; 11]> {
    let target = project::target_dir();
    let store = target.join("e2e/wrangler/state/v3/r2");
    let used = disk_usage(&store).with_context(|| store.display().to_string())?;
    let disks = target.join("containers/disks");
    let disks = directories(&disks)?
        .iter()
        .map(|host| Ok(directories(host)?.len() as u64))
        .sum::<io::Result<u64>>()?;
    let loops = directories(Path::new("/sys/block"))?
        .iter()
        .filter_map(|device| fs::read_to_string(device.join("loop/backing_file")).ok())
        .filter(|file| file.trim_end().ends_with("/source/archive.sqsh"))
        .count() as u64;
    let target = target.to_string_lossy().into_owned();
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let mounts = mounts.lines().filter(|line| line.contains(&target)).count() as u64;
    let host = Process::read(std::process::id()).context("this process")?;
    let below = processes::below_this();
    let workerd = || below.iter().filter(|process| process.name == "workerd");
    Ok([
        objects,
        used,
        disks,
        loops,
        mounts,
        // Wrangler starts another bundler when it likes.
        below
            .iter()
            .filter(|process| process.name != "esbuild")
            .count() as u64,
        host.open_files(),
        host.resident,
        web_assembly,
        workerd().map(Process::open_files).sum(),
        workerd().map(|process| process.resident).sum(),
    ])
}

/// The directories in a directory, those behind symbolic links included.
fn directories(directory: &Path) -> io::Result<Vec<std::path::PathBuf>> {
    let entries = fs::read_dir(directory)?.map(|entry| Ok(entry?.path()));
    let paths: io::Result<Vec<_>> = entries.collect();
    Ok(paths?.into_iter().filter(|path| path.is_dir()).collect())
}

/// Bytes of the blocks of all files below a directory, in which files come and go.
fn disk_usage(directory: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut used = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let size = match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => disk_usage(&entry.path()),
            Ok(metadata) => Ok(metadata.blocks() * 512),
            Err(error) => Err(error),
        };
        match size {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            size => used += size?,
        }
    }
    Ok(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(of_first_kind: &[u64]) -> Levels {
        let sample = |level: &u64| {
            let mut sample = [7; KINDS.len()];
            sample[0] = *level;
            sample
        };
        Levels {
            samples: of_first_kind.iter().map(sample).collect(),
        }
    }

    #[test]
    fn what_grows_all_the_time_leaks() {
        let growing = levels(&[1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(growing.growth(&[Owner::Sandbox]).len(), 1);
        assert!(growing.growth(&[Owner::All]).is_empty());
    }

    #[test]
    fn what_peaks_does_not() {
        let peaks = levels(&[1, 9, 1, 1, 1, 1, 12, 8]);
        assert!(peaks.growth(&[Owner::Sandbox]).is_empty());
        assert!(levels(&[3]).growth(&[Owner::Sandbox]).is_empty());
        assert!(levels(&[]).growth(&[Owner::Sandbox]).is_empty());
    }
}
