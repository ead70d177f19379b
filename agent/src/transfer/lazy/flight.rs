//! One request for a run of chunks, on its way.

use std::{
    io,
    ops::Range,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use reqwest::{Url, header::ETAG};
use tokio::time::{Instant, timeout_at};

use super::{Shared, State, cache::CHUNK};
use crate::transfer::{TransferError, retry::with_retries};

/// Chunks of one request that somebody waits for, or soon will.
const LONGEST: u32 = ((4 << 20) / CHUNK) as u32;
/// A chunk that a pull brings so soon after the one that comes next is not asked
/// for again.
const NEAR: u32 = 2;
/// Nor is one that somebody reads so soon after what he waits for already, as
/// kernels do that read ahead: chunks of the longest read and some more.
const SOON: u32 = 6;
/// How long a read waits for another URL when its own has expired.
const RENEWAL: Duration = Duration::from_secs(60);

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Somebody waits for it.
    Demand,
    /// Somebody will soon.
    Ahead,
    /// Everything is to be here at last.
    Pull,
}

/// A run of chunks that is under way, in order.
pub(super) struct Flight {
    chunks: Range<u32>,
    purpose: Purpose,
    /// The chunk that comes next.
    next: AtomicU32,
    /// The last chunk that somebody waits for.
    awaited: AtomicU32,
    ended: AtomicBool,
    failure: OnceLock<String>,
}

impl Flight {
    /// Whether it brings a chunk at last.
    pub(super) fn covers(&self, chunk: u32) -> bool {
        !self.has_ended() && (self.next.load(Ordering::Relaxed)..self.chunks.end).contains(&chunk)
    }

    /// Whether it brings a chunk as soon as a request for it would.
    pub(super) fn is_near(&self, chunk: u32) -> bool {
        if self.purpose != Purpose::Pull || !self.covers(chunk) {
            return self.covers(chunk);
        }
        let next = self.next.load(Ordering::Relaxed);
        let awaited = self.awaited.load(Ordering::Relaxed);
        chunk <= (next + NEAR).max(awaited + SOON)
    }

    pub(super) fn is_of_a_pull(&self) -> bool {
        self.purpose == Purpose::Pull
    }

    /// Notes that somebody waits for a chunk.
    pub(super) fn wait_for(&self, chunk: u32) {
        self.awaited.fetch_max(chunk, Ordering::Relaxed);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Why it did not arrive. A pull fails in private: it is tried again, and
    /// those who waited for it ask themselves.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure
            .get()
            .filter(|_| self.purpose == Purpose::Demand)
            .cloned()
    }
}

/// A flight that readers know of, for as long as this is alive.
pub(super) struct Airborne {
    shared: Arc<Shared>,
    flight: Arc<Flight>,
}

impl Airborne {
    /// Lets readers know that `chunks` are coming.
    pub(super) fn new(
        shared: &Arc<Shared>,
        state: &mut State,
        chunks: Range<u32>,
        purpose: Purpose,
    ) -> Self {
        let flight = Arc::new(Flight {
            next: AtomicU32::new(chunks.start),
            chunks,
            purpose,
            awaited: AtomicU32::new(0),
            ended: AtomicBool::new(false),
            failure: OnceLock::new(),
        });
        state.flights.push(Arc::clone(&flight));
        Self {
            shared: Arc::clone(shared),
            flight,
        }
    }
}

impl std::ops::Deref for Airborne {
    type Target = Flight;

    fn deref(&self) -> &Flight {
        &self.flight
    }
}

impl Drop for Airborne {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        self.flight.ended.store(true, Ordering::Relaxed);
        // What it did not bring is for the pull, which has relied on it.
        let next = self.flight.next.load(Ordering::Relaxed);
        if next < self.flight.chunks.end {
            state.pulled_to = state.pulled_to.min(next);
        }
        state
            .flights
            .retain(|other| !Arc::ptr_eq(other, &self.flight));
        drop(state);
        self.shared.announce();
    }
}

impl Shared {
    /// Starts requests for chunks that are missing, and gives the first one.
    pub(super) fn take_off(
        self: &Arc<Self>,
        state: &mut State,
        chunks: Range<u32>,
        purpose: Purpose,
    ) -> Arc<Flight> {
        let end = chunks.end.min(chunks.start.saturating_add(LONGEST));
        let airborne = Airborne::new(self, state, chunks.start..end, purpose);
        let flight = Arc::clone(&airborne.flight);
        let shared = Arc::clone(self);
        self.spawn(async move {
            if let Err(error) = shared.fly(&airborne).await {
                let _ = airborne.flight.failure.set(error.to_string());
            }
        });
        if end < chunks.end {
            self.take_off(state, end..chunks.end, purpose);
        }
        flight
    }

    /// Brings all chunks of a flight.
    pub(super) async fn fly(self: &Arc<Self>, flight: &Flight) -> Result<(), TransferError> {
        let mut address = self.address.subscribe();
        loop {
            let url = address.borrow_and_update().as_ref().map(|a| a.url.clone());
            let refused = match url {
                None => TransferError::NoUrl,
                Some(url) => match with_retries(|| self.attempt(&url, flight)).await {
                    Err(refused @ TransferError::Refused(_)) => refused,
                    done => return done,
                },
            };
            {
                let mut state = self.lock();
                if !state.opened {
                    return Err(refused);
                }
                // Unless another one came in the meantime.
                state.needs_url |= !address.has_changed().unwrap_or(false);
            }
            if tokio::time::timeout(RENEWAL, address.changed())
                .await
                .is_err()
            {
                return Err(refused);
            }
        }
    }

    /// Goes on where the attempt before was cut off.
    async fn attempt(self: &Arc<Self>, url: &Url, flight: &Flight) -> Result<(), TransferError> {
        let mut next = flight.next.load(Ordering::Relaxed);
        let end = self.cache.bytes_of(flight.chunks.end - 1).end;
        let start = self.cache.bytes_of(next).start;
        let mut response = self.store.range(url, start..end, self.size).await?;
        self.check_unchanged(&response)?;
        let mut buffer = Vec::with_capacity(self.chunk_length(next));
        // For each chunk anew, so that nobody waits for ever on a trickle.
        let mut due = Instant::now() + self.store.patience;
        while let Some(bytes) = timeout_at(due, response.chunk())
            .await
            .map_err(|_| self.store.stalled())?
            .map_err(TransferError::connection)?
        {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                if next == flight.chunks.end {
                    return Err(TransferError::Protocol(
                        "more bytes than were asked for".into(),
                    ));
                }
                let length = self.chunk_length(next);
                let (now, later) = rest.split_at(rest.len().min(length - buffer.len()));
                buffer.extend_from_slice(now);
                rest = later;
                if buffer.len() == length {
                    let bytes = std::mem::take(&mut buffer);
                    self.keep(next, bytes, flight.purpose).await?;
                    next += 1;
                    flight.next.store(next, Ordering::Relaxed);
                    due = Instant::now() + self.store.patience;
                }
            }
        }
        if next < flight.chunks.end {
            return Err(TransferError::Connection("the answer was cut off".into()));
        }
        Ok(())
    }

    pub(super) fn chunk_length(&self, chunk: u32) -> usize {
        let bytes = self.cache.bytes_of(chunk);
        usize::try_from(bytes.end - bytes.start).unwrap_or_default()
    }

    /// Presigned URLs name an object, not a version of it.
    fn check_unchanged(&self, response: &reqwest::Response) -> Result<(), TransferError> {
        let Some(etag) = response.headers().get(ETAG) else {
            return Ok(());
        };
        let mut state = self.lock();
        if state.etag.get_or_insert_with(|| etag.clone()) == etag {
            Ok(())
        } else {
            Err(TransferError::Changed)
        }
    }

    /// Takes a chunk in. On a full disk others go in favour of one that somebody
    /// waits for, and of no other.
    async fn keep(
        self: &Arc<Self>,
        chunk: u32,
        bytes: Vec<u8>,
        purpose: Purpose,
    ) -> Result<(), TransferError> {
        let shared = Arc::clone(self);
        tokio::task::spawn_blocking(move || -> io::Result<()> {
            let is_awaited = purpose == Purpose::Demand;
            if !is_awaited && shared.lock().chunks.is_shrunk() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            match shared.write(chunk, &bytes) {
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                    shared.lock().chunks.shrink();
                    shared.make_room()?;
                    if !is_awaited {
                        return Err(error);
                    }
                    shared.write(chunk, &bytes)?;
                }
                written => written?,
            }
            shared.announce();
            shared.make_room()
        })
        .await
        .map_err(io::Error::other)??;
        Ok(())
    }

    fn write(&self, chunk: u32, bytes: &[u8]) -> io::Result<()> {
        let _held = self.cache.hold();
        if !self.lock().chunks.has(chunk) {
            self.cache.write(chunk, bytes)?;
            self.lock().chunks.add(chunk);
        }
        Ok(())
    }

    /// Drops chunks where there are too many.
    fn make_room(&self) -> io::Result<()> {
        if self.lock().chunks.fits() {
            return Ok(());
        }
        let alone = self.cache.alone();
        let dropped = {
            let mut state = self.lock();
            let pinned = state.pinned();
            state.chunks.make_room(&pinned)
        };
        self.cache.drop_chunks(&alone, &dropped)
    }
}
