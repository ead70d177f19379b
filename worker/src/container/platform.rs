//! Cloudflare's container platform: `ctx.container`.
//!
//! Source: Cloudflare Containers, "Durable Object Container API".

use std::time::Duration;

use js_sys::{Function, Object, Promise, Reflect};
use sandbox_shared::{Result, protocol::AGENT_PORT};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use worker::Response;

use super::{AgentRequest, unavailable};

/// `ctx.container` of a Durable Object.
pub struct PlatformContainer(worker::Container);

impl PlatformContainer {
    pub(super) fn new(container: worker::Container) -> Self {
        Self(container)
    }

    pub(super) fn is_running(&self) -> bool {
        self.0.running()
    }

    pub(super) fn start(&self, env: &[(&str, &str)]) -> Result<()> {
        self.call_start(env)
            .map_err(|error| unavailable("starting the container", worker::Error::from(error)))
    }

    /// Calls `start({env, enableInternet})` by hand: `worker` 0.8.7 drops the
    /// options that are set and keeps those that are not.
    fn call_start(&self, env: &[(&str, &str)]) -> Result<(), JsValue> {
        let variables = Object::new();
        for (name, value) in env {
            Reflect::set(&variables, &(*name).into(), &(*value).into())?;
        }
        let options = Object::new();
        Reflect::set(&options, &"env".into(), &variables)?;
        Reflect::set(&options, &"enableInternet".into(), &true.into())?;
        let container: &JsValue = self.0.as_ref();
        Reflect::get(container, &"start".into())?
            .unchecked_into::<Function>()
            .call1(container, &options)?;
        Ok(())
    }

    pub(super) async fn wait_for_exit(&self) -> String {
        match self.0.wait_for_exit().await {
            Ok(()) => "it exited".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    /// Calls `setInactivityTimeout(milliseconds)` by hand: `worker` 0.8.7 does
    /// not have it.
    pub(super) async fn set_inactivity_timeout(&self, timeout: Duration) -> Result<()> {
        let call = || -> Result<Promise, JsValue> {
            let container: &JsValue = self.0.as_ref();
            Reflect::get(container, &"setInactivityTimeout".into())?
                .dyn_into::<Function>()?
                .call1(container, &(timeout.as_millis() as f64).into())?
                .dyn_into()
        };
        let outcome = match call() {
            Ok(promise) => JsFuture::from(promise).await.map(drop),
            Err(error) => Err(error),
        };
        outcome.map_err(|error| {
            unavailable(
                "setting the container's inactivity timeout",
                worker::Error::from(error),
            )
        })
    }

    pub(super) async fn destroy(&self) -> Result<()> {
        if !self.0.running() {
            return Ok(());
        }
        self.0
            .destroy(None)
            .await
            .map_err(|error| unavailable("stopping the container", error))
    }

    pub(super) async fn fetch(&self, request: AgentRequest) -> Result<Response> {
        let port = self
            .0
            .get_tcp_port(AGENT_PORT)
            .map_err(|error| unavailable("reaching the container's port", error))?;
        let (path, init) = request.init();
        port.fetch(format!("http://agent{path}"), Some(init))
            .await
            .map_err(|error| unavailable("reaching the agent", error))
    }
}
