//! The HTTP routes of a sandbox Worker.

use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;

/// The routes `/v1/sandboxes/{name}/…` of one sandbox.
#[derive(Clone, Debug)]
pub struct HttpApi {
    client: Client,
    /// Without a slash at its end.
    address: String,
    token: Option<String>,
}

impl HttpApi {
    /// The routes below `worker`, asked with a bearer token or without.
    pub fn new(client: Client, worker: &str, sandbox: &str, token: Option<&str>) -> Self {
        Self {
            client,
            address: format!("{worker}/v1/sandboxes/{sandbox}"),
            token: token.map(str::to_owned),
        }
    }

    /// A request for `route`, which may have a query.
    pub fn request(&self, method: Method, route: &str) -> RequestBuilder {
        let request = self
            .client
            .request(method, format!("{}/{route}", self.address));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// `POST`s JSON.
    pub async fn post(&self, route: &str, body: &Value) -> Response {
        let request = self.request(Method::POST, route).json(body);
        request.send().await.unwrap()
    }

    /// `GET`s.
    pub async fn get(&self, route: &str) -> Response {
        self.request(Method::GET, route).send().await.unwrap()
    }
}
