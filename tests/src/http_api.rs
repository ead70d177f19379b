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

    /// `POST`s JSON and follows what comes of it.
    pub async fn follow(&self, route: &str, body: &Value) -> ServerSentEvents {
        let request = self.request(Method::POST, route).json(body);
        let response = request
            .header("accept", "text/event-stream")
            .send()
            .await
            .unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        ServerSentEvents {
            response,
            received: String::new(),
        }
    }

    /// `GET`s.
    pub async fn get(&self, route: &str) -> Response {
        self.request(Method::GET, route).send().await.unwrap()
    }
}

/// Events of a response, as they come. Dropping it closes the connection.
#[derive(Debug)]
pub struct ServerSentEvents {
    response: Response,
    received: String,
}

impl ServerSentEvents {
    /// The next one, if there is one more.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.received.split_once("\n\n") {
                let data = event.strip_prefix("data: ").map(str::to_owned);
                self.received = rest.to_owned();
                match data {
                    Some(data) => return Some(serde_json::from_str(&data).unwrap()),
                    // A comment.
                    None => continue,
                }
            }
            let chunk = self.response.chunk().await.unwrap()?;
            self.received.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The first one that is as wanted.
    pub async fn find(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let event = self.next().await.expect("it has not ended");
            if wanted(&event) {
                return event;
            }
        }
    }
}
