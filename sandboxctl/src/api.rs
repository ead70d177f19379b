//! The Worker's HTTP routes, as `GET /openapi.json` describes them.
//!
//! Answers are kept as JSON beside what they mean, so that `--json` loses
//! nothing that a newer Worker says.

use std::{sync::Arc, time::Duration};

use reqwest::{Client, Method, RequestBuilder, Response, Url, header};
use sandbox_shared::operation::OperationId;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::failure::{ApiError, Failure};

mod events;

pub(crate) use events::Events;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How much of an answer that is not ours is shown.
const MAX_SHOWN: usize = 200;

/// What the Worker answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer<T> {
    /// Word for word.
    pub(crate) json: Value,
    /// What it means.
    pub(crate) value: T,
}

/// A Worker.
#[derive(Debug)]
pub(crate) struct Api {
    client: Client,
    url: Url,
    token: Option<String>,
}

/// One sandbox of a Worker.
#[derive(Debug)]
pub(crate) struct SandboxApi {
    api: Api,
    name: String,
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ApiError,
}

impl Api {
    /// The Worker at `url`, with the secret of its routes.
    pub(crate) fn new(url: &str, token: Option<String>) -> Result<Self, Failure> {
        let invalid = |reason: String| Failure::Usage(format!("--url {url}: {reason}"));
        let url = Url::parse(url).map_err(|error| invalid(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() {
            return Err(invalid("it must begin with https:// or http://".into()));
        }
        Ok(Self {
            client: client()?,
            url,
            token,
        })
    }

    /// Its sandbox of this name.
    pub(crate) fn sandbox(self, name: String) -> SandboxApi {
        SandboxApi { api: self, name }
    }

    /// `GET /v1/sandboxes`
    pub(crate) async fn sandboxes<T: DeserializeOwned>(&self) -> Result<Answer<T>, Failure> {
        let request = self.request(Method::GET, &["v1", "sandboxes"])?;
        answer(self.send(request).await?).await
    }

    /// A request for the route of these segments, which are escaped.
    fn request(&self, method: Method, route: &[&str]) -> Result<RequestBuilder, Failure> {
        let mut url = self.url.clone();
        url.path_segments_mut()
            .map_err(|()| Failure::Usage("--url cannot have a path".into()))?
            .pop_if_empty()
            .extend(route);
        let request = self.client.request(method, url);
        Ok(match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    }

    /// Sends it; an answer that is a failure becomes one.
    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|error| {
            let reason = root_cause(&error);
            if error.is_connect() || error.is_timeout() {
                Failure::Unreachable {
                    url: self.url.to_string(),
                    reason,
                }
            } else {
                Failure::Broken(reason)
            }
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let text = response.text().await.map_err(broken)?;
        match serde_json::from_str::<ErrorBody>(&text) {
            Ok(ErrorBody { error }) => Err(Failure::Api(error)),
            Err(_) => Err(Failure::NotOurs(format!("{status} {}", beginning(&text)))),
        }
    }
}

impl SandboxApi {
    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn request(&self, method: Method, route: &[&str]) -> Result<RequestBuilder, Failure> {
        let segments = [&["v1", "sandboxes", &self.name], route].concat();
        self.api.request(method, &segments)
    }

    /// `GET`s a route below the sandbox.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        route: &[&str],
        query: &impl Serialize,
    ) -> Result<Answer<T>, Failure> {
        let request = self.request(Method::GET, route)?.query(query);
        answer(self.api.send(request).await?).await
    }

    /// `POST`s JSON to a route below the sandbox.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        route: &[&str],
        body: &impl Serialize,
    ) -> Result<Answer<T>, Failure> {
        let request = self.request(Method::POST, route)?.json(body);
        answer(self.api.send(request).await?).await
    }

    /// `DELETE`s what a route below the sandbox stands for.
    pub(crate) async fn delete<T: DeserializeOwned>(
        &self,
        route: &[&str],
    ) -> Result<Answer<T>, Failure> {
        let request = self.request(Method::DELETE, route)?;
        answer(self.api.send(request).await?).await
    }

    /// `POST`s JSON and follows what comes of it. Dropping the events ends it.
    pub(crate) async fn follow(
        &self,
        route: &[&str],
        body: &impl Serialize,
    ) -> Result<Events, Failure> {
        let request = self.request(Method::POST, route)?;
        self.events(request.json(body)).await
    }

    /// As [`Self::follow`], under an id by which its outcome can be asked for.
    pub(crate) async fn follow_as(
        &self,
        operation: &OperationId,
        route: &[&str],
        body: &impl Serialize,
    ) -> Result<Events, Failure> {
        let request = self.request(Method::POST, route)?;
        let request = request.header("Operation-Id", operation.as_str());
        self.events(request.json(body)).await
    }

    async fn events(&self, request: RequestBuilder) -> Result<Events, Failure> {
        let request = request.header(header::ACCEPT, "text/event-stream");
        let response = self.api.send(request).await?;
        let kind = response.headers().get(header::CONTENT_TYPE);
        if kind.is_none_or(|kind| kind != "text/event-stream") {
            return Err(Failure::NotOurs(format!("{kind:?} instead of events")));
        }
        Ok(Events::new(response))
    }

    /// `DELETE /container`
    pub(crate) async fn stop(&self) -> Result<(), Failure> {
        let request = self.request(Method::DELETE, &["container"])?;
        self.api.send(request).await.map(drop)
    }

    /// The bytes of a file.
    pub(crate) async fn read_file(&self, path: &str) -> Result<Response, Failure> {
        let request = self.request(Method::GET, &["files"])?;
        self.api.send(request.query(&[("path", path)])).await
    }

    /// Writes a file.
    pub(crate) async fn write_file<T: DeserializeOwned>(
        &self,
        path: &str,
        content: reqwest::Body,
    ) -> Result<Answer<T>, Failure> {
        let request = self.request(Method::PUT, &["files"])?;
        let request = request.query(&[("path", path)]).body(content);
        answer(self.api.send(request).await?).await
    }
}

async fn answer<T: DeserializeOwned>(response: Response) -> Result<Answer<T>, Failure> {
    let text = response.text().await.map_err(broken)?;
    let json = serde_json::from_str(&text).map_err(|_| Failure::NotOurs(beginning(&text)))?;
    understand(json)
}

/// Reads what an answer means.
fn understand<T: DeserializeOwned>(json: Value) -> Result<Answer<T>, Failure> {
    let value = T::deserialize(&json).map_err(|error| Failure::NotOurs(error.to_string()))?;
    Ok(Answer { json, value })
}

pub(crate) fn broken(error: reqwest::Error) -> Failure {
    Failure::Broken(root_cause(&error))
}

/// The last of an error's causes, which says what happened.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn beginning(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_SHOWN);
    text[..end].trim().to_owned()
}

/// Trusts this machine's authorities and, where it has none, Mozilla's.
fn client() -> Result<Client, Failure> {
    let mut authorities = rustls::RootCertStore::empty();
    authorities.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if authorities.is_empty() {
        authorities.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let failed = |reason: String| Failure::Usage(format!("TLS cannot be set up: {reason}"));
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(error.to_string()))?
        .with_root_certificates(authorities)
        .with_no_client_auth();
    Client::builder()
        .user_agent(concat!("sandboxctl/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        // A token is not to be carried to wherever an answer points.
        .redirect(reqwest::redirect::Policy::none())
        .tls_backend_preconfigured(tls)
        .build()
        .map_err(|error| failed(root_cause(&error)))
}
