//! Archives to and from an object store, over presigned URLs.
//!
//! What is guaranteed: several requests run at a time, each is tried again
//! after failures that may pass, memory stays bounded by the parts in flight,
//! and no error ever holds a URL, since a presigned one is a credential.

use std::{io, num::NonZeroU64, sync::Arc, time::Duration};

use reqwest::{Client, StatusCode, Url, header::RETRY_AFTER, redirect};
use sandbox_shared::{
    SandboxError,
    methods::{Failure, Row},
};

pub mod checksum;
pub mod download;
pub mod lazy;
mod retry;
pub mod upload;

/// Requests in flight at a time.
const CONCURRENCY: usize = 4;
/// Bytes of one ranged read of a pull, and the smallest part.
const UNIT: NonZeroU64 = NonZeroU64::new(8 << 20).expect("not zero");
/// Connections that are kept for the next request.
const IDLE_CONNECTIONS: usize = 16;
/// To reach the store at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a transfer failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The address is none.
    #[error("the URL of the archive is not an http(s) URL")]
    BadUrl,
    /// The store has no such object.
    #[error("the store has no such object (404)")]
    NotFound,
    /// The store does not accept the URL, however fresh.
    #[error(
        "the store refused the request ({0}): the URL has expired, or its signature or permissions are wrong"
    )]
    Refused(StatusCode),
    /// The store answered something else that trying again does not mend.
    #[error("the store answered {status}{}", code.as_ref().map(|c| format!(" ({c})")).unwrap_or_default())]
    Status {
        /// What it answered.
        status: StatusCode,
        /// The `Code` of an S3 error document.
        code: Option<String>,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// The connection failed.
    #[error("the connection to the store failed: {0}")]
    Connection(String),
    /// The store did not do what was asked.
    #[error("the store's answer is wrong: {0}")]
    Protocol(String),
    /// What arrived is not what was stored.
    #[error("the archive is damaged: its SHA-256 is {actual}, not {expected}")]
    Damaged {
        /// As recorded.
        expected: String,
        /// As received.
        actual: String,
    },
    /// There is not enough room.
    #[error("{needed} bytes are needed for the archive, but only {available} are free")]
    NoSpace {
        /// Bytes.
        needed: u64,
        /// Bytes.
        available: u64,
    },
    /// The archive needs more parts than a multipart upload may have.
    #[error("the archive is larger than the store takes in one object")]
    TooLarge,
    /// Nobody answers requests for part URLs any more.
    #[error("no URLs came for the parts of the upload")]
    NoUrls,
    /// The object is not the one that was read from before.
    #[error("the archive in the store is not the one it was when it was opened")]
    Changed,
    /// The address of the archive is not known any more.
    #[error("the archive's URL has to be renewed, and nobody did so in time")]
    NoUrl,
    /// A local file failed.
    #[error("{0}")]
    Local(#[from] io::Error),
}

impl TransferError {
    /// A failed request, without its URL.
    fn connection(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            text = format!("{text}: {inner}");
            cause = inner.source();
        }
        Self::Connection(text)
    }

    /// Whether the same request may succeed later.
    fn is_temporary(&self) -> bool {
        match self {
            Self::Connection(_) | Self::Protocol(_) => true,
            Self::Status { status, code, .. } => {
                status.is_server_error()
                    // Bytes were changed on their way.
                    || code.as_deref() == Some("BadDigest")
                    || *status == StatusCode::TOO_MANY_REQUESTS
                    || *status == StatusCode::REQUEST_TIMEOUT
            }
            _ => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl Failure for TransferError {
    fn of(self, method: &Row) -> SandboxError {
        let message = self.to_string();
        match self {
            Self::NotFound => method.not_found(message),
            Self::NoSpace { needed, available } => method
                .failed(message)
                .with("neededBytes", needed)
                .with("availableBytes", available),
            _ => method.failed(message),
        }
    }
}

/// Talks to object stores.
#[derive(Clone, Debug)]
pub struct Store {
    proxied: Client,
    direct: Client,
    /// How long it may take for nothing. A request as such may take as long as
    /// its bytes do, as parts may be large and lines slow.
    patience: Duration,
}

impl Store {
    /// A client that trusts the Web's public authorities, and those that this
    /// machine trusts besides (`SSL_CERT_FILE`). A store that does nothing for as
    /// long as `patience` has failed.
    pub fn new(patience: Duration) -> Result<Self, TransferError> {
        let mut authorities = rustls::RootCertStore::empty();
        authorities.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        // A container without certificates of its own is fine.
        authorities.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TransferError::Connection(error.to_string()))?
            .with_root_certificates(authorities)
            .with_no_client_auth();
        let client = || {
            Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .redirect(redirect::Policy::none())
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_max_idle_per_host(IDLE_CONNECTIONS)
        };
        Ok(Self {
            proxied: client().build().map_err(TransferError::connection)?,
            direct: client()
                .no_proxy()
                .build()
                .map_err(TransferError::connection)?,
            patience,
        })
    }

    /// Gives a step of a request no more time than there is patience for.
    async fn in_time<T>(
        &self,
        step: impl Future<Output = Result<T, reqwest::Error>>,
    ) -> Result<T, TransferError> {
        match tokio::time::timeout(self.patience, step).await {
            Ok(done) => done.map_err(TransferError::connection),
            Err(_) => Err(self.stalled()),
        }
    }

    fn stalled(&self) -> TransferError {
        let seconds = self.patience.as_secs();
        TransferError::Connection(format!("too little came or went in {seconds} s"))
    }

    /// The client for a URL: proxies have no way to our own loopback.
    fn for_url(&self, url: &Url) -> &Client {
        let loopback = url.host_str().is_some_and(|host| {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host == "localhost"
                || host
                    .parse::<std::net::IpAddr>()
                    .is_ok_and(|address| address.is_loopback())
        });
        if loopback {
            &self.direct
        } else {
            &self.proxied
        }
    }

    /// The error that an answer stands for.
    async fn refusal(&self, response: reqwest::Response) -> TransferError {
        let status = response.status();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return TransferError::Refused(status);
        }
        let document = self.in_time(response.text()).await.ok();
        let code = document.as_deref().and_then(s3_code);
        // Where what it would be in is missing, that says nothing about an object.
        let is_object = !matches!(code.as_deref(), Some("NoSuchBucket" | "NoSuchUpload"));
        if status == StatusCode::NOT_FOUND && is_object {
            return TransferError::NotFound;
        }
        TransferError::Status {
            status,
            code,
            retry_after,
        }
    }
}

fn parse_url(url: &str) -> Result<Url, TransferError> {
    Url::parse(url)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or(TransferError::BadUrl)
}

/// The `Code` of an S3 error document: an identifier, never anything else.
fn s3_code(document: &str) -> Option<String> {
    let (_, rest) = document.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let is_identifier = code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_identifier.then(|| code.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_web_addresses_are_urls() {
        assert!(parse_url("https://store.example/a?X-Amz-Signature=1").is_ok());
        for bad in ["", "file:///etc/passwd", "store.example", "http://"] {
            assert!(
                matches!(parse_url(bad), Err(TransferError::BadUrl)),
                "{bad}"
            );
        }
    }

    #[test]
    fn an_s3_document_gives_its_code() {
        let document = "<?xml?><Error><Code>SlowDown</Code><Message>x</Message></Error>";
        assert_eq!(s3_code(document).as_deref(), Some("SlowDown"));
        assert_eq!(s3_code("<Code>https://a/?b</Code>"), None);
        assert_eq!(s3_code("nothing"), None);
    }
}
