//! Backups: made, restored, looked after.

use sandbox_shared::{
    AllowedDir, BackupId, RestoreBackupResult, Result,
    backup::{NewBackup, Restore},
    catalogue::{
        BackupPage, BackupRecord, DeleteBackupResult, ListBackups, PruneBackups, PruneResult,
        ReindexResult,
    },
    methods::{self, Row},
    operation::OperationId,
    protocol::UnmountResult,
    report::{BackupPreview, CreatedBackup},
    verification::VerifyBackupResult,
};

use super::Service;
use crate::{
    backup::{
        create, delete, find_archive, find_metadata, preview, prune, reindex, restore, unmount,
        verify,
    },
    clock,
    operation::cancellation::Cancellation,
    storage::bucket::BackupBucket,
};

impl Service {
    /// Archives a directory into the bucket.
    pub async fn create_backup(
        &self,
        backup: NewBackup,
        operation: Option<OperationId>,
        cancellation: Cancellation,
    ) -> Result<CreatedBackup> {
        // The container of now, not of when it is this operation's turn.
        let meant = self.lifecycle.meant().await?;
        self.run(cancellation, async |context| {
            create::create(context, meant, backup, operation).await
        })
        .await
    }

    /// What a backup would hold.
    pub async fn preview_backup(&self, backup: NewBackup) -> Result<BackupPreview> {
        preview::preview(&*self.agent().await?, backup).await
    }

    /// Restores a directory, copy-on-write.
    pub async fn restore_backup(
        &self,
        request: Restore,
        operation: Option<OperationId>,
        cancellation: Cancellation,
    ) -> Result<RestoreBackupResult> {
        self.run(cancellation, async |context| {
            restore::restore(context, request, operation).await
        })
        .await
    }

    /// Takes a restored directory away; what was there before comes back.
    pub async fn unmount_backup(&self, dir: AllowedDir, force: bool) -> Result<UnmountResult> {
        self.run(Cancellation::default(), async |context| {
            unmount::unmount(context, dir, force).await
        })
        .await
    }

    /// Backups of this sandbox: a page of them, filtered and sorted.
    pub fn list_backups(&self, query: &ListBackups) -> Result<BackupPage> {
        self.index.list(query, clock::now())
    }

    /// One stored backup, whichever sandbox made it.
    pub async fn get_backup(&self, id: &BackupId) -> Result<BackupRecord> {
        let bucket = self.bucket(&methods::GET_BACKUP)?;
        let metadata = find_metadata(&bucket, &self.index, id).await?;
        find_archive(&bucket, &self.index, id).await?;
        Ok(BackupRecord::new(metadata, clock::now()))
    }

    /// Reads all of a stored backup, whichever sandbox made it.
    pub async fn verify_backup(
        &self,
        id: BackupId,
        cancellation: Cancellation,
    ) -> Result<VerifyBackupResult> {
        self.run(cancellation, async |context| {
            verify::verify(context, id).await
        })
        .await
    }

    /// Deletes a backup, whichever sandbox made it.
    pub async fn delete_backup(&self, id: BackupId) -> Result<DeleteBackupResult> {
        let bucket = self.bucket(&methods::DELETE_BACKUP)?;
        delete::delete(&bucket, &self.index, id).await
    }

    /// Deletes the backups of this sandbox that no rule keeps.
    pub async fn prune_backups(&self, request: PruneBackups) -> Result<PruneResult> {
        let bucket = self.bucket(&methods::PRUNE_BACKUPS)?;
        prune::prune(&bucket, &self.index, request, clock::now()).await
    }

    /// Makes the index anew from the bucket.
    pub async fn reindex_backups(&self) -> Result<ReindexResult> {
        let bucket = self.bucket(&methods::REINDEX_BACKUPS)?;
        reindex::reindex(&bucket, &self.index).await
    }

    fn bucket(&self, method: &'static Row) -> Result<BackupBucket> {
        BackupBucket::open(&self.config, method)
    }
}
