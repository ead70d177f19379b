//! Ranged downloads into a file, several ranges at a time.

use std::{
    fs::File,
    ops::Range,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::{
    StatusCode, Url,
    header::{CONTENT_RANGE, RANGE},
};
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use sandbox_shared::{ArchiveChecksum, protocol::ArchiveSource};

use super::{
    CONCURRENCY, Store, TransferError, UNIT, checksum, parse_url, refusal, retry::with_retries,
};

impl Store {
    /// Downloads an archive into `file`, which lies at `path`, and checks its
    /// checksum where one is known. `downloaded` is called with the total
    /// number of bytes that are here, as it grows.
    pub async fn download(
        &self,
        source: &ArchiveSource,
        file: File,
        path: &Path,
        downloaded: impl Fn(u64),
    ) -> Result<(), TransferError> {
        let url = parse_url(&source.url)?;
        reserve(&file, path, source.size_bytes)?;
        let file = Arc::new(file);
        let transfer = Transfer {
            store: self,
            url: &url,
            size: source.size_bytes,
            file: &file,
            total: AtomicU64::new(0),
            downloaded,
        };
        let transfer = &transfer;
        stream::iter(ranges(source.size_bytes).map(|range| transfer.range(range)))
            .buffer_unordered(CONCURRENCY)
            .try_collect::<()>()
            .await?;
        match source.checksum.clone() {
            Some(expected) => verify(file, expected).await,
            None => Ok(()),
        }
    }

    /// The size of an object in bytes, asked for with the only method that its
    /// presigned URL allows.
    pub async fn size(&self, url: &str) -> Result<u64, TransferError> {
        let url = parse_url(url)?;
        with_retries(|| async {
            let response = self
                .for_url(&url)
                .get(url.clone())
                .header(RANGE, "bytes=0-0")
                .send()
                .await
                .map_err(TransferError::connection)?;
            if response.status() != StatusCode::PARTIAL_CONTENT {
                return Err(not_partial(response).await);
            }
            Ok(content_range(&response)?.1)
        })
        .await
    }
}

/// One archive on its way into a file.
struct Transfer<'a, F> {
    store: &'a Store,
    url: &'a Url,
    size: u64,
    file: &'a Arc<File>,
    total: AtomicU64,
    downloaded: F,
}

impl<F: Fn(u64)> Transfer<'_, F> {
    async fn range(&self, range: Range<u64>) -> Result<(), TransferError> {
        // An attempt goes on where the one before it was cut off.
        let at = AtomicU64::new(range.start);
        with_retries(|| self.fetch(&at, range.end)).await
    }

    /// Reads up to `end`, and moves `at` with every byte that is in the file.
    async fn fetch(&self, at: &AtomicU64, end: u64) -> Result<(), TransferError> {
        let mut offset = at.load(Ordering::Relaxed);
        let mut response = self
            .store
            .for_url(self.url)
            .get(self.url.clone())
            .header(RANGE, format!("bytes={offset}-{}", end - 1))
            .send()
            .await
            .map_err(TransferError::connection)?;
        let whole = response.status() == StatusCode::OK && (offset, end) == (0, self.size);
        if response.status() == StatusCode::PARTIAL_CONTENT {
            let (range, size) = content_range(&response)?;
            if (range.start, range.end, size) != (offset, end, self.size) {
                return Err(TransferError::Protocol(format!(
                    "asked for bytes {offset} to {end} of {}, got {} to {} of {size}",
                    self.size, range.start, range.end
                )));
            }
        } else if !whole {
            return Err(not_partial(response).await);
        }
        while let Some(chunk) = response.chunk().await.map_err(TransferError::connection)? {
            let length = chunk.len() as u64;
            if offset + length > end {
                return Err(TransferError::Protocol(
                    "more bytes than were asked for".into(),
                ));
            }
            let (file, place) = (Arc::clone(self.file), offset);
            tokio::task::spawn_blocking(move || file.write_all_at(&chunk, place))
                .await
                .map_err(std::io::Error::other)??;
            offset += length;
            at.store(offset, Ordering::Relaxed);
            (self.downloaded)(self.total.fetch_add(length, Ordering::Relaxed) + length);
        }
        if offset < end {
            return Err(TransferError::Connection("the answer was cut off".into()));
        }
        Ok(())
    }
}

async fn not_partial(response: reqwest::Response) -> TransferError {
    if response.status().is_success() {
        TransferError::Protocol("it does not answer range requests".into())
    } else {
        refusal(response).await
    }
}

/// The range of an answer and the size of the object (RFC 9110, 14.4).
fn content_range(response: &reqwest::Response) -> Result<(Range<u64>, u64), TransferError> {
    response
        .headers()
        .get(CONTENT_RANGE)
        .and_then(|value| parse_content_range(value.to_str().ok()?))
        .ok_or_else(|| TransferError::Protocol("a partial answer without Content-Range".into()))
}

fn parse_content_range(text: &str) -> Option<(Range<u64>, u64)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let end = last.parse::<u64>().ok()?.checked_add(1)?;
    Some((first.parse().ok()?..end, size.parse().ok()?))
}

fn ranges(size: u64) -> impl Iterator<Item = Range<u64>> {
    let unit = UNIT.get();
    (0..size.div_ceil(unit)).map(move |index| {
        let start = index * unit;
        start..size.min(start + unit)
    })
}

/// Takes the room that the file will need, or says that there is too little.
fn reserve(file: &File, path: &Path, size: u64) -> Result<(), TransferError> {
    let room = statvfs(path).map_err(std::io::Error::from)?;
    let available = room.f_bavail.saturating_mul(room.f_frsize);
    if size > available {
        return Err(TransferError::NoSpace {
            needed: size,
            available,
        });
    }
    if size == 0 {
        return Ok(());
    }
    match fallocate(file, FallocateFlags::empty(), 0, size) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::OPNOTSUPP) => Ok(file.set_len(size)?),
        Err(rustix::io::Errno::NOSPC) => Err(TransferError::NoSpace {
            needed: size,
            available,
        }),
        Err(error) => Err(std::io::Error::from(error).into()),
    }
}

async fn verify(file: Arc<File>, expected: ArchiveChecksum) -> Result<(), TransferError> {
    let part_size = expected.part_size_bytes;
    let actual = tokio::task::spawn_blocking(move || checksum::of_file(&file, part_size))
        .await
        .map_err(std::io::Error::other)??;
    if actual == expected {
        Ok(())
    } else {
        Err(TransferError::Damaged {
            expected: expected.sha256,
            actual: actual.sha256,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_everything_once() {
        assert_eq!(ranges(0).count(), 0);
        assert!(ranges(1).eq(std::iter::once(0..1)));
        let unit = UNIT.get();
        assert_eq!(
            ranges(2 * unit + 5).collect::<Vec<_>>(),
            [0..unit, unit..2 * unit, 2 * unit..2 * unit + 5]
        );
    }

    #[test]
    fn content_ranges() {
        assert_eq!(parse_content_range("bytes 0-4/10"), Some((0..5, 10)));
        assert_eq!(parse_content_range("bytes 0-4/*"), None);
        assert_eq!(parse_content_range("bytes */10"), None);
    }
}
