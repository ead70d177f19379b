//! An object store that answers presigned URLs, and fails as it is told.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    ops::Range,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, Request, State},
    http::{Response, StatusCode, header},
    routing::{get, put},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use sandbox_agent::transfer::checksum::content_md5;
use sandbox_shared::protocol::Part;
use tokio::sync::watch;

/// What a request meets instead of being served.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// None: it is served.
    Pass,
    Status(u16),
    /// What it would be in is not there: the `Code` of a 404.
    Nowhere(&'static str),
    /// The answer begins, and then the connection goes away.
    CutOff,
    /// Bytes that are not those that were sent or stored.
    Corrupt,
    /// Never answered.
    Hang,
    /// A few bytes a second are all that comes.
    Trickle,
    /// The answer has half of the bytes that it says it has.
    Short,
    /// The answer is of other bytes than were asked for.
    Elsewhere,
    /// The answer is all there is.
    Whole,
}

#[derive(Default)]
struct Contents {
    parts: BTreeMap<u32, Bytes>,
    archive: Bytes,
    faults: VecDeque<Fault>,
    lengths: Vec<Option<String>>,
    /// Of the archive, that were asked for.
    bytes_read: usize,
    /// URLs of earlier ones have expired.
    generation: u32,
}

/// What requests for the archive have to put up with.
#[derive(Clone, Copy, Default)]
pub(crate) struct Limits {
    /// Ranges that are longer wait until it is otherwise.
    pub(crate) longest: Option<usize>,
    /// Before each answer.
    pub(crate) latency: Duration,
    /// Of all answers together, in bytes a second.
    pub(crate) rate: Option<f64>,
}

#[derive(Clone)]
pub(crate) struct Store {
    origin: String,
    contents: Arc<Mutex<Contents>>,
    requests: watch::Sender<usize>,
    limits: watch::Sender<Limits>,
    /// The line: until when it is busy.
    busy: Arc<tokio::sync::Mutex<Option<Instant>>>,
}

/// Bytes that go over the line at a time.
const PACKET: usize = 64 << 10;

impl Store {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let store = Self {
            origin: format!("http://{}", listener.local_addr().unwrap()),
            contents: Arc::default(),
            requests: watch::Sender::new(0),
            limits: watch::Sender::new(Limits::default()),
            busy: Arc::default(),
        };
        let app = Router::new()
            .route("/parts/{number}", put(put_part))
            .route("/archive", get(get_archive))
            .with_state(store.clone());
        // Not on the thread of the test, which waits for files of a mount to be
        // read that are served from here.
        let listener = listener.into_std().unwrap();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, app).await.unwrap();
            });
        });
        store
    }

    pub(crate) fn part_url(&self, number: u32) -> String {
        format!("{}/parts/{number}?X-Amz-Signature=secret", self.origin)
    }

    pub(crate) fn archive_url(&self) -> String {
        let generation = self.contents.lock().unwrap().generation;
        format!("{}/archive?X-Amz-Signature=secret{generation}", self.origin)
    }

    /// The next requests meet these, one each.
    pub(crate) fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.contents.lock().unwrap().faults.extend(faults);
    }

    /// The `number`th request from now on, from 1, is never answered.
    pub(crate) fn hold(&self, number: usize) {
        self.fail(std::iter::repeat_n(Fault::Pass, number - 1).chain([Fault::Hang]));
    }

    /// The next requests meet nothing.
    pub(crate) fn forget_faults(&self) {
        self.contents.lock().unwrap().faults.clear();
    }

    /// All URLs of the archive that were given out are good no more.
    pub(crate) fn expire(&self) {
        self.contents.lock().unwrap().generation += 1;
    }

    /// From now on, and for those who wait already.
    pub(crate) fn limit(&self, limits: Limits) {
        self.limits.send_replace(limits);
    }

    /// Puts the parts together.
    pub(crate) fn complete(&self, parts: &[Part]) {
        let mut contents = self.contents.lock().unwrap();
        let whole: Vec<u8> = parts
            .iter()
            .flat_map(|part| contents.parts[&part.number].to_vec())
            .collect();
        contents.archive = whole.into();
    }

    pub(crate) fn set_archive(&self, bytes: Vec<u8>) {
        self.contents.lock().unwrap().archive = bytes.into();
    }

    pub(crate) fn archive(&self) -> Bytes {
        self.contents.lock().unwrap().archive.clone()
    }

    /// The parts that have come, in order.
    pub(crate) fn parts(&self) -> Vec<Bytes> {
        let contents = self.contents.lock().unwrap();
        contents.parts.values().cloned().collect()
    }

    /// What `Content-Length` said of each part.
    pub(crate) fn content_lengths(&self) -> Vec<Option<String>> {
        self.contents.lock().unwrap().lengths.clone()
    }

    /// Bytes of the archive that have been asked for, as often as they were.
    pub(crate) fn bytes_read(&self) -> usize {
        self.contents.lock().unwrap().bytes_read
    }

    pub(crate) fn requests(&self) -> usize {
        *self.requests.borrow()
    }

    /// Waits until that many requests have come.
    pub(crate) async fn has_been_asked(&self, times: usize) {
        self.requests
            .subscribe()
            .wait_for(|count| *count >= times)
            .await
            .unwrap();
    }

    /// All answers share one line.
    fn slowly(&self, bytes: Bytes, rate: f64) -> Body {
        let busy = Arc::clone(&self.busy);
        let packets = futures_util::stream::unfold(bytes, move |mut bytes| {
            let busy = Arc::clone(&busy);
            async move {
                if bytes.is_empty() {
                    return None;
                }
                let packet = bytes.split_to(bytes.len().min(PACKET));
                let until = {
                    let mut busy = busy.lock().await;
                    let start = busy.map_or_else(Instant::now, |until| until.max(Instant::now()));
                    let until = start + Duration::from_secs_f64(packet.len() as f64 / rate);
                    *busy = Some(until);
                    until
                };
                tokio::time::sleep_until(until.into()).await;
                Some((Ok::<_, std::io::Error>(packet), bytes))
            }
        });
        Body::from_stream(packets)
    }

    fn next_fault(&self) -> Option<Fault> {
        let fault = self.contents.lock().unwrap().faults.pop_front();
        self.requests.send_modify(|count| *count += 1);
        fault.filter(|fault| *fault != Fault::Pass)
    }
}

fn plain(status: u16, body: impl Into<Body>) -> Response<Body> {
    Response::builder()
        .status(status)
        .body(body.into())
        .unwrap()
}

fn refused(status: u16) -> Response<Body> {
    let mut response = plain(status, "<Error><Code>SlowDown</Code></Error>");
    if status == 429 {
        response.headers_mut().insert(header::RETRY_AFTER, 1.into());
    }
    response
}

fn cut_off(length: usize) -> Response<Body> {
    let pieces = futures_util::stream::iter([
        Ok(Bytes::from(vec![0; length / 2])),
        Err(std::io::Error::other("cut off")),
    ]);
    let mut response = plain(200, Body::from_stream(pieces));
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, length.into());
    response
}

fn trickle(bytes: Bytes) -> Body {
    let pieces = futures_util::stream::unfold(bytes, async |mut bytes| {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let byte = bytes.split_to(bytes.len().min(1));
        Some((Ok::<_, Infallible>(byte), bytes))
    });
    Body::from_stream(pieces)
}

async fn put_part(
    State(store): State<Store>,
    Path(number): Path<u32>,
    request: Request,
) -> Response<Body> {
    let length = request.headers().get(header::CONTENT_LENGTH).cloned();
    let fault = store.next_fault();
    match fault {
        Some(Fault::Status(status)) => return refused(status),
        Some(Fault::Nowhere(code)) => {
            return plain(404, format!("<Error><Code>{code}</Code></Error>"));
        }
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::CutOff) => return cut_off(100),
        Some(_) | None => {}
    }
    let digest = request.headers()["content-md5"].to_str().unwrap();
    let digest = BASE64_STANDARD.decode(digest).unwrap();
    let Ok(bytes) = axum::body::to_bytes(request.into_body(), usize::MAX).await else {
        return plain(400, "");
    };
    if fault == Some(Fault::Corrupt) || content_md5(&bytes)[..] != digest {
        return plain(400, "<Error><Code>BadDigest</Code></Error>");
    }
    let mut contents = store.contents.lock().unwrap();
    let length = length.map(|length| length.to_str().unwrap().to_owned());
    contents.lengths.push(length);
    contents.parts.insert(number, bytes);
    let mut response = plain(200, "");
    let etag = format!("\"etag-{number}\"").parse().unwrap();
    response.headers_mut().insert(header::ETAG, etag);
    response
}

async fn get_archive(State(store): State<Store>, request: Request) -> Response<Body> {
    let fault = store.next_fault();
    let archive = store.archive();
    let signature = format!("secret{}", store.contents.lock().unwrap().generation);
    if !request.uri().query().unwrap().ends_with(&signature) {
        return refused(403);
    }
    let range = request.headers()[header::RANGE].to_str().unwrap();
    let (first, last) = range
        .strip_prefix("bytes=")
        .unwrap()
        .split_once('-')
        .unwrap();
    let first: usize = first.parse().unwrap();
    let end = archive.len().min(last.parse::<usize>().unwrap() + 1);
    let mut bytes = archive.slice(first..end);
    store.contents.lock().unwrap().bytes_read += bytes.len();
    let mut limits = store.limits.subscribe();
    let fits = |limits: &Limits| limits.longest.is_none_or(|longest| bytes.len() <= longest);
    let Limits { latency, rate, .. } = *limits.wait_for(fits).await.unwrap();
    tokio::time::sleep(latency).await;
    let mut described = first..end;
    let mut response = match fault {
        Some(Fault::Status(status)) => return refused(status),
        Some(Fault::Nowhere(code)) => {
            return plain(404, format!("<Error><Code>{code}</Code></Error>"));
        }
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Trickle) => plain(206, trickle(bytes.clone())),
        Some(Fault::Short) => {
            bytes.truncate(bytes.len() / 2);
            plain(206, bytes.clone())
        }
        Some(Fault::Elsewhere) => {
            described = first + 1..end + 1;
            plain(206, bytes.clone())
        }
        Some(Fault::Whole) => return plain(200, archive),
        Some(Fault::CutOff) => {
            let half = bytes.slice(..bytes.len() / 2);
            let pieces =
                futures_util::stream::iter([Ok(half), Err(std::io::Error::other("cut off"))]);
            plain(206, Body::from_stream(pieces))
        }
        Some(Fault::Corrupt) => {
            let mut changed = bytes.to_vec();
            changed[0] ^= 1;
            bytes = changed.into();
            plain(206, bytes.clone())
        }
        Some(Fault::Pass) | None => match rate {
            None => plain(206, bytes.clone()),
            Some(rate) => plain(206, store.slowly(bytes.clone(), rate)),
        },
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, bytes.len().into());
    let Range { start, end } = described;
    let range = format!("bytes {start}-{}/{}", end - 1, archive.len());
    headers.insert(header::CONTENT_RANGE, range.parse().unwrap());
    assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
    response
}
