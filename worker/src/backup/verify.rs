//! `verifyBackup`: whether a stored archive is whole. Nothing is restored.

use sandbox_shared::{
    BackupId, Result, methods,
    progress::{OperationKind, Phase},
    protocol::{ArchiveSource, VerifyBackup, VerifyEvent, paths},
    verification::VerifyBackupResult,
};

use super::{Context, find_archive, find_metadata};
use crate::{clock, storage::presign::Presigner};

/// Has the agent read all of an archive, expired or not.
pub async fn verify(context: &Context<'_>, id: BackupId) -> Result<VerifyBackupResult> {
    let presigner = Presigner::from_settings(&context.config.transfer)?;
    let bucket = context.bucket(&methods::VERIFY_BACKUP)?;
    let metadata = find_metadata(&bucket, context.index, &id).await?;
    context.begin(OperationKind::VerifyBackup, &id, &metadata.dir);
    let size_bytes = find_archive(&bucket, context.index, &id).await?.size_bytes;

    let agent = context.lifecycle.agent().await?;
    let (url, url_expires_at) = presigner.read_all_of_archive(&id, size_bytes, clock::now());
    let request = VerifyBackup {
        source: ArchiveSource {
            url,
            url_expires_at: Some(url_expires_at),
            size_bytes,
            checksum: metadata.checksum,
        },
    };
    let mut events = agent.events(paths::VERIFY, &request).await?;
    loop {
        let next = context.next(&mut events, &methods::VERIFY_BACKUP);
        match next.await? {
            VerifyEvent::Progress {
                bytes_checked,
                bytes_total,
            } => context.progress.update(|operation| {
                operation.phase = Phase::Verifying;
                operation.bytes_done = bytes_checked;
                operation.bytes_total = Some(bytes_total);
            }),
            VerifyEvent::Verified(archive) => {
                let files = Some(archive.files);
                context.progress.update(|operation| operation.files = files);
                return Ok(VerifyBackupResult::new(
                    id,
                    size_bytes,
                    metadata.size_bytes,
                    archive,
                ));
            }
            VerifyEvent::Failed(error) => return Err(error),
            // An agent newer than this Worker has more to tell.
            VerifyEvent::Unknown => {}
        }
    }
}
