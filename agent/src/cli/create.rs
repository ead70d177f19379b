//! `create`: a directory becomes an archive, or one sees what would.

use std::{
    fs::{File, Metadata},
    io::{self, IsTerminal},
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustix::fs::{FileType, OFlags, SeekFrom, fcntl_getfl, fstat, seek};
use sandbox_shared::{
    Compression, EntryCounts, Selection,
    report::{BackupReport, Exclusion},
    selection::check_excludes,
};
use serde::Serialize;
use squashfs::writer::{FileSink, WriteError};
use tokio::signal::unix::{SignalKind, signal};

use super::{Failed, Result, about, failed, print};
use crate::{
    backup::{Plan, Wanted},
    convert,
    scan::{Control, Observer, ScanError, Scanned},
};

/// How often the progress bar is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(100);
/// The exit code of an archive that lacks entries which could not be read.
const PARTIAL: u8 = 3;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What to write.
    dir: PathBuf,
    /// Where to; replaced when the archive is complete. `-` is standard
    /// output, which must be a file: an archive's beginning is written last.
    #[arg(
        long,
        short,
        value_name = "FILE",
        required_unless_present = "dry_run",
        conflicts_with = "dry_run"
    )]
    output: Option<PathBuf>,
    /// Write nothing, but list what an archive would hold (+) and what rules
    /// leave out (-).
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    compression: Compression,
    /// Say what became of it as JSON.
    #[arg(long)]
    json: bool,
}

/// What became of a directory.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    /// Of the archive, if one was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    size_bytes: Option<u64>,
    counts: EntryCounts,
    report: BackupReport,
}

/// Runs the command. An interrupt ends it, and nothing is left then.
pub(super) async fn run(arguments: Arguments) -> Result<ExitCode> {
    let control = Arc::new(Control::default());
    // Before the work begins, so that there is nothing an interrupt could leave.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let work = tokio::task::spawn_blocking({
        let control = Arc::clone(&control);
        move || arguments.run(&control)
    });
    tokio::spawn(async move {
        if interrupt.recv().await.is_some() {
            control.cancel();
        }
    });
    work.await.map_err(failed)?
}

impl Arguments {
    fn run(self, control: &Arc<Control>) -> Result<ExitCode> {
        check_excludes(&self.selection.excludes)?;
        self.compression.check()?;
        let wanted = Wanted {
            dir: self.dir.canonicalize().map_err(about(&self.dir))?,
            selection: self.selection,
            read_through: Vec::new(),
            // All that the user may read.
            look_into: vec![PathBuf::from("/")],
        };
        let (outcome, says_to_stdout) = match &self.output {
            None => (preview(&wanted, control)?, true),
            Some(path) => {
                let plan = Plan {
                    wanted,
                    compression: self.compression,
                };
                let bar = Bar::show(control);
                let outcome = write(&plan, path, control);
                drop(bar);
                (outcome?, path.as_os_str() != "-")
            }
        };
        let text = if self.json {
            let json = serde_json::to_string_pretty(&outcome).map_err(failed)?;
            format!("{json}\n")
        } else {
            outcome.describe()
        };
        if says_to_stdout {
            print(&text)?;
        } else {
            let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
        }
        Ok(match outcome.counts.unreadable {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::from(PARTIAL),
        })
    }
}

/// Prints every decision as it is made.
struct Printer {
    failed: Option<Failed>,
}

impl Printer {
    fn line(&mut self, line: &str) {
        if self.failed.is_none() {
            self.failed = print(line).err();
        }
    }
}

impl Observer for Printer {
    fn included(&mut self, path: &Path) {
        self.line(&format!("+ {}\n", path.display()));
    }

    fn excluded(&mut self, path: &Path, why: Exclusion) {
        self.line(&format!("- {} ({})\n", path.display(), why.as_str()));
    }
}

fn preview(wanted: &Wanted, control: &Control) -> Result<Outcome> {
    let mut printer = Printer { failed: None };
    let scanned = wanted.scan(&mut printer, control);
    let Scanned { tree, notes } = scanned.map_err(not_scanned)?;
    match printer.failed {
        Some(error) => Err(error),
        None => Ok(Outcome {
            size_bytes: None,
            counts: convert::counts(tree.counts(), &notes, tree.report()),
            report: convert::report(tree.report(), &notes),
        }),
    }
}

fn write(plan: &Plan, output: &Path, control: &Control) -> Result<Outcome> {
    if output.as_os_str() == "-" {
        return write_to(plan, standard_output()?, None, control);
    }
    let output = std::path::absolute(output).map_err(about(output))?;
    let parent = output.parent().unwrap_or(Path::new("/"));
    let image = tempfile::NamedTempFile::new_in(parent).map_err(about(&output))?;
    // What is to be replaced.
    let old = output.symlink_metadata().ok();
    let file = image.reopen().map_err(about(&output))?;
    let outcome = write_to(plan, file, old, control)?;
    image
        .persist(&output)
        .map_err(|error| about(&output)(error.error))?;
    Ok(outcome)
}

/// Writes to a file, which is not in the archive even if the directory has it;
/// nor is an `old` one.
fn write_to(plan: &Plan, file: File, old: Option<Metadata>, control: &Control) -> Result<Outcome> {
    let own = [file.metadata().ok(), old].into_iter().flatten();
    let own = own.map(|file| (file.dev(), file.ino())).collect();
    let scanned = plan.wanted.scan_but(own, &mut (), control);
    let Scanned { tree, notes } = scanned.map_err(not_scanned)?;
    let written = plan.write(&tree, control, &mut FileSink::new(file));
    let summary = written.map_err(not_written)?;
    Ok(Outcome {
        size_bytes: Some(summary.size),
        counts: convert::counts(summary.counts, &notes, &summary.report),
        report: convert::report(&summary.report, &notes),
    })
}

fn not_scanned(error: ScanError) -> Failed {
    match error {
        ScanError::Unreadable(_) => leave_out(&error),
        _ => failed(error),
    }
}

fn not_written(error: WriteError) -> Failed {
    match error {
        WriteError::Unreadable(_) => leave_out(&error),
        _ => failed(error),
    }
}

fn leave_out(error: &dyn std::error::Error) -> Failed {
    failed(format_args!(
        "{error}. Leave them out with --on-unreadable skip or --exclude"
    ))
}

/// Standard output, if it can be written at any position.
fn standard_output() -> Result<File> {
    let file = io::stdout().as_fd().try_clone_to_owned().map_err(failed)?;
    let is_file = fstat(&file)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
    let appends = fcntl_getfl(&file).is_ok_and(|flags| flags.contains(OFlags::APPEND));
    if is_file && !appends && seek(&file, SeekFrom::Current(0)) == Ok(0) {
        return Ok(File::from(file));
    }
    Err(failed(
        "standard output cannot be written out of order, as an archive needs: \
         redirect it to a new file, or name the file with --output",
    ))
}

impl Outcome {
    fn describe(&self) -> String {
        let EntryCounts {
            files,
            directories,
            symlinks,
            special,
            bytes,
            excluded,
            ..
        } = &self.counts;
        let mut text = format!(
            "{files} files, {directories} directories, {symlinks} symbolic links, \
             {special} special files, {bytes} bytes; {excluded} left out\n"
        );
        if let Some(size) = self.size_bytes {
            text += &format!("{size} bytes of archive\n");
        }
        text + &self.report.describe(str::to_owned)
    }
}

/// A progress bar on standard error, if that is a terminal; cleared in the end.
struct Bar {
    bar: ProgressBar,
}

impl Bar {
    fn show(control: &Arc<Control>) -> Self {
        let target = if io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        let style = ProgressStyle::with_template(
            "{bar:30} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec}, {eta} left; {msg}",
        );
        if let Ok(style) = style {
            bar.set_style(style);
        }
        let drawing = (bar.clone(), Arc::clone(control));
        std::thread::spawn(move || {
            let (bar, control) = drawing;
            while !bar.is_finished() {
                let count =
                    |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
                bar.set_length(count(&control.scanned_bytes));
                bar.set_position(count(&control.writer.read_bytes));
                bar.set_message(format!("{} files", count(&control.writer.archived_files)));
                std::thread::sleep(DRAW_EVERY);
            }
        });
        Self { bar }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
