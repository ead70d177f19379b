//! Backups, restores, verifications and unmounts: one at a time, in the order they were
//! asked for, each watched and cancelled by whoever likes.

use std::{cell::Cell, collections::BTreeMap, rc::Rc, time::Duration};

use sandbox_shared::{
    DirectoryBackup, Result, SandboxError, Strategy,
    backup::iso8601,
    log::{LoggedOperation, OK},
    operation::{OperationId, OperationOutcome},
    progress::{Operation, OperationKind, Phase},
};
use serde::Serialize;
use time::OffsetDateTime;
use tokio::sync::{Mutex, watch};

use crate::{
    backup::{Context, auto_restore::PutBack, recover},
    clock,
    config::Config,
    lifecycle::Lifecycle,
    metrics::DataPoint,
    storage::{index::Index, journal::Journal, log::OperationLog},
};

/// How long the past counts in a rate: a second ago nearly all of it, ten
/// times this long ago next to nothing.
const RATE_MEMORY: Duration = Duration::from_secs(5);

/// Whether a result is still wanted. Clones are one and the same.
#[derive(Clone, Debug)]
pub struct Cancellation(Rc<watch::Sender<bool>>);

impl Default for Cancellation {
    fn default() -> Self {
        Self(Rc::new(watch::Sender::new(false)))
    }
}

impl Cancellation {
    /// Asks the operation to end.
    pub fn request(&self) {
        self.0.send_replace(true);
    }

    /// Whether that was asked for.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is.
    pub async fn requested(&self) {
        // The sender lives as long as `self` does.
        let _ = self.0.subscribe().wait_for(|requested| *requested).await;
    }
}

/// An operation and how to end it.
#[derive(Clone, Debug)]
struct Running {
    operation: Operation,
    cancellation: Cancellation,
    rate: Rate,
    phases: Phases,
}

/// When each phase began, the last one still going on.
#[derive(Clone, Debug)]
struct Phases(Vec<(Phase, OffsetDateTime)>);

impl Phases {
    fn begin(now: OffsetDateTime) -> Self {
        Self(vec![(Phase::Starting, now)])
    }

    fn enter(&mut self, phase: Phase, now: OffsetDateTime) {
        if self.0.last().is_none_or(|(last, _)| *last != phase) {
            self.0.push((phase, now));
        }
    }

    /// Milliseconds of each phase.
    fn durations(&self, now: OffsetDateTime) -> Vec<(Phase, u64)> {
        let ends = self.0.iter().skip(1).map(|(_, began)| *began).chain([now]);
        self.0
            .iter()
            .zip(ends)
            .map(|((phase, began), end)| {
                let milliseconds = (end - *began).whole_milliseconds();
                // A clock may be set back meanwhile.
                (*phase, u64::try_from(milliseconds).unwrap_or(0))
            })
            .collect()
    }
}

/// A line of the Worker's log: one JSON object, without any secret.
#[derive(Serialize)]
struct LogLine<'a> {
    event: &'static str,
    #[serde(flatten)]
    operation: &'a LoggedOperation,
}

impl Running {
    fn ended(&self, error: Option<&SandboxError>) -> LoggedOperation {
        let operation = &self.operation;
        let phases = self.phases.durations(clock::now());
        LoggedOperation {
            kind: operation.kind,
            id: operation.id.clone(),
            dir: operation.dir.clone(),
            started_at: operation.started_at.clone(),
            outcome: error.map_or(OK, |error| error.code.as_str()).to_owned(),
            error: error.map(|error| error.message.clone()),
            strategy: operation.strategy,
            bytes: operation.bytes_done,
            bytes_uploaded: operation.backup.map(|backup| backup.bytes_uploaded),
            duration_ms: phases.iter().map(|(_, milliseconds)| milliseconds).sum(),
            phases_ms: phases.into_iter().collect(),
        }
    }

    fn is_of(&self, cancellation: &Cancellation) -> bool {
        Rc::ptr_eq(&self.cancellation.0, &cancellation.0)
    }
}

/// All operations of one sandbox.
pub struct Operations {
    config: Rc<Config>,
    lifecycle: Rc<Lifecycle>,
    index: Rc<Index>,
    log: OperationLog,
    journal: Journal,
    put_back: PutBack,
    /// Whether nothing is left to settle of operations that have ended, be it in
    /// an earlier life of this object.
    recovered: Cell<bool>,
    /// Taken by the operation that runs; fair, so others follow in order.
    turn: Mutex<()>,
    running: watch::Sender<Option<Running>>,
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
            put_back: PutBack::default(),
            recovered: Cell::new(false),
            turn: Mutex::new(()),
            running: watch::Sender::new(None),
        }
    }

    /// Waits for its turn and runs one operation.
    pub async fn run<T>(
        &self,
        cancellation: Cancellation,
        operation: impl AsyncFnOnce(&Context<'_>) -> Result<T>,
    ) -> Result<T> {
        let _turn = self.turn.lock().await;
        if !self.recovered.get() {
            self.settle_or_log().await;
        }
        let context = Context {
            config: &self.config,
            lifecycle: &self.lifecycle,
            index: &self.index,
            journal: &self.journal,
            put_back: &self.put_back,
            progress: ProgressReport {
                operations: self,
                cancellation: cancellation.clone(),
            },
            cancellation,
        };
        let result = operation(&context).await;
        if result.is_err() {
            self.settle_or_log().await;
        }
        if let Some(running) = &*self.running.borrow() {
            let ended = running.ended(result.as_ref().err());
            self.note(&ended);
            self.measure(&ended, running.operation.files.unwrap_or_default());
        }
        result
    }

    /// The container.
    pub fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    /// What has been put back into it.
    pub fn put_back(&self) -> &PutBack {
        &self.put_back
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

    /// The operation that runs.
    pub fn current(&self) -> Option<Operation> {
        let running = self.running.borrow();
        running.as_ref().map(|running| running.operation.clone())
    }

    /// Waits until the operation with this `cancellation` has got further.
    pub async fn progress_of(&self, cancellation: &Cancellation) -> Operation {
        let mut changes = self.running.subscribe();
        loop {
            // Ends only with this object, and then nobody waits any more.
            let _ = changes.changed().await;
            let running = changes.borrow_and_update();
            if let Some(running) = running.as_ref().filter(|it| it.is_of(cancellation)) {
                return running.operation.clone();
            }
        }
    }

    /// Ends the operation that runs, waits until it has ended, and tells what
    /// it was. One that is committing, or unmounting, comes to its end.
    pub async fn cancel(&self) -> Option<Operation> {
        let running = self.running.borrow().clone()?;
        running.cancellation.request();
        let mut changes = self.running.subscribe();
        let ended = |now: &Option<Running>| {
            now.as_ref()
                .is_none_or(|now| !now.is_of(&running.cancellation))
        };
        let _ = changes.wait_for(ended).await;
        Some(running.operation)
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

/// Notes the running operation for as long as it lives.
pub struct ProgressReport<'a> {
    operations: &'a Operations,
    cancellation: Cancellation,
}

impl ProgressReport<'_> {
    /// Makes the operation known.
    pub fn begin(&self, operation: Operation) {
        self.operations.running.send_replace(Some(Running {
            operation,
            cancellation: self.cancellation.clone(),
            rate: Rate::default(),
            phases: Phases::begin(clock::now()),
        }));
    }

    /// Notes how far it is, and how fast it gets on.
    pub fn update(&self, change: impl FnOnce(&mut Operation)) {
        self.operations.running.send_modify(|running| {
            let Some(Running {
                operation,
                rate,
                phases,
                ..
            }) = running
            else {
                return;
            };
            change(operation);
            let now = clock::now();
            phases.enter(operation.phase, now);
            let bytes_per_second = rate.update(now, operation.bytes_done);
            operation.bytes_per_second = bytes_per_second.map(|rate| rate as u64);
            operation.seconds_left = bytes_per_second
                .zip(operation.bytes_total)
                .filter(|(rate, _)| *rate >= 1.0)
                .map(|(rate, total)| {
                    let left = total.saturating_sub(operation.bytes_done);
                    (left as f64 / rate).ceil() as u64
                });
        });
    }
}

impl Drop for ProgressReport<'_> {
    fn drop(&mut self) {
        self.operations.running.send_replace(None);
    }
}

/// Bytes per second, by an exponentially weighted moving average.
#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    last: Option<(OffsetDateTime, u64)>,
    average: Option<f64>,
}

impl Rate {
    fn update(&mut self, now: OffsetDateTime, bytes: u64) -> Option<f64> {
        let Some((then, before)) = self.last else {
            self.last = Some((now, bytes));
            return None;
        };
        let seconds = (now - then).as_seconds_f64();
        if seconds > 0.0 {
            let rate = bytes.saturating_sub(before) as f64 / seconds;
            let weight = 1.0 - (-seconds / RATE_MEMORY.as_secs_f64()).exp();
            let average = self.average.map_or(rate, |old| old + weight * (rate - old));
            self.average = Some(average);
            self.last = Some((now, bytes));
        }
        self.average
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_follows_what_happens_and_forgets_what_was() {
        let mut rate = Rate::default();
        let at =
            |milliseconds| OffsetDateTime::UNIX_EPOCH + time::Duration::milliseconds(milliseconds);
        assert_eq!(rate.update(at(0), 0), None);
        assert_eq!(rate.update(at(0), 10), None);
        assert_eq!(rate.update(at(500), 500), Some(1000.0));
        let mut last = 1000.0;
        for second in 1..60 {
            let now = rate.update(at(500 + 1000 * second), 500).unwrap();
            assert!(now < last);
            last = now;
        }
        assert!(last < 1.0);
    }

    #[test]
    fn phases_last_until_the_next_begins() {
        let at = |seconds| OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds);
        let mut phases = Phases::begin(at(0));
        phases.enter(Phase::Starting, at(1));
        phases.enter(Phase::Scanning, at(2));
        phases.enter(Phase::Uploading, at(5));
        assert_eq!(
            phases.durations(at(9)),
            [
                (Phase::Starting, 2000),
                (Phase::Scanning, 3000),
                (Phase::Uploading, 4000)
            ]
        );
    }

    #[tokio::test]
    async fn a_cancellation_is_heard_by_all_its_clones() {
        let cancellation = Cancellation::default();
        let clone = cancellation.clone();
        assert!(!clone.is_requested());
        tokio::join!(clone.requested(), async { cancellation.request() });
        assert!(clone.is_requested());
    }
}
