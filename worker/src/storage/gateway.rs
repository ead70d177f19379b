//! The gateway: the Worker answers the agent's presigned URLs out of its R2
//! binding. Development needs no R2 API token this way, and runs the same code
//! in the agent as production.
//!
//! Only what the agent does with such URLs is here: `PUT` of a part, `GET` of
//! an archive, whole or by one range (RFC 9110, section 14). Errors are the
//! XML that S3 answers.

use base64::{Engine, prelude::BASE64_STANDARD as STANDARD};
use js_sys::{Promise, Uint8Array};
use sandbox_shared::SandboxError;
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use wasm_bindgen_futures::JsFuture;
use worker::{Bucket, Headers, Method, Range, Request, Response, ResponseBody};

use super::{
    bucket::is_no_such_upload,
    keys,
    presign::Presigner,
    sigv4::{Refusal, query_pairs},
};
use crate::{clock, config::Config};

/// Requests below this path are the gateway's.
pub const ROUTE: &str = "/gateway/";

/// Answers a request below [`ROUTE`].
pub async fn handle(request: Request, config: &Config) -> worker::Result<Response> {
    match answer(request, config).await {
        Ok(response) => Ok(response),
        Err(Failure {
            status,
            code,
            message,
        }) => {
            let body = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
                 <Error><Code>{code}</Code><Message>{message}</Message></Error>"
            );
            let headers = Headers::new();
            headers.set("content-type", "application/xml")?;
            Ok(Response::ok(body)?
                .with_status(status)
                .with_headers(headers))
        }
    }
}

/// An error as S3 words it.
struct Failure {
    status: u16,
    code: &'static str,
    message: String,
}

impl Failure {
    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }
}

impl From<worker::Error> for Failure {
    fn from(error: worker::Error) -> Self {
        if is_no_such_upload(&error) {
            return Self::new(404, "NoSuchUpload", "The upload does not exist");
        }
        worker::console_error!("gateway: {error}");
        Self::new(500, "InternalError", "R2 failed; try again")
    }
}

impl From<SandboxError> for Failure {
    fn from(error: SandboxError) -> Self {
        Self::new(503, "ServiceUnavailable", error.message)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Malformed => Self::new(
                400,
                "AuthorizationQueryParametersError",
                "The signature is malformed",
            ),
            Refusal::UnknownKey => Self::new(403, "InvalidAccessKeyId", "Unknown access key"),
            Refusal::BadSignature => Self::new(
                403,
                "SignatureDoesNotMatch",
                "The signature is of another request",
            ),
            Refusal::Expired => Self::new(403, "AccessDenied", "Request has expired"),
        }
    }
}

async fn answer(request: Request, config: &Config) -> Result<Response, Failure> {
    if config.transfer.gateway_secret.is_none() {
        return Err(Failure::new(
            404,
            "NoSuchBucket",
            "There is no gateway here",
        ));
    }
    let presigner = Presigner::to_gateway(&config.transfer)?;
    let bucket = config.bucket()?;
    let url = request.url()?;
    let key = url.path().strip_prefix(ROUTE).unwrap_or_default();
    let query = url.query().unwrap_or_default();
    let method = request.method();
    presigner.verify(method.as_ref(), key, query, clock::now())?;
    if keys::archive_id(key).is_none() {
        return Err(Failure::new(404, "NoSuchKey", "Only archives are here"));
    }
    match method {
        Method::Put => put_part(request, &bucket, key, query).await,
        Method::Get => get(&request, &bucket, key).await,
        _ => Err(Failure::new(
            405,
            "MethodNotAllowed",
            "Only GET and PUT are here",
        )),
    }
}

async fn put_part(
    request: Request,
    bucket: &Bucket,
    key: &str,
    query: &str,
) -> Result<Response, Failure> {
    let malformed = || {
        Failure::new(
            400,
            "InvalidRequest",
            "uploadId and partNumber are required",
        )
    };
    let pairs = query_pairs(query).ok_or_else(malformed)?;
    let parameter = |wanted: &str| {
        pairs
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.as_str())
            .ok_or_else(malformed)
    };
    let number: u16 = parameter("partNumber")?.parse().map_err(|_| malformed())?;
    let upload = bucket.resume_multipart_upload(key, parameter("uploadId")?)?;
    let expected = request.headers().get("content-md5")?;
    // The body goes from the connection to R2 without passing through WebAssembly.
    let body = request
        .inner()
        .body()
        .ok_or_else(|| Failure::new(411, "MissingContentLength", "A part needs a body"))?;
    let part = match expected {
        None => upload.upload_part(number, body).await?,
        Some(expected) => {
            let (body, digest) = md5_on_the_way(&body)?;
            let part = upload.upload_part(number, body).await?;
            // What was stored is replaced when the part is sent again.
            if STANDARD.encode(digest.await?) != expected.trim() {
                return Err(Failure::new(
                    400,
                    "BadDigest",
                    "The Content-MD5 is not that of the bytes received",
                ));
            }
            part
        }
    };
    let headers = Headers::new();
    headers.set("etag", &format!("\"{}\"", part.etag()))?;
    Ok(Response::empty()?.with_headers(headers))
}

#[wasm_bindgen]
extern "C" {
    /// Computes a digest of what is written to it
    /// (Workers, "Web Crypto", `crypto.DigestStream`).
    #[wasm_bindgen(extends = web_sys::WritableStream)]
    type DigestStream;
    #[wasm_bindgen(constructor, js_namespace = crypto, js_class = "DigestStream", catch)]
    fn new(algorithm: &str) -> Result<DigestStream, JsValue>;
    #[wasm_bindgen(method, getter)]
    fn digest(this: &DigestStream) -> Promise;
}

/// The same bytes, and the MD5 of them once they have been read.
fn md5_on_the_way(
    body: &web_sys::ReadableStream,
) -> Result<
    (
        web_sys::ReadableStream,
        impl Future<Output = Result<Vec<u8>, Failure>>,
    ),
    Failure,
> {
    let failed = |error: JsValue| Failure::from(worker::Error::from(error));
    let branches = body.tee();
    let (kept, hashed) = (branches.get(0), branches.get(1));
    let stream = DigestStream::new("MD5").map_err(failed)?;
    let digest = JsFuture::from(stream.digest());
    let piped = hashed
        .unchecked_ref::<web_sys::ReadableStream>()
        .pipe_to(&stream);
    let digest = async move {
        JsFuture::from(piped).await.map_err(failed)?;
        let digest = digest.await.map_err(failed)?;
        Ok(Uint8Array::new(&digest).to_vec())
    };
    Ok((kept.unchecked_into(), digest))
}

async fn get(request: &Request, bucket: &Bucket, key: &str) -> Result<Response, Failure> {
    let no_such_key = || Failure::new(404, "NoSuchKey", "The archive does not exist");
    let asked = request.headers().get("range")?;
    let size = bucket.head(key).await?.ok_or_else(no_such_key)?.size();
    let range = match asked.as_deref().map(|range| ByteRange::parse(range, size)) {
        None | Some(Asked::Ignored) => None,
        Some(Asked::Range(range)) => Some(range),
        Some(Asked::Unsatisfiable) => {
            return Err(Failure::new(
                416,
                "InvalidRange",
                "The range is not in the archive",
            ));
        }
    };
    let mut get = bucket.get(key);
    if let Some(range) = &range {
        get = get.range(Range::OffsetWithLength {
            offset: range.first,
            length: range.length(),
        });
    }
    let object = get.execute().await?.ok_or_else(no_such_key)?;
    let headers = Headers::new();
    headers.set("accept-ranges", "bytes")?;
    headers.set("content-type", "application/octet-stream")?;
    headers.set("etag", &object.http_etag())?;
    let length = range.as_ref().map_or(size, ByteRange::length);
    headers.set("content-length", &length.to_string())?;
    let status = match &range {
        Some(ByteRange { first, last }) => {
            headers.set("content-range", &format!("bytes {first}-{last}/{size}"))?;
            206
        }
        None => 200,
    };
    let body = match object.body() {
        Some(body) => body.response_body()?,
        None => ResponseBody::Empty,
    };
    Ok(Response::from_body(body)?
        .with_status(status)
        .with_headers(headers))
}

/// One range of an object, both ends inclusive.
#[derive(Debug, PartialEq, Eq)]
struct ByteRange {
    first: u64,
    last: u64,
}

/// What a `Range` header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Range(ByteRange),
    /// Not understood, or several ranges: the whole object is a valid answer.
    Ignored,
    Unsatisfiable,
}

impl ByteRange {
    fn length(&self) -> u64 {
        self.last - self.first + 1
    }

    fn parse(header: &str, size: u64) -> Asked {
        let Some((first, last)) = header
            .strip_prefix("bytes=")
            .and_then(|range| range.split_once('-'))
        else {
            return Asked::Ignored;
        };
        let number = |text: &str| text.parse::<u64>().ok();
        let (first, last) = match (first.is_empty(), last.is_empty()) {
            (false, false) => (number(first), number(last)),
            (false, true) => (number(first), Some(u64::MAX)),
            (true, false) => match number(last) {
                Some(0) => return Asked::Unsatisfiable,
                suffix => (suffix.map(|n| size.saturating_sub(n)), Some(u64::MAX)),
            },
            (true, true) => return Asked::Ignored,
        };
        match (first, last) {
            (Some(first), Some(last)) if first > last => Asked::Ignored,
            (Some(first), Some(_)) if first >= size => Asked::Unsatisfiable,
            (Some(first), Some(last)) => Asked::Range(Self {
                first,
                last: last.min(size - 1),
            }),
            _ => Asked::Ignored,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u64, last: u64) -> Asked {
        Asked::Range(ByteRange { first, last })
    }

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        for (header, asked) in [
            ("bytes=0-0", range(0, 0)),
            ("bytes=10-19", range(10, 19)),
            ("bytes=90-200", range(90, 99)),
            ("bytes=90-", range(90, 99)),
            ("bytes=-10", range(90, 99)),
            ("bytes=-1000", range(0, 99)),
            ("bytes=100-", Asked::Unsatisfiable),
            ("bytes=100-200", Asked::Unsatisfiable),
            ("bytes=-0", Asked::Unsatisfiable),
            ("bytes=5-4", Asked::Ignored),
            ("bytes=-", Asked::Ignored),
            ("bytes=0-1,5-6", Asked::Ignored),
            ("lines=0-1", Asked::Ignored),
            ("bytes=x-y", Asked::Ignored),
        ] {
            assert_eq!(ByteRange::parse(header, 100), asked, "{header}");
        }
        assert_eq!(ByteRange::parse("bytes=0-", 0), Asked::Unsatisfiable);
    }
}
