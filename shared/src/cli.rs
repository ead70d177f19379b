//! How values of options are typed on a command line: times and sizes with units.

use std::{str::FromStr, time::Duration};

use bytesize::ByteSize;

use crate::{error::SandboxError, handle::Ttl, name::BackupName, path::AbsolutePath};

// What people type is not always what a request holds.
pub(crate) const EXCLUDE_HELP: &str =
    "Leave out what matches, in .gitignore syntax, relative to the directory; may be repeated";
pub(crate) const LARGER_THAN_HELP: &str = "Leave out files that are larger, such as 100MiB";
pub(crate) const BLOCK_SIZE_HELP: &str =
    "Size of a data block: a power of two from 4KiB to 1MiB; 128KiB when absent";
pub(crate) const SORT_HELP: &str = "What they are sorted by; when they were made, if absent";
pub(crate) const TTL_HELP: &str =
    "How long it may be restored, such as 12h or 30days; three days when absent";
pub(crate) const TIMEOUT_HELP: &str =
    "Kill its whole process group after this time, such as 90s; no limit when absent";
pub(crate) const KEEP_WITHIN_HELP: &str =
    "Keep what was made within this time before the newest that can be restored, such as 7days";

/// Seconds, or numbers with units, such as `12h` or `1day 6h`.
///
/// # Errors
/// What is wrong, in words
pub fn duration(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string()),
        Err(_) => humantime::parse_duration(text).map_err(|error| error.to_string()),
    }
}

/// A [`duration`] in seconds.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    duration(text).map(|time| time.as_secs_f64())
}

/// A [`duration`] in milliseconds.
pub(crate) fn milliseconds(text: &str) -> Result<u64, String> {
    u64::try_from(duration(text)?.as_millis()).map_err(|_| "it is too long".into())
}

/// A value that says itself what is wrong with it.
fn parsed<T: FromStr<Err = SandboxError>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: SandboxError| error.message)
}

pub(crate) fn path(text: &str) -> Result<AbsolutePath, String> {
    parsed(text)
}

pub(crate) fn name(text: &str) -> Result<BackupName, String> {
    parsed(text)
}

pub(crate) fn ttl(text: &str) -> Result<Ttl, String> {
    Ttl::from_seconds(seconds(text)?).map_err(|error| error.message)
}

/// Bytes, or a number with a unit, such as `100MiB`.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    text.parse().map(|size: ByteSize| size.as_u64())
}

pub(crate) fn block_size(text: &str) -> Result<u32, String> {
    u32::try_from(bytes(text)?).map_err(|_| "it is too large".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_number_is_seconds() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        assert!(duration("-1").is_err());
        assert!(ttl("0").is_err());
        assert_eq!(milliseconds("1.5"), Ok(1500));
    }

    #[test]
    fn a_plain_number_is_bytes() {
        assert_eq!(bytes("4096"), Ok(4096));
        assert_eq!(bytes("10MiB"), Ok(10 << 20));
        assert!(block_size("8GiB").is_err());
    }
}
