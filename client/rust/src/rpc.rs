//! One remote call of the Durable Object.
//!
//! It goes through the object's `invoke` method, which returns failures as
//! values: an error that is thrown across RPC keeps its code only where both
//! Workers have a recent compatibility date.

use js_sys::{Array, Object, Promise, Reflect};
use sandbox_shared::{
    ErrorCode, Result, SandboxError,
    error::deserialize,
    methods::{Argument, Row},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use wasm_bindgen_futures::JsFuture;
use worker::ObjectNamespace;

#[wasm_bindgen]
extern "C" {
    type SandboxStub;

    #[wasm_bindgen(method, catch)]
    fn invoke(this: &SandboxStub, method: &str, args: &Array) -> Result<JsValue, JsValue>;
}

/// The arguments of `method`, as its row has them: the fields of `request` and of
/// `options`, and `content`.
pub(crate) fn arguments(
    method: &Row,
    request: &impl Serialize,
    options: &impl Serialize,
    content: JsValue,
) -> Result<Array> {
    let fields = to_js(request)?;
    let arguments = Array::new();
    for argument in method.arguments.unwrap_or_default() {
        arguments.push(&match argument {
            Argument::Field(name) => {
                let value = property(&fields, name);
                // A field stands once: what is left goes in `Argument::Fields`.
                let _ = Reflect::delete_property(fields.unchecked_ref::<Object>(), &(*name).into());
                value
            }
            Argument::Fields(_) | Argument::Rest(_) | Argument::Handle(_) => fields.clone(),
            Argument::Options(_) => to_js(options)?,
            Argument::Content(_) => content.clone(),
        });
    }
    Ok(arguments)
}

fn to_js(value: &impl Serialize) -> Result<JsValue> {
    value
        .serialize(&serde_wasm_bindgen::Serializer::json_compatible())
        .map_err(|error| SandboxError::invalid_request(error.to_string()))
}

/// What `invoke` returns of a failure. A sandbox that is newer than this crate
/// may have other codes.
#[derive(Deserialize)]
struct Answered {
    code: Value,
    message: String,
    #[serde(default)]
    context: Map<String, Value>,
}

impl From<Answered> for SandboxError {
    fn from(failure: Answered) -> Self {
        let error = match ErrorCode::deserialize(&failure.code) {
            Ok(code) => Self::new(code, failure.message),
            Err(_) => {
                Self::new(ErrorCode::InternalError, failure.message).with("code", failure.code)
            }
        };
        failure
            .context
            .into_iter()
            .fold(error, |error, (name, value)| error.with(&name, value))
    }
}

/// Why there is no answer.
pub(crate) enum Failure {
    /// This is the answer.
    Answered(SandboxError),
    /// The Durable Object went away, for this reason.
    Interrupted(String),
}

impl From<SandboxError> for Failure {
    fn from(error: SandboxError) -> Self {
        Self::Answered(error)
    }
}

impl Failure {
    /// For methods whose outcome is not journaled.
    pub(crate) fn into_error(self, method: &Row) -> SandboxError {
        match self {
            Self::Answered(error) => error,
            Self::Interrupted(reason) => SandboxError::new(
                ErrorCode::OperationInterrupted,
                format!(
                    "the sandbox's Durable Object went away during {}, which may or may not \
                     have taken effect: {reason}",
                    method.name
                ),
            )
            .with("committed", Value::Null),
        }
    }
}

/// Calls a method of the sandbox called `name`.
pub(crate) async fn call(
    namespace: &ObjectNamespace,
    name: &str,
    method: &Row,
    arguments: &Array,
) -> Result<JsValue, Failure> {
    // A stub stays broken once its object has been reset, so every call takes
    // a fresh one; making it costs nothing.
    let stub: SandboxStub = namespace
        .get_by_name(name)
        .map_err(|error| SandboxError::invalid_request(error.to_string()))?
        .into_rpc();
    let outcome =
        async { JsFuture::from(Promise::resolve(&stub.invoke(method.name, arguments)?)).await };
    let outcome = outcome.await.map_err(|error| thrown(&error))?;
    let failure = property(&outcome, "error");
    if failure.is_undefined() {
        return Ok(property(&outcome, "value"));
    }
    let answered: Answered = read(method, failure)?;
    Err(Failure::Answered(answered.into()))
}

/// Reads what a method returned.
pub(crate) fn read<T: DeserializeOwned>(method: &Row, value: JsValue) -> Result<T> {
    let value = serde_wasm_bindgen::Deserializer::from(value);
    deserialize(value, ErrorCode::InternalError)
        .map_err(|error| misunderstood(method, &error.message))
}

/// The object that a method returned.
pub(crate) fn cast<T: JsCast>(method: &Row, value: JsValue) -> Result<T> {
    value
        .dyn_into()
        .map_err(|_| misunderstood(method, "it is another object"))
}

pub(crate) fn misunderstood(method: &Row, problem: &str) -> SandboxError {
    SandboxError::new(
        ErrorCode::InternalError,
        format!(
            "what the sandbox returned for {} is not understood: {problem}; \
             is this crate older than the sandbox?",
            method.name
        ),
    )
}

/// The runtime marks what befell the Durable Object itself; anything else is
/// a mistake in the call.
fn thrown(error: &JsValue) -> Failure {
    let message = property(error, "message")
        .as_string()
        .unwrap_or_else(|| format!("{error:?}"));
    let marked = |name| property(error, name).is_truthy();
    if marked("retryable") || marked("overloaded") || marked("durableObjectReset") {
        return Failure::Interrupted(message);
    }
    SandboxError::new(ErrorCode::InternalError, message).into()
}

fn property(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &name.into()).unwrap_or(JsValue::UNDEFINED)
}
