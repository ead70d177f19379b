//! The HTTP side of the host.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use rustix::process::Signal;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::oneshot};

use super::container::{Platform, Started};

/// Serves until `stopped` fires or its sender is gone; then nothing is left
/// of any container.
pub(super) async fn serve(
    listener: TcpListener,
    platform: Platform,
    token: String,
    stopped: oneshot::Receiver<()>,
) {
    let platform = Arc::new(platform);
    let expected: Arc<str> = format!("Bearer {token}").into();
    let routes = Router::new()
        .route("/v1/containers/{id}", get(status).delete(remove))
        .route("/v1/containers/{id}/start", post(start))
        .route("/v1/containers/{id}/signal", post(signal))
        .route("/v1/containers/{id}/wait", get(wait))
        .route(
            "/v1/containers/{id}/inactivity-timeout",
            put(set_inactivity_timeout),
        )
        .with_state(platform.clone())
        .layer(middleware::from_fn_with_state(expected, authorize));
    // Not gracefully: those who wait for a container to end would keep us.
    tokio::select! {
        served = axum::serve(listener, routes) => {
            if let Err(error) = served {
                eprintln!("container host: {error}");
            }
        }
        _ = stopped => {}
    }
    platform.shut_down().await;
}

#[derive(Deserialize)]
struct Start {
    #[serde(default)]
    env: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct InactivityTimeout {
    milliseconds: u64,
}

#[derive(Deserialize)]
struct SignalNumber {
    signal: i32,
}

type Answer = Result<Response, Failure>;

async fn start(
    State(platform): State<Arc<Platform>>,
    Path(id): Path<String>,
    Json(request): Json<Start>,
) -> Answer {
    check_id(&id)?;
    for (name, value) in &request.env {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(bad_request(format!("{name:?} is no environment variable")));
        }
    }
    Ok(match platform.start(&id, &request.env).await? {
        Started::New(container) => Json(json!({ "address": container.address })).into_response(),
        Started::Running(container) => {
            let body = json!({
                "error": "the container runs",
                "address": container.address,
            });
            (StatusCode::CONFLICT, Json(body)).into_response()
        }
    })
}

async fn status(State(platform): State<Arc<Platform>>, Path(id): Path<String>) -> Json<Value> {
    let running = platform.get(&id).await.filter(|found| found.is_running());
    if let Some(container) = &running {
        container.activity.note();
    }
    Json(match running {
        Some(container) => json!({ "running": true, "address": container.address }),
        None => json!({ "running": false }),
    })
}

async fn wait(State(platform): State<Arc<Platform>>, Path(id): Path<String>) -> Json<Value> {
    let Some(container) = platform.get(&id).await else {
        return Json(json!({ "exitCode": null, "signal": null }));
    };
    let code = container.wait().await;
    Json(json!({ "exitCode": code, "signal": (code > 128).then(|| code - 128) }))
}

async fn set_inactivity_timeout(
    State(platform): State<Arc<Platform>>,
    Path(id): Path<String>,
    Json(timeout): Json<InactivityTimeout>,
) -> Json<Value> {
    let running = platform.get(&id).await.filter(|found| found.is_running());
    if let Some(container) = &running {
        let timeout = Duration::from_millis(timeout.milliseconds);
        container.activity.set_timeout(timeout);
    }
    Json(json!({ "running": running.is_some() }))
}

async fn signal(
    State(platform): State<Arc<Platform>>,
    Path(id): Path<String>,
    Json(request): Json<SignalNumber>,
) -> Answer {
    let signal = Signal::from_named_raw(request.signal)
        .ok_or_else(|| bad_request(format!("there is no signal {}", request.signal)))?;
    let container = platform.get(&id).await;
    if let Some(container) = &container {
        container.signal(signal)?;
    }
    let running = container.is_some_and(|container| container.is_running());
    Ok(Json(json!({ "running": running })).into_response())
}

async fn remove(State(platform): State<Arc<Platform>>, Path(id): Path<String>) -> Answer {
    if let Some(container) = platform.get(&id).await {
        container.signal(Signal::KILL)?;
        container.gone().await;
    }
    Ok(Json(json!({ "running": false })).into_response())
}

async fn authorize(State(expected): State<Arc<str>>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION);
    if given.is_some_and(|given| given.as_bytes() == expected.as_bytes()) {
        next.run(request).await
    } else {
        Failure(
            StatusCode::UNAUTHORIZED,
            "the token is not this host's".into(),
        )
        .into_response()
    }
}

/// Ids become host names and file names.
fn check_id(id: &str) -> Result<(), Failure> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if (1..=64).contains(&id.len()) && id.bytes().all(allowed) {
        Ok(())
    } else {
        Err(bad_request(format!(
            "{id:?} is not an id: 1 to 64 of 0-9 a-z A-Z _ -"
        )))
    }
}

struct Failure(StatusCode, String);

fn bad_request(message: String) -> Failure {
    Failure(StatusCode::BAD_REQUEST, message)
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("{:#}", error.into()),
        )
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}
