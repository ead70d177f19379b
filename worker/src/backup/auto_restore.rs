//! Putting restored directories back: a container that has slept, crashed or
//! been replaced has lost them.
//!
//! What is to be put back is in the Durable Object's storage, from the restore
//! that asked for it until another restore of the same directory that does not,
//! or until it is unmounted.

use sandbox_shared::{
    ErrorCode, Result, SandboxError,
    backup::Restore,
    path::is_within,
    protocol::MountState,
    status::{AutoRestore, AutoRestoreStatus},
};

use super::{Context, mount::mount};
use crate::lifecycle::{AgentInUse, Connected};
use outcome::{Failure, GivenUp};

pub use outcome::PutBack;

mod outcome;

/// Where the list is kept in storage.
const KEY: &str = "auto-restores";

/// All that is to be put back, by directory: outer ones before those in them.
async fn all(storage: &worker::Storage) -> Result<Vec<AutoRestore>> {
    let list: Option<Vec<AutoRestore>> = storage.get(KEY).await.map_err(failed)?;
    Ok(list.unwrap_or_default())
}

/// From now on, what has been restored is put back.
pub(super) async fn remember(context: &Context<'_>, request: &Restore) -> Result<()> {
    let storage = context.lifecycle.storage();
    GivenUp::forget(&storage, &request.backup()).await?;
    let list = all(&storage).await?;
    let list = with(
        list,
        AutoRestore {
            backup: request.backup(),
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

/// Whether something is to be put back to a directory or below it.
pub(super) async fn remembers(context: &Context<'_>, dir: &str) -> Result<bool> {
    let list = all(&context.lifecycle.storage()).await?;
    Ok(list.iter().any(|entry| is_within(&entry.backup.dir, dir)))
}

/// How everything is that is to be put back. `generation` is that of the container
/// that runs, if one does.
pub async fn status(
    storage: &worker::Storage,
    put_back: &PutBack,
    generation: Option<u32>,
) -> Result<Vec<AutoRestoreStatus>> {
    let mut failures = GivenUp::last(storage, generation).await?;
    failures.extend(put_back.failures(generation));
    let with_error = |entry: AutoRestore| AutoRestoreStatus {
        error: failures
            .iter()
            .find(|failure| failure.backup == entry.backup)
            .map(|failure| failure.error.clone()),
        entry,
    };
    Ok(all(storage).await?.into_iter().map(with_error).collect())
}

/// Restores what is to be put back and is not there, for the operation that
/// comes first in a container, and gives the agent that is in it. It fails with
/// one failure, which names the directory. The next operation tries again, but
/// nobody is told twice, in one container, of what is gone for good.
pub async fn put_back(context: &Context<'_>) -> Result<AgentInUse> {
    // Whether a container has started shows when its agent is asked for.
    let agent = context.lifecycle.agent().await?;
    let generation = agent.generation();
    if context.put_back.is_done(generation) {
        return Ok(agent);
    }
    let mut failures = attempt(context, &agent).await?;
    let reported = failures.first().cloned();
    if let Some(lasting) = reported.clone().filter(Failure::is_lasting) {
        failures.remove(0);
        GivenUp::add(&context.lifecycle.storage(), generation, lasting).await?;
    }
    context.put_back.set(generation, failures);
    reported.map_or(Ok(agent), |failure| Err(failure.error))
}

/// Puts back what is not there for somebody who is not to hear of failures: the
/// next operation reports them.
pub(super) async fn put_back_others(context: &Context<'_>) -> Result<()> {
    let agent = context.lifecycle.agent().await?;
    if !context.put_back.is_done(agent.generation()) {
        attempt(context, &agent).await?;
    }
    Ok(())
}

async fn attempt(context: &Context<'_>, agent: &Connected) -> Result<Vec<Failure>> {
    let storage = context.lifecycle.storage();
    let entries = all(&storage).await?;
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let given_up = GivenUp::last(&storage, Some(agent.generation())).await?;
    let mounts = agent.status().await?.mounts;
    let mut restored: Vec<String> = Vec::new();
    let mut failures: Vec<Failure> = Vec::new();
    for AutoRestore { backup, strategy } in entries {
        let is_there = mounts.iter().any(|mount| {
            mount.id == backup.id && mount.dir == backup.dir && mount.state != MountState::Lost
        });
        // A restore takes away what was restored further down.
        let was_taken = restored.iter().any(|dir| is_within(&backup.dir, dir));
        let would_be_taken = failures
            .iter()
            .any(|outer| !outer.is_lasting() && is_within(&backup.dir, &outer.backup.dir));
        let is_given_up = given_up.iter().any(|failure| failure.backup == backup);
        if is_there && !was_taken || would_be_taken || is_given_up {
            continue;
        }
        let mounted = async {
            // The settings may have changed since it was remembered.
            let restore = Restore {
                id: backup.id.clone(),
                dir: context.config.allowed_roots()?.check(&backup.dir)?,
                strategy,
                force: true,
                auto_restore: true,
            };
            mount(context, &restore).await
        };
        match mounted.await {
            Ok(_) => restored.push(backup.dir),
            Err(error) => failures.push(Failure::new(backup, error)),
        }
    }
    Ok(failures)
}

fn with(list: Vec<AutoRestore>, new: AutoRestore) -> Vec<AutoRestore> {
    let mut list = without(list, &new.backup.dir);
    list.push(new);
    list.sort_by(|a, b| a.backup.dir.cmp(&b.backup.dir));
    list
}

/// What is below `dir` is taken away with it.
fn without(mut list: Vec<AutoRestore>, dir: &str) -> Vec<AutoRestore> {
    list.retain(|entry| !is_within(&entry.backup.dir, dir));
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
}
