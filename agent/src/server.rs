//! The HTTP API that the Durable Object calls: [`sandbox_shared::protocol`].
//!
//! An operation lives as long as its reader: when the connection goes away,
//! the future that does the work is dropped, and with it goes everything that
//! it had made.

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderValue, Method, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use parking_lot::Mutex;
use sandbox_shared::{
    BackupId, ErrorCode, SandboxError,
    methods::{Failure as _, Row},
    protocol::paths,
};
use subtle::ConstantTimeEq;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::{
    config::Config,
    restore::Mounts,
    state::StateDir,
    transfer::{Store, upload::PartAddresses},
};
use answer::Failure;

mod answer;
mod backups;
mod files;
mod restores;

/// How long requests may go on after the agent has been told to stop.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

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
        (paths::STATUS, get(restores::status)),
        (paths::BACKUPS, post(backups::create_backup)),
        (paths::PREVIEW, post(backups::preview_backup)),
        (paths::BACKUP_PARTS, post(backups::give_parts)),
        (paths::VERIFY, post(backups::verify_backup)),
        (paths::RESTORES, post(restores::restore_backup)),
        (paths::MOUNT_URL, post(restores::renew_url)),
        (paths::UNMOUNT, post(restores::unmount_backup)),
        (paths::EXEC, post(files::run_command)),
        (
            paths::FILES,
            get(files::read_file)
                .put(files::write_file)
                .delete(files::delete_file),
        ),
        (paths::LIST, get(files::list_files)),
        (paths::MKDIR, post(files::make_dir)),
        (paths::EXISTS, get(files::exists)),
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
