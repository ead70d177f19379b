//! What code in a sandbox can do that has taken the agent's place: a container
//! host and its agents in one, which answer with lies.
//!
//! The lie is the name of the directory that is to be backed up.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::stream;
use reqwest::Client;
use sandbox_shared::protocol::{CreateBackup, PartUrls, RestoreBackup, paths};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};

/// A backup that no caller has restored where lies are told.
pub const COVETED: &str = "c0ffee00-6f3c-4b52-9d1e-8a4f7c3b2a10";

/// Lies about a backup, and the code of the error that each must end in.
pub const LIES: [(&str, &str); 14] = [
    ("part-0", "BACKUP_CREATE_FAILED"),
    ("part-10001", "BACKUP_CREATE_FAILED"),
    ("parts-without-end", "BACKUP_CREATE_FAILED"),
    ("no-upload", "BACKUP_CREATE_FAILED"),
    ("other-size", "BACKUP_CREATE_FAILED"),
    ("other-etag", "BACKUP_CREATE_FAILED"),
    ("part-65537", "BACKUP_CREATE_FAILED"),
    ("part-twice", "BACKUP_CREATE_FAILED"),
    ("other-urls", "BACKUP_CREATE_FAILED"),
    ("no-json", "INTERNAL_ERROR"),
    ("line-without-end", "INTERNAL_ERROR"),
    ("error-without-end", "CONTAINER_UNAVAILABLE"),
    ("redirect", "CONTAINER_UNAVAILABLE"),
    ("early-end", "CONTAINER_UNAVAILABLE"),
];

/// A running liar. It stops when it is dropped.
#[derive(Debug)]
pub struct Liar {
    inner: Arc<Inner>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    origin: String,
    told: Mutex<Told>,
    /// Tells that part URLs have come.
    comes: Notify,
}

/// What it was told by the Durable Object.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The ids of backups, by lie.
    pub ids: BTreeMap<String, String>,
    /// The bodies of requests for a new URL.
    pub renewals: Vec<Value>,
    /// Requests that it has sent elsewhere and that came there.
    pub redirected: usize,
    /// Answers to URLs that were made from a signed one.
    pub answers: Vec<(String, StatusCode)>,
    /// Containers that were ended, by id, each as often as it was.
    pub ended: Vec<String>,
    /// Milliseconds of the inactivity timeouts that were set, by container.
    pub inactivity_timeouts: BTreeMap<String, Vec<u64>>,
    /// The tokens of the containers that run, by id.
    running: HashMap<String, String>,
    /// What is wrong with the next answers about the status, the last one first,
    /// by token.
    ailments: HashMap<String, Vec<Ailment>>,
    urls: BTreeMap<String, PartUrls>,
}

/// What can be wrong with an agent's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ailment {
    /// The connection ends in the middle of it.
    CutOff,
    /// It is a 500 without a word.
    Failed,
    /// It is not what was asked for.
    Garbled,
    /// It says that the token is wrong.
    Unauthorized,
    /// It does not come.
    Missing,
}

impl Ailment {
    async fn answer(self) -> Response {
        match self {
            Self::Missing => std::future::pending().await,
            Self::CutOff => {
                let lost = io::Error::from(io::ErrorKind::ConnectionReset);
                Body::from_stream(stream::once(async { Err::<Vec<u8>, _>(lost) })).into_response()
            }
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            Self::Garbled => "<html>".into_response(),
            Self::Unauthorized => {
                let error = json!({ "code": "UNAUTHORIZED", "message": "the token is wrong" });
                (StatusCode::UNAUTHORIZED, error.to_string()).into_response()
            }
        }
    }
}

impl Inner {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Liar {
    /// Serves on a free port.
    pub async fn start(client: Client) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let inner = Arc::new(Inner {
            client,
            origin: format!("http://{}", listener.local_addr()?),
            told: Mutex::default(),
            comes: Notify::new(),
        });
        let router = Router::new().fallback(answer).with_state(inner.clone());
        let task = tokio::spawn(async move {
            // It ends with the task.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { inner, task })
    }

    /// What a Worker is to have as its `LOCAL_CONTAINER_HOST`.
    pub fn origin(&self) -> &str {
        &self.inner.origin
    }

    /// Lets something be wrong with the next answers about the status of the
    /// container that runs now by this id.
    pub fn ail(&self, container: &str, ailments: &[Ailment]) {
        let mut told = self.inner.told();
        let token = told.running[container].clone();
        let ailments = ailments.iter().rev().copied().collect();
        told.ailments.insert(token, ailments);
    }

    /// What it has been told so far.
    pub fn told(&self) -> Told {
        self.inner.told().clone()
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 64 << 20).await.unwrap_or_default();
    let path = parts.uri.path();
    if let Some(rest) = path.strip_prefix("/v1/containers/") {
        return host(&inner, &parts.method, rest, &body).await;
    }
    if let Some(id) = path
        .strip_prefix("/v1/backups/")
        .and_then(|rest| rest.strip_suffix("/parts"))
    {
        let urls = serde_json::from_slice(&body).unwrap();
        inner.told().urls.insert(id.to_owned(), urls);
        inner.comes.notify_waiters();
        return json_answer(&json!({}));
    }
    match path {
        paths::STATUS => status(&inner, &parts.headers).await,
        paths::MOUNT_URL => {
            let renewal = serde_json::from_slice(&body).unwrap();
            inner.told().renewals.push(renewal);
            json_answer(&json!({}))
        }
        paths::RESTORES => {
            let request: RestoreBackup = serde_json::from_slice(&body).unwrap();
            let mut mounted = mount(COVETED, "/etc");
            mounted["type"] = "mounted".into();
            assert_ne!(request.id.as_str(), COVETED);
            format!("{mounted}\n").into_response()
        }
        paths::BACKUPS => backup(&inner, serde_json::from_slice(&body).unwrap()).await,
        paths::LIST => endless(StatusCode::OK),
        "/elsewhere" => {
            inner.told().redirected += 1;
            json_answer(&json!({}))
        }
        _ => redirect(&inner),
    }
}

async fn status(inner: &Inner, headers: &HeaderMap) -> Response {
    let token = headers.get(header::AUTHORIZATION);
    let token = token.and_then(|token| token.to_str().ok()?.strip_prefix("Bearer "));
    let ailment = {
        let ailments = &mut inner.told().ailments;
        let ailments = ailments.get_mut(token.unwrap_or_default());
        ailments.and_then(Vec::pop)
    };
    match ailment {
        Some(ailment) => ailment.answer().await,
        None => json_answer(&json!({
            "version": "0", "strategies": ["kernel"], "mounts": [mount(COVETED, "/workspace")],
        })),
    }
}

/// The part of the container host.
async fn host(inner: &Inner, method: &Method, path: &str, body: &[u8]) -> Response {
    let field = |pointer: &str| {
        let body: Value = serde_json::from_slice(body).unwrap();
        body.pointer(pointer).unwrap().clone()
    };
    let (id, verb) = path.split_once('/').unwrap_or((path, ""));
    let address = inner.origin.trim_start_matches("http://");
    match (method, verb) {
        (&Method::POST, "start") => {
            let token = field("/env/SANDBOX_AGENT_TOKEN");
            let token = token.as_str().unwrap().to_owned();
            inner.told().running.insert(id.to_owned(), token);
            json_answer(&json!({ "address": address }))
        }
        (&Method::GET, "wait") => std::future::pending().await,
        (&Method::PUT, "inactivity-timeout") => {
            let milliseconds = field("/milliseconds").as_u64().unwrap();
            let timeouts = &mut inner.told().inactivity_timeouts;
            timeouts
                .entry(id.to_owned())
                .or_default()
                .push(milliseconds);
            json_answer(&json!({ "running": true }))
        }
        (&Method::DELETE, _) => {
            let mut told = inner.told();
            told.running.remove(id);
            told.ended.push(id.to_owned());
            json_answer(&json!({ "running": false }))
        }
        _ => {
            let running = inner.told().running.contains_key(id);
            json_answer(&json!({ "running": running, "address": running.then_some(address) }))
        }
    }
}

async fn backup(inner: &Arc<Inner>, request: CreateBackup) -> Response {
    let lie = request
        .dir
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_owned();
    let id = request.id.to_string();
    inner.told().ids.insert(lie.clone(), id.clone());
    let needed = |first: u32, count: u32| {
        json!({ "type": "partsNeeded", "first": first, "count": count }).to_string() + "\n"
    };
    match lie.as_str() {
        "part-0" => needed(0, 1).into_response(),
        "part-10001" => needed(10_000, 2).into_response(),
        "parts-without-end" => needed(u32::MAX, u32::MAX).into_response(),
        "no-upload" => uploaded(4096, "", &json!([])).into_response(),
        "no-json" => "{\"type\":\n".into_response(),
        "line-without-end" => endless(StatusCode::OK),
        "error-without-end" => endless(StatusCode::INTERNAL_SERVER_ERROR),
        "redirect" => redirect(inner),
        "early-end" => "".into_response(),
        _ => {
            // The URL comes by another request, while this answer goes on.
            let (asks, inner) = (needed(1, 1), inner.clone());
            let end = async move { after_upload(&inner, &lie, &id).await };
            let events = stream::once(async { Ok::<_, io::Error>(asks) });
            let events = futures::StreamExt::chain(events, stream::once(async { Ok(end.await) }));
            Body::from_stream(events).into_response()
        }
    }
}

/// Sends a part, and says what is not so.
async fn after_upload(inner: &Inner, lie: &str, id: &str) -> String {
    let url = loop {
        let comes = inner.comes.notified();
        if let Some(urls) = inner.told().urls.get(id) {
            break urls.urls[0].url.clone();
        }
        comes.await;
    };
    if lie == "other-urls" {
        for (what, request) in made_from(&inner.client, &url, id) {
            let status = request.send().await.unwrap().status();
            inner.told().answers.push((what.to_owned(), status));
        }
        return uploaded(4096, "", &json!([]));
    }
    let sent = inner.client.put(&url).body(vec![7; 4096]).send().await;
    let etag = sent.unwrap().headers()[header::ETAG].clone();
    let etag = etag.to_str().unwrap().trim_matches('"').to_owned();
    let part = |number: u32| json!({ "number": number, "etag": etag });
    match lie {
        "other-size" => uploaded(4097, "", &json!([part(1)])),
        "part-65537" => uploaded(4096, "", &json!([part(65_537)])),
        "part-twice" => uploaded(4096, "", &json!([part(1), part(1)])),
        _ => {
            let etag = "d41d8cd98f00b204e9800998ecf8427e-1";
            uploaded(4096, etag, &json!([part(1)]))
        }
    }
}

/// Requests that a part's URL is not for, each with what was changed.
fn made_from<'a>(client: &Client, url: &str, id: &str) -> Vec<(&'a str, reqwest::RequestBuilder)> {
    let put = |url: String| client.put(url).body("not this");
    let changed = |from: &str, to: &str| {
        assert!(url.contains(from), "{url} has no {from}");
        put(url.replace(from, to))
    };
    let signature = url.rsplit('=').next().unwrap();
    vec![
        ("key", changed(id, COVETED)),
        ("object", changed("data.sqsh", "meta.json")),
        ("part", changed("partNumber=1", "partNumber=2")),
        ("upload", changed("uploadId=", "uploadId=a")),
        ("expiry", changed("X-Amz-Expires=", "X-Amz-Expires=1")),
        ("date", changed("X-Amz-Date=2", "X-Amz-Date=3")),
        ("algorithm", changed("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1")),
        (
            "signed headers",
            changed("SignedHeaders=host", "SignedHeaders=host%3Brange"),
        ),
        (
            "signature",
            changed(signature, &"0".repeat(signature.len())),
        ),
        ("another part first", changed("?", "?partNumber=2&")),
        ("another part last", put(format!("{url}&partNumber=2"))),
        (
            "another signature",
            put(format!("{url}&X-Amz-Signature={signature}")),
        ),
        ("a parameter more", put(format!("{url}&x-id=PutObject"))),
        (
            "a path below",
            changed("data.sqsh", "data.sqsh/..%2F..%2Fmeta.json"),
        ),
        ("GET", client.get(url)),
        ("HEAD", client.head(url)),
        ("DELETE", client.delete(url)),
        ("POST", client.post(url).body("not this")),
    ]
}

fn mount(id: &str, dir: &str) -> Value {
    json!({
        "id": id, "dir": dir, "strategy": "kernel", "state": "active",
        "sizeBytes": 4096, "cachedBytes": 0, "urlExpiresAt": "1970-01-01T00:00:00Z",
    })
}

fn uploaded(size_bytes: u64, etag: &str, parts: &Value) -> String {
    let archive = json!({
        "type": "uploaded", "sizeBytes": size_bytes, "etag": etag, "parts": parts,
        "sha256": "0".repeat(64), "partSizeBytes": 8 << 20,
        "counts": {
            "files": 1, "directories": 1, "symlinks": 0, "special": 0, "bytes": 1,
            "excluded": 0, "unreadable": 0, "changed": 0,
        },
    });
    format!("{archive}\n")
}

fn json_answer(value: &Value) -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        value.to_string(),
    )
        .into_response()
}

fn endless(status: StatusCode) -> Response {
    let blanks = stream::repeat_with(|| Ok::<_, io::Error>(vec![b' '; 64 << 10]));
    (status, Body::from_stream(blanks)).into_response()
}

fn redirect(inner: &Inner) -> Response {
    let location = format!("{}/elsewhere", inner.origin);
    (
        StatusCode::TEMPORARY_REDIRECT,
        [(header::LOCATION, location)],
    )
        .into_response()
}
