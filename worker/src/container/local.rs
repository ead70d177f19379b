//! The local container host: development without Docker.
//!
//! It plays the platform over HTTP on a loopback address: starts the agent in
//! a root of its own, tells where it listens, and stops it.

use std::{cell::RefCell, collections::BTreeMap, time::Duration};

use sandbox_shared::Result;
use serde::{Deserialize, Serialize};
use worker::{Fetch, Headers, Method, Request, RequestInit, Response};

use super::{AgentRequest, unavailable};
use crate::config::LocalHostSettings;

/// A process of the local container host.
pub struct LocalContainer {
    /// `{host}/v1/containers/{id}`
    url: String,
    token: String,
    /// `address:port` of the agent, once known.
    address: RefCell<Option<String>>,
}

#[derive(Serialize)]
struct Start<'a> {
    env: BTreeMap<&'a str, &'a str>,
}

#[derive(Deserialize)]
struct Started {
    address: String,
}

#[derive(Deserialize)]
struct Running {
    running: bool,
    address: Option<String>,
}

impl LocalContainer {
    pub(super) fn new(host: &LocalHostSettings, id: String) -> Self {
        Self {
            url: format!("{}/v1/containers/{id}", host.origin),
            token: host.token.clone(),
            address: RefCell::new(None),
        }
    }

    async fn call(&self, method: Method, suffix: &str, body: Option<String>) -> Result<Response> {
        let request = || {
            let headers = Headers::new();
            headers.set("authorization", &format!("Bearer {}", self.token))?;
            headers.set("content-type", "application/json")?;
            let mut init = RequestInit::new();
            init.with_method(method)
                .with_headers(headers)
                .with_body(body.map(Into::into));
            Request::new_with_init(&format!("{}{suffix}", self.url), &init)
        };
        let failed = |error| unavailable("reaching the local container host", error);
        let mut response = Fetch::Request(request().map_err(failed)?)
            .send()
            .await
            .map_err(failed)?;
        match response.status_code() {
            // 409: it runs already, and the answer says where.
            200..=299 | 409 => Ok(response),
            status => {
                let reason = response.text().await.unwrap_or_default();
                Err(unavailable(
                    "the local container host",
                    format!("{status} {reason}"),
                ))
            }
        }
    }

    pub(super) async fn is_running(&self) -> Result<bool> {
        let state: Running = self
            .call(Method::Get, "", None)
            .await?
            .json()
            .await
            .map_err(|error| unavailable("reading the container's state", error))?;
        *self.address.borrow_mut() = state.address;
        Ok(state.running)
    }

    pub(super) async fn start(&self, env: &[(&str, &str)]) -> Result<()> {
        let start = Start {
            env: env.iter().copied().collect(),
        };
        let failed = |error| unavailable("starting the container", error);
        let body = serde_json::to_string(&start).map_err(|error| failed(error.into()))?;
        let started: Started = self
            .call(Method::Post, "/start", Some(body))
            .await?
            .json()
            .await
            .map_err(failed)?;
        *self.address.borrow_mut() = Some(started.address);
        Ok(())
    }

    pub(super) async fn wait_for_exit(&self) -> String {
        let answer = async {
            self.call(Method::Get, "/wait", None)
                .await?
                .text()
                .await
                .map_err(|e| unavailable("waiting", e))
        };
        match answer.await {
            Ok(reason) => reason,
            Err(error) => error.message,
        }
    }

    pub(super) async fn destroy(&self) -> Result<()> {
        self.call(Method::Delete, "", None).await?;
        *self.address.borrow_mut() = None;
        Ok(())
    }

    pub(super) async fn set_inactivity_timeout(&self, timeout: Duration) -> Result<()> {
        let milliseconds = timeout.as_millis();
        let body = format!("{{\"milliseconds\":{milliseconds}}}");
        self.call(Method::Put, "/inactivity-timeout", Some(body))
            .await
            .map(drop)
    }

    pub(super) async fn fetch(&self, request: AgentRequest) -> Result<Response> {
        let Some(address) = self.address.borrow().clone() else {
            return Err(unavailable(
                "reaching the agent",
                "the container is not running",
            ));
        };
        let (path, init) = request.init();
        let failed = |error| unavailable("reaching the agent", error);
        let request =
            Request::new_with_init(&format!("http://{address}{path}"), &init).map_err(failed)?;
        Fetch::Request(request).send().await.map_err(failed)
    }
}
