//! An archive that is here before it has been transferred.
//!
//! What is guaranteed:
//! - a read waits for the bytes it needs and for no others; several that need
//!   the same bytes cause one request; whoever reads in sequence finds the
//!   bytes already there;
//! - the rest comes in the background, more slowly while somebody waits, and
//!   when all of it is here the network is needed no more;
//! - once the checksum is known to be wrong, nothing is read any more;
//! - a URL that has expired makes reads wait for another, for a while;
//! - memory does not grow with the archive, but for five bytes a chunk.

use std::{
    io,
    ops::Range,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex, MutexGuard};
use reqwest::{Url, header::HeaderValue};
use sandbox_shared::ArchiveChecksum;
use serde::{Deserialize, Serialize};
use squashfs::reader::ReadAt;
use time::OffsetDateTime;
use tokio::{runtime::Handle, sync::watch};

use super::{Store, TransferError, parse_url};

mod cache;
mod flight;
mod pull;
mod streams;

use cache::{CHUNK, Cache, Chunks, chunks_of};
use flight::{Airborne, Flight, Purpose};
use pull::{NOTHING_TO_VERIFY, Verification};
use streams::Streams;

/// Bytes at the end of an archive that are fetched first: of a small one, all
/// tables are among them.
const TAIL: u64 = 1 << 20;
/// How long a read waits for what a pull brings, before it asks for itself.
const HURRY: Duration = Duration::from_secs(5);
/// How often the chunks of a read may go again before all of them are here.
const ROUNDS: usize = 20;
/// The smallest cache, in bytes: what is under way has room in it.
const SMALLEST_LIMIT: u64 = 32 << 20;

/// What is known of an archive.
#[derive(Clone, Debug)]
pub struct Description {
    /// Bytes.
    pub size_bytes: u64,
    /// Backups by other writers have none.
    pub checksum: Option<ArchiveChecksum>,
    /// Bytes that may be kept on disk at a time; at least 32 MiB.
    pub limit: Option<u64>,
}

/// Where an archive is read from, for as long as that may be done.
#[derive(Clone)]
pub struct Address {
    /// Presigned: a secret.
    url: Url,
    /// When the URL stops to work, as far as is known.
    expires_at: Option<OffsetDateTime>,
}

impl Address {
    /// Reads a URL.
    pub fn new(url: &str, expires_at: Option<OffsetDateTime>) -> Result<Self, TransferError> {
        Ok(Self {
            url: parse_url(url)?,
            expires_at,
        })
    }
}

/// How far an archive is here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Bytes that are here.
    pub cached_bytes: u64,
    /// Whether the network is needed no more.
    pub whole: bool,
    /// Whether the checksum is known to be right.
    pub verified: bool,
    /// Whether the checksum is known to be wrong.
    pub damaged: bool,
    /// Why the rest did not come when it was last tried for.
    pub problem: Option<String>,
    /// Whether reads wait for another URL.
    pub needs_url: bool,
    /// When the URL stops to work, as far as is known.
    #[serde(with = "time::serde::rfc3339::option")]
    pub url_expires_at: Option<OffsetDateTime>,
}

/// Makes what is at `path`, a whole archive, a cache that
/// [`LazyArchive::open`] finds there, and gives its size in bytes.
pub fn adopt(path: &Path) -> io::Result<u64> {
    Cache::adopt(path)
}

/// An archive, some of which is here. All transfers end when it is dropped.
pub struct LazyArchive {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    size: u64,
    cache: Cache,
    state: Mutex<State>,
    /// With `state`: a chunk came, a flight ended, or damage was found.
    changed: Condvar,
    /// As `changed`, for those who do not block.
    arrivals: watch::Sender<()>,
    address: watch::Sender<Option<Address>>,
    /// Until it is done, or from the start when there is nothing to check.
    verification: Mutex<Option<Verification>>,
    /// Reads that wait.
    waiting: watch::Sender<usize>,
    closed: watch::Sender<bool>,
    runtime: Handle,
}

struct State {
    chunks: Chunks,
    flights: Vec<Arc<Flight>>,
    streams: Streams,
    /// Chunks before this one are accounted for in the checksum;
    /// [`NOTHING_TO_VERIFY`] when that is over.
    verified_to: u32,
    /// Chunks before this one have been pulled, or are about to be.
    pulled_to: u32,
    verified: bool,
    damaged: bool,
    /// Of the last pull.
    problem: Option<String>,
    /// Whether an expired URL is worth waiting for another one.
    opened: bool,
    needs_url: bool,
    /// Of the object, which must not change meanwhile.
    etag: Option<HeaderValue>,
}

impl State {
    fn pinned(&self) -> Range<u32> {
        self.verified_to..self.pulled_to
    }

    /// Whether a chunk is neither here nor under way.
    fn lacks(&self, chunk: u32) -> bool {
        !self.chunks.has(chunk) && !self.flights.iter().any(|flight| flight.covers(chunk))
    }
}

impl LazyArchive {
    /// Opens an archive, with what an earlier process has left of it at
    /// `path`: its beginning and end are here when this answers. Without an
    /// address, reads of what is not here wait for one.
    pub async fn open(
        store: Store,
        description: Description,
        address: Option<Address>,
        path: &Path,
    ) -> Result<Self, TransferError> {
        let Description {
            size_bytes: size,
            checksum,
            limit,
        } = description;
        let limit = limit.unwrap_or(u64::MAX).max(SMALLEST_LIMIT);
        let (cache, chunks) = Cache::open(path, size, limit)?;
        let archive = Self {
            shared: Arc::new(Shared {
                store,
                size,
                cache,
                state: Mutex::new(State {
                    verified_to: match checksum {
                        Some(_) => 0,
                        None => NOTHING_TO_VERIFY,
                    },
                    pulled_to: 0,
                    chunks,
                    flights: Vec::new(),
                    streams: Streams::default(),
                    verified: false,
                    damaged: false,
                    problem: None,
                    opened: address.is_none(),
                    needs_url: false,
                    etag: None,
                }),
                changed: Condvar::new(),
                arrivals: watch::Sender::new(()),
                address: watch::Sender::new(address),
                verification: Mutex::new(checksum.map(Verification::new)),
                waiting: watch::Sender::new(0),
                closed: watch::Sender::new(false),
                runtime: Handle::current(),
            }),
        };
        archive.shared.ends().await?;
        if size <= TAIL && archive.progress().whole {
            // What costs nothing is known from the start.
            archive.shared.fill().await?;
        }
        Ok(archive)
    }

    /// Fetches the end of the archive, from `offset` on, in the background:
    /// whoever looks around needs the tables that are there.
    pub fn prefetch_from(&self, offset: u64) {
        let shared = &self.shared;
        let mut state = shared.lock();
        let chunks = chunks_of(&(offset.min(shared.size)..shared.size));
        shared.read_ahead(&mut state, chunks);
    }

    /// Fetches all that is missing in the background, and checks the checksum.
    pub fn pull(&self) {
        let shared = Arc::clone(&self.shared);
        self.shared.spawn(async move { shared.pull().await });
    }

    /// Fetches all that is missing, and checks the checksum. `cached` hears
    /// how many bytes are here.
    pub async fn fill(&self, cached: impl Fn(u64)) -> Result<(), TransferError> {
        let mut arrivals = self.shared.arrivals.subscribe();
        let report = async {
            loop {
                cached(self.progress().cached_bytes);
                if arrivals.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            filled = self.shared.fill() => filled,
            () = report => Ok(()),
        }
    }

    /// Reads on from another address.
    pub fn set_address(&self, address: Address) {
        self.shared.lock().needs_url = false;
        self.shared.address.send_replace(Some(address));
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        let url_expires_at = self
            .shared
            .address
            .borrow()
            .as_ref()
            .and_then(|a| a.expires_at);
        let state = self.shared.lock();
        Progress {
            cached_bytes: state.chunks.bytes(self.shared.size),
            whole: state.chunks.whole(),
            verified: state.verified,
            damaged: state.damaged,
            problem: state.problem.clone(),
            needs_url: state.needs_url,
            url_expires_at,
        }
    }
}

impl Drop for LazyArchive {
    fn drop(&mut self) {
        self.shared.closed.send_replace(true);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    fn verification(&self) -> MutexGuard<'_, Option<Verification>> {
        self.verification.lock()
    }

    /// Tells everybody that something has changed. `state` must not be locked:
    /// those who hear of it look at it.
    fn announce(&self) {
        self.changed.notify_all();
        self.arrivals.send_replace(());
    }

    /// Runs `work` until it is done or the archive is dropped.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut closed = self.closed.subscribe();
        self.runtime.spawn(async move {
            tokio::select! {
                () = work => {}
                _ = closed.wait_for(|closed| *closed) => {}
            }
        });
    }

    /// Fetches the beginning and the end, side by side.
    async fn ends(self: &Arc<Self>) -> Result<(), TransferError> {
        let tail = self.size.saturating_sub(TAIL);
        let ends = [0..CHUNK.min(tail), tail..self.size].map(|bytes| {
            let chunks = chunks_of(&bytes);
            async {
                let here = self.lock().chunks.has_all(chunks.clone());
                if here {
                    return Ok(());
                }
                let flight = Airborne::new(self, &mut self.lock(), chunks, Purpose::Demand);
                self.fly(&flight).await
            }
        });
        let [first, last] = ends;
        if self.address.borrow().is_some() {
            tokio::try_join!(first, last)?;
        }
        self.lock().opened = true;
        Ok(())
    }

    fn read(self: &Arc<Self>, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset
            .checked_add(buffer.len() as u64)
            .filter(|end| *end <= self.size)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        if buffer.is_empty() {
            return Ok(());
        }
        let chunks = chunks_of(&(offset..end));
        // A bounded cache can lose a chunk while it waits for the next one.
        for _ in 0..ROUNDS {
            let held = self.cache.hold();
            let mut state = self.lock();
            if state.damaged {
                return Err(io::Error::other("the archive is damaged"));
            }
            if state.chunks.has_all(chunks.clone()) {
                state.chunks.touch(chunks.clone());
                let ahead = state.streams.note(&chunks);
                let for_more = !state.chunks.whole() && !state.chunks.is_shrunk();
                if !ahead.is_empty() && for_more {
                    self.read_ahead(&mut state, ahead);
                }
                drop(state);
                return self.cache.read(buffer, offset);
            }
            drop(held);
            self.wait_for(state, &chunks)?;
        }
        Err(io::Error::other(
            "the disk has no room for what is being read",
        ))
    }

    /// Waits until some chunks have been here, all at the same time or not.
    fn wait_for(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        chunks: &Range<u32>,
    ) -> io::Result<()> {
        let _waiting = Waiting::new(&self.waiting);
        let since = Instant::now();
        let mut joined: Vec<Arc<Flight>> = Vec::new();
        // What has been here once is not waited for again.
        let mut next = chunks.start;
        loop {
            while next < chunks.end && state.chunks.has(next) {
                next += 1;
            }
            if next == chunks.end || state.damaged {
                return Ok(());
            }
            if let Some(failure) = joined.iter().find_map(|flight| flight.failure()) {
                return Err(io::Error::other(failure));
            }
            // The connection of a pull may have come to a stop.
            let hurried = since.elapsed() >= HURRY;
            let is_near = |flight: &Flight, chunk| {
                flight.is_near(chunk) && !(hurried && flight.is_of_a_pull())
            };
            joined.retain(|flight| !(hurried && flight.is_of_a_pull()));
            for chunk in next..chunks.end {
                if state.chunks.has(chunk) || joined.iter().any(|flight| flight.covers(chunk)) {
                    continue;
                }
                let coming = state.flights.iter().find(|flight| is_near(flight, chunk));
                joined.push(match coming {
                    Some(flight) => {
                        flight.wait_for(chunk);
                        Arc::clone(flight)
                    }
                    None => {
                        let missing = (chunk..chunks.end).take_while(|chunk| {
                            !state.chunks.has(*chunk)
                                && !state.flights.iter().any(|flight| is_near(flight, *chunk))
                        });
                        let end = missing.last().unwrap_or(chunk) + 1;
                        self.take_off(&mut state, chunk..end, Purpose::Demand)
                    }
                });
            }
            joined.retain(|flight| flight.failure().is_some() || !flight.has_ended());
            self.changed.wait_for(&mut state, HURRY);
        }
    }

    /// Fetches what is missing of some chunks, and not under way.
    fn read_ahead(self: &Arc<Self>, state: &mut State, chunks: Range<u32>) {
        let mut next = chunks.start;
        let end = chunks.end.min(state.chunks.count());
        while next < end {
            let missing = (next..end).take_while(|chunk| state.lacks(*chunk));
            let run = u32::try_from(missing.count()).unwrap_or(u32::MAX);
            if run > 0 {
                self.take_off(state, next..next + run, Purpose::Ahead);
            }
            next += run.max(1);
        }
    }
}

/// A read that waits, for as long as it does.
struct Waiting<'a>(&'a watch::Sender<usize>);

impl<'a> Waiting<'a> {
    fn new(count: &'a watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl ReadAt for LazyArchive {
    fn size(&self) -> u64 {
        self.shared.size
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.shared.read(buffer, offset)
    }
}
