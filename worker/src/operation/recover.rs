//! What a backup or restore left that did not come to its end: because it
//! failed, or because the Durable Object was restarted in the middle.

use sandbox_shared::{Result, methods, operation::OperationState, progress::OperationKind};

use crate::{
    config::Config,
    lifecycle::Lifecycle,
    storage::{
        bucket::BackupBucket,
        index::Index,
        journal::{Journal, State, Unsettled},
    },
};

/// Settles everything in the journal. No operation may be under way.
pub(super) async fn recover(
    journal: &Journal,
    config: &Config,
    lifecycle: &Lifecycle,
    index: &Index,
) -> Result<()> {
    for entry in journal.unsettled()? {
        let state = match entry.kind {
            OperationKind::CreateBackup => {
                // The operation that left it has been answered; who asks now wants
                // to know what became of it.
                let bucket = BackupBucket::open(config, &methods::OPERATION_OUTCOME)?;
                settle_backup(&entry, &bucket, index).await?
            }
            OperationKind::RestoreBackup => settle_restore(&entry, lifecycle).await?,
            // Changes nothing, and is never noted.
            OperationKind::VerifyBackup => OperationState::NotCommitted,
        };
        journal.set(&entry.operation, State::Settled(state))?;
    }
    Ok(())
}

/// A backup exists if its metadata does, unless its caller has been told that
/// it failed. Of any other, upload and objects are removed.
async fn settle_backup(
    entry: &Unsettled,
    bucket: &BackupBucket,
    index: &Index,
) -> Result<OperationState> {
    let id = &entry.backup.id;
    if !entry.has_failed && bucket.exists(id).await? {
        if let Some(metadata) = bucket.metadata(id).await? {
            index.put(&metadata)?;
        }
        return Ok(OperationState::Committed);
    }
    if let Some(upload_id) = &entry.upload_id {
        bucket.abort_upload(id, upload_id).await?;
    }
    bucket.delete(id).await?;
    Ok(OperationState::NotCommitted)
}

/// The agent drops a restore whose connection breaks, and leaves nothing of it.
/// Whether it was done before shows only where the backup was not mounted
/// there already.
async fn settle_restore(entry: &Unsettled, lifecycle: &Lifecycle) -> Result<OperationState> {
    let Some(agent) = lifecycle.running_agent().await? else {
        return Ok(OperationState::NotCommitted);
    };
    let wanted = &entry.backup;
    let mounts = agent.status().await?.mounts;
    let is_there = mounts
        .iter()
        .any(|mount| mount.id == wanted.id && mount.dir == wanted.dir);
    Ok(match is_there {
        true => OperationState::Uncertain,
        false => OperationState::NotCommitted,
    })
}
