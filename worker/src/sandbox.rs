//! The Durable Object: one sandbox, with a container of its own. It is reached over
//! HTTP (`routes`) and over RPC (`rpc`); both call the same methods (`methods`).

#![allow(missing_docs, reason = "the durable_object macro makes public methods")]

use std::rc::Rc;

use wasm_bindgen::prelude::wasm_bindgen;
use worker::{DurableObject, Env, Request, Response, State, durable_object};

use crate::service::Service;

mod call;
mod content;
mod methods;
mod routes;
mod rpc;

/// One sandbox.
#[durable_object]
pub struct Sandbox {
    service: Rc<Service>,
}

impl DurableObject for Sandbox {
    fn new(state: State, env: Env) -> Self {
        Self {
            service: Rc::new(Service::new(state, env)),
        }
    }

    async fn fetch(&self, request: Request) -> worker::Result<Response> {
        routes::handle(self.service.clone(), request).await
    }

    async fn alarm(&self) -> worker::Result<Response> {
        match self.service.on_alarm().await {
            Ok(()) => Response::empty(),
            Err(error) => Err(error.to_string().into()),
        }
    }
}
