//! What requests and answers have in common: JSON, errors, streams of events.

use std::convert::Infallible;

use axum::{
    body::{Body, to_bytes},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use sandbox_shared::{ErrorCode, SandboxError, error::from_json, protocol::EVENT_STREAM_TYPE};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::mpsc;

use super::Agent;

/// Longest JSON body, in bytes: a batch of part URLs, or a command with its input.
const MAX_JSON: usize = 64 << 20;
/// Events that wait for a slow reader.
const EVENTS: usize = 16;

pub(super) type Result<T = Response, E = Failure> = std::result::Result<T, E>;

/// A [`SandboxError`] on its way out.
pub(super) struct Failure(pub(super) SandboxError);

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

pub(super) fn json<T: Serialize>(value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The body of a request. A mismatch is an error of `code` that names the field.
pub(super) async fn body<T: DeserializeOwned>(
    body: Body,
    code: ErrorCode,
) -> Result<T, SandboxError> {
    let bytes = to_bytes(body, MAX_JSON)
        .await
        .map_err(|error| SandboxError::new(code, format!("cannot read the request: {error}")))?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| SandboxError::new(code, "the request is not UTF-8"))?;
    from_json(text, code)
}

/// Answers with what `operation` sends, one JSON object a line. The operation
/// is dropped when the reader goes away, or the agent stops.
pub(super) fn event_stream<T, F>(
    agent: &Agent,
    operation: impl FnOnce(mpsc::Sender<T>) -> F,
) -> Response
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
