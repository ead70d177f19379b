//! `restoreBackup`: give a directory back, copy-on-write.

use sandbox_shared::{
    RestoreBackupResult, Result,
    backup::Restore,
    operation::{OperationId, OperationState},
    progress::OperationKind,
};

use super::{Context, auto_restore, mount::mount};
use crate::{clock, storage::journal::State};

/// Restores a backup, and remembers or forgets that it is to be put back.
pub async fn restore(
    context: &Context<'_>,
    request: Restore,
    operation: Option<OperationId>,
) -> Result<RestoreBackupResult> {
    let operation = operation.unwrap_or_else(OperationId::random);
    let journal = context.journal;
    journal.begin(
        &operation,
        OperationKind::RestoreBackup,
        &request.backup(),
        clock::now(),
    )?;
    let restored = run(context, request).await;
    let state = match restored {
        Ok(_) => OperationState::Committed,
        Err(_) => OperationState::NotCommitted,
    };
    journal.set(&operation, State::Settled(state))?;
    restored
}

async fn run(context: &Context<'_>, request: Restore) -> Result<RestoreBackupResult> {
    // A failure is about another directory, or this mends it.
    let _ = auto_restore::put_back_others(context).await;
    let (agent, mount) = mount(context, &request).await?;
    let dir = request.dir.as_str();
    context.lifecycle.note_restored_dir(&agent, dir).await?;
    if request.auto_restore {
        auto_restore::remember(context, &request).await?;
    } else {
        auto_restore::forget(context, dir).await?;
    }
    Ok(RestoreBackupResult {
        success: true,
        dir: request.dir.into(),
        id: request.id,
        strategy: mount.strategy,
        left_out: mount.left_out,
    })
}
