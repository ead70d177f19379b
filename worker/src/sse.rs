//! Server-sent events (HTML Living Standard, 9.2): `data:` lines of JSON.

use std::{pin::pin, time::Duration};

use futures_util::{
    Stream, StreamExt,
    future::{Either, select},
    stream,
};
use sandbox_shared::{ErrorCode, Result, SandboxError};
use serde::Serialize;
use worker::{Delay, Response};

/// After this long without an event a comment is sent. It keeps proxies from
/// closing the connection, and tells us when the reader has closed it.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// The last event of a stream whose operation failed.
#[derive(Serialize)]
struct ErrorEvent<'a> {
    error: &'a SandboxError,
}

/// One event, as it is sent.
pub fn event<T: Serialize>(value: &Result<T>) -> String {
    let json = match value {
        Ok(value) => serde_json::to_string(value),
        Err(error) => serde_json::to_string(&ErrorEvent { error }),
    };
    // Types of ours have no keys that are not strings.
    format!("data: {}\n\n", json.unwrap_or_default())
}

/// A response of `events`. They are dropped when the reader goes away.
pub fn response(events: impl Stream<Item = String> + 'static) -> Result<Response> {
    let lines = stream::unfold(Box::pin(events), async |mut events| {
        let silence = pin!(Delay::from(KEEP_ALIVE));
        let text = match select(events.next(), silence).await {
            Either::Left((event, _)) => event?,
            Either::Right(_) => ":\n\n".to_owned(),
        };
        Some((Ok::<_, worker::Error>(text.into_bytes()), events))
    });
    let internal =
        |error: worker::Error| SandboxError::new(ErrorCode::InternalError, error.to_string());
    let mut response = Response::from_stream(lines).map_err(internal)?;
    response
        .headers_mut()
        .set("content-type", "text/event-stream")
        .map_err(internal)?;
    Ok(response)
}
