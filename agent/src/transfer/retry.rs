//! Trying again.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};

use super::TransferError;

/// Attempts after the first.
const RETRIES: usize = 5;
/// Before the second attempt, and as much again at most; doubled before each further one.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// The longest backoff, whatever the store asks for.
const LONGEST_BACKOFF: Duration = Duration::from_secs(20);

/// Runs `attempt` until it succeeds, fails for good, or has failed often
/// enough. Backoffs grow exponentially, with jitter so that parts which failed
/// together do not come back together.
pub(super) async fn with_retries<T, F>(attempt: impl FnMut() -> F) -> Result<T, TransferError>
where
    F: Future<Output = Result<T, TransferError>>,
{
    attempt
        .retry(
            ExponentialBuilder::default()
                .with_min_delay(FIRST_BACKOFF)
                .with_max_delay(LONGEST_BACKOFF)
                .with_max_times(RETRIES)
                .with_jitter(),
        )
        .when(TransferError::is_temporary)
        .adjust(|error, backoff| backoff.map(|it| as_asked(it, error.retry_after())))
        .await
}

/// A backoff that is no shorter than the store has asked for.
fn as_asked(backoff: Duration, asked: Option<Duration>) -> Duration {
    backoff.max(asked.unwrap_or_default()).min(LONGEST_BACKOFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_may_ask_for_time_but_not_for_ever() {
        let own = Duration::from_secs(1);
        assert_eq!(as_asked(own, None), own);
        let asked = Duration::from_secs(7);
        assert_eq!(as_asked(own, Some(asked)), asked);
        assert_eq!(
            as_asked(own, Some(Duration::from_secs(3600))),
            LONGEST_BACKOFF
        );
    }
}
