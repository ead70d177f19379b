//! AWS Signature Version 4 in a query string ("presigned URLs"), for S3 and R2.
//!
//! A URL made here is good for one method on one key, with exactly the query
//! parameters it was made with, until it expires. The payload is not signed:
//! its integrity is a matter of the archive's own checksum.
//!
//! Source: AWS, "Authenticating Requests: Using Query Parameters (AWS
//! Signature Version 4)"; R2, "Presigned URLs" (expiry 1 s to 604,800 s).

use std::{fmt, time::Duration};

use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sandbox_shared::hex;
use sha2::{Digest, Sha256};
use time::{OffsetDateTime, PrimitiveDateTime, macros::format_description};

/// The longest life of a presigned URL that S3 and R2 accept.
pub const MAX_EXPIRY: Duration = Duration::from_secs(604_800);

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// RFC 3986's unreserved characters stay as they are.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
const PATH: &AsciiSet = &COMPONENT.remove(b'/');

/// An access key and its secret. The secret never leaves this module.
#[derive(Clone)]
pub struct Credentials {
    access_key_id: String,
    secret_access_key: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// Credentials as the store's console gave them.
    pub fn new(access_key_id: impl Into<String>, secret_access_key: impl Into<String>) -> Self {
        Self {
            access_key_id: access_key_id.into(),
            secret_access_key: secret_access_key.into(),
        }
    }
}

/// The request that a URL stands for.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// `GET`, `PUT`, `HEAD`, …
    pub method: &'a str,
    /// `https://host[:port]`, without a path.
    pub origin: &'a str,
    /// Not percent-encoded, with a leading slash.
    pub path: &'a str,
    /// Not percent-encoded.
    pub query: &'a [(&'a str, &'a str)],
}

/// The `Host` header that a request to `origin` carries.
fn host(origin: &str) -> &str {
    origin.split_once("://").map_or(origin, |(_, host)| host)
}

/// Signs `request` for `region`; the URL expires `expiry` after `now`.
pub fn presign(
    credentials: &Credentials,
    region: &str,
    request: &Request<'_>,
    now: OffsetDateTime,
    expiry: Duration,
) -> String {
    let scope = Scope::new(now, region);
    let credential = format!("{}/{}", credentials.access_key_id, scope.text);
    let expires = expiry.min(MAX_EXPIRY).as_secs().max(1).to_string();
    let mut query = vec![
        ("X-Amz-Algorithm", ALGORITHM),
        ("X-Amz-Credential", &credential),
        ("X-Amz-Date", &scope.timestamp),
        ("X-Amz-Expires", &expires),
        ("X-Amz-SignedHeaders", "host"),
    ];
    query.extend_from_slice(request.query);
    let query = canonical_query(&query);
    let path = utf8_percent_encode(request.path, PATH).to_string();
    let signature = hex(&scope
        .sign(
            credentials,
            request.method,
            host(request.origin),
            &path,
            &query,
        )
        .finalize()
        .into_bytes());
    format!(
        "{}{path}?{query}&X-Amz-Signature={signature}",
        request.origin
    )
}

/// Why a presigned URL is not honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A parameter of the signature is missing, doubled or malformed.
    Malformed,
    /// Another access key.
    UnknownKey,
    /// Made for another request, or by somebody without the secret.
    BadSignature,
    /// Its time is over, or has not come yet.
    Expired,
}

/// Checks a URL that [`presign`] is said to have made for `method` at
/// `origin`. `path` and `query` are as they stand in the URL, percent-encoded.
pub fn verify(
    credentials: &Credentials,
    region: &str,
    method: &str,
    origin: &str,
    path: &str,
    query: &str,
    now: OffsetDateTime,
) -> Result<(), Refusal> {
    let mut signed = Vec::new();
    let mut signature = None;
    for (name, value) in query_pairs(query).ok_or(Refusal::Malformed)? {
        if name == "X-Amz-Signature" {
            if signature.replace(value).is_some() {
                return Err(Refusal::Malformed);
            }
        } else {
            signed.push((name, value));
        }
    }
    let parameter = |wanted: &str| {
        let mut found = signed.iter().filter(|(name, _)| name == wanted);
        match (found.next(), found.next()) {
            (Some((_, value)), None) => Ok(value.as_str()),
            _ => Err(Refusal::Malformed),
        }
    };
    if parameter("X-Amz-Algorithm")? != ALGORITHM || parameter("X-Amz-SignedHeaders")? != "host" {
        return Err(Refusal::Malformed);
    }
    let made = parse_timestamp(parameter("X-Amz-Date")?).ok_or(Refusal::Malformed)?;
    let expires: u64 = parameter("X-Amz-Expires")?
        .parse()
        .map_err(|_| Refusal::Malformed)?;
    if !(1..=MAX_EXPIRY.as_secs()).contains(&expires) {
        return Err(Refusal::Malformed);
    }
    let scope = Scope::new(made, region);
    if parameter("X-Amz-Credential")? != format!("{}/{}", credentials.access_key_id, scope.text) {
        return Err(Refusal::UnknownKey);
    }
    let signature = signature
        .as_deref()
        .and_then(unhex)
        .ok_or(Refusal::Malformed)?;
    let signed: Vec<_> = signed
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    scope
        .sign(
            credentials,
            method,
            host(origin),
            path,
            &canonical_query(&signed),
        )
        .verify_slice(&signature)
        .map_err(|_| Refusal::BadSignature)?;
    // A quarter of an hour is the clock skew that S3 tolerates.
    if now + Duration::from_secs(900) < made || now > made + Duration::from_secs(expires) {
        return Err(Refusal::Expired);
    }
    Ok(())
}

/// The names and values of a query string, decoded; none if one is not UTF-8.
pub fn query_pairs(query: &str) -> Option<Vec<(String, String)>> {
    let decode = |text: &str| {
        percent_decode_str(text)
            .decode_utf8()
            .ok()
            .map(|text| text.into_owned())
    };
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        })
        .collect()
}

/// Date, region and service that a signing key is derived for.
struct Scope {
    date: String,
    timestamp: String,
    region: String,
    text: String,
}

impl Scope {
    fn new(now: OffsetDateTime, region: &str) -> Self {
        let timestamp = now
            .to_offset(time::UtcOffset::UTC)
            .format(format_description!(
                "[year][month][day]T[hour][minute][second]Z"
            ))
            .unwrap_or_default();
        let date = timestamp.chars().take(8).collect::<String>();
        Self {
            text: format!("{date}/{region}/s3/aws4_request"),
            region: region.to_owned(),
            date,
            timestamp,
        }
    }

    /// The signature of a request, not finalized, so that it can be compared
    /// in constant time.
    fn sign(
        &self,
        credentials: &Credentials,
        method: &str,
        host: &str,
        path: &str,
        query: &str,
    ) -> Hmac<Sha256> {
        let request = format!("{method}\n{path}\n{query}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD");
        let to_sign = format!(
            "{ALGORITHM}\n{}\n{}\n{}",
            self.timestamp,
            self.text,
            hex(&Sha256::digest(request.as_bytes()))
        );
        let secret = format!("AWS4{}", credentials.secret_access_key);
        let key = [&self.date, &self.region, "s3", "aws4_request"]
            .iter()
            .fold(secret.into_bytes(), |key, part| {
                hmac(&key, part.as_bytes()).finalize().into_bytes().to_vec()
            });
        hmac(&key, to_sign.as_bytes())
    }
}

fn hmac(key: &[u8], message: &[u8]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac
}

/// Parameters encoded, then sorted by encoded name and value.
fn canonical_query(pairs: &[(&str, &str)]) -> String {
    let encode = |text: &str| utf8_percent_encode(text, COMPONENT).to_string();
    let mut encoded: Vec<_> = pairs
        .iter()
        .map(|(name, value)| (encode(name), encode(value)))
        .collect();
    encoded.sort();
    let pairs: Vec<_> = encoded
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

fn parse_timestamp(text: &str) -> Option<OffsetDateTime> {
    PrimitiveDateTime::parse(
        text,
        format_description!("[year][month][day]T[hour][minute][second]Z"),
    )
    .ok()
    .map(PrimitiveDateTime::assume_utc)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let is_digit = |byte: u8| byte.is_ascii_hexdigit();
    if !text.bytes().all(is_digit) || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn example() -> Credentials {
        Credentials::new(
            "AKIAIOSFODNN7EXAMPLE",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        )
    }

    const NOW: OffsetDateTime = datetime!(2026-03-01 12:00:00 UTC);
    const ORIGIN: &str = "http://127.0.0.1:8787";
    const KEY: &str = "/bucket/backups/a b+c/žluť.sqsh";

    fn signed(method: &str, query: &[(&str, &str)]) -> (String, String) {
        let request = Request {
            method,
            origin: ORIGIN,
            path: KEY,
            query,
        };
        let url = presign(&example(), "auto", &request, NOW, Duration::from_secs(60));
        let (path, query) = url
            .strip_prefix(ORIGIN)
            .and_then(|rest| rest.split_once('?'))
            .unwrap();
        (path.to_owned(), query.to_owned())
    }

    fn check(method: &str, path: &str, query: &str, now: OffsetDateTime) -> Result<(), Refusal> {
        verify(&example(), "auto", method, ORIGIN, path, query, now)
    }

    #[test]
    fn the_example_of_the_aws_documentation() {
        let url = presign(
            &example(),
            "us-east-1",
            &Request {
                method: "GET",
                origin: "https://examplebucket.s3.amazonaws.com",
                path: "/test.txt",
                query: &[],
            },
            datetime!(2013-05-24 00:00:00 UTC),
            Duration::from_secs(86_400),
        );
        assert_eq!(
            url,
            "https://examplebucket.s3.amazonaws.com/test.txt\
             ?X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
             &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
             &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
        );
    }

    #[test]
    fn a_url_is_good_until_it_expires() {
        let (path, query) = signed("PUT", &[("uploadId", "a/b=="), ("partNumber", "3")]);
        let at = |seconds| check("PUT", &path, &query, NOW + time::Duration::seconds(seconds));
        assert_eq!(at(0), Ok(()));
        assert_eq!(at(60), Ok(()));
        assert_eq!(at(61), Err(Refusal::Expired));
        assert_eq!(at(-900), Ok(()));
        assert_eq!(at(-901), Err(Refusal::Expired));
    }

    #[test]
    fn nothing_of_a_url_can_be_altered() {
        let (path, query) = signed("PUT", &[("partNumber", "3"), ("uploadId", "u")]);
        assert_eq!(check("GET", &path, &query, NOW), Err(Refusal::BadSignature));
        let other = path.replace("backups", "backupz");
        assert_eq!(
            check("PUT", &other, &query, NOW),
            Err(Refusal::BadSignature)
        );
        for (from, to) in [
            ("partNumber=3", "partNumber=4"),
            ("uploadId=u", "uploadId=v"),
            ("X-Amz-Expires=60", "X-Amz-Expires=61"),
            ("20260301T120000Z", "20260301T120001Z"),
            ("partNumber=3&", ""),
        ] {
            let altered = query.replace(from, to);
            assert_ne!(altered, query, "{from}");
            assert_eq!(
                check("PUT", &path, &altered, NOW),
                Err(Refusal::BadSignature),
                "{from}"
            );
        }
        let added = format!("{query}&x-id=PutObject");
        assert_eq!(check("PUT", &path, &added, NOW), Err(Refusal::BadSignature));
    }

    #[test]
    fn malformed_and_foreign_signatures_are_told_apart() {
        let (path, query) = signed("GET", &[]);
        let with = |from: &str, to: &str| check("GET", &path, &query.replace(from, to), NOW);
        assert_eq!(with("AKIA", "BKIA"), Err(Refusal::UnknownKey));
        assert_eq!(with("%2Fauto%2F", "%2Feu%2F"), Err(Refusal::UnknownKey));
        assert_eq!(with("=host", "=host%3Bx"), Err(Refusal::Malformed));
        assert_eq!(
            with("X-Amz-Expires=60", "X-Amz-Expires=604801"),
            Err(Refusal::Malformed)
        );
        assert_eq!(
            with("X-Amz-Signature=", "X-Amz-Signature=%FF"),
            Err(Refusal::Malformed)
        );
        assert_eq!(
            with("X-Amz-Signature=", "X-Amz-Signature=é"),
            Err(Refusal::Malformed)
        );
        assert_eq!(check("GET", &path, "", NOW), Err(Refusal::Malformed));
        let doubled = format!("{query}&X-Amz-Date=20260301T120000Z");
        assert_eq!(check("GET", &path, &doubled, NOW), Err(Refusal::Malformed));
    }

    #[test]
    fn credentials_do_not_show_their_secret() {
        assert!(!format!("{:?}", example()).contains("wJalr"));
    }
}
