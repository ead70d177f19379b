//! The output of a program that goes on: kept in a file, and watched for the
//! line by which the program says that it is ready.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, PipeReader, Write},
    path::Path,
    sync::mpsc::{self, Receiver, SyncSender},
    thread,
};

use anyhow::Result;

/// How many lines of a log an error shows.
const SHOWN: usize = 40;

/// Where the output of a program goes.
#[derive(Debug)]
pub struct Log {
    file: File,
    ready: &'static str,
    verbose: bool,
}

impl Log {
    /// A new log. A line that contains `ready` says that the program is.
    /// `verbose` shows everything, too.
    pub fn new(path: &Path, ready: &'static str, verbose: bool) -> Result<Self> {
        Ok(Self {
            file: File::create(path)?,
            ready,
            verbose,
        })
    }

    /// Collects all output on a thread. The channel tells once when the
    /// program is ready, or is closed when it has ended before.
    pub fn collect(self, output: PipeReader) -> (thread::JoinHandle<()>, Receiver<()>) {
        let (ready, readiness) = mpsc::sync_channel(1);
        (thread::spawn(move || self.copy(output, &ready)), readiness)
    }

    fn copy(mut self, output: PipeReader, ready: &SyncSender<()>) {
        for line in BufReader::new(output).split(b'\n') {
            let Ok(mut line) = line else { return };
            line.push(b'\n');
            self.file.write_all(&line).ok();
            if self.verbose {
                io::stdout().write_all(&line).ok();
            }
            if String::from_utf8_lossy(&line).contains(self.ready) {
                ready.try_send(()).ok();
            }
        }
    }
}

/// The end of a log, for an error message.
pub fn last_lines(log: &Path) -> String {
    let log = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}
