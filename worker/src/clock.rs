//! The time, taken in one place; everything that depends on it takes it as an argument.

use time::OffsetDateTime;

/// Now, to the millisecond. A Worker's clock stands still while it computes
/// and moves on with I/O.
pub fn now() -> OffsetDateTime {
    let millis = i128::from(worker::Date::now().as_millis());
    OffsetDateTime::from_unix_timestamp_nanos(millis * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
