//! Putting restored directories back: a container that has slept, crashed or
//! been replaced has lost them.
//!
//! What is to be put back is in the Durable Object's storage, from the restore
//! that asked for it until another restore of the same directory that does not,
//! or until it is unmounted.

use sandbox_shared::{
    ErrorCode, RestoreRequest, Result, SandboxError,
    protocol::MountState,
    status::{AutoRestore, AutoRestoreStatus},
};

use super::{Context, restore};
use crate::{agent::Agent, lifecycle::Lifecycle};

/// Where the list is kept in storage.
const KEY: &str = "auto-restores";

/// All that is to be put back, by directory: outer ones before those in them.
async fn all(storage: &worker::Storage) -> Result<Vec<AutoRestore>> {
    let list: Option<Vec<AutoRestore>> = storage.get(KEY).await.map_err(failed)?;
    Ok(list.unwrap_or_default())
}

/// From now on, what has been restored is put back.
pub(super) async fn remember(context: &Context<'_>, request: &RestoreRequest) -> Result<()> {
    let storage = context.lifecycle.storage();
    let list = all(&storage).await?;
    let list = with(
        list,
        AutoRestore {
            backup: request.backup.clone(),
            strategy: request.strategy,
        },
    );
    storage.put(KEY, list).await.map_err(failed)
}

/// From now on, nothing is put back to a directory or below it.
pub(super) async fn forget(context: &Context<'_>, dir: &str) -> Result<()> {
    let storage = context.lifecycle.storage();
    let list = all(&storage).await?;
    let kept = without(list.clone(), dir);
    if kept.len() < list.len() {
        storage.put(KEY, kept).await.map_err(failed)?;
    }
    Ok(())
}

/// How everything is that is to be put back.
pub async fn status(lifecycle: &Lifecycle) -> Result<Vec<AutoRestoreStatus>> {
    let failure = lifecycle.put_back_failure();
    let entries = all(&lifecycle.storage()).await?;
    let with_error = |entry: AutoRestore| AutoRestoreStatus {
        error: failure
            .clone()
            .filter(|error| is_about(error, &entry.backup.dir)),
        entry,
    };
    Ok(entries.into_iter().map(with_error).collect())
}

/// Restores what is to be put back and is not there, once for each container.
/// A failure names the directory, which is not there then.
pub async fn put_back(context: &Context<'_>) -> Result<()> {
    // Whether a container has started shows when its agent is asked for.
    let agent = context.lifecycle.agent().await?;
    if context.lifecycle.is_put_back() {
        return Ok(());
    }
    let done = put_back_into(context, &agent).await;
    context.lifecycle.set_put_back(done.clone());
    done
}

async fn put_back_into(context: &Context<'_>, agent: &Agent) -> Result<()> {
    let entries = all(&context.lifecycle.storage()).await?;
    if entries.is_empty() {
        return Ok(());
    }
    let mounts = agent.status().await?.mounts;
    let is_there = |wanted: &AutoRestore| {
        mounts.iter().any(|mount| {
            mount.id == wanted.backup.id
                && mount.dir == wanted.backup.dir
                && mount.state != MountState::Lost
        })
    };
    for wanted in entries.into_iter().filter(|wanted| !is_there(wanted)) {
        let dir = wanted.backup.dir.clone();
        let request = RestoreRequest {
            backup: wanted.backup,
            strategy: wanted.strategy,
            force: true,
            auto_restore: true,
        };
        restore::mount(context, &request)
            .await
            .map_err(|error| explain(error, &dir))?;
    }
    Ok(())
}

/// Whether a failure to put things back is one of `dir`.
pub(super) fn is_about(error: &SandboxError, dir: &str) -> bool {
    error.context.get("autoRestore").is_some_and(|it| it == dir)
}

fn explain(error: SandboxError, dir: &str) -> SandboxError {
    SandboxError {
        message: format!(
            "{dir} could not be put back after the container had started again: {}; \
             unmountBackup(\"{dir}\") forgets it",
            error.message
        ),
        ..error
    }
    .with("autoRestore", dir)
}

fn with(list: Vec<AutoRestore>, new: AutoRestore) -> Vec<AutoRestore> {
    let mut list = without(list, &new.backup.dir);
    list.push(new);
    list.sort_by(|a, b| a.backup.dir.cmp(&b.backup.dir));
    list
}

/// What is below `dir` is taken away with it.
fn without(mut list: Vec<AutoRestore>, dir: &str) -> Vec<AutoRestore> {
    list.retain(|entry| {
        let rest = entry.backup.dir.strip_prefix(dir);
        !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    list
}

fn failed(error: worker::Error) -> SandboxError {
    SandboxError::new(
        ErrorCode::InternalError,
        format!("the Durable Object's storage failed: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use sandbox_shared::{BackupId, DirectoryBackup};

    use super::*;

    fn entry(number: u8, dir: &str) -> AutoRestore {
        AutoRestore {
            backup: DirectoryBackup {
                id: BackupId::from_random([number; 16]),
                dir: dir.to_owned(),
            },
            strategy: None,
        }
    }

    #[test]
    fn a_directory_is_put_back_once_and_after_those_it_is_in() {
        let mut list = Vec::new();
        for (number, dir) in [(1, "/app/x/y"), (2, "/app/xy"), (3, "/app"), (4, "/app/x")] {
            list = with(list, entry(number, dir));
        }
        // The restore of /app took those below it away.
        assert_eq!(list, [entry(3, "/app"), entry(4, "/app/x")]);
        list = with(list, entry(5, "/app/x"));
        list = with(list, entry(6, "/app/xy"));
        assert_eq!(
            list,
            [entry(3, "/app"), entry(5, "/app/x"), entry(6, "/app/xy")]
        );
        assert_eq!(
            without(list, "/app/x"),
            [entry(3, "/app"), entry(6, "/app/xy")]
        );
    }

    #[test]
    fn a_failure_says_how_to_go_on() {
        let error = SandboxError::new(ErrorCode::BackupExpired, "it expired").with("id", "x");
        let explained = explain(error, "/app");
        assert_eq!(explained.code, ErrorCode::BackupExpired);
        assert!(explained.message.contains("unmountBackup(\"/app\")"));
        assert_eq!(explained.context["autoRestore"], "/app");
        assert_eq!(explained.context["id"], "x");
    }
}
