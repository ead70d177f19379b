//! Fetching what nobody has asked for, and checking that all of it is right.

use std::{io, sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::future::{try_join, try_join_all};
use sandbox_shared::{ArchiveChecksum, hex};
use sha2::{Digest, Sha256};

use super::{
    Shared,
    cache::CHUNK,
    flight::{Airborne, Purpose},
};
use crate::transfer::{CONCURRENCY, TransferError, UNIT};

/// Chunks of one request.
const STEP: u32 = (UNIT.get() / CHUNK) as u32;
/// Before the second attempt of a pull that failed, and the longest backoff.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// Where nothing is to be checked any more.
pub(super) const NOTHING_TO_VERIFY: u32 = u32::MAX;

/// A checksum in the making.
pub(super) struct Verification {
    expected: ArchiveChecksum,
    whole: Sha256,
    part: Sha256,
    /// Bytes that the current part still lacks.
    lacking: u64,
}

impl Verification {
    pub(super) fn new(expected: ArchiveChecksum) -> Self {
        Self {
            lacking: expected.part_size_bytes.get(),
            expected,
            whole: Sha256::new(),
            part: Sha256::new(),
        }
    }

    fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let most = usize::try_from(self.lacking).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(bytes.len().min(most));
            self.part.update(now);
            self.lacking -= now.len() as u64;
            bytes = later;
            if self.lacking == 0 {
                self.end_part();
            }
        }
    }

    fn end_part(&mut self) {
        self.whole.update(self.part.finalize_reset());
        self.lacking = self.expected.part_size_bytes.get();
    }

    fn finish(mut self) -> Result<(), TransferError> {
        if self.lacking < self.expected.part_size_bytes.get() {
            self.end_part();
        }
        let actual = hex(&self.whole.finalize());
        if actual == self.expected.sha256 {
            Ok(())
        } else {
            Err(TransferError::Damaged {
                expected: self.expected.sha256,
                actual,
            })
        }
    }
}

impl Shared {
    /// Fetches all that is missing, however often it takes.
    pub(super) async fn pull(self: &Arc<Self>) {
        let (first, longest) = BACKOFF;
        let mut backoffs = ExponentialBuilder::default()
            .with_min_delay(first)
            .with_max_delay(longest)
            .without_max_times()
            .build();
        while let Err(error) = self.fill().await {
            crate::log::warn(format_args!("the archive is not whole: {error}"));
            {
                let mut state = self.lock();
                state.problem = Some(error.to_string());
                // Nobody waits for what has come of it.
                state.pulled_to = state.pulled_to.min(state.verified_to);
            }
            if matches!(error, TransferError::Damaged { .. }) {
                return;
            }
            loop {
                tokio::time::sleep(backoffs.next().unwrap_or(longest)).await;
                if self.has_room() {
                    break;
                }
            }
        }
        self.lock().problem = None;
    }

    /// Whether the disk has room for what is missing, as it has unless it has
    /// been full.
    fn has_room(&self) -> bool {
        let mut state = self.lock();
        let lacking = u64::from(state.chunks.lacking()) * CHUNK;
        // One that cannot be asked will say so when it is written to.
        if state.chunks.is_shrunk() && !self.cache.has_room(lacking).unwrap_or(true) {
            return false;
        }
        state.chunks.grow();
        true
    }

    /// Fetches all that is missing, and checks the checksum.
    pub(super) async fn fill(self: &Arc<Self>) -> Result<(), TransferError> {
        {
            let mut state = self.lock();
            state.pulled_to = match state.verified_to {
                NOTHING_TO_VERIFY => 0,
                verified_to => verified_to,
            };
        }
        let workers = (0..CONCURRENCY).map(|number| self.work(number));
        try_join(try_join_all(workers), self.verify()).await?;
        Ok(())
    }

    /// Fetches one step after the other, as others do beside it.
    async fn work(self: &Arc<Self>, number: usize) -> Result<(), TransferError> {
        let mut waiting = self.waiting.subscribe();
        let mut arrivals = self.arrivals.subscribe();
        loop {
            // One goes on always, the others make way for those who wait.
            if number > 0 {
                let _ = waiting.wait_for(|count| *count == 0).await;
            }
            let mut step = Step::Wait;
            let _ = arrivals
                .wait_for(|()| {
                    step = self.next_step();
                    !matches!(step, Step::Wait)
                })
                .await;
            let Step::Fetch(flight) = step else {
                return Ok(());
            };
            self.fly(&flight).await?;
        }
    }

    /// Takes what has come into the checksum, in order, until all of it has.
    async fn verify(self: &Arc<Self>) -> Result<(), TransferError> {
        let mut arrivals = self.arrivals.subscribe();
        loop {
            let _ = arrivals
                .wait_for(|()| {
                    let state = self.lock();
                    state.verified_to >= state.chunks.count() || state.chunks.has(state.verified_to)
                })
                .await;
            if self.lock().verified_to == NOTHING_TO_VERIFY {
                return Ok(());
            }
            let shared = Arc::clone(self);
            let digested = tokio::task::spawn_blocking(move || shared.digest()).await;
            // Some may have waited for this to go on, or to fail.
            self.announce();
            digested.map_err(io::Error::other)??;
        }
    }

    /// Takes some chunks into the checksum. Blocks.
    fn digest(&self) -> Result<(), TransferError> {
        let mut verification = self.verification();
        let Some(current) = verification.as_mut() else {
            return Ok(());
        };
        let mut buffer = Vec::new();
        for _ in 0..STEP {
            let chunk = {
                let _held = self.cache.hold();
                let state = self.lock();
                let chunk = state.verified_to;
                if chunk == state.chunks.count() {
                    break;
                }
                if !state.chunks.has(chunk) {
                    return Ok(());
                }
                drop(state);
                let bytes = self.cache.bytes_of(chunk);
                buffer.resize(self.chunk_length(chunk), 0);
                self.cache.read(&mut buffer, bytes.start)?;
                chunk
            };
            current.update(&buffer);
            self.lock().verified_to = chunk + 1;
        }
        let mut state = self.lock();
        if state.verified_to < state.chunks.count() {
            return Ok(());
        }
        let finished = verification.take().map_or(Ok(()), Verification::finish);
        state.verified_to = NOTHING_TO_VERIFY;
        state.verified = finished.is_ok();
        state.damaged = finished.is_err();
        finished
    }
}

/// What a pull does next.
enum Step {
    /// Fetch this.
    Fetch(Airborne),
    /// Wait until the checksum has caught up, so that there is room, or until
    /// others have brought what is left.
    Wait,
    /// Nothing more.
    End,
}

impl Shared {
    /// Begins the next step: what is neither here nor brought by others.
    fn next_step(self: &Arc<Self>) -> Step {
        let mut state = self.lock();
        let verifying = state.verified_to != NOTHING_TO_VERIFY;
        // One that went again while it still seemed to be coming.
        if verifying && state.verified_to < state.pulled_to && state.lacks(state.verified_to) {
            state.pulled_to = state.verified_to;
        }
        let chunks = &state.chunks;
        if chunks.bounded() {
            if !verifying && chunks.is_full() {
                return Step::End;
            }
            if verifying && state.pulled_to.saturating_sub(state.verified_to) > chunks.most() / 2 {
                return Step::Wait;
            }
        }
        let is_lacking = |chunk: &u32| state.lacks(*chunk);
        let mut rest = state.pulled_to..chunks.count();
        let start = rest.find(is_lacking);
        let Some(start) = start else {
            let others = !state.flights.is_empty();
            state.pulled_to = state.chunks.count();
            return if others { Step::Wait } else { Step::End };
        };
        let more = rest.take(STEP as usize - 1).take_while(is_lacking);
        let end = more.last().unwrap_or(start) + 1;
        state.pulled_to = end;
        Step::Fetch(Airborne::new(self, &mut state, start..end, Purpose::Pull))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::transfer::checksum::PartDigests;

    #[test]
    fn pieces_of_any_size_give_the_checksum_of_the_parts() {
        let content: Vec<u8> = (0..=255).cycle().take(1000).collect();
        let size = NonZeroU64::new(300).unwrap();
        let mut parts = PartDigests::new(size);
        for (number, part) in (1..).zip(content.chunks(300)) {
            parts.add(number, part);
        }
        for piece in [1, 7, 299, 300, 301, 1000] {
            let mut verification = Verification::new(parts.finish());
            content.chunks(piece).for_each(|c| verification.update(c));
            verification.finish().unwrap();
        }
        let mut wrong = Verification::new(parts.finish());
        wrong.update(&content[1..]);
        assert!(matches!(wrong.finish(), Err(TransferError::Damaged { .. })));
        // Parts that end where the archive does.
        let mut even = PartDigests::new(NonZeroU64::new(500).unwrap());
        even.add(1, &content[..500]);
        even.add(2, &content[500..]);
        let mut verification = Verification::new(even.finish());
        verification.update(&content);
        verification.finish().unwrap();
    }
}
