//! What can be typed.

use std::{path::PathBuf, time::Duration};

use bytesize::ByteSize;
use clap::{
    Args, Parser, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use clap_complete::Shell;
use sandbox_shared::{
    BackupOptions, Compression, CompressionFormat, OnUnreadable, Strategy, Ttl,
    catalogue::{BackupState, ListBackups, PruneBackups, SortBy, SortOrder},
};

const EXIT_CODES: &str = "\
Exit codes, as restic's:
    0  done
    1  failed
    3  backed up, except for entries that could not be read
   10  the backup does not exist
   12  the token is missing or wrong
  130  interrupted
`exec` exits as the command does, and with 125 if it could not be run.";

/// Backs up and restores directories of sandboxes
#[derive(Debug, Parser)]
#[command(name = "sandboxctl", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which sandbox is meant, and how to speak.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of all commands")]
pub(crate) struct Connection {
    /// Address of the Worker
    #[arg(long, env = "SANDBOX_URL", hide_env_values = true, global = true)]
    pub(crate) url: Option<String>,
    /// The Worker's secret SANDBOX_API_TOKEN; other users of this machine can
    /// see arguments, but not variables
    #[arg(long, env = "SANDBOX_API_TOKEN", hide_env_values = true, global = true)]
    pub(crate) token: Option<String>,
    /// Name of the sandbox
    #[arg(
        long,
        short,
        env = "SANDBOX",
        hide_env_values = true,
        global = true,
        value_name = "NAME"
    )]
    pub(crate) sandbox: Option<String>,
    /// Print what the Worker says as JSON: one document, or one a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print no progress
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Back a directory up
    Backup(Backup),
    /// Tell what a backup would hold, and store nothing
    Preview(Source),
    /// Put a backup in place of a directory, copy-on-write
    Restore(Restore),
    /// Take a restored directory away; what it covered reappears
    Unmount {
        /// The directory that was restored to
        dir: String,
        /// Also under the processes that use it
        #[arg(long)]
        force: bool,
    },
    /// List backups
    List(List),
    /// Show one backup
    Show {
        #[arg(help = BACKUP_HELP)]
        backup: String,
    },
    /// Read all of a backup, and tell whether it is what was stored
    Verify {
        #[arg(help = BACKUP_HELP)]
        backup: String,
    },
    /// Delete backups
    Delete {
        #[arg(required = true, help = BACKUP_HELP)]
        backups: Vec<String>,
    },
    /// Delete the backups that no rule keeps
    Prune(Prune),
    /// Run a command in the sandbox
    Exec(Exec),
    /// Write a file into the sandbox
    Put {
        /// A file here; `-` is standard input
        local: PathBuf,
        /// Absolute path in the sandbox
        remote: String,
    },
    /// Read a file of the sandbox
    Get {
        /// Absolute path in the sandbox
        remote: String,
        /// Where to; standard output when absent
        local: Option<PathBuf>,
    },
    /// List a directory of the sandbox
    Ls {
        /// Absolute path in the sandbox
        #[arg(default_value = "/workspace")]
        dir: String,
        /// Also what is in subdirectories
        #[arg(long, short)]
        recursive: bool,
    },
    /// Show the container, what is restored in it, and what it is doing
    Status,
    /// List the sandboxes of which backups are stored
    Sandboxes,
    /// Show the last backups and restores, and how they went
    Logs {
        /// So many of them
        #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
        lines: u32,
        /// Go on showing new ones as they end
        #[arg(long, short)]
        follow: bool,
    },
    /// End the backup or restore that runs, and leave nothing of it
    Cancel,
    /// Stop the container; its files and restored directories are gone then
    Stop,
    /// Make the list of backups anew from what is in the bucket
    Reindex,
    /// Print a completion script
    Completions {
        /// For this shell
        shell: Shell,
    },
}

const BACKUP_HELP: &str = "Id of a backup, the beginning of one, or `latest`";

/// A directory, and what of it is wanted.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// Absolute path of a directory in the sandbox
    dir: String,
    /// Leave out what matches, in .gitignore syntax; may be repeated
    #[arg(long, short, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Leave out what git ignores
    #[arg(long)]
    gitignore: bool,
    /// Leave out what is in directories that have a CACHEDIR.TAG
    #[arg(long)]
    exclude_caches: bool,
    /// Leave out files that are larger, such as 100MiB
    #[arg(long, value_name = "SIZE")]
    exclude_larger_than: Option<ByteSize>,
    /// Enter directories that are other file systems
    #[arg(long)]
    cross_file_systems: bool,
    /// What to do about entries that cannot be read
    #[arg(
        long,
        default_value = "fail",
        value_parser = named(&[OnUnreadable::Fail, OnUnreadable::Skip], OnUnreadable::as_str)
    )]
    on_unreadable: OnUnreadable,
}

#[derive(Debug, Args)]
pub(crate) struct Backup {
    #[command(flatten)]
    source: Source,
    /// A name for people
    #[arg(long, short)]
    name: Option<String>,
    /// How long it may be restored, such as 12h or 30days; three days when absent
    #[arg(long, value_name = "DURATION", value_parser = ttl)]
    ttl: Option<Ttl>,
    /// How it is compressed
    #[arg(long, default_value = "zstd", value_parser = named(&FORMATS, CompressionFormat::as_str))]
    format: CompressionFormat,
    /// 1 to 22 for zstd, 1 to 9 for gzip
    #[arg(long)]
    level: Option<u32>,
    /// Compressing threads; as many as there are cores when absent
    #[arg(long)]
    threads: Option<u32>,
    /// Size of a data block: a power of two from 4KiB to 1MiB
    #[arg(long, value_name = "SIZE", value_parser = block_size)]
    block_size: Option<u32>,
}

const FORMATS: [CompressionFormat; 3] = [
    CompressionFormat::Zstd,
    CompressionFormat::Lz4,
    CompressionFormat::Gzip,
];

impl Source {
    /// As the Worker takes it.
    pub(crate) fn options(self) -> BackupOptions {
        BackupOptions {
            excludes: self.exclude,
            gitignore: self.gitignore,
            exclude_caches: self.exclude_caches,
            exclude_larger_than: self.exclude_larger_than.map(|size| size.as_u64()),
            cross_file_systems: self.cross_file_systems,
            on_unreadable: self.on_unreadable,
            ..BackupOptions::new(self.dir)
        }
    }
}

impl Backup {
    /// As the Worker takes it.
    pub(crate) fn options(self) -> BackupOptions {
        BackupOptions {
            name: self.name,
            ttl: self.ttl,
            compression: Compression {
                format: self.format,
                level: self.level,
                threads: self.threads,
                block_size: self.block_size,
            },
            ..self.source.options()
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Restore {
    #[arg(help = BACKUP_HELP)]
    pub(crate) backup: String,
    /// Where to; where it was when absent
    pub(crate) dir: Option<String>,
    /// Use this strategy instead of the best that works
    #[arg(long, value_parser = named(&Strategy::ALL, Strategy::as_str))]
    pub(crate) strategy: Option<Strategy>,
    /// Put it back whenever the container has started again
    #[arg(long)]
    pub(crate) auto_restore: bool,
    /// Take an older restore away under the processes that use it
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only backups of this directory
    #[arg(long)]
    dir: Option<String>,
    /// Only backups of this name
    #[arg(long)]
    name: Option<String>,
    /// Only those that can, or can no longer, be restored
    #[arg(long, value_parser = named(&[BackupState::Active, BackupState::Expired], state_name))]
    state: Option<BackupState>,
    /// What they are sorted by
    #[arg(long, default_value = "created", value_parser = named(&SORTS, sort_name))]
    sort: SortBy,
    /// The other way round: from the least, or the oldest
    #[arg(long, short)]
    reverse: bool,
    /// No more than so many
    #[arg(long, short = 'n')]
    pub(crate) limit: Option<u32>,
}

const SORTS: [SortBy; 5] = [
    SortBy::CreatedAt,
    SortBy::ExpiresAt,
    SortBy::SizeBytes,
    SortBy::Name,
    SortBy::Dir,
];

fn sort_name(sort: SortBy) -> &'static str {
    match sort {
        SortBy::CreatedAt => "created",
        SortBy::ExpiresAt => "expires",
        SortBy::SizeBytes => "size",
        SortBy::Name => "name",
        SortBy::Dir => "dir",
    }
}

fn state_name(state: BackupState) -> &'static str {
    match state {
        BackupState::Active => "active",
        BackupState::Expired => "expired",
    }
}

impl List {
    /// As the Worker takes it, without a page.
    pub(crate) fn query(self) -> ListBackups {
        ListBackups {
            dir: self.dir,
            name: self.name,
            state: self.state,
            sort: Some(self.sort),
            order: self.reverse.then_some(SortOrder::Asc),
            ..ListBackups::default()
        }
    }
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("rules").required(true).multiple(true))]
pub(crate) struct Prune {
    /// Keep the last so many
    #[arg(long, value_name = "N", group = "rules")]
    keep_last: Option<u32>,
    /// Keep the newest of each of the last so many hours that have one
    #[arg(long, value_name = "N", group = "rules")]
    keep_hourly: Option<u32>,
    /// The same of days
    #[arg(long, value_name = "N", group = "rules")]
    keep_daily: Option<u32>,
    /// The same of weeks
    #[arg(long, value_name = "N", group = "rules")]
    keep_weekly: Option<u32>,
    /// The same of months
    #[arg(long, value_name = "N", group = "rules")]
    keep_monthly: Option<u32>,
    /// The same of years
    #[arg(long, value_name = "N", group = "rules")]
    keep_yearly: Option<u32>,
    /// Keep what was made within this time before the newest that can be restored, such as 7days
    #[arg(long, value_name = "DURATION", value_parser = duration, group = "rules")]
    keep_within: Option<Duration>,
    /// Delete what can no longer be restored, whatever the other rules say; otherwise it is kept
    /// while it would be if it had not expired, and takes no place from other backups
    #[arg(long, group = "rules")]
    expired: bool,
    /// Only backups of this directory
    #[arg(long)]
    dir: Option<String>,
    /// Delete nothing, and tell what would be deleted
    #[arg(long)]
    dry_run: bool,
}

impl Prune {
    /// As the Worker takes it.
    pub(crate) fn request(self) -> PruneBackups {
        PruneBackups {
            dir: self.dir,
            keep_last: self.keep_last,
            keep_hourly: self.keep_hourly,
            keep_daily: self.keep_daily,
            keep_weekly: self.keep_weekly,
            keep_monthly: self.keep_monthly,
            keep_yearly: self.keep_yearly,
            keep_within: self.keep_within.map(|time| time.as_secs_f64()),
            expired: self.expired,
            dry_run: self.dry_run,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// Working directory; /workspace when absent
    #[arg(long)]
    pub(crate) cwd: Option<String>,
    /// A variable of its environment; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) env: Vec<(String, String)>,
    /// Kill it after this time, such as 90s
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
    /// Do not read standard input
    #[arg(long, short = 'n')]
    pub(crate) no_stdin: bool,
    /// One word is a line for the shell; several are a program and its arguments
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<String>,
}

/// Accepts the names of these values.
fn named<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(all.iter().map(|value| name(*value))).try_map(move |text| {
        let found = all.iter().find(|value| name(**value) == text);
        found.copied().ok_or("no such value")
    })
}

/// Seconds, or numbers with units.
fn duration(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string()),
        Err(_) => humantime::parse_duration(text).map_err(|error| error.to_string()),
    }
}

fn ttl(text: &str) -> Result<Ttl, String> {
    Ttl::from_seconds(duration(text)?.as_secs_f64()).map_err(|error| error.message)
}

fn block_size(text: &str) -> Result<u32, String> {
    let size: ByteSize = text.parse()?;
    u32::try_from(size.as_u64()).map_err(|_| "it is too large".into())
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("there is no = in it")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        let words = shlex::split(line).expect("a line");
        Arguments::try_parse_from(words)
            .map(|arguments| arguments.command)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_definition_holds() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_option_of_a_backup_can_be_given() {
        let Ok(Command::Backup(backup)) = parse(
            "sandboxctl backup /app -n n --ttl 1day12h -e '*.log' -e b --gitignore \
             --exclude-caches --exclude-larger-than 10MiB --cross-file-systems \
             --on-unreadable skip --format gzip --level 3 --threads 2 --block-size 64KiB",
        ) else {
            panic!("it was not understood");
        };
        let expected = BackupOptions {
            dir: "/app".into(),
            name: Some("n".into()),
            ttl: Some(Ttl::from_seconds(129_600.0).unwrap()),
            gitignore: true,
            excludes: vec!["*.log".into(), "b".into()],
            exclude_caches: true,
            exclude_larger_than: Some(10 << 20),
            cross_file_systems: true,
            on_unreadable: OnUnreadable::Skip,
            compression: Compression {
                format: CompressionFormat::Gzip,
                level: Some(3),
                threads: Some(2),
                block_size: Some(64 << 10),
            },
        };
        assert_eq!(backup.options(), expected);
    }

    #[test]
    fn a_plain_number_is_seconds() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        assert!(duration("-1").is_err());
        assert!(ttl("0").is_err());
    }

    #[test]
    fn pruning_without_a_rule_is_refused() {
        assert!(parse("sandboxctl prune --dry-run").is_err());
        assert!(parse("sandboxctl prune --expired").is_ok());
        assert!(parse("sandboxctl prune --keep-last 1 --keep-daily 7").is_ok());
        assert!(parse("sandboxctl prune --keep-yearly 2").is_ok());
    }

    #[test]
    fn a_token_is_never_shown() {
        let help = Arguments::command().render_long_help().to_string();
        assert!(help.contains("[env: SANDBOX_API_TOKEN]"), "{help}");
    }
}
