//! The trees that are backed up and restored: made once, from seeds, so that
//! everybody measures the same.

use std::{
    fs::{self, File, FileTimes},
    io::{self, BufWriter, Read, Write},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use fastrand::Rng;
use serde::Serialize;

use super::content::{Content, Kind};

/// Changes whenever another tree comes out of the same shape.
const GENERATION: u32 = 1;
/// The mtime of every file, in seconds since 1970: archives have it in them.
const MTIME: Duration = Duration::from_secs(1_750_000_000);

/// What a tree looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(
    tag = "shape",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub(super) enum Shape {
    /// Packages as npm and Python install them, and Rust documentation: mostly
    /// small text, some programs, a licence in every package.
    Packages {
        /// How many files.
        files: usize,
        /// Of all files.
        bytes: u64,
    },
    /// Large files that cannot be compressed.
    Random {
        /// How many files.
        files: usize,
        /// Of each file.
        bytes: u64,
    },
    /// Small files of one size, each different.
    Tiny {
        /// How many files.
        files: usize,
        /// Of each file.
        bytes: u64,
    },
}

impl Shape {
    /// For tables.
    pub(super) fn title(self) -> String {
        match self {
            Self::Packages { files, bytes } => {
                format!("{} small files, {}", thousands(files), amount(bytes))
            }
            Self::Random { files, bytes } => {
                let all = amount(bytes * files as u64);
                format!("{all} random in {files} files")
            }
            Self::Tiny { files, bytes } => {
                format!("{} files of {}", thousands(files), amount(bytes))
            }
        }
    }

    fn directory(self) -> String {
        let (name, files, bytes) = match self {
            Self::Packages { files, bytes } => ("packages", files, bytes),
            Self::Random { files, bytes } => ("random", files, bytes),
            Self::Tiny { files, bytes } => ("tiny", files, bytes),
        };
        format!("{name}-{files}-{bytes}-v{GENERATION}")
    }

    /// The tree below `trees`, which is made unless it is there.
    pub(super) fn ensure(self, trees: &Path) -> Result<PathBuf> {
        self.ensure_with(trees, "", |_| Ok(()))
    }

    /// The tree with something more in it, named by `suffix`.
    pub(super) fn ensure_with(
        self,
        trees: &Path,
        suffix: &str,
        add: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let tree = trees.join(self.directory() + suffix);
        if tree.is_dir() {
            return Ok(tree);
        }
        eprintln!("making {}", tree.display());
        // Renamed when complete: a tree that is there is whole.
        let unfinished = tree.with_extension("unfinished");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)?;
        }
        fs::create_dir_all(&unfinished)?;
        self.make(&unfinished)
            .with_context(|| format!("cannot make {}", tree.display()))?;
        add(&unfinished)?;
        fs::rename(&unfinished, &tree)?;
        Ok(tree)
    }

    fn make(self, root: &Path) -> io::Result<()> {
        let content = Content::new();
        let files = match self {
            Self::Packages { files, bytes } => packages(root, &content, files, bytes)?,
            Self::Random { files, bytes } => (0..files)
                .map(|number| Planned::new(format!("{number}.bin"), Kind::Random, bytes))
                .collect(),
            Self::Tiny { files, bytes } => (0..files)
                .map(|number| {
                    let path = format!("{:03}/{:06}.txt", number / 200, number);
                    Planned::new(path, Kind::Source, bytes)
                })
                .collect(),
        };
        write_all(root, &content, &files)
    }
}

/// A file to be made.
struct Planned {
    path: String,
    kind: Kind,
    bytes: u64,
    /// Instead of its place in the plan: files of the same seed are equal.
    seed: Option<u64>,
}

impl Planned {
    fn new(path: String, kind: Kind, bytes: u64) -> Self {
        Self {
            path,
            kind,
            bytes,
            seed: None,
        }
    }
}

/// Kinds of packages: directory, ending of names, content, median size in
/// bytes, spread of sizes, share of all files in per cent.
const ECOSYSTEMS: [(&str, &str, Kind, f64, f64, usize); 3] = [
    ("node_modules", "js", Kind::Source, 1200.0, 1.5, 50),
    (
        "lib/python3.11/site-packages",
        "py",
        Kind::Source,
        5000.0,
        1.4,
        25,
    ),
    ("share/doc/rust/html", "html", Kind::Page, 14_000.0, 1.0, 25),
];

/// One in so many files is a program.
const PROGRAM_EVERY: usize = 300;
const PROGRAM_MEDIAN: f64 = 1_500_000.0;

fn packages(root: &Path, content: &Content, files: usize, bytes: u64) -> io::Result<Vec<Planned>> {
    let mut rng = Rng::with_seed(1);
    let mut planned = Vec::with_capacity(files);
    for (top, ending, kind, median, spread, share) in ECOSYSTEMS {
        let end = planned.len() + files * share / 100;
        while planned.len() < end {
            let name = format!("{}-{}", content.word(&mut rng), planned.len());
            let package = format!("{top}/{name}");
            let licence = planned.len() % 5;
            let mut directories = vec![package.clone()];
            for _ in 0..rng.usize(..8) {
                let parent = &directories[rng.usize(..directories.len())];
                directories.push(format!("{parent}/{}", content.word(&mut rng)));
            }
            planned.push(Planned {
                seed: Some(u64::MAX - licence as u64),
                ..Planned::new(format!("{package}/LICENSE"), Kind::Source, 11_000)
            });
            for _ in 0..rng.usize(4..90) {
                if planned.len() >= end {
                    break;
                }
                let directory = &directories[rng.usize(..directories.len())];
                let number = planned.len();
                let file = format!("{directory}/{}{number}", content.word(&mut rng));
                planned.push(if number.is_multiple_of(PROGRAM_EVERY) {
                    let size = log_normal(&mut rng, PROGRAM_MEDIAN, 1.0);
                    Planned::new(format!("{file}.so"), Kind::Program, size)
                } else {
                    let size = log_normal(&mut rng, median, spread);
                    Planned::new(format!("{file}.{ending}"), kind, size)
                });
            }
            if ending == "js" {
                let links = root.join(top).join(".bin");
                fs::create_dir_all(&links)?;
                symlink(format!("../{name}/LICENSE"), links.join(&name))?;
            }
        }
    }
    let sum: u64 = planned.iter().map(|file| file.bytes).sum();
    let scale = bytes as f64 / sum as f64;
    for file in &mut planned {
        file.bytes = (file.bytes as f64 * scale) as u64;
    }
    Ok(planned)
}

/// A size whose logarithm is normally distributed.
fn log_normal(rng: &mut Rng, median: f64, spread: f64) -> u64 {
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    let normal = radius * (std::f64::consts::TAU * rng.f64()).cos();
    (median * (spread * normal).exp()) as u64
}

fn write_all(root: &Path, content: &Content, files: &[Planned]) -> io::Result<()> {
    on_all_cores(files, |number, file| {
        let path = root.join(&file.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let seed = file.seed.unwrap_or(number as u64);
        let mut output = BufWriter::with_capacity(256 << 10, File::create(&path)?);
        content.write(file.kind, seed, file.bytes, &mut output)?;
        let output = output.into_inner()?;
        if file.kind == Kind::Program {
            output.set_permissions(fs::Permissions::from_mode(0o755))?;
        }
        output.set_times(FileTimes::new().set_modified(SystemTime::UNIX_EPOCH + MTIME))
    })
}

/// Calls `work` with every item and its index, on all cores. The first error
/// that was met is returned.
fn on_all_cores<T: Sync>(
    items: &[T],
    work: impl Fn(usize, &T) -> io::Result<()> + Sync,
) -> io::Result<()> {
    let next = AtomicUsize::new(0);
    let failure = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..cores() {
            scope.spawn(|| {
                while let Some((number, item)) = {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    items.get(number).map(|item| (number, item))
                } {
                    if let Err(error) = work(number, item) {
                        next.store(items.len(), Ordering::Relaxed);
                        if let Ok(mut failure) = failure.lock() {
                            failure.get_or_insert(error);
                        }
                    }
                }
            });
        }
    });
    match failure.into_inner() {
        Ok(Some(error)) => Err(error),
        _ => Ok(()),
    }
}

/// How many cores there are.
pub(super) fn cores() -> usize {
    thread::available_parallelism().map_or(1, |cores| cores.get())
}

/// Reads every file below `root`, so that all of it is in the page cache.
pub(super) fn read_through(root: &Path) -> Result<()> {
    let mut files = Vec::new();
    collect_files(root, &mut files)?;
    on_all_cores(&files, |_, path| {
        let mut file = File::open(path)?;
        let mut buffer = vec![0; 128 << 10];
        while file.read(&mut buffer)? > 0 {}
        Ok(())
    })?;
    Ok(())
}

fn collect_files(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect_files(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// Writes everything back, so that no run pays for what came before it, and
/// with `cold` forgets all files; that takes root.
pub(super) fn settle(cold: bool) -> Result<()> {
    rustix::fs::sync();
    if cold {
        let mut control = File::options()
            .write(true)
            .open("/proc/sys/vm/drop_caches")
            .context("only root can empty the page cache")?;
        control.write_all(b"3\n")?;
    }
    Ok(())
}

/// `60,000`
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A round number of bytes, in the unit it is round in.
fn amount(bytes: u64) -> String {
    const UNITS: [(u64, &str); 5] = [
        (1 << 30, "GiB"),
        (100_000_000, "GB"),
        (1 << 20, "MiB"),
        (1_000_000, "MB"),
        (1 << 10, "KiB"),
    ];
    let is_round = |(unit, _): &(u64, &str)| bytes.is_multiple_of(*unit);
    match UNITS.into_iter().find(is_round).unwrap_or((1, "B")) {
        (100_000_000, name) => format!("{:.1} {name}", bytes as f64 / 1e9),
        (unit, name) => format!("{} {name}", bytes / unit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_round() {
        let packages = Shape::Packages {
            files: 60_000,
            bytes: 1_300_000_000,
        };
        assert_eq!(packages.title(), "60,000 small files, 1.3 GB");
        let random = Shape::Random {
            files: 8,
            bytes: 128 << 20,
        };
        assert_eq!(random.title(), "1 GiB random in 8 files");
        let tiny = Shape::Tiny {
            files: 200_000,
            bytes: 1 << 10,
        };
        assert_eq!(tiny.title(), "200,000 files of 1 KiB");
        assert_eq!(amount(12_000_000), "12 MB");
        assert_eq!(amount(1000), "1000 B");
    }
}
