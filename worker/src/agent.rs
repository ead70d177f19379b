//! The client of the agent: the protocol of `sandbox_shared::protocol`, over
//! the container's port.

use bytes::BytesMut;
use futures_util::StreamExt;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sandbox_shared::{
    ErrorCode, Result, SandboxError,
    error::from_json,
    protocol::{AgentStatus, Done, PartUrls, RenewUrl, UnmountBackup, UnmountResult, paths},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio_util::codec::{Decoder, LinesCodec};
use wasm_bindgen::JsValue;
use worker::{ByteStream, Headers, Method, Response};

use crate::{
    container::{AgentRequest, Container},
    timing::{Part, measure},
};

/// Longest line of an event stream: a page of part URLs fits many times.
const MAX_EVENT_BYTES: usize = 8 << 20;

/// Longest answer that is not a stream: a list of files, of which there may be a
/// hundred thousand. A Durable Object has 128 MB (Workers, "Limits").
const MAX_ANSWER_BYTES: usize = 32 << 20;

/// Longest error.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// What is sent to an agent: a string, bytes, or a `ReadableStream` of bytes.
pub struct Body(JsValue);

impl From<JsValue> for Body {
    fn from(value: JsValue) -> Self {
        Self(value)
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

/// The bytes of a file.
pub struct Content(Response);

impl Content {
    /// As they come.
    pub fn into_response(self) -> Response {
        self.0
    }

    /// All of them.
    pub async fn bytes(mut self) -> Result<Vec<u8>> {
        self.0.bytes().await.map_err(cut_off)
    }
}

/// What the status of every version of the agent has.
#[derive(Deserialize)]
struct Version {
    #[serde(rename = "version")]
    _version: String,
}

/// Whose an agent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recognition {
    /// It accepts our token.
    Ours,
    /// It says that our token is not its own.
    Foreign,
}

/// A container with an agent in it that knows our token.
pub struct Agent {
    container: Container,
    token: String,
}

impl Agent {
    /// The agent in `container` that was started with `token`.
    pub fn new(container: Container, token: String) -> Self {
        Self { container, token }
    }

    /// The container it is in.
    pub fn container(&self) -> &Container {
        &self.container
    }

    /// Sends a request. An answer that is not a success becomes the error it holds.
    pub async fn send(&self, method: Method, path: &str, body: Option<Body>) -> Result<Response> {
        self.ask(method, path, body).await.map_err(|error| {
            if error.code != ErrorCode::Unauthorized {
                return error;
            }
            // Each container has a token of its own: this one has replaced ours.
            unavailable("that it does not accept our token")
        })
    }

    /// As [`Self::send`], with whatever error the agent has answered.
    async fn ask(&self, method: Method, path: &str, body: Option<Body>) -> Result<Response> {
        let headers = Headers::new();
        headers
            .set("authorization", &format!("Bearer {}", self.token))
            .map_err(internal)?;
        let answer = self.container.fetch(AgentRequest {
            method,
            path: path.to_owned(),
            headers,
            body: body.map(|body| body.0),
        });
        let response = measure(Part::Agent, answer).await?;
        let status = response.status_code();
        if (200..300).contains(&status) {
            return Ok(response);
        }
        let text = read(response, MAX_ERROR_BYTES).await.unwrap_or_default();
        let said: Option<SandboxError> = serde_json::from_slice(&text).ok();
        Err(said.unwrap_or_else(|| unavailable(status)))
    }

    /// Whether it accepts our token. An error says nothing about that: the
    /// question can be asked again.
    pub async fn recognizes_us(&self) -> Result<Recognition> {
        match self.ask(Method::Get, paths::STATUS, None).await {
            Ok(response) => json::<Version>(response).await.map(|_| Recognition::Ours),
            Err(error) if error.code == ErrorCode::Unauthorized => Ok(Recognition::Foreign),
            Err(error) => Err(error),
        }
    }

    async fn post<B: Serialize>(&self, path: &str, body: &B) -> Result<Response> {
        let body = serde_json::to_string(body).map_err(internal)?;
        self.send(Method::Post, path, Some(body.into())).await
    }

    /// How the agent is. Answers as soon as it is ready.
    pub async fn status(&self) -> Result<AgentStatus> {
        json(self.send(Method::Get, paths::STATUS, None).await?).await
    }

    /// Starts an operation that answers with events.
    pub async fn events<B: Serialize>(&self, path: &str, body: &B) -> Result<Events> {
        let mut response = self.post(path, body).await?;
        Ok(Events {
            stream: response.stream().map_err(internal)?,
            lines: LinesCodec::new_with_max_length(MAX_EVENT_BYTES),
            buffer: BytesMut::new(),
        })
    }

    /// Reads a file.
    pub async fn content(&self, path: &str) -> Result<Content> {
        self.send(Method::Get, path, None).await.map(Content)
    }

    /// Hands over the part URLs that a backup in progress asked for.
    pub async fn give_parts(&self, path: &str, urls: &PartUrls) -> Result<()> {
        done(self.post(path, urls).await?).await
    }

    /// Gives a restored directory a fresh URL for its archive.
    pub async fn renew_url(&self, request: &RenewUrl) -> Result<()> {
        done(self.post(paths::MOUNT_URL, request).await?).await
    }

    /// Takes a restored directory away.
    pub async fn unmount(&self, request: &UnmountBackup) -> Result<UnmountResult> {
        json(self.post(paths::UNMOUNT, request).await?).await
    }
}

fn unavailable(answer: impl std::fmt::Display) -> SandboxError {
    SandboxError::new(
        ErrorCode::ContainerUnavailable,
        format!("the agent answered {answer}; it is safe to try again"),
    )
}

/// The body of a successful answer.
pub async fn json<T: DeserializeOwned>(response: Response) -> Result<T> {
    let text = read(response, MAX_ANSWER_BYTES).await?;
    from_json(&String::from_utf8_lossy(&text), ErrorCode::InternalError)
}

/// All of an answer that is not longer than `limit`, in bytes.
async fn read(mut response: Response, limit: usize) -> Result<Vec<u8>> {
    let mut stream = response.stream().map_err(internal)?;
    let mut all = Vec::new();
    while let Some(chunk) = stream.next().await {
        all.extend_from_slice(&chunk.map_err(cut_off)?);
        if all.len() > limit {
            return Err(internal(format_args!(
                "the agent answered more than {limit} bytes"
            )));
        }
    }
    Ok(all)
}

/// Reads the answer of what has nothing to tell.
pub async fn done(response: Response) -> Result<()> {
    json::<Done>(response).await.map(drop)
}

/// `path` with its query, encoded.
pub fn with_query(path: &str, pairs: &[(&str, &str)]) -> String {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={}", encode(value)))
        .collect();
    format!("{path}?{}", pairs.join("&"))
}

fn internal(error: impl std::fmt::Display) -> SandboxError {
    SandboxError::new(ErrorCode::InternalError, error.to_string())
}

fn cut_off(error: impl std::fmt::Display) -> SandboxError {
    SandboxError::new(
        ErrorCode::ContainerUnavailable,
        format!(
            "the container went away in the middle of the operation ({error}); it is safe to try again"
        ),
    )
}

/// Events of one operation. Dropping it before the end closes the connection,
/// and the agent then cancels the operation.
pub struct Events {
    stream: ByteStream,
    lines: LinesCodec,
    buffer: BytesMut,
}

impl Events {
    /// The next event. A stream that ends is an error: the terminal event
    /// comes first, and nobody asks for more after it.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<T> {
        let unreadable = |error: &dyn std::fmt::Display| {
            internal(format_args!("the agent sent an unreadable event: {error}"))
        };
        let line = loop {
            let line = self.lines.decode(&mut self.buffer);
            if let Some(line) = line.map_err(|error| unreadable(&error))? {
                break line;
            }
            match measure(Part::Agent, self.stream.next()).await {
                Some(Ok(chunk)) => self.buffer.extend_from_slice(&chunk),
                Some(Err(error)) => return Err(cut_off(error)),
                None => return Err(cut_off("its answer ended early")),
            }
        };
        serde_json::from_str(&line).map_err(|error| unreadable(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_survive_the_query() {
        assert_eq!(
            with_query(
                "/v1/files",
                &[("path", "/tmp/a b&c=d/ž?#%"), ("recursive", "true")]
            ),
            "/v1/files?path=%2Ftmp%2Fa%20b%26c%3Dd%2F%C5%BE%3F%23%25&recursive=true"
        );
    }
}
