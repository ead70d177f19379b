//! The events of a command that runs.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use eventsource_stream::Eventsource;
use futures_util::{Stream, StreamExt};
use sandbox_shared::{ErrorCode, Result, SandboxError, error::from_json, files::ExecEvent};
use serde::Deserialize;
use worker::{ResponseBody, ResponseBuilder};

/// What a command writes, as it comes, and at the end
/// [`ExecEvent::Exit`]. Dropping it kills the command's process group.
pub struct ExecEvents(Pin<Box<dyn Stream<Item = Result<ExecEvent>>>>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Event {
    Error { error: SandboxError },
    Event(ExecEvent),
}

impl ExecEvents {
    pub(crate) fn read(stream: web_sys::ReadableStream) -> Result<Self> {
        let broken = |reason: String| SandboxError::new(ErrorCode::ContainerUnavailable, reason);
        let bytes = ResponseBuilder::new()
            .body(ResponseBody::Stream(stream))
            .stream()
            .map_err(|error| broken(error.to_string()))?;
        let events = bytes.eventsource().map(move |event| {
            let event = event.map_err(|error| broken(error.to_string()))?;
            match from_json(&event.data, ErrorCode::InternalError)? {
                Event::Event(event) => Ok(event),
                Event::Error { error } => Err(error),
            }
        });
        Ok(Self(Box::pin(events)))
    }
}

impl Stream for ExecEvents {
    type Item = Result<ExecEvent>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

impl fmt::Debug for ExecEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExecEvents")
    }
}
