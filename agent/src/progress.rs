//! Telling a reader how far an operation is, without flooding it.

use std::time::Duration;

use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

/// How often progress is reported.
const REPORT_EVERY: Duration = Duration::from_millis(250);

/// Runs `work`, and meanwhile sends what `event` gives whenever that has
/// changed, and once more at the end. A reader that is behind, or gone, does
/// not hold the work up.
pub(crate) async fn reporting<T, E: Clone + PartialEq>(
    work: impl Future<Output = T>,
    events: &mpsc::Sender<E>,
    event: impl Fn() -> E,
) -> T {
    tokio::pin!(work);
    let mut ticks = interval(REPORT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = None;
    loop {
        let done = tokio::select! {
            done = &mut work => Some(done),
            _ = ticks.tick() => None,
        };
        let now = event();
        if last.as_ref() != Some(&now) && events.try_send(now.clone()).is_ok() {
            last = Some(now);
        }
        if let Some(done) = done {
            return done;
        }
    }
}
