//! Putting restored directories back: a container that has slept, crashed or
//! been replaced has lost them.
//!
//! What is to be put back is in the Durable Object's storage, from the restore
//! that asked for it until another restore of the same directory that does not,
//! or until it is unmounted.

use sandbox_shared::{
    DirectoryBackup, ErrorCode, RestoreRequest, Result, SandboxError, Strategy,
    protocol::MountState,
};
use serde::{Deserialize, Serialize};

use super::{Context, restore};

/// Where the list is kept in storage.
const KEY: &str = "auto-restores";

/// A directory that is put back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoRestore {
    /// What, and where to.
    #[serde(flatten)]
    pub backup: DirectoryBackup,
    /// Forces one strategy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
}

/// All that is to be put back, by directory: outer ones before those in them.
pub async fn all(storage: &worker::Storage) -> Result<Vec<AutoRestore>> {
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
pub async fn forget(context: &Context<'_>, dir: &str) -> Result<()> {
    let storage = context.lifecycle.storage();
    let list = all(&storage).await?;
    let kept = without(list.clone(), dir);
    if kept.len() < list.len() {
        storage.put(KEY, kept).await.map_err(failed)?;
    }
    Ok(())
}

/// Restores what is to be put back and is not there. A failure names the
/// directory, which is not there then.
pub async fn put_back(context: &Context<'_>) -> Result<()> {
    let missing = all(&context.lifecycle.storage()).await?;
    if missing.is_empty() {
        return Ok(());
    }
    let agent = context.lifecycle.agent().await?;
    let mounts = agent.status().await?.mounts;
    let is_there = |wanted: &AutoRestore| {
        mounts.iter().any(|mount| {
            mount.id == wanted.backup.id
                && mount.dir == wanted.backup.dir
                && mount.state != MountState::Lost
        })
    };
    for wanted in missing.into_iter().filter(|wanted| !is_there(wanted)) {
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
    use sandbox_shared::BackupId;

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
