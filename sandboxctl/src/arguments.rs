//! What can be typed.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use sandbox_shared::{
    BackupOptions,
    backup::RestoreOptions,
    catalogue::{ListBackups, PruneBackups, SortOrder},
    files::{ExecRequest, ListFiles},
    protocol::UnmountBackup,
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
    Backup(BackupOptions),
    /// Tell what a backup with the same options would hold, and store nothing
    Preview(BackupOptions),
    /// Restore a backup to a directory, copy-on-write
    Restore(Restore),
    /// Unmount a restored directory; what it covered is visible again
    Unmount(UnmountBackup),
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
    Prune(PruneBackups),
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
    Ls(ListFiles),
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
    /// Rebuild the list of backups from what is in the bucket
    Reindex,
    /// Print a completion script
    Completions {
        /// For this shell
        shell: Shell,
    },
}

const BACKUP_HELP: &str = "Id of a backup, the beginning of one, or `latest`";

#[derive(Debug, Args)]
pub(crate) struct Restore {
    #[arg(help = BACKUP_HELP)]
    pub(crate) backup: String,
    /// Where to; where it was when absent
    pub(crate) dir: Option<String>,
    #[command(flatten)]
    pub(crate) options: RestoreOptions,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    query: ListBackups,
    /// The other way round: from the least, or the oldest
    #[arg(long, short)]
    reverse: bool,
    /// No more than so many
    #[arg(long, short = 'n')]
    pub(crate) limit: Option<u32>,
}

impl List {
    /// As the Worker takes it, without a page.
    pub(crate) fn query(self) -> ListBackups {
        ListBackups {
            order: self.reverse.then_some(SortOrder::Asc),
            ..self.query
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Exec {
    #[command(flatten)]
    pub(crate) request: ExecRequest,
    /// A variable of its environment; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) env: Vec<(String, String)>,
    /// Do not read standard input
    #[arg(long, short = 'n')]
    pub(crate) no_stdin: bool,
    /// One word is a line for the shell; several are a program and its arguments
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<String>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("there is no = in it")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Whether arguments that cannot be parsed were meant for `exec`.
pub(crate) fn means_exec(arguments: impl Iterator<Item = OsString>) -> bool {
    Arguments::command()
        .ignore_errors(true)
        .try_get_matches_from(arguments)
        .is_ok_and(|matches| matches.subcommand_name() == Some("exec"))
}

#[cfg(test)]
mod tests {
    use sandbox_shared::{Compression, CompressionFormat, OnUnreadable, Ttl};

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
            name: Some("n".parse().unwrap()),
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
        assert_eq!(backup, expected);
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

    #[test]
    fn wrong_arguments_are_those_of_the_command_that_was_typed() {
        let means_exec = |line: &str| {
            assert!(parse(line).is_err(), "{line}");
            let words = shlex::split(line).expect("a line");
            means_exec(words.into_iter().map(OsString::from))
        };
        for line in [
            "sandboxctl exec",
            "sandboxctl exec --bogus -- true",
            "sandboxctl --sandbox a --json exec --bogus",
            "sandboxctl exec --timeout-ms soon -- true",
        ] {
            assert!(means_exec(line), "{line}");
        }
        for line in [
            "sandboxctl backup exec --bogus",
            "sandboxctl list --name exec --bogus",
            "sandboxctl --sandbox exec list --bogus",
            "sandboxctl",
            "sandboxctl bogus exec",
        ] {
            assert!(!means_exec(line), "{line}");
        }
    }
}
