//! How far the operation is that runs.

use std::time::Duration;

use sandbox_shared::{
    SandboxError,
    log::{LoggedOperation, OK},
    progress::{Operation, Phase},
};
use time::OffsetDateTime;
use tokio::sync::watch;

use super::cancellation::Cancellation;
use crate::clock;

/// How long the past counts in a rate: a second ago nearly all of it, ten
/// times this long ago next to nothing.
const RATE_MEMORY: Duration = Duration::from_secs(5);

/// The operation that runs, for whoever wants to watch or to end it.
pub struct Progress(watch::Sender<Option<Running>>);

impl Default for Progress {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Progress {
    /// Where the operation with this `cancellation` says how far it is.
    pub(super) fn report(&self, cancellation: Cancellation) -> ProgressReport<'_> {
        ProgressReport {
            progress: self,
            cancellation,
        }
    }

    /// What is logged of the operation that runs when it ends like this, and how
    /// many files it had.
    pub(super) fn ended(&self, error: Option<&SandboxError>) -> Option<(LoggedOperation, u64)> {
        let running = self.0.borrow();
        let running = running.as_ref()?;
        let files = running.operation.files.unwrap_or_default();
        Some((running.ended(error), files))
    }

    /// The operation that runs.
    pub fn current(&self) -> Option<Operation> {
        let running = self.0.borrow();
        running.as_ref().map(|running| running.operation.clone())
    }

    /// Waits until the operation with this `cancellation` has got further.
    pub async fn of(&self, cancellation: &Cancellation) -> Operation {
        let mut changes = self.0.subscribe();
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
        let running = self.0.borrow().clone()?;
        running.cancellation.request();
        let mut changes = self.0.subscribe();
        let ended = |now: &Option<Running>| {
            now.as_ref()
                .is_none_or(|now| !now.is_of(&running.cancellation))
        };
        let _ = changes.wait_for(ended).await;
        Some(running.operation)
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
        self.cancellation.is(cancellation)
    }
}

/// Notes the running operation for as long as it lives.
pub struct ProgressReport<'a> {
    progress: &'a Progress,
    cancellation: Cancellation,
}

impl ProgressReport<'_> {
    /// Makes the operation known.
    pub fn begin(&self, operation: Operation) {
        self.progress.0.send_replace(Some(Running {
            operation,
            cancellation: self.cancellation.clone(),
            rate: Rate::default(),
            phases: Phases::begin(clock::now()),
        }));
    }

    /// Notes how far it is, and how fast it gets on.
    pub fn update(&self, change: impl FnOnce(&mut Operation)) {
        self.progress.0.send_modify(|running| {
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
        self.progress.0.send_replace(None);
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
}
