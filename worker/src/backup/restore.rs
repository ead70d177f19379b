//! `restoreBackup`: give a directory back, copy-on-write.

use sandbox_shared::{
    BackupMetadata, ErrorCode, RestoreBackupResult, RestoreRequest, Result, SandboxError,
    backup::iso8601,
    protocol::{ArchiveSource, RestoreBackup, RestoreEvent, paths},
};
use time::OffsetDateTime;

use super::Context;
use crate::{clock, operations::Phase, storage::presign::Presigner};

/// Restores a backup.
pub async fn restore(
    context: &Context<'_>,
    request: RestoreRequest,
) -> Result<RestoreBackupResult> {
    let RestoreRequest { backup, strategy } = request.validate(&context.config.allowed_roots()?)?;
    let presigner = Presigner::from_settings(&context.config.transfer)?;
    let bucket = context.bucket(ErrorCode::BackupRestoreFailed)?;
    context.begin("restoreBackup", &backup.id, &backup.dir);

    let not_found = |what: &str| {
        SandboxError::new(
            ErrorCode::BackupNotFound,
            format!("backup {} has no {what} in the bucket", backup.id),
        )
        .with("id", backup.id.as_str())
    };
    let metadata = bucket
        .metadata(&backup.id)
        .await?
        .ok_or_else(|| not_found("metadata"))?;
    check_ttl(&metadata, clock::now())?;
    let size_bytes = bucket
        .archive(&backup.id)
        .await?
        .ok_or_else(|| not_found("archive"))?
        .size_bytes;
    if size_bytes != metadata.size_bytes {
        return Err(SandboxError::new(
            ErrorCode::BackupRestoreFailed,
            format!(
                "the archive of backup {} has {size_bytes} bytes; its metadata says {}",
                backup.id, metadata.size_bytes
            ),
        ));
    }

    let agent = context.lifecycle.agent().await?;
    let request = RestoreBackup {
        id: backup.id.clone(),
        dir: backup.dir,
        source: ArchiveSource {
            url: presigner.read_archive(&backup.id, clock::now()),
            size_bytes,
            checksum: metadata.checksum,
        },
        strategy,
    };
    let mut events = agent.events(paths::RESTORES, &request).await?;
    loop {
        let next = context.next(&mut events, ErrorCode::BackupRestoreFailed);
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
                return Ok(RestoreBackupResult {
                    success: true,
                    dir: mount.dir,
                    id: mount.id,
                    strategy: mount.strategy,
                });
            }
            RestoreEvent::Failed(error) => return Err(error),
            // An agent newer than this Worker may have more to tell.
            _ => {}
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
