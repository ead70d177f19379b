//! Having the agent restore a backup, for a caller or to put it back.

use sandbox_shared::{
    BackupMetadata, ErrorCode, Result, SandboxError,
    backup::Restore,
    metadata::iso8601,
    methods,
    progress::{OperationKind, Phase},
    protocol::{ArchiveSource, MountStatus, RestoreBackup, RestoreEvent, paths},
};
use time::OffsetDateTime;

use super::{Context, find_archive, find_metadata};
use crate::{clock, lifecycle::AgentInUse, storage::presign::Presigner};

/// Has the agent restore a backup, and says which agent that was.
pub(super) async fn mount(
    context: &Context<'_>,
    restore: &Restore,
) -> Result<(AgentInUse, MountStatus)> {
    let backup = &restore.backup();
    let presigner = Presigner::from_settings(&context.config.transfer)?;
    let bucket = context.bucket(&methods::RESTORE_BACKUP)?;
    context.begin(OperationKind::RestoreBackup, &backup.id, &backup.dir);

    let metadata = find_metadata(&bucket, context.index, &backup.id).await?;
    check_ttl(&metadata, clock::now())?;
    let size_bytes = find_archive(&bucket, context.index, &backup.id)
        .await?
        .size_bytes;
    if size_bytes != metadata.size_bytes {
        return Err(methods::RESTORE_BACKUP.failed(format!(
            "the archive of backup {} has {size_bytes} bytes; its metadata says {}",
            backup.id, metadata.size_bytes
        )));
    }

    let files = metadata.counts.map(|counts| counts.files);
    context.progress.update(|operation| operation.files = files);
    let agent = context.lifecycle.agent().await?;
    let (url, url_expires_at) = presigner.read_archive(&backup.id, clock::now());
    let request = RestoreBackup {
        id: backup.id.clone(),
        dir: backup.dir.clone(),
        source: ArchiveSource {
            url,
            url_expires_at: Some(url_expires_at),
            size_bytes,
            checksum: metadata.checksum,
        },
        strategy: restore.strategy,
        force: restore.force,
    };
    context.lifecycle.note_restored(&agent, &backup.id).await?;
    let mut events = agent.events(paths::RESTORES, &request).await?;
    loop {
        let next = context.next(&mut events, &methods::RESTORE_BACKUP);
        match next.await? {
            RestoreEvent::Progress {
                bytes_downloaded,
                bytes_total,
            } => context.progress.update(|operation| {
                operation.phase = Phase::Mounting;
                operation.bytes_done = bytes_downloaded;
                operation.bytes_total = Some(bytes_total);
            }),
            RestoreEvent::Mounted(mount) => {
                let strategy = Some(mount.strategy);
                context
                    .progress
                    .update(|operation| operation.strategy = strategy);
                context.lifecycle.renew_for(&mount).await?;
                return Ok((agent, mount));
            }
            RestoreEvent::Failed(error) => return Err(error),
            // An agent newer than this Worker has more to tell.
            RestoreEvent::Unknown => {}
        }
    }
}

fn check_ttl(metadata: &BackupMetadata, now: OffsetDateTime) -> Result<()> {
    if !metadata.is_expired(now) {
        return Ok(());
    }
    let expired_at = iso8601(metadata.expires_at());
    Err(SandboxError::new(
        ErrorCode::BackupExpired,
        format!(
            "backup {} expired at {expired_at}: its TTL of {} s has elapsed",
            metadata.id,
            metadata.ttl.seconds()
        ),
    )
    .with("id", metadata.id.as_str())
    .with("expiredAt", expired_at))
}
