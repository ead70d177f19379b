//! What a program used, and what came out of several runs of it.

use std::{
    fs,
    ops::Add,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use sandbox_toolbox::project;

/// What a program used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Usage {
    /// Of all cores together, system calls included.
    pub(super) cpu_seconds: f64,
    /// The most bytes that were in memory at a time (VmHWM, `ru_maxrss`).
    pub(super) peak_memory_bytes: u64,
    /// Bytes handed to a disk, as the kernel counts them for the process.
    pub(super) disk_bytes: u64,
}

impl Usage {
    /// Of a process that runs, without those it has started.
    pub(super) fn of_process(pid: u32) -> Result<Self> {
        let read = |file: &str| {
            let path = format!("/proc/{pid}/{file}");
            fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
        };
        let (status, io, stat) = (read("status")?, read("io")?, read("stat")?);
        Ok(Self {
            cpu_seconds: cpu_seconds(&stat).context("/proc/…/stat")?,
            peak_memory_bytes: field(&status, "VmHWM:").context("VmHWM")? * 1024,
            disk_bytes: field(&io, "write_bytes:").context("write_bytes")?,
        })
    }

    /// Of all processes that have something of `path` among their arguments.
    pub(super) fn of_processes_about(path: &Path) -> Result<Self> {
        let path = path.to_str().context("not a path in UTF-8")?;
        let mut sum = Self::default();
        for entry in fs::read_dir("/proc")? {
            let entry = entry?;
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            // What has ended meanwhile uses nothing.
            let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&arguments).contains(path) {
                sum = sum + Self::of_process(pid).unwrap_or_default();
            }
        }
        Ok(sum)
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            cpu_seconds: self.cpu_seconds + other.cpu_seconds,
            peak_memory_bytes: self.peak_memory_bytes + other.peak_memory_bytes,
            disk_bytes: self.disk_bytes + other.disk_bytes,
        }
    }
}

/// The number after `name` at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// User and system time: fields 14 and 15, in hundredths of a second whatever
/// the kernel's own clock (proc(5), `_SC_CLK_TCK`).
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / 100.0)
}

/// One run.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Run {
    /// From the first byte asked for to the last one written or taken.
    pub(super) seconds: f64,
    #[serde(flatten)]
    pub(super) usage: Usage,
    /// Of what was made.
    pub(super) archive_bytes: u64,
}

/// Runs a program to its end under GNU time. Its disk bytes are not known.
pub(super) fn run(program: &Path, arguments: &[&str]) -> Result<Run> {
    let time = project::find_program("time").context("GNU time is not installed")?;
    let started = Instant::now();
    let output = Command::new(time)
        .args(["--quiet", "--format=%U %S %M", "--"])
        .arg(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()?;
    let seconds = started.elapsed().as_secs_f64();
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{} failed: {errors}", program.display());
    }
    // Its line comes after everything that the program itself said.
    let mut figures = errors
        .lines()
        .last()
        .unwrap_or_default()
        .split(' ')
        .map(str::parse::<f64>);
    let mut next = || {
        figures
            .next()
            .and_then(Result::ok)
            .context("GNU time gave no figures")
    };
    let (user, system, kibibytes) = (next()?, next()?, next()?);
    Ok(Run {
        seconds,
        usage: Usage {
            cpu_seconds: user + system,
            peak_memory_bytes: kibibytes as u64 * 1024,
            disk_bytes: 0,
        },
        archive_bytes: 0,
    })
}

/// Minimum, median and maximum.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) minimum: f64,
    pub(super) median: f64,
    pub(super) maximum: f64,
}

impl Spread {
    /// Of at least one figure.
    pub(super) fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut figures: Vec<_> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let at = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
        let last = figures.len().saturating_sub(1);
        Self {
            minimum: at(0),
            median: f64::midpoint(at(last / 2), at(last.div_ceil(2))),
            maximum: at(last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let spread = |figures: &[f64]| Spread::of(figures.iter().copied());
        assert_eq!(spread(&[3.0, 1.0, 2.0]).median, 2.0);
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
        let one = spread(&[7.0]);
        assert_eq!((one.minimum, one.median, one.maximum), (7.0, 7.0, 7.0));
    }

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 0 0 20 0";
        assert_eq!(cpu_seconds(stat), Some(2.0));
    }

    #[test]
    fn a_process_knows_what_it_used() {
        let usage = Usage::of_process(std::process::id()).unwrap();
        assert!(usage.peak_memory_bytes > 1 << 20);
    }
}
