//! An object store on loopback that is as slow as it is told to be: all
//! requests together get so many bytes a second, each waits so long for its
//! first. It keeps what it takes only if told where, so that its own disk is
//! no part of what is measured.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    net::SocketAddr,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path as UrlPath, State},
    http::{HeaderMap, Response, StatusCode, header},
    routing::{get, put},
};
use futures_util::{StreamExt, stream};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

/// Bytes of one piece of an answer.
const PIECE: u64 = 128 << 10;

/// How slow a store is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Speed {
    /// In each direction, of all connections together; unlimited when absent.
    pub(super) bytes_per_second: Option<u64>,
    /// Until an answer begins.
    pub(super) latency: Duration,
}

/// A running store. It stops when it is dropped.
pub(super) struct Store {
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

struct Shared {
    incoming: Throttle,
    outgoing: Throttle,
    latency: Duration,
    state: Mutex<Stored>,
    bytes_read: watch::Sender<u64>,
    /// Reads since the archive was offered.
    requests: AtomicU64,
}

#[derive(Default)]
struct Stored {
    /// Bytes of the parts that have been taken, by number.
    parts: BTreeMap<u32, u64>,
    /// Where parts are kept.
    keep: Option<PathBuf>,
    /// What is read from.
    archive: Option<PathBuf>,
}

impl Store {
    pub(super) fn start(speed: Speed) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let shared = Arc::new(Shared {
            incoming: Throttle::new(speed.bytes_per_second),
            outgoing: Throttle::new(speed.bytes_per_second),
            latency: speed.latency,
            state: Mutex::default(),
            bytes_read: watch::Sender::new(0),
            requests: AtomicU64::new(0),
        });
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .context("cannot open a port for the store")?;
        let address = listener.local_addr()?;
        let routes = Router::new()
            .route("/parts/{number}", put(take_part))
            .route("/archive", get(give_archive))
            .with_state(Arc::clone(&shared));
        runtime.spawn(async move { axum::serve(listener, routes).await });
        Ok(Self {
            address,
            shared,
            runtime: Some(runtime),
        })
    }

    /// Where the part goes.
    pub(super) fn part_url(&self, number: u32) -> String {
        format!("http://{}/parts/{number}", self.address)
    }

    /// Where the archive is read.
    pub(super) fn archive_url(&self) -> String {
        format!("http://{}/archive", self.address)
    }

    /// Forgets the last upload, and keeps the parts of the next in a
    /// directory, if there is one.
    pub(super) fn begin(&self, keep: Option<PathBuf>) {
        let mut state = self.shared.state();
        state.parts.clear();
        state.keep = keep;
    }

    /// The bytes of an upload that is complete, with `parts` parts.
    pub(super) fn complete(&self, parts: usize) -> Result<u64> {
        let state = self.shared.state();
        let is_complete =
            state.parts.len() == parts && state.parts.keys().copied().eq(1..=u32::try_from(parts)?);
        if !is_complete {
            bail!("the store has parts {:?} of {parts}", state.parts.keys());
        }
        Ok(state.parts.values().sum())
    }

    /// Writes the parts that were kept to one file.
    pub(super) fn assemble(&self, archive: &Path) -> Result<()> {
        let state = self.shared.state();
        let keep = state.keep.as_deref().context("no part was kept")?;
        let mut whole = File::create(archive)?;
        for number in state.parts.keys() {
            let part = keep.join(number.to_string());
            io::copy(&mut File::open(&part)?, &mut whole)?;
            fs::remove_file(part)?;
        }
        Ok(())
    }

    /// Answers reads out of this file from now on.
    pub(super) fn offer(&self, archive: &Path) {
        let mut state = self.shared.state();
        state.archive = Some(archive.to_owned());
        self.shared.bytes_read.send_replace(0);
        self.shared.requests.store(0, Ordering::Relaxed);
    }

    /// How often the archive has been read from since it was offered.
    pub(super) fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// How many bytes of the archive have been read since it was offered.
    pub(super) fn bytes_read(&self) -> u64 {
        *self.shared.bytes_read.borrow()
    }

    /// Waits until so many bytes have been read since the archive was offered.
    pub(super) fn wait_until_read(&self, bytes: u64, patience: Duration) -> Result<()> {
        let mut read = self.shared.bytes_read.subscribe();
        let runtime = self.runtime.as_ref().context("the store has stopped")?;
        let waited = runtime.block_on(async {
            timeout(patience, read.wait_for(|read| *read >= bytes))
                .await
                .is_ok()
        });
        if !waited {
            let read = *self.shared.bytes_read.borrow();
            bail!("only {read} of {bytes} bytes were read in {patience:?}");
        }
        Ok(())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, Stored> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A token bucket that is nearly empty at all times: bytes pass when those
/// before them have had their time.
struct Throttle {
    bytes_per_second: Option<u64>,
    free_at: Mutex<Instant>,
}

impl Throttle {
    fn new(bytes_per_second: Option<u64>) -> Self {
        Self {
            bytes_per_second,
            free_at: Mutex::new(Instant::now()),
        }
    }

    async fn pass(&self, bytes: usize) {
        let Some(rate) = self.bytes_per_second else {
            return;
        };
        let takes = Duration::from_secs_f64(bytes as f64 / rate as f64);
        let passed_at = {
            let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
            *free_at = Instant::now().max(*free_at) + takes;
            *free_at
        };
        sleep_until(passed_at).await;
    }
}

fn answer(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

async fn take_part(
    State(store): State<Arc<Shared>>,
    UrlPath(number): UrlPath<u32>,
    body: Body,
) -> Response<Body> {
    match receive(&store, number, body).await {
        Ok(()) => {
            let mut response = answer(StatusCode::OK);
            if let Ok(etag) = format!("\"{number}\"").parse() {
                response.headers_mut().insert(header::ETAG, etag);
            }
            response
        }
        Err(_) => answer(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

async fn receive(store: &Shared, number: u32, body: Body) -> Result<()> {
    sleep(store.latency).await;
    let keep = store.state().keep.clone();
    let mut file = keep
        .map(|directory| File::create(directory.join(number.to_string())))
        .transpose()?;
    let mut body = body.into_data_stream();
    let mut size = 0;
    while let Some(bytes) = body.next().await {
        let bytes = bytes?;
        store.incoming.pass(bytes.len()).await;
        size += bytes.len() as u64;
        if let Some(file) = &mut file {
            file.write_all(&bytes)?;
        }
    }
    store.state().parts.insert(number, size);
    Ok(())
}

async fn give_archive(State(store): State<Arc<Shared>>, headers: HeaderMap) -> Response<Body> {
    store.requests.fetch_add(1, Ordering::Relaxed);
    sleep(store.latency).await;
    match read(&store, &headers) {
        Ok(response) => response,
        Err(_) => answer(StatusCode::RANGE_NOT_SATISFIABLE),
    }
}

fn read(store: &Arc<Shared>, headers: &HeaderMap) -> Result<Response<Body>> {
    let path = store.state().archive.clone().context("no archive")?;
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let range = headers.get(header::RANGE).context("no range")?;
    let (first, last) = range
        .to_str()?
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'))
        .context("not a range")?;
    let first: u64 = first.parse()?;
    let end = match last {
        "" => size,
        last => size.min(last.parse::<u64>()?.saturating_add(1)),
    };
    if first >= end {
        bail!("an empty range");
    }
    let state = (Arc::clone(store), file, first);
    let pieces = stream::unfold(state, move |(store, file, at)| async move {
        let length = PIECE.min(end - at);
        if length == 0 {
            return None;
        }
        let mut piece = vec![0; length as usize];
        let read = file.read_exact_at(&mut piece, at);
        store.outgoing.pass(piece.len()).await;
        store.bytes_read.send_modify(|read| *read += length);
        Some((
            read.map(|()| Bytes::from(piece)),
            (store, file, at + length),
        ))
    });
    let response = Response::builder()
        .status(StatusCode::PARTIAL_CONTENT)
        .header(header::CONTENT_LENGTH, end - first)
        .header(
            header::CONTENT_RANGE,
            format!("bytes {first}-{}/{size}", end - 1),
        )
        .header(header::ETAG, "\"archive\"")
        .body(Body::from_stream(pieces))?;
    Ok(response)
}
