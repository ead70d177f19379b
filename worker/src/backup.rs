//! What can be done with backups, one method a file.

use std::{pin::pin, rc::Rc};

use futures_util::future::{Either, select};
use sandbox_shared::{
    BackupId, BackupMetadata, ErrorCode, Result, SandboxError,
    metadata::iso8601,
    methods::Row,
    progress::{Operation, OperationKind},
};
use serde::de::DeserializeOwned;

use crate::{
    agent::Events,
    clock,
    config::Config,
    lifecycle::Lifecycle,
    operation::{cancellation::Cancellation, progress::ProgressReport},
    storage::{
        bucket::{BackupBucket, StoredArchive},
        index::Index,
        journal::Journal,
    },
};

pub mod auto_restore;
pub mod create;
pub mod delete;
mod mount;
pub mod overview;
pub mod preview;
pub mod prune;
pub mod reindex;
pub mod restore;
pub mod unmount;
pub mod verify;

use auto_restore::PutBack;

/// What a method works with.
pub struct Context<'a> {
    /// The settings.
    pub config: &'a Config,
    /// The container.
    pub lifecycle: &'a Rc<Lifecycle>,
    /// What is stored.
    pub index: &'a Index,
    /// What has been begun.
    pub journal: &'a Journal,
    /// What has been put back.
    pub put_back: &'a PutBack,
    /// Where it says how far it is.
    pub progress: &'a ProgressReport<'a>,
    /// Whether its result is still wanted.
    pub cancellation: Cancellation,
}

impl Context<'_> {
    /// The bucket, to be used for `method`.
    fn bucket(&self, method: &'static Row) -> Result<BackupBucket> {
        BackupBucket::open(self.config, method)
    }

    /// The next event of an operation, or its error once it is cancelled.
    async fn next<T: DeserializeOwned>(
        &self,
        events: &mut Events,
        method: &'static Row,
    ) -> Result<T> {
        let cancelled = pin!(self.cancellation.requested());
        match select(pin!(events.next()), cancelled).await {
            Either::Left((event, _)) => event,
            Either::Right(((), _)) => Err(cancelled_error(method)),
        }
    }

    fn begin(&self, kind: OperationKind, id: &BackupId, dir: &str) {
        let now = iso8601(clock::now());
        self.progress
            .begin(Operation::new(kind, id.clone(), dir, now));
    }
}

/// The metadata of a backup, without which there is none.
pub async fn find_metadata(
    bucket: &BackupBucket,
    index: &Index,
    id: &BackupId,
) -> Result<BackupMetadata> {
    match bucket.metadata(id).await? {
        Some(metadata) => Ok(metadata),
        None => Err(not_found(index, id, "metadata")?),
    }
}

/// The archive of a backup, without which there is none.
pub async fn find_archive(
    bucket: &BackupBucket,
    index: &Index,
    id: &BackupId,
) -> Result<StoredArchive> {
    match bucket.archive(id).await? {
        Some(archive) => Ok(archive),
        None => Err(not_found(index, id, "archive")?),
    }
}

/// Something else has deleted it: it is not to be listed any more.
fn not_found(index: &Index, id: &BackupId, what: &str) -> Result<SandboxError> {
    index.remove(std::slice::from_ref(id))?;
    Ok(SandboxError::new(
        ErrorCode::BackupNotFound,
        format!("backup {id} has no {what} in the bucket"),
    )
    .with("id", id.as_str()))
}

/// The error of an operation that was cancelled.
pub fn cancelled_error(method: &'static Row) -> SandboxError {
    method
        .failed("the operation was cancelled")
        .with("cancelled", true)
}
