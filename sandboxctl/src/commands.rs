//! The commands, one a file where they are more than a request.

use std::process::ExitCode;

use clap::CommandFactory;
use comfy_table::CellAlignment::{Left, Right};
use sandbox_shared::{
    catalogue::{DeleteBackupResult, ReindexResult, StoredSandboxes},
    progress::CancelResult,
    protocol::{UnmountBackup, UnmountResult},
};

use crate::{
    api::{Answer, Api, SandboxApi},
    arguments::{Arguments, Command, Connection},
    failure::Failure,
    interrupt, output, selector,
};

mod backup;
mod exec;
mod files;
mod list;
mod logs;
mod operation;
mod prune;
mod restore;
mod status;
mod verify;

/// What a command works with.
#[derive(Debug)]
struct Context {
    api: SandboxApi,
    /// Whether to print JSON.
    json: bool,
    /// Whether to print no progress.
    quiet: bool,
}

/// Does what was asked for.
pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let Arguments {
        connection,
        command,
    } = arguments;
    match command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            let mut definition = Arguments::command();
            clap_complete::generate(shell, &mut definition, "sandboxctl", &mut script);
            output::print(&String::from_utf8_lossy(&script))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Sandboxes => {
            interrupt::unless(sandboxes(&worker(&connection)?, connection.json)).await
        }
        // These end what they have begun.
        Command::Backup(options) => backup::create(&Context::new(&connection)?, &options).await,
        Command::Restore(arguments) => {
            restore::restore(&Context::new(&connection)?, arguments).await
        }
        Command::Verify { backup } => verify::verify(&Context::new(&connection)?, &backup).await,
        Command::Exec(arguments) => {
            interrupt::unless(async { exec::exec(&Context::new(&connection)?, arguments).await })
                .await
                .map_err(|failure| Failure::NotRun(Box::new(failure)))
        }
        command => interrupt::unless(Context::new(&connection)?.run(command)).await,
    }
}

fn worker(connection: &Connection) -> Result<Api, Failure> {
    let url = connection.url.as_deref().ok_or_else(|| {
        Failure::Usage("say where the Worker is: --url URL, or SANDBOX_URL".into())
    })?;
    Api::new(url, connection.token.clone())
}

impl Context {
    fn new(connection: &Connection) -> Result<Self, Failure> {
        let api = worker(connection)?;
        let name = connection.sandbox.clone().ok_or_else(|| {
            Failure::Usage("say which sandbox: --sandbox NAME, or SANDBOX".into())
        })?;
        Ok(Self {
            api: api.sandbox(name),
            json: connection.json,
            quiet: connection.quiet,
        })
    }

    async fn run(&self, command: Command) -> Result<ExitCode, Failure> {
        match command {
            Command::Preview(options) => backup::preview(self, &options).await,
            Command::Unmount(request) => self.unmount(&request).await,
            Command::List(arguments) => list::list(self, arguments).await,
            Command::Show { backup } => list::show(self, &backup).await,
            Command::Delete { backups } => self.delete(&backups).await,
            Command::Prune(arguments) => prune::prune(self, arguments).await,
            Command::Put { local, remote } => files::put(self, &local, &remote).await,
            Command::Get { remote, local } => files::get(self, &remote, local.as_deref()).await,
            Command::Ls(request) => files::ls(self, &request).await,
            Command::Status => status::status(self).await,
            Command::Logs { lines, follow } => logs::logs(self, lines, follow).await,
            Command::Cancel => self.cancel().await,
            Command::Stop => self.stop().await,
            Command::Reindex => self.reindex().await,
            Command::Backup(_)
            | Command::Restore(_)
            | Command::Verify { .. }
            | Command::Exec(_)
            | Command::Completions { .. }
            | Command::Sandboxes => unreachable!("dealt with before"),
        }
    }

    /// Prints an answer as JSON, or what `describe` makes of it.
    fn say<T>(&self, answer: &Answer<T>, describe: impl FnOnce(&T) -> String) -> Done {
        if self.json {
            output::print_json(&answer.json)?;
        } else {
            output::print(&describe(&answer.value))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn unmount(&self, request: &UnmountBackup) -> Done {
        let answer: Answer<UnmountResult> = self.api.post(&["unmount"], request).await?;
        self.say(&answer, |result| {
            format!("{} is as it was before the restore\n", result.dir)
        })
    }

    async fn delete(&self, backups: &[String]) -> Done {
        // What cannot be told apart is found out before anything is deleted.
        let mut ids = Vec::new();
        for backup in backups {
            ids.push(selector::id(&self.api, backup).await?);
        }
        for id in ids {
            let route = ["backups", id.as_str()];
            let answer: Answer<DeleteBackupResult> = self.api.delete(&route).await?;
            self.say(&answer, |result| {
                if result.existed {
                    format!("deleted {id}\n")
                } else {
                    format!("there was no {id}\n")
                }
            })?;
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn cancel(&self) -> Done {
        let answer: Answer<CancelResult> = self.api.delete(&["operation"]).await?;
        self.say(&answer, |result| match &result.cancelled {
            Some(operation) => format!(
                "ended {} {} of {}\n",
                operation.kind.as_str(),
                operation.id,
                output::printable(&operation.dir)
            ),
            None => "nothing was running\n".into(),
        })
    }

    async fn stop(&self) -> Done {
        self.api.stop().await?;
        if !self.json {
            output::print("the container is stopped\n")?;
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn reindex(&self) -> Done {
        let answer: Answer<ReindexResult> = self.api.post(&["reindex"], &()).await?;
        self.say(&answer, |result| {
            let mut text = format!(
                "{} in the list\n",
                output::counted(result.indexed, "backup", "backups")
            );
            if result.unreadable.count > 0 {
                text += &format!("{} that cannot be read:\n", result.unreadable.count);
                for key in &result.unreadable.first {
                    text += &format!("  {}\n", output::printable(key));
                }
            }
            text
        })
    }
}

/// How a command ends.
type Done = Result<ExitCode, Failure>;

async fn sandboxes(api: &Api, json: bool) -> Done {
    let answer: Answer<StoredSandboxes> = api.sandboxes().await?;
    if json {
        output::print_json(&answer.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let header = [
        ("SANDBOX", Left),
        ("BACKUPS", Right),
        ("SIZE", Right),
        ("NEWEST", Left),
    ];
    let rows = answer.value.sandboxes.iter().map(|sandbox| {
        let name = sandbox.name.as_ref().or(sandbox.sandbox.as_ref());
        [
            name.map_or("(other writers)".into(), |name| output::printable(name)),
            sandbox.backups.to_string(),
            output::bytes(sandbox.size_bytes),
            output::age(sandbox.newest_at),
        ]
    });
    output::print(&output::table(header, rows))?;
    Ok(ExitCode::SUCCESS)
}
