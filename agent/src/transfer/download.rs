//! Ranged reads of an object.

use std::ops::Range;

use reqwest::{
    Response, StatusCode, Url,
    header::{CONTENT_RANGE, RANGE},
};

use super::{Store, TransferError, parse_url, retry::with_retries};

impl Store {
    /// The size of an object in bytes, asked for with the only method that its
    /// presigned URL allows.
    pub async fn size(&self, url: &str) -> Result<u64, TransferError> {
        let url = parse_url(url)?;
        with_retries(|| async {
            let response = self.get(&url, 0..1).await?;
            if response.status() != StatusCode::PARTIAL_CONTENT {
                return Err(self.not_partial(response).await);
            }
            Ok(content_range(&response)?.1)
        })
        .await
    }

    /// Begins to read `range`, which is not empty, of an object of `size`
    /// bytes. The answer is known to be about that range, not to be as long.
    pub(super) async fn range(
        &self,
        url: &Url,
        range: Range<u64>,
        size: u64,
    ) -> Result<Response, TransferError> {
        let response = self.get(url, range.clone()).await?;
        let whole = response.status() == StatusCode::OK && range == (0..size);
        if response.status() == StatusCode::PARTIAL_CONTENT {
            let (actual, actual_size) = content_range(&response)?;
            if (&actual, actual_size) != (&range, size) {
                return Err(TransferError::Protocol(format!(
                    "asked for bytes {} to {} of {size}, got {} to {} of {actual_size}",
                    range.start, range.end, actual.start, actual.end
                )));
            }
        } else if !whole {
            return Err(self.not_partial(response).await);
        }
        Ok(response)
    }

    async fn get(&self, url: &Url, range: Range<u64>) -> Result<Response, TransferError> {
        let request = self
            .for_url(url)
            .get(url.clone())
            .header(RANGE, format!("bytes={}-{}", range.start, range.end - 1));
        self.in_time(request.send()).await
    }

    async fn not_partial(&self, response: Response) -> TransferError {
        if response.status().is_success() {
            TransferError::Protocol("it does not answer range requests".into())
        } else {
            self.refusal(response).await
        }
    }
}

/// The range of an answer and the size of the object (RFC 9110, 14.4).
fn content_range(response: &Response) -> Result<(Range<u64>, u64), TransferError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        assert_eq!(parse_content_range("bytes 0-4/10"), Some((0..5, 10)));
        assert_eq!(parse_content_range("bytes 0-4/*"), None);
        assert_eq!(parse_content_range("bytes */10"), None);
    }
}
