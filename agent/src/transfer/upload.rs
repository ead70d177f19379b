//! Multipart uploads: equal parts, several at a time.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    num::NonZeroU64,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use parking_lot::{Mutex, MutexGuard};
use reqwest::{
    Body, StatusCode,
    header::{CONTENT_LENGTH, ETAG},
};
use sandbox_shared::protocol::{CreateEvent, MAX_PARTS, Part, PartUrls};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::{sleep, timeout},
};

use super::{
    CONCURRENCY, Store, TransferError, UNIT,
    checksum::{ContentMd5, content_md5, multipart_etag},
    parse_url,
    retry::with_retries,
};

/// Most URLs asked for at once.
const BATCH: u32 = 64;
/// Bytes that are handed to the connection at a time.
const PIECE: usize = 64 << 10;
/// How much more patience there is for an answer than for a step.
const LAST_BYTES: u32 = 4;
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

    fn lock(&self) -> MutexGuard<'_, Addresses> {
        self.state.lock()
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

/// Parts that the store has taken.
#[derive(Debug)]
pub struct Uploaded {
    /// In order of their numbers.
    pub parts: Vec<Part>,
    /// Of the object that is made of them.
    pub etag: String,
}

/// Requests in flight at a time: fewer when parts are large, so that they take
/// no more memory.
fn concurrency(part_size: NonZeroU64) -> usize {
    const MOST_BYTES: u64 = 64 << 20;
    let fit = usize::try_from(MOST_BYTES / part_size).unwrap_or(CONCURRENCY);
    fit.clamp(1, CONCURRENCY)
}

impl Store {
    /// Uploads the parts that come out of `parts`, of `part_size` or, the last,
    /// less, and calls `uploaded` with the bytes of each that the store has taken.
    pub async fn upload(
        &self,
        parts: mpsc::Receiver<Result<PartBody, TransferError>>,
        part_size: NonZeroU64,
        addresses: &PartAddresses,
        uploaded: impl Fn(u64),
    ) -> Result<Uploaded, TransferError> {
        let uploaded = &uploaded;
        let mut done: Vec<(Part, ContentMd5)> = stream::unfold(parts, |mut parts| async {
            parts.recv().await.map(|part| (part, parts))
        })
        .map(|part| async move {
            let part = part?;
            let size = part.bytes.len() as u64;
            let done = self.upload_part(part, addresses).await?;
            uploaded(size);
            Ok::<_, TransferError>(done)
        })
        .buffer_unordered(concurrency(part_size))
        .try_collect()
        .await?;
        done.sort_by_key(|(part, _)| part.number);
        let (parts, digests): (_, Vec<_>) = done.into_iter().unzip();
        Ok(Uploaded {
            parts,
            etag: multipart_etag(&digests),
        })
    }

    async fn upload_part(
        &self,
        part: PartBody,
        addresses: &PartAddresses,
    ) -> Result<(Part, ContentMd5), TransferError> {
        let PartBody { number, bytes } = part;
        let digest = tokio::task::spawn_blocking({
            let bytes = bytes.clone();
            move || content_md5(&bytes)
        });
        let url = addresses.take(number).await?;
        let digest = digest.await.map_err(std::io::Error::other)?;
        let etag = match self.put_with_retries(&url, &bytes, &digest).await {
            Err(TransferError::Refused(StatusCode::FORBIDDEN)) => {
                let url = addresses.take_fresh(number).await?;
                self.put_with_retries(&url, &bytes, &digest).await?
            }
            done => done?,
        };
        Ok((Part { number, etag }, digest))
    }

    async fn put_with_retries(
        &self,
        url: &str,
        bytes: &Bytes,
        digest: &ContentMd5,
    ) -> Result<String, TransferError> {
        with_retries(|| self.put(url, bytes.clone(), digest)).await
    }

    /// `PUT`s one part; the length of the body is known, and so is sent. The
    /// store refuses a part whose MD5 is another.
    async fn put(
        &self,
        url: &str,
        bytes: Bytes,
        digest: &ContentMd5,
    ) -> Result<String, TransferError> {
        let url = parse_url(url)?;
        let (taken, progress) = watch::channel(());
        let length = bytes.len();
        let pieces = stream::unfold((bytes, taken), |(mut bytes, taken)| async {
            let piece = bytes.split_to(bytes.len().min(PIECE));
            taken.send_replace(());
            (!piece.is_empty()).then_some((Ok::<_, Infallible>(piece), (bytes, taken)))
        });
        let request = self
            .for_url(&url)
            .put(url)
            .header("content-md5", BASE64_STANDARD.encode(digest))
            .header(CONTENT_LENGTH, length)
            .body(Body::wrap_stream(pieces));
        let response = tokio::select! {
            response = request.send() => response.map_err(TransferError::connection)?,
            () = self.loses_patience(progress) => return Err(self.stalled()),
        };
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        response
            .headers()
            .get(ETAG)
            .and_then(|etag| etag.to_str().ok())
            .map(|etag| etag.trim_matches('"').to_owned())
            .ok_or_else(|| TransferError::Protocol("a stored part has no ETag".into()))
    }

    /// Ends when no bytes have been taken for too long, or when all of them have
    /// and nothing comes of it.
    async fn loses_patience(&self, mut progress: watch::Receiver<()>) {
        loop {
            match timeout(self.patience, progress.changed()).await {
                Ok(Ok(())) => {}
                // All are on their way; the last of them may lie in buffers.
                Ok(Err(_)) => return sleep(self.patience * LAST_BYTES).await,
                Err(_) => return,
            }
        }
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

    #[test]
    fn large_parts_go_one_at_a_time() {
        let mib = |mib: u64| NonZeroU64::new(mib << 20).unwrap();
        assert_eq!(concurrency(mib(8)), CONCURRENCY);
        assert_eq!(concurrency(mib(25)), 2);
        assert_eq!(concurrency(mib(500)), 1);
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
