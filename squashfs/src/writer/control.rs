//! Progress and cancellation.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How far a writer is, and the way to stop it; shared between threads.
#[derive(Debug, Default)]
pub struct Control {
    cancelled: AtomicBool,
    /// Regular files archived so far.
    pub archived_files: AtomicU64,
    /// Bytes of content read so far.
    pub read_bytes: AtomicU64,
    /// Bytes of archive handed to the sink so far.
    pub written_bytes: AtomicU64,
}

impl Control {
    /// Makes the operation end soon, with an error that says so.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether [`Self::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    pub(crate) fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }
}
