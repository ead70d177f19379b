//! `restoreBackup`: give a directory back, copy-on-write.

use sandbox_shared::{
    BackupId, BackupMetadata, ErrorCode, RestoreBackupResult, RestoreRequest, Result, SandboxError,
    Verb,
    backup::iso8601,
    operation::{OperationId, OperationState},
    progress::{OperationKind, Phase},
    protocol::{ArchiveSource, MountStatus, RestoreBackup, RestoreEvent, paths},
};
use time::OffsetDateTime;

use super::{Context, auto_restore, find_archive, find_metadata};
use crate::{
    clock, random_bytes,
    storage::{journal::State, presign::Presigner},
};

/// Restores a backup, and remembers or forgets that it is to be put back.
pub async fn restore(
    context: &Context<'_>,
    request: RestoreRequest,
    operation: Option<OperationId>,
) -> Result<RestoreBackupResult> {
    let request = request.validate(&context.config.allowed_roots()?)?;
    let operation = match operation {
        Some(operation) => operation,
        None => (&BackupId::from_random(random_bytes()?)).into(),
    };
    let journal = context.journal;
    journal.begin(
        &operation,
        OperationKind::RestoreBackup,
        &request.backup,
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

async fn run(context: &Context<'_>, request: RestoreRequest) -> Result<RestoreBackupResult> {
    // A failure is about another directory, or this mends it.
    let _ = auto_restore::put_back_others(context).await;
    let mount = mount(context, &request).await?;
    let dir = &request.backup.dir;
    if request.auto_restore {
        auto_restore::remember(context, &request).await?;
    } else {
        auto_restore::forget(context, dir).await?;
    }
    Ok(RestoreBackupResult {
        success: true,
        dir: request.backup.dir,
        id: request.backup.id,
        strategy: mount.strategy,
        left_out: mount.left_out,
    })
}

/// Has the agent restore a backup.
pub(super) async fn mount(context: &Context<'_>, request: &RestoreRequest) -> Result<MountStatus> {
    let backup = &request.backup;
    let presigner = Presigner::from_settings(&context.config.transfer)?;
    let bucket = context.bucket(Verb::RestoreBackup)?;
    context.begin(OperationKind::RestoreBackup, &backup.id, &backup.dir);

    let metadata = find_metadata(&bucket, &backup.id).await?;
    check_ttl(&metadata, clock::now())?;
    let size_bytes = find_archive(&bucket, &backup.id).await?.size_bytes;
    if size_bytes != metadata.size_bytes {
        return Err(Verb::RestoreBackup.failed(format!(
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
        strategy: request.strategy,
        force: request.force,
    };
    context.lifecycle.note_restored(&backup.id).await?;
    let mut events = agent.events(paths::RESTORES, &request).await?;
    loop {
        let next = context.next(&mut events, Verb::RestoreBackup);
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
                return Ok(mount);
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
