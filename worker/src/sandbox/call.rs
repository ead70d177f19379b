//! A call of a method and its answer, however they travel.

use sandbox_shared::{ErrorCode, Result, SandboxError, operation::OperationId, request::Input};
use serde::Serialize;
use wasm_bindgen::JsValue;
use worker::Response;

/// What a method is called with.
pub(super) struct Call {
    /// What it takes.
    pub(super) fields: Input,
    /// Options of the call, where they are told apart from that.
    pub(super) options: Input,
    /// The content of a file: a string, bytes, or a `ReadableStream` of bytes.
    pub(super) content: JsValue,
    /// How the caller calls the operation.
    pub(super) operation: Option<OperationId>,
    /// Whether the caller follows it.
    pub(super) follows: bool,
}

/// What a method answers.
pub(super) enum Reply {
    /// A result, as JSON.
    Json(String),
    /// Server-sent events, or the content of a file, as they come.
    Stream(Response),
    /// That it has succeeded.
    Done,
}

impl Reply {
    /// A result.
    pub(super) fn of<T: Serialize>(result: &T) -> Result<Self> {
        serde_json::to_string(result)
            .map(Self::Json)
            .map_err(|error| SandboxError::new(ErrorCode::InternalError, error.to_string()))
    }
}
