//! Multipart uploads: equal parts, several at a time.

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroU64,
    sync::Mutex,
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::{StatusCode, header::ETAG};
use sandbox_shared::protocol::{CreateEvent, Part, PartUrls};
use tokio::sync::{Notify, mpsc};

use super::{CONCURRENCY, Store, TransferError, UNIT, parse_url, refusal, retry::with_retries};

/// Most parts of a multipart upload.
pub const MAX_PARTS: u32 = 10_000;
/// Most URLs asked for at once.
const BATCH: u32 = 64;
/// What a larger part size is a multiple of.
const PART_GRAIN: u64 = 1 << 20;

/// The size of all parts but the last, in bytes, for an archive of at most
/// `archive_size` bytes: 8 MiB, or more where that would take too many parts.
pub fn part_size(archive_size: u64) -> NonZeroU64 {
    let enough = archive_size
        .div_ceil(u64::from(MAX_PARTS))
        .next_multiple_of(PART_GRAIN);
    UNIT.max(NonZeroU64::new(enough).unwrap_or(UNIT))
}

/// One part of an archive, on its way.
#[derive(Debug)]
pub struct PartBody {
    /// From 1.
    pub number: u32,
    /// Its content.
    pub bytes: Bytes,
}

/// Where parts go: asks for URLs when they are needed, a batch at a time.
#[derive(Debug)]
pub struct PartAddresses {
    events: mpsc::Sender<CreateEvent>,
    last: u32,
    state: Mutex<Addresses>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Addresses {
    asked: HashSet<u32>,
    urls: HashMap<u32, String>,
}

impl PartAddresses {
    /// Asks through `events`, for no part beyond `last`.
    pub fn new(events: mpsc::Sender<CreateEvent>, last: u32) -> Self {
        Self {
            events,
            last,
            state: Mutex::default(),
            arrived: Notify::new(),
        }
    }

    /// Takes URLs that have come.
    pub fn give(&self, urls: PartUrls) {
        let mut state = self.lock();
        for part in urls.urls {
            // What nobody asked for would be kept for ever.
            if state.asked.contains(&part.number) {
                state.urls.insert(part.number, part.url);
            }
        }
        drop(state);
        self.arrived.notify_waiters();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Addresses> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The URL of a part, which is then used up.
    async fn take(&self, number: u32) -> Result<String, TransferError> {
        if let Some(count) = self.unasked_from(number) {
            self.ask(number, count).await?;
        }
        loop {
            let arrived = self.arrived.notified();
            if let Some(url) = self.lock().urls.remove(&number) {
                return Ok(url);
            }
            tokio::select! {
                () = arrived => {}
                () = self.events.closed() => return Err(TransferError::NoUrls),
            }
        }
    }

    /// Another URL for a part whose first one was not accepted.
    async fn take_fresh(&self, number: u32) -> Result<String, TransferError> {
        self.ask(number, 1).await?;
        self.take(number).await
    }

    /// How many URLs to ask for, starting at `number`, unless it was asked for.
    fn unasked_from(&self, number: u32) -> Option<u32> {
        let mut state = self.lock();
        let last = self.last.max(number).min(number.saturating_add(BATCH - 1));
        let count = (number..=last)
            .take_while(|part| state.asked.insert(*part))
            .count();
        u32::try_from(count).ok().filter(|count| *count > 0)
    }

    async fn ask(&self, first: u32, count: u32) -> Result<(), TransferError> {
        self.events
            .send(CreateEvent::PartsNeeded { first, count })
            .await
            .map_err(|_| TransferError::NoUrls)
    }
}

impl Store {
    /// Uploads the parts that come out of `parts`, and calls `uploaded` with
    /// the bytes of each that the store has taken.
    pub async fn upload(
        &self,
        parts: mpsc::Receiver<Result<PartBody, TransferError>>,
        addresses: &PartAddresses,
        uploaded: impl Fn(u64),
    ) -> Result<Vec<Part>, TransferError> {
        let uploaded = &uploaded;
        let mut done: Vec<Part> = stream::unfold(parts, |mut parts| async {
            parts.recv().await.map(|part| (part, parts))
        })
        .map(|part| async move {
            let part = part?;
            let size = part.bytes.len() as u64;
            let done = self.upload_part(part, addresses).await?;
            uploaded(size);
            Ok::<_, TransferError>(done)
        })
        .buffer_unordered(CONCURRENCY)
        .try_collect()
        .await?;
        done.sort_by_key(|part| part.number);
        Ok(done)
    }

    async fn upload_part(
        &self,
        part: PartBody,
        addresses: &PartAddresses,
    ) -> Result<Part, TransferError> {
        let PartBody { number, bytes } = part;
        let url = addresses.take(number).await?;
        let etag = match self.put_with_retries(&url, &bytes).await {
            Err(TransferError::Refused(StatusCode::FORBIDDEN)) => {
                let url = addresses.take_fresh(number).await?;
                self.put_with_retries(&url, &bytes).await?
            }
            done => done?,
        };
        Ok(Part { number, etag })
    }

    async fn put_with_retries(&self, url: &str, bytes: &Bytes) -> Result<String, TransferError> {
        with_retries(|| self.put(url, bytes.clone())).await
    }

    /// `PUT`s one part; the length of the body is known, and so is sent.
    async fn put(&self, url: &str, bytes: Bytes) -> Result<String, TransferError> {
        let url = parse_url(url)?;
        let response = self
            .for_url(&url)
            .put(url)
            .body(bytes)
            .send()
            .await
            .map_err(TransferError::connection)?;
        if !response.status().is_success() {
            return Err(refusal(response).await);
        }
        response
            .headers()
            .get(ETAG)
            .and_then(|etag| etag.to_str().ok())
            .map(|etag| etag.trim_matches('"').to_owned())
            .ok_or_else(|| TransferError::Protocol("a stored part has no ETag".into()))
    }
}

#[cfg(test)]
mod tests {
    use sandbox_shared::protocol::PartUrl;

    use super::*;

    #[test]
    fn parts_grow_only_when_there_would_be_too_many() {
        const MIB: u64 = 1 << 20;
        assert_eq!(part_size(0).get(), 8 * MIB);
        assert_eq!(part_size(80_000 * MIB).get(), 8 * MIB);
        assert_eq!(part_size(80_000 * MIB + 1).get(), 9 * MIB);
        let huge = 500 * 1024 * MIB;
        assert!(huge.div_ceil(part_size(huge).get()) <= u64::from(MAX_PARTS));
    }

    #[tokio::test]
    async fn urls_are_asked_for_in_batches_and_once() {
        let (events, mut asked) = mpsc::channel(8);
        let addresses = PartAddresses::new(events, 70);
        let answer = async {
            let mut requests = Vec::new();
            while let Some(CreateEvent::PartsNeeded { first, count }) = asked.recv().await {
                requests.push((first, count));
                let urls = (first..first + count).map(|number| PartUrl {
                    number,
                    url: format!("u{number}"),
                });
                addresses.give(PartUrls {
                    urls: urls.collect(),
                });
                if first == 65 {
                    break;
                }
            }
            requests
        };
        let take = async {
            for number in 1..=70 {
                assert_eq!(addresses.take(number).await.unwrap(), format!("u{number}"));
            }
        };
        let (requests, ()) = tokio::join!(answer, take);
        assert_eq!(requests, [(1, 64), (65, 6)]);
    }

    #[tokio::test]
    async fn nobody_waits_for_urls_when_the_reader_is_gone() {
        let (events, reader) = mpsc::channel(8);
        let addresses = PartAddresses::new(events, 1);
        drop(reader);
        assert!(matches!(
            addresses.take(1).await,
            Err(TransferError::NoUrls)
        ));
    }
}
