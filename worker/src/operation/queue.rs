//! One operation at a time, in the order they were asked for; and what has become
//! of those that have ended.

use std::{cell::Cell, collections::BTreeMap, rc::Rc};

use sandbox_shared::{
    DirectoryBackup, Result, Strategy,
    log::LoggedOperation,
    metadata::iso8601,
    operation::{OperationId, OperationOutcome},
    progress::OperationKind,
};
use serde::Serialize;
use tokio::sync::Mutex;

use super::{
    cancellation::Cancellation,
    progress::{Progress, ProgressReport},
    recover,
};
use crate::{
    clock,
    config::Config,
    lifecycle::Lifecycle,
    metrics::DataPoint,
    storage::{index::Index, journal::Journal, log::OperationLog},
};

/// A line of the Worker's log: one JSON object, without any secret.
#[derive(Serialize)]
struct LogLine<'a> {
    event: &'static str,
    #[serde(flatten)]
    operation: &'a LoggedOperation,
}

/// All operations of one sandbox.
pub struct Operations {
    config: Rc<Config>,
    lifecycle: Rc<Lifecycle>,
    index: Rc<Index>,
    log: OperationLog,
    journal: Journal,
    /// Whether nothing is left to settle of operations that have ended, be it in
    /// an earlier life of this object.
    recovered: Cell<bool>,
    /// Taken by the operation that runs; fair, so others follow in order.
    turn: Mutex<()>,
    progress: Progress,
}

impl Operations {
    /// None so far.
    pub fn new(
        config: Rc<Config>,
        lifecycle: Rc<Lifecycle>,
        index: Rc<Index>,
        log: OperationLog,
        journal: Journal,
    ) -> Self {
        Self {
            config,
            lifecycle,
            index,
            log,
            journal,
            recovered: Cell::new(false),
            turn: Mutex::new(()),
            progress: Progress::default(),
        }
    }

    /// Waits for its turn and runs one operation, which says how far it is.
    pub async fn run<T>(
        &self,
        cancellation: Cancellation,
        operation: impl AsyncFnOnce(&ProgressReport<'_>) -> Result<T>,
    ) -> Result<T> {
        let _turn = self.turn.lock().await;
        if !self.recovered.get() {
            self.settle_or_log().await;
        }
        let report = self.progress.report(cancellation);
        let result = operation(&report).await;
        if result.is_err() {
            self.settle_or_log().await;
        }
        if let Some((ended, files)) = self.progress.ended(result.as_ref().err()) {
            self.note(&ended);
            self.measure(&ended, files);
        }
        result
    }

    /// The one that runs.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// What has been begun.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Operations that have ended.
    pub fn log(&self) -> &OperationLog {
        &self.log
    }

    /// Writes to the Worker's log and to the sandbox's own.
    fn note(&self, operation: &LoggedOperation) {
        let line = LogLine {
            event: "operation",
            operation,
        };
        if let Ok(line) = serde_json::to_string(&line) {
            worker::console_log!("{line}");
        }
        if let Err(error) = self.log.append(operation) {
            worker::console_warn!("the operation is not in the sandbox's log: {error}");
        }
    }

    /// Tells the metrics, if there are any.
    fn measure(&self, operation: &LoggedOperation, files: u64) {
        let Some(metrics) = &self.config.metrics else {
            return;
        };
        let point = DataPoint {
            sandbox: self.index.sandbox(),
            operation: operation.kind.as_str(),
            code: operation.error_code(),
            strategy: operation.strategy.map(Strategy::as_str),
            bytes: operation.bytes,
            files,
            milliseconds: operation.duration_ms,
        };
        if let Err(error) = point.write(metrics) {
            worker::console_warn!("writing a data point: {error}");
        }
    }

    async fn settle(&self) -> Result<()> {
        self.recovered.set(false);
        let mut interrupted = self.journal.unsettled()?;
        // What has failed is in the log already.
        interrupted.retain(|entry| !entry.has_failed);
        recover::recover(&self.journal, &self.config, &self.lifecycle, &self.index).await?;
        self.recovered.set(true);
        for entry in interrupted {
            let outcome = self.journal.outcome(entry.operation)?;
            self.note(&interruption(entry.kind, entry.backup, &outcome));
        }
        Ok(())
    }

    /// A failure keeps no operation from running; it is tried again before the
    /// next, or when the alarm rings.
    async fn settle_or_log(&self) -> bool {
        let settled = self.settle().await;
        if let Err(error) = &settled {
            worker::console_error!("cleaning up after an operation: {error}");
        }
        settled.is_ok()
    }

    /// Settles what did not come to its end, unless an operation is under way.
    /// Says whether there is nothing left to settle.
    pub async fn recover(&self) -> bool {
        let Ok(_turn) = self.turn.try_lock() else {
            return false;
        };
        self.settle_or_log().await
    }

    /// What became of an operation.
    pub async fn outcome(&self, operation: OperationId) -> Result<OperationOutcome> {
        if !self.recovered.get() {
            // Nothing runs in this object yet: the operation is one of another life.
            let _turn = self.turn.lock().await;
            self.settle().await?;
        }
        self.journal.outcome(operation)
    }
}

/// What is logged of an operation of another life of this object. When exactly
/// that life ended, nobody knows.
fn interruption(
    kind: OperationKind,
    backup: DirectoryBackup,
    outcome: &OperationOutcome,
) -> LoggedOperation {
    let now = clock::now();
    let started_at = outcome.started_at.unwrap_or(now);
    let error = outcome.interrupted("it was restarted");
    LoggedOperation {
        kind,
        id: backup.id,
        dir: backup.dir,
        started_at: iso8601(started_at),
        outcome: error.code.as_str().to_owned(),
        error: Some(error.message),
        strategy: None,
        bytes: 0,
        bytes_uploaded: None,
        duration_ms: u64::try_from((now - started_at).whole_milliseconds()).unwrap_or(0),
        phases_ms: BTreeMap::new(),
    }
}
