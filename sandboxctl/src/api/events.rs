//! Server-sent events of a response, as they come.

use std::{fmt, pin::Pin, time::Duration};

use eventsource_stream::{EventStreamError, Eventsource};
use futures_util::{Stream, StreamExt, stream};
use reqwest::Response;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;

use super::{Answer, ErrorBody, broken, understand};
use crate::failure::Failure;

/// The Worker says something every five seconds, if only that it is there.
const PATIENCE: Duration = Duration::from_secs(60);

/// Dropping it closes the connection, which ends what is followed.
pub(crate) struct Events(Pin<Box<dyn Stream<Item = Result<Value, Failure>>>>);

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}

impl Events {
    pub(super) fn new(response: Response) -> Self {
        let chunks = stream::unfold(Some(response), async |response| {
            let mut response = response?;
            match timeout(PATIENCE, response.chunk()).await {
                Ok(Ok(chunk)) => Some((Ok(chunk?), Some(response))),
                Ok(Err(error)) => Some((Err(broken(error)), None)),
                Err(_) => {
                    let silence = format!("nothing was heard for {} s", PATIENCE.as_secs());
                    Some((Err(Failure::Broken(silence)), None))
                }
            }
        });
        let events = chunks.eventsource().map(|event| match event {
            Ok(event) => serde_json::from_str(&event.data)
                .map_err(|_| Failure::NotOurs(format!("an event that says {}", event.data))),
            Err(EventStreamError::Transport(failure)) => Err(failure),
            Err(error) => Err(Failure::NotOurs(error.to_string())),
        });
        Self(Box::pin(events))
    }

    /// The next one. The Worker tells of failures in an event of their own.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Result<Answer<T>, Failure> {
        let json = self.0.next().await.ok_or_else(|| {
            Failure::Broken("it was closed before the operation had ended".into())
        })??;
        if json.get("error").is_some()
            && let Ok(ErrorBody { error }) = serde_json::from_value(json.clone())
        {
            return Err(Failure::Api(error));
        }
        understand(json)
    }
}
