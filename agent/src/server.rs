//! The HTTP API that the Durable Object calls: [`sandbox_shared::protocol`].
//!
//! An operation lives as long as its reader: when the connection goes away,
//! the future that does the work is dropped, and with it goes everything that
//! it had made.

use std::{
    collections::HashMap,
    convert::Infallible,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{DefaultBodyLimit, Path, Query, Request, State},
    http::{HeaderValue, Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use sandbox_shared::{
    BackupId, ErrorCode, SandboxError,
    error::from_json,
    files::{ExecEvent, ExecRequest},
    methods::{self, Failure as _, Row},
    protocol::{
        self, AgentStatus, CreateBackup, CreateEvent, Done, EVENT_STREAM_TYPE, FileQuery, PartUrls,
        PreviewBackup, PreviewEvent, RestoreBackup, RestoreEvent, UnmountBackup, VerifyBackup,
        VerifyEvent, paths,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use subtle::ConstantTimeEq;
use tokio::{
    io::AsyncReadExt,
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
};

use crate::{
    backup::{self, Plan, Wanted},
    config::Config,
    exec, files,
    progress::reporting,
    restore::{Mounts, Restore, Source},
    state::StateDir,
    transfer::{Store, upload::PartAddresses},
    verify,
};

/// Longest JSON body, in bytes: a batch of part URLs, or a command with its input.
const MAX_JSON: usize = 64 << 20;
/// Bytes of a file that are read at a time.
const FILE_CHUNK: usize = 256 << 10;
/// How long requests may go on after the agent has been told to stop.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
/// Events that wait for a slow reader.
const EVENTS: usize = 16;

type Result<T = Response, E = Failure> = std::result::Result<T, E>;

/// A [`SandboxError`] on its way out.
struct Failure(SandboxError);

impl<E: Into<SandboxError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.code.http_status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, json(&self.0)).into_response()
    }
}

fn json<T: Serialize>(value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// A running agent.
#[derive(Clone)]
pub struct Agent {
    config: Arc<Config>,
    state: StateDir,
    store: Store,
    mounts: Mounts,
    /// Backups that wait for part URLs.
    uploads: Arc<Mutex<HashMap<BackupId, Arc<PartAddresses>>>>,
    /// True once the agent is to stop: operations end, streams close.
    stopping: watch::Receiver<bool>,
}

impl Agent {
    /// Where backups are restored, for a `method` that reads what is there.
    async fn restored_directories(&self, method: &Row) -> Result<Vec<PathBuf>, SandboxError> {
        let mounts = self.mounts.status().await;
        let mounts = mounts.map_err(|error| error.of(method))?;
        Ok(mounts.into_iter().map(|mount| mount.dir.into()).collect())
    }
}

/// Serves until SIGTERM or SIGINT, and then takes all restored directories away.
pub async fn serve(config: Config) -> Result<(), SandboxError> {
    let unusable = |error: std::io::Error| {
        SandboxError::new(
            ErrorCode::NotConfigured,
            format!("cannot serve at {}: {error}", config.listen),
        )
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(unusable)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unusable)?;
    let state = StateDir::open(&config.state_dir).map_err(|error| {
        SandboxError::new(
            ErrorCode::NotConfigured,
            format!("cannot use {}: {error}", config.state_dir.display()),
        )
    })?;
    let store = Store::new(config.store_timeout).map_err(|error| {
        SandboxError::new(
            ErrorCode::NotConfigured,
            format!("cannot speak to object stores: {error}"),
        )
    })?;
    let mounts = Mounts::new(state.clone(), store.clone(), config.cache_bytes);
    if let Err(error) = mounts.clean_up().await {
        crate::log::warn(format_args!(
            "something of an earlier agent could not be removed: {error}"
        ));
    }
    let listener = TcpListener::bind(config.listen).await.map_err(unusable)?;
    let address = listener.local_addr().map_err(unusable)?;
    let (stop, stopping) = watch::channel(false);
    let agent = Agent {
        config: Arc::new(config),
        state,
        store,
        mounts: mounts.clone(),
        uploads: Arc::default(),
        stopping: stopping.clone(),
    };
    // So that the first restore does not have to wait for it.
    tokio::spawn({
        let mounts = mounts.clone();
        async move { mounts.strategies().await }
    });
    println!("sandbox-agent: listening on {address}");
    let (mut stopped, watching) = (stopping.clone(), stopping);
    let serving = axum::serve(listener, router(agent)).with_graceful_shutdown(async move {
        let _ = stopped.wait_for(|stop| *stop).await;
    });
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.send_replace(true);
    });
    let mut stopped = watching;
    let served = tokio::select! {
        served = serving => served.map_err(internal),
        // A connection that stays open must not keep the mounts.
        () = async {
            let _ = stopped.wait_for(|stop| *stop).await;
            tokio::time::sleep(SHUTDOWN_GRACE).await;
        } => Ok(()),
    };
    mounts.close().await.map_err(internal)?;
    served
}

fn internal(error: impl std::fmt::Display) -> SandboxError {
    SandboxError::new(ErrorCode::InternalError, error.to_string())
}

/// All routes, behind the token.
fn router(agent: Agent) -> Router {
    let routes: [(&str, MethodRouter<Agent>); 13] = [
        (paths::STATUS, get(status)),
        (paths::BACKUPS, post(create_backup)),
        (paths::PREVIEW, post(preview_backup)),
        (paths::BACKUP_PARTS, post(give_parts)),
        (paths::RESTORES, post(restore_backup)),
        (paths::VERIFY, post(verify_backup)),
        (paths::MOUNT_URL, post(renew_url)),
        (paths::UNMOUNT, post(unmount_backup)),
        (paths::EXEC, post(run_command)),
        (
            paths::FILES,
            get(read_file).put(write_file).delete(delete_file),
        ),
        (paths::LIST, get(list_files)),
        (paths::MKDIR, post(make_dir)),
        (paths::EXISTS, get(exists)),
    ];
    routes
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| {
            router.route(path, methods)
        })
        .fallback(unknown_route)
        .method_not_allowed_fallback(unknown_method)
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(agent.clone(), authorize))
        .with_state(agent)
}

async fn authorize(State(agent): State<Agent>, request: Request, next: Next) -> Response {
    let token = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "))
        .unwrap_or_default();
    if bool::from(token.ct_eq(agent.config.token.as_bytes())) {
        return next.run(request).await;
    }
    let mut response = Failure(SandboxError::new(
        ErrorCode::Unauthorized,
        "the agent's bearer token is missing or wrong",
    ))
    .into_response();
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

async fn unknown_route(uri: Uri) -> Failure {
    Failure(SandboxError::new(
        ErrorCode::RouteNotFound,
        format!("the agent has no route {}", uri.path()),
    ))
}

async fn unknown_method(method: Method, uri: Uri) -> Failure {
    Failure(SandboxError::new(
        ErrorCode::MethodNotAllowed,
        format!("{} does not take {method}", uri.path()),
    ))
}

/// The body of a request. A mismatch is an error of `code` that names the field.
async fn body<T: DeserializeOwned>(body: Body, code: ErrorCode) -> Result<T, SandboxError> {
    let bytes = to_bytes(body, MAX_JSON)
        .await
        .map_err(|error| SandboxError::new(code, format!("cannot read the request: {error}")))?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| SandboxError::new(code, "the request is not UTF-8"))?;
    from_json(text, code)
}

type FileParameters = Result<Query<FileQuery>, axum::extract::rejection::QueryRejection>;

fn query(parameters: FileParameters) -> Result<FileQuery, SandboxError> {
    parameters
        .map(|Query(query)| query)
        .map_err(|error| SandboxError::invalid_request(error.body_text()))
}

/// Answers with what `operation` sends, one JSON object a line. The operation
/// is dropped when the reader goes away, or the agent stops.
fn event_stream<T, F>(agent: &Agent, operation: impl FnOnce(mpsc::Sender<T>) -> F) -> Response
where
    T: Serialize + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(EVENTS);
    let reader = sender.clone();
    let operation = operation(sender);
    let mut stopping = agent.stopping.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = operation => {}
            () = reader.closed() => {}
            _ = stopping.wait_for(|stop| *stop) => {}
        }
    });
    let lines = stream::unfold(receiver, |mut receiver| async {
        let event = receiver.recv().await?;
        // Types of the protocol have no keys that are not strings.
        let mut line = serde_json::to_vec(&event).unwrap_or_default();
        line.push(b'\n');
        Some((Ok::<_, Infallible>(line), receiver))
    });
    (
        [(header::CONTENT_TYPE, EVENT_STREAM_TYPE)],
        Body::from_stream(lines),
    )
        .into_response()
}

async fn status(State(agent): State<Agent>) -> Result {
    let mounts = agent.mounts.status().await;
    Ok(json(&AgentStatus {
        protocol: protocol::VERSION,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        strategies: agent.mounts.strategies().await,
        mounts: mounts.map_err(|error| error.of(&methods::STATUS))?,
    }))
}

/// A backup that waits for part URLs, for as long as it does.
struct Waiting {
    uploads: Arc<Mutex<HashMap<BackupId, Arc<PartAddresses>>>>,
    id: BackupId,
}

impl Waiting {
    fn announce(&self, addresses: Arc<PartAddresses>) {
        lock(&self.uploads).insert(self.id.clone(), addresses);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        lock(&self.uploads).remove(&self.id);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

async fn create_backup(State(agent): State<Agent>, request: Body) -> Result {
    let request: CreateBackup = body(request, ErrorCode::InvalidBackupConfig).await?;
    let mounts = agent.restored_directories(&methods::CREATE_BACKUP).await?;
    let id = request.id.clone();
    let plan = Plan::from_request(request, &agent.config.roots, &mounts)?;
    let waiting = Waiting {
        uploads: Arc::clone(&agent.uploads),
        id,
    };
    let store = agent.store.clone();
    Ok(event_stream(&agent, |events| async move {
        let announce = |addresses| waiting.announce(addresses);
        let created = backup::create(plan, &store, events.clone(), announce).await;
        let last = created.map_or_else(CreateEvent::Failed, |archive| {
            CreateEvent::Uploaded(Box::new(archive))
        });
        let _ = events.send(last).await;
    }))
}

async fn preview_backup(State(agent): State<Agent>, request: Body) -> Result {
    let PreviewBackup { dir, selection } = body(request, ErrorCode::InvalidBackupConfig).await?;
    let mounts = agent.restored_directories(&methods::PREVIEW_BACKUP).await?;
    let wanted = Wanted::from_request(
        &agent.config.roots.check(&dir)?,
        selection,
        &agent.config.roots,
        &mounts,
    )?;
    Ok(event_stream(&agent, |events| async move {
        let previewed = backup::preview(wanted, events.clone()).await;
        let last = previewed.map_or_else(PreviewEvent::Failed, |preview| {
            PreviewEvent::Previewed(Box::new(preview))
        });
        let _ = events.send(last).await;
    }))
}

async fn give_parts(State(agent): State<Agent>, Path(id): Path<String>, request: Body) -> Result {
    let id = BackupId::parse(&id)?;
    let urls: PartUrls = body(request, ErrorCode::InvalidRequest).await?;
    let addresses = lock(&agent.uploads).get(&id).cloned().ok_or_else(|| {
        SandboxError::invalid_request(format!("backup {id} is not waiting for part URLs"))
    })?;
    addresses.give(urls);
    Ok(json(&Done {}))
}

async fn restore_backup(State(agent): State<Agent>, request: Body) -> Result {
    let request: RestoreBackup = body(request, ErrorCode::InvalidBackupConfig).await?;
    let dir = agent.config.roots.check(&request.dir)?.into();
    let bytes_total = request.source.size_bytes;
    let restore = Restore {
        id: request.id,
        dir,
        source: Source::Remote(request.source),
        strategy: request.strategy,
        force: request.force,
    };
    let (mounts, config) = (agent.mounts.clone(), Arc::clone(&agent.config));
    Ok(event_stream(&agent, |events| async move {
        let fetched = AtomicU64::new(0);
        let restored = reporting(
            mounts.restore(restore, Some(&config.roots), |bytes| {
                fetched.store(bytes, Ordering::Relaxed);
            }),
            &events,
            || RestoreEvent::Progress {
                bytes_downloaded: fetched.load(Ordering::Relaxed),
                bytes_total,
            },
        )
        .await;
        let last = restored.map_or_else(
            |error| RestoreEvent::Failed(error.of(&methods::RESTORE_BACKUP)),
            RestoreEvent::Mounted,
        );
        let _ = events.send(last).await;
    }))
}

async fn verify_backup(State(agent): State<Agent>, request: Body) -> Result {
    let VerifyBackup { source } = body(request, ErrorCode::InvalidBackupConfig).await?;
    let bytes_total = source.size_bytes;
    let (state, store) = (agent.state.clone(), agent.store.clone());
    let cache_bytes = agent.config.cache_bytes;
    Ok(event_stream(&agent, |events| async move {
        let checked = Arc::new(AtomicU64::new(0));
        let verified = reporting(
            verify::verify(source, store, &state, cache_bytes, Arc::clone(&checked)),
            &events,
            || VerifyEvent::Progress {
                bytes_checked: checked.load(Ordering::Relaxed),
                bytes_total,
            },
        )
        .await;
        let last = verified.map_or_else(
            |error| VerifyEvent::Failed(error.into()),
            VerifyEvent::Verified,
        );
        let _ = events.send(last).await;
    }))
}

async fn renew_url(State(agent): State<Agent>, request: Body) -> Result {
    let renewed = agent
        .mounts
        .renew(body(request, ErrorCode::InvalidRequest).await?)
        .await;
    renewed.map_err(|error| error.of(&methods::RESTORE_BACKUP))?;
    Ok(json(&Done {}))
}

async fn unmount_backup(State(agent): State<Agent>, request: Body) -> Result {
    let request: UnmountBackup = body(request, ErrorCode::InvalidBackupConfig).await?;
    let dir = agent.config.roots.check(&request.dir)?.into();
    let unmounted = agent.mounts.unmount(dir, request.force).await;
    Ok(json(
        &unmounted.map_err(|error| error.of(&methods::UNMOUNT_BACKUP))?,
    ))
}

async fn run_command(State(agent): State<Agent>, request: Body) -> Result {
    let request: ExecRequest = body(request, ErrorCode::InvalidRequest).await?;
    let running = exec::start(request)?;
    Ok(event_stream(&agent, |events: mpsc::Sender<ExecEvent>| {
        running.report(events)
    }))
}

async fn read_file(parameters: FileParameters) -> Result {
    let (file, size) = files::open(&query(parameters)?.path).await?;
    // A file that grows meanwhile must not be longer than announced.
    let content = stream::unfold(file.take(size), |mut file| async {
        let mut chunk = vec![0; FILE_CHUNK];
        match file.read(&mut chunk).await {
            Ok(0) => None,
            Ok(length) => {
                chunk.truncate(length);
                Some((Ok(Bytes::from(chunk)), file))
            }
            Err(error) => Some((Err(error), file)),
        }
    });
    Ok((
        [
            (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
            (header::CONTENT_LENGTH, size.to_string()),
        ],
        Body::from_stream(content),
    )
        .into_response())
}

async fn write_file(parameters: FileParameters, content: Body) -> Result {
    let path = query(parameters)?.path;
    files::write(&path, content.into_data_stream().boxed()).await?;
    Ok(json(&Done {}))
}

async fn delete_file(parameters: FileParameters) -> Result {
    files::delete(&query(parameters)?.path).await?;
    Ok(json(&Done {}))
}

async fn list_files(parameters: FileParameters) -> Result {
    let query = query(parameters)?;
    let listed = tokio::task::spawn_blocking(move || {
        files::list(&query.path, query.recursive, query.include_hidden)
    })
    .await
    .map_err(internal)?;
    Ok(json(&listed?))
}

async fn make_dir(parameters: FileParameters) -> Result {
    let query = query(parameters)?;
    files::mkdir(&query.path, query.recursive).await?;
    Ok(json(&Done {}))
}

async fn exists(parameters: FileParameters) -> Result {
    Ok(json(&files::exists(&query(parameters)?.path).await?))
}
