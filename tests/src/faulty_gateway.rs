//! A gateway that fails on demand, between the agent and the Worker's own.

use std::{
    collections::{BTreeSet, HashSet},
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, Uri, header::ETAG},
    response::Response,
};
use futures::StreamExt;
use reqwest::Client;
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};

/// The MD5 of nothing, quoted.
const OTHER_ETAG: HeaderValue = HeaderValue::from_static("\"d41d8cd98f00b204e9800998ecf8427e\"");

/// Bytes that come at a time, and how long after the last ones.
const DROP: usize = 64 << 10;
const BETWEEN_DROPS: Duration = Duration::from_millis(20);

/// What goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Uploads of parts get no answer.
    HoldsParts,
    /// The first attempt at each part loses a bit on the way.
    ChangesPartsOnce,
    /// The first upload of a part is refused, as with a URL that has expired.
    RefusesFirstPart,
    /// Every upload of a part is refused, for good.
    RefusesParts,
    /// Every upload of a part but the first is refused, for good.
    RefusesLaterParts,
    /// Uploads of parts are acknowledged, and forgotten.
    LosesParts,
    /// Uploads of parts are acknowledged with the ETags of other bytes.
    ChangesEtags,
    /// The first attempt at each request is answered with an error that
    /// passes, or with a broken connection.
    FailsOnce,
    /// The first attempt at each request is answered with this status.
    AnswersOnce(u16),
    /// Every read is refused, for good, as with a URL that has expired.
    RefusesReads,
    /// The first attempt at each read ends half-way.
    CutsReadsOnce,
    /// Answers to reads come in small pieces, each after a pause.
    DripsReads,
    /// Every read has a wrong bit in it.
    ChangesReads,
    /// Reads of more than 4 MiB get no answer: those that nobody waits for.
    HoldsLongReads,
}

/// A running faulty gateway. It stops when it is dropped.
#[derive(Debug)]
pub struct FaultyGateway {
    address: String,
    inner: Arc<Inner>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    /// The Worker's gateway.
    target: String,
    state: Mutex<Faults>,
    /// Tells that something is held.
    holds: Notify,
    /// Tells reads that are held that nobody holds them any more.
    released: Notify,
}

#[derive(Debug, Default)]
struct Faults {
    fault: Fault,
    /// Methods, keys and queries of the requests since the fault was set, in their
    /// order.
    requests: Vec<(Method, String)>,
    /// Those and their ranges, once each.
    seen: HashSet<String>,
    parts: usize,
    failures: usize,
    held: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Pass,
    Hold,
    Change,
    Lose,
    ChangeEtag,
    CutAnswer,
    DripAnswer,
    ChangeAnswer,
    Refuse(StatusCode),
    BreakOff,
}

impl FaultyGateway {
    /// Serves on a free port and forwards to `target`, the address of a
    /// Worker's gateway.
    pub async fn start(client: Client, target: String) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}/gateway", listener.local_addr()?);
        let inner = Arc::new(Inner {
            client,
            target,
            state: Mutex::default(),
            holds: Notify::new(),
            released: Notify::new(),
        });
        let router = Router::new().fallback(forward).with_state(inner.clone());
        let task = tokio::spawn(async move {
            // It ends with the task.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            address,
            inner,
            task,
        })
    }

    /// What a Worker is to have as its `GATEWAY_URL`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Makes this go wrong from now on.
    pub fn set(&self, fault: Fault) {
        *self.inner.faults() = Faults {
            fault,
            ..Faults::default()
        };
        self.inner.released.notify_waiters();
    }

    /// How many requests have failed on purpose since the fault was set.
    pub fn failures(&self) -> usize {
        self.inner.faults().failures
    }

    /// Waits until a request is held.
    pub async fn held(&self) {
        while self.inner.faults().held == 0 {
            self.inner.holds.notified().await;
        }
    }

    /// The backups whose archives were asked for since the fault was set.
    pub fn archive_ids(&self) -> BTreeSet<String> {
        let faults = self.inner.faults();
        let paths = faults
            .requests
            .iter()
            .filter_map(|(_, of)| of.split('?').next());
        let ids = paths.filter_map(|path| path.split('/').nth_back(1));
        ids.map(str::to_owned).collect()
    }

    /// The presigned URLs that were used with this method since the fault was set.
    pub fn urls(&self, method: &Method) -> Vec<String> {
        let faults = self.inner.faults();
        let used = faults.requests.iter().filter(|(used, _)| used == method);
        used.map(|(_, of)| format!("{}{of}", self.address))
            .collect()
    }
}

impl Drop for FaultyGateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Inner {
    fn faults(&self) -> std::sync::MutexGuard<'_, Faults> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn judge(&self, request: &Request) -> Verdict {
        let mut faults = self.faults();
        let is_part = request.method() == Method::PUT;
        faults.parts += usize::from(is_part);
        faults
            .requests
            .push((request.method().clone(), key_and_query(request.uri())));
        let range = request.headers().get("range");
        let what = format!("{} {} {range:?}", request.method(), request.uri());
        let is_first_attempt = faults.seen.insert(what);
        let verdict = match faults.fault {
            Fault::HoldsParts if is_part => {
                faults.held += 1;
                self.holds.notify_one();
                Verdict::Hold
            }
            Fault::LosesParts if is_part => Verdict::Lose,
            Fault::ChangesEtags if is_part => Verdict::ChangeEtag,
            Fault::AnswersOnce(status) if is_first_attempt => {
                Verdict::Refuse(StatusCode::from_u16(status).unwrap_or_default())
            }
            Fault::RefusesFirstPart if is_part && faults.failures == 0 => {
                Verdict::Refuse(StatusCode::FORBIDDEN)
            }
            Fault::DripsReads if !is_part => Verdict::DripAnswer,
            Fault::RefusesReads if !is_part => Verdict::Refuse(StatusCode::FORBIDDEN),
            Fault::CutsReadsOnce if !is_part && is_first_attempt => Verdict::CutAnswer,
            Fault::ChangesReads if !is_part => Verdict::ChangeAnswer,
            Fault::HoldsLongReads if range.and_then(length).is_some_and(|n| n > 4 << 20) => {
                faults.held += 1;
                self.holds.notify_one();
                Verdict::Hold
            }
            Fault::ChangesPartsOnce if is_part && is_first_attempt => Verdict::Change,
            Fault::RefusesParts if is_part => Verdict::Refuse(StatusCode::FORBIDDEN),
            Fault::RefusesLaterParts if is_part && faults.parts > 1 => {
                Verdict::Refuse(StatusCode::FORBIDDEN)
            }
            Fault::FailsOnce if is_first_attempt && faults.failures.is_multiple_of(2) => {
                Verdict::Refuse(StatusCode::SERVICE_UNAVAILABLE)
            }
            Fault::FailsOnce if is_first_attempt => Verdict::BreakOff,
            _ => return Verdict::Pass,
        };
        faults.failures += 1;
        verdict
    }
}

/// Bytes of a range.
fn length(range: &HeaderValue) -> Option<u64> {
    let (first, last) = range
        .to_str()
        .ok()?
        .strip_prefix("bytes=")?
        .split_once('-')?;
    Some(last.parse::<u64>().ok()? + 1 - first.parse::<u64>().ok()?)
}

async fn forward(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    let released = inner.released.notified();
    let verdict = inner.judge(&request);
    match verdict {
        Verdict::Lose => {
            let mut acknowledged = answer(StatusCode::OK, Body::empty());
            acknowledged.headers_mut().insert(ETAG, OTHER_ETAG);
            return acknowledged;
        }
        // Until the agent gives up.
        Verdict::Hold if request.method() == Method::PUT => return std::future::pending().await,
        Verdict::Hold => {
            released.await;
            return broken_off();
        }
        Verdict::Refuse(status) => return answer(status, Body::empty()),
        Verdict::BreakOff => return broken_off(),
        _ => {}
    }
    match pass_on(&inner, request, verdict).await {
        Ok(response) => response,
        Err(error) => answer(StatusCode::BAD_GATEWAY, Body::from(error.to_string())),
    }
}

/// What of a request's target names the object and what may be done with it.
fn key_and_query(uri: &Uri) -> String {
    uri.to_string().trim_start_matches("/gateway").to_owned()
}

async fn pass_on(inner: &Inner, request: Request, verdict: Verdict) -> anyhow::Result<Response> {
    let (head, body) = request.into_parts();
    let url = format!("{}{}", inner.target, key_and_query(&head.uri));
    let mut headers = head.headers;
    headers.remove("host");
    let mut body = to_bytes(body, usize::MAX).await?.to_vec();
    if verdict == Verdict::Change
        && let Some(byte) = body.last_mut()
    {
        *byte ^= 1;
    }
    let response = inner
        .client
        .request(head.method, url)
        .headers(headers)
        .body(body)
        .send()
        .await?;
    let mut answer = answer(response.status(), Body::empty());
    *answer.headers_mut() = response.headers().clone();
    *answer.body_mut() = match verdict {
        Verdict::CutAnswer => {
            let bytes = response.bytes().await?;
            let half = bytes.slice(..bytes.len() / 2);
            let cut = Err(io::Error::from(io::ErrorKind::ConnectionReset));
            Body::from_stream(futures::stream::iter([Ok(half), cut]))
        }
        Verdict::DripAnswer => {
            let mut bytes = response.bytes().await?;
            let drops = std::iter::from_fn(move || {
                let drop = bytes.split_to(bytes.len().min(DROP));
                (!drop.is_empty()).then_some(drop)
            });
            Body::from_stream(futures::stream::iter(drops).then(async |drop| {
                tokio::time::sleep(BETWEEN_DROPS).await;
                Ok::<_, io::Error>(drop)
            }))
        }
        Verdict::ChangeAnswer => {
            let mut bytes = response.bytes().await?.to_vec();
            let middle = bytes.len() / 2;
            if let Some(byte) = bytes.get_mut(middle) {
                *byte ^= 1;
            }
            bytes.into()
        }
        _ => Body::from_stream(response.bytes_stream()),
    };
    if verdict == Verdict::ChangeEtag {
        answer.headers_mut().insert(ETAG, OTHER_ETAG);
    }
    Ok(answer)
}

/// A body that fails before its first byte takes the connection with it.
fn broken_off() -> Response {
    let broken = futures::stream::once(async { Err::<Vec<u8>, _>(io::Error::other("")) });
    answer(StatusCode::OK, Body::from_stream(broken))
}

fn answer(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}
