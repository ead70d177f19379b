//! The Durable Object that backs up and restores directories of its container,
//! and the HTTP routes in front of it.
//!
//! One direction of dependency: `sandbox` and `http` call `service`, the methods of one
//! sandbox, which calls `backup`, `operation`, `lifecycle`, `agent` and `storage` in
//! this order; none of them knows its callers.
//! Errors are [`sandbox_shared::SandboxError`] throughout; they become HTTP
//! responses in `http` and JavaScript errors in `sandbox::rpc`.

pub mod agent;
pub mod backup;
pub mod clock;
pub mod config;
pub mod container;
pub mod http;
pub mod lifecycle;
pub mod metrics;
pub mod operation;
pub mod sandbox;
pub mod service;
pub mod sse;
pub mod storage;
pub mod timing;

use sandbox_shared::{ErrorCode, Result, SandboxError};
use worker::{Context, Env, Request, Response, event};

#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> worker::Result<Response> {
    http::handle(request, env).await
}

/// Bytes nobody can guess.
fn random_bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| SandboxError::new(ErrorCode::InternalError, error.to_string()))?;
    Ok(bytes)
}
