//! The command line: what the Durable Object can do, for a person at a shell.
//!
//! Allowed roots are not enforced here: whoever has a shell decides. Exit
//! codes: 0 done, 1 failed, 2 wrong usage, 3 done but for entries that could
//! not be read.

use std::{
    io::{self, Write},
    num::NonZeroU64,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use sandbox_shared::{AbsolutePath, BackupId, SandboxError, Strategy, protocol::ArchiveSource};
use serde::Serialize;
use squashfs::{
    image::{self, Description, Listing},
    reader::FileSource,
};

use crate::{
    config::{Config, cache_bytes_from_env, state_dir_from_env, store_timeout_from_env},
    init,
    restore::{Destination, Mounts, Restore, Source, daemon},
    server,
    state::StateDir,
    token,
    transfer::{Store, checksum},
};

mod create;

/// Backs directories up to SquashFS archives, and restores them.
#[derive(Debug, Parser)]
#[command(name = "sandbox-agent", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the HTTP API that the Durable Object calls.
    Serve,
    /// Write a directory to an archive.
    Create(create::Arguments),
    /// Restore an archive to a directory, and leave it mounted.
    Restore {
        /// A file, or the URL of an object.
        #[arg(value_name = "FILE|URL")]
        archive: String,
        /// Made if it does not exist; covered if it is not empty.
        dir: PathBuf,
        /// Use this strategy instead of the best that works.
        #[arg(long)]
        strategy: Option<Strategy>,
        /// Take an older restore away under the processes that use it.
        #[arg(long)]
        force: bool,
    },
    /// Take a restored directory away, and with it what was written there.
    Unmount {
        /// The directory that was restored to.
        dir: PathBuf,
        /// Also under the processes that use it.
        #[arg(long)]
        force: bool,
    },
    /// Serve the archive of one restored directory.
    #[command(name = daemon::COMMAND, hide = true)]
    ServeMount {
        /// Where it is recorded.
        slot: PathBuf,
    },
    /// Read everything that is in an archive.
    Verify {
        /// The archive.
        file: PathBuf,
        /// The checksum that it must have: `sha256` in its meta.json.
        #[arg(long, value_name = "HASH")]
        sha256: Option<String>,
        /// What the checksum is made of: `partSizeBytes` in its meta.json.
        #[arg(long, value_name = "BYTES", default_value = "8388608")]
        part_size: NonZeroU64,
    },
    /// Say what an archive holds.
    Inspect {
        /// The archive.
        file: PathBuf,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Why a command failed, for a person. Codes are for callers of the HTTP API.
struct Failed(String);

type Result<T, E = Failed> = std::result::Result<T, E>;

impl From<SandboxError> for Failed {
    fn from(error: SandboxError) -> Self {
        Self(error.message)
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(Failed(why)) => {
            crate::log::warn(format_args!("{why}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    if let Command::Serve | Command::ServeMount { .. } = command {
        // The token and URLs are in their memory: nobody looks there but who may
        // trace every process.
        set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(failed)?;
    }
    if let Command::Serve = command {
        // An image may start it in a directory that is to be restored, and it
        // would be one of the processes that use it.
        std::env::set_current_dir("/").map_err(failed)?;
        token::take_from_environment().map_err(failed)?;
    }
    match command {
        Command::Serve if init::is_needed() => {
            return init::run().map(ExitCode::from).map_err(failed);
        }
        Command::Serve => in_runtime(async { Ok(server::serve(Config::from_env()?).await?) })?,
        Command::Create(arguments) => return in_runtime(create::run(arguments)),
        Command::Restore {
            archive,
            dir,
            strategy,
            force,
        } => in_runtime(restore(archive, dir, strategy, force))?,
        Command::ServeMount { slot } => daemon::serve::run(&slot)?,
        Command::Unmount { dir, force } => in_runtime(async {
            let unmounted = mounts()?.unmount(absolute(&dir)?, force).await;
            unmounted.map(drop).map_err(failed)
        })?,
        Command::Verify {
            file,
            sha256,
            part_size,
        } => verify(&file, sha256, part_size)?,
        Command::Inspect { file, json } => inspect(&file, json)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn in_runtime<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(failed)?
        .block_on(work)
}

fn failed(error: impl std::fmt::Display) -> Failed {
    Failed(error.to_string())
}

fn about(path: &Path) -> impl Fn(io::Error) -> Failed {
    move |error| failed(format!("{}: {error}", path.display()))
}

/// Paths of the protocol are text.
fn absolute(path: &Path) -> Result<AbsolutePath> {
    let path = std::path::absolute(path).map_err(about(path))?;
    let text = path
        .to_str()
        .ok_or_else(|| failed(format!("{} is not UTF-8", path.display())))?;
    Ok(text.parse()?)
}

fn mounts() -> Result<Mounts> {
    let dir = state_dir_from_env();
    let state = StateDir::open(&dir).map_err(about(&dir))?;
    Ok(Mounts::new(state, store()?, cache_bytes_from_env()?))
}

fn store() -> Result<Store> {
    Store::new(store_timeout_from_env()?).map_err(failed)
}

async fn restore(
    archive: String,
    dir: PathBuf,
    strategy: Option<Strategy>,
    force: bool,
) -> Result<()> {
    let is_url = ["http://", "https://"]
        .iter()
        .any(|scheme| archive.starts_with(scheme));
    let source = if is_url {
        let size_bytes = store()?.size(&archive).await.map_err(failed)?;
        Source::Remote(ArchiveSource {
            url: archive,
            url_expires_at: None,
            size_bytes,
            checksum: None,
        })
    } else {
        Source::File(archive.into())
    };
    let restore = Restore {
        id: BackupId::random(),
        destination: Destination::Anywhere(absolute(&dir)?),
        source,
        strategy,
        force,
    };
    let restored = mounts()?.restore(restore, |_| {}).await;
    let status = restored.map_err(failed)?;
    print(&format!("{} ({})\n", status.dir, status.strategy))
}

fn verify(file: &Path, expected: Option<String>, part_size: NonZeroU64) -> Result<()> {
    image::read_through(file).map_err(failed)?;
    let archive = FileSource::open(file).map_err(about(file))?;
    let actual = checksum::of_archive(&archive, part_size)
        .map_err(about(file))?
        .sha256;
    match expected {
        Some(expected) if !expected.eq_ignore_ascii_case(&actual) => Err(failed(format!(
            "{}: its SHA-256 is {actual}, not {expected}",
            file.display()
        ))),
        _ => print(&format!("{actual}\n")),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Inspection {
    /// `gzip`, `lz4`, `zstd`, …
    compression: &'static str,
    /// Bytes of a data block.
    block_size: u32,
    /// Hard links count once.
    inodes: u32,
    /// Blocks that hold the ends of several files.
    fragments: u32,
    /// Seconds since 1970.
    modified_at: u32,
    /// Without padding.
    bytes_used: u64,
    files: u64,
    directories: u64,
    symlinks: u64,
    special: u64,
}

fn inspect(file: &Path, json: bool) -> Result<()> {
    let Description {
        compression,
        block_size,
        inodes,
        fragments,
        modified_at,
        bytes_used,
    } = image::describe(file).map_err(failed)?;
    let Listing {
        files,
        directories,
        symlinks,
        special,
    } = image::list(file).map_err(failed)?;
    if json {
        let inspection = Inspection {
            compression,
            block_size,
            inodes,
            fragments,
            modified_at,
            bytes_used,
            files,
            directories,
            symlinks,
            special,
        };
        let text = serde_json::to_string_pretty(&inspection).map_err(failed)?;
        return print(&format!("{text}\n"));
    }
    let modified = time::OffsetDateTime::from_unix_timestamp(modified_at.into()).map_err(failed)?;
    print(&format!(
        "SquashFS 4.0, {compression}, blocks of {block_size} bytes\n\
         made {}\n\
         {bytes_used} bytes, {inodes} inodes, {fragments} fragments\n\
         {files} files, {directories} directories, {symlinks} symbolic links, \
         {special} special files\n",
        sandbox_shared::metadata::iso8601(modified),
    ))
}

/// Writes to standard output; a reader that has seen enough is no failure.
fn print(text: &str) -> Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(failed(error)),
        _ => Ok(()),
    }
}
