//! What can be done with backups, one verb a file.

use std::{cell::RefCell, rc::Rc};

use sandbox_shared::{BackupId, ErrorCode, Result};
use serde::Serialize;

use crate::{clock, config::Config, lifecycle::Lifecycle, storage::bucket::BackupBucket};

pub mod auto_restore;
pub mod create;
pub mod restore;

/// What a verb works with.
pub struct Context<'a> {
    /// The settings.
    pub config: &'a Config,
    /// The container.
    pub lifecycle: &'a Rc<Lifecycle>,
    /// Where it says how far it is.
    pub progress: ProgressReport,
}

impl Context<'_> {
    /// The bucket; its failures are reported as `on_failure`.
    fn bucket(&self, on_failure: ErrorCode) -> Result<BackupBucket> {
        Ok(BackupBucket::new(self.config.bucket()?, on_failure))
    }
}

/// The operation that runs, as `status` shows it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// `createBackup`, `restoreBackup`, …
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The backup.
    pub id: BackupId,
    /// The directory.
    pub dir: String,
    /// ISO 8601.
    pub started_at: String,
    /// Bytes moved so far.
    pub bytes_done: u64,
    /// Bytes there are, when that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_total: Option<u64>,
}

/// The place where the running operation is noted.
pub type ProgressSlot = Rc<RefCell<Option<Operation>>>;

/// Notes the running operation for as long as it lives.
pub struct ProgressReport {
    slot: ProgressSlot,
}

impl ProgressReport {
    /// Reports to `slot`.
    pub fn new(slot: ProgressSlot) -> Self {
        Self { slot }
    }

    fn begin(&self, kind: &'static str, id: &BackupId, dir: &str) {
        *self.slot.borrow_mut() = Some(Operation {
            kind,
            id: id.clone(),
            dir: dir.to_owned(),
            started_at: sandbox_shared::backup::iso8601(clock::now()),
            bytes_done: 0,
            bytes_total: None,
        });
    }

    fn advance(&self, done: u64, total: Option<u64>) {
        if let Some(operation) = self.slot.borrow_mut().as_mut() {
            operation.bytes_done = done;
            operation.bytes_total = total.or(operation.bytes_total);
        }
    }
}

impl Drop for ProgressReport {
    fn drop(&mut self) {
        self.slot.borrow_mut().take();
    }
}
