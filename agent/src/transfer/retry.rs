//! Trying again.

use std::time::Duration;

use super::TransferError;

/// Attempts in all.
const ATTEMPTS: u32 = 6;
/// Before the second attempt, on average; doubled before each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause, whatever the store asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// Runs `attempt` until it succeeds, fails for good, or has failed often
/// enough. Pauses grow exponentially, with jitter so that parts which failed
/// together do not come back together.
pub(super) async fn with_retries<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, TransferError>
where
    F: Future<Output = Result<T, TransferError>>,
{
    let mut attempts = 1;
    loop {
        match attempt().await {
            Err(error) if error.is_temporary() && attempts < ATTEMPTS => {
                tokio::time::sleep(pause(attempts, error.retry_after(), fastrand::f64())).await;
                attempts += 1;
            }
            done => return done,
        }
    }
}

/// How long to wait after `failures` failures; `chance` is in `0.0..1.0`.
fn pause(failures: u32, asked: Option<Duration>, chance: f64) -> Duration {
    let backoff = FIRST_PAUSE * 2_u32.saturating_pow(failures - 1);
    backoff
        .mul_f64(0.5 + chance)
        .max(asked.unwrap_or_default())
        .min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_respect_the_store() {
        assert_eq!(pause(1, None, 0.5), FIRST_PAUSE);
        assert_eq!(pause(3, None, 0.5), FIRST_PAUSE * 4);
        assert!(pause(1, None, 0.0) < pause(1, None, 0.9));
        assert_eq!(pause(30, None, 0.5), LONGEST_PAUSE);
        let asked = Duration::from_secs(7);
        assert_eq!(pause(1, Some(asked), 0.5), asked);
        assert_eq!(
            pause(1, Some(Duration::from_secs(3600)), 0.5),
            LONGEST_PAUSE
        );
    }
}
