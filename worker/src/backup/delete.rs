//! `deleteBackup`: both objects of a backup, for good.

use sandbox_shared::{BackupId, Result, catalogue::DeleteBackupResult};

use crate::storage::{bucket::BackupBucket, index::Index};

/// Deletes a backup. One that is not there is as good as deleted.
pub async fn delete(
    bucket: &BackupBucket,
    index: &Index,
    id: BackupId,
) -> Result<DeleteBackupResult> {
    let existed = bucket.exists(&id).await?;
    bucket.delete(&id).await?;
    index.remove(std::slice::from_ref(&id))?;
    Ok(DeleteBackupResult {
        success: true,
        id,
        existed,
    })
}
