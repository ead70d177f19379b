//! A sandbox over RPC: the methods that other Workers call on its stub, with the
//! arguments of [`sandbox_shared::methods`].
//!
//! Arguments and results are plain JavaScript values. A failure is thrown as
//! an `Error` with `code`, `context` and `status` of its own.

use js_sys::{Array, Error, JSON, Reflect};
use sandbox_shared::{
    ErrorCode, Result, SandboxError,
    methods::{self as table, Argument},
    request::Input,
};
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

use super::{
    Sandbox,
    call::{Call, Reply},
    methods,
};

mod input;

#[wasm_bindgen]
impl Sandbox {
    /// The names of all methods, for `entry.mjs`.
    #[wasm_bindgen(js_name = methodNames)]
    pub fn rpc_method_names() -> Vec<String> {
        table::names().map(str::to_owned).collect()
    }

    /// Calls a method by its name.
    #[wasm_bindgen(js_name = call)]
    pub async fn rpc_call(&self, name: String, arguments: Array) -> Result<JsValue, JsValue> {
        self.answer(&name, &arguments)
            .await
            .map_err(|error| to_js_error(&error))
    }

    async fn answer(&self, name: &str, arguments: &Array) -> Result<JsValue> {
        let method = table::of_a_sandbox().find_map(|row| {
            row.arguments
                .filter(|_| row.name == name)
                .map(|it| (row, it))
        });
        let Some((method, takes)) = method else {
            return Err(SandboxError::invalid_request(format!(
                "no such method: {name}"
            )));
        };
        check_surplus(name, takes.len(), arguments)?;
        let reply = methods::call(self.service.clone(), method, read(takes, arguments));
        match reply.await? {
            Reply::Json(json) => to_js(&json),
            Reply::Stream(response) => {
                let response: worker::web_sys::Response = response.into();
                Ok(response.body().into())
            }
            Reply::Done => Ok(JsValue::UNDEFINED),
        }
    }
}

/// An argument that a method does not take may say how it was meant to be done.
fn check_surplus(name: &str, taken: usize, arguments: &Array) -> Result<()> {
    let given = |argument: JsValue| !argument.is_undefined();
    match arguments.iter().skip(taken).any(given) {
        true => Err(SandboxError::invalid_request(format!(
            "{name} takes {taken} arguments, not {}",
            arguments.length()
        ))),
        false => Ok(()),
    }
}

fn read(takes: &[Argument], arguments: &Array) -> Call {
    let mut call = Call {
        fields: Input::EMPTY,
        options: Input::EMPTY,
        content: JsValue::UNDEFINED,
        operation: None,
        follows: false,
    };
    let mut single = Vec::new();
    for (argument, value) in takes.iter().zip(
        arguments
            .iter()
            .chain(std::iter::repeat(JsValue::UNDEFINED)),
    ) {
        match argument {
            Argument::Fields(_) | Argument::Rest(_) => call.fields = input::fields(&value),
            Argument::Field(name) => single.push((*name, value)),
            Argument::Handle(_) => single.push(("id", input::id_of(&value))),
            Argument::Options(_) => call.options = input::fields(&value),
            Argument::Content(_) => call.content = value,
        }
    }
    for (name, value) in single {
        call.fields = input::with(call.fields, name, &value);
    }
    call
}

fn to_js_error(error: &SandboxError) -> JsValue {
    let thrown = Error::new(&error.message);
    let context = serde_json::to_string(&error.context).unwrap_or_default();
    let context = to_js(&context).unwrap_or(JsValue::UNDEFINED);
    for (name, value) in [
        ("code", JsValue::from(error.code.as_str())),
        ("context", context),
        ("status", JsValue::from(error.code.http_status())),
    ] {
        // Setting a property of a new object cannot fail.
        let _ = Reflect::set(&thrown, &name.into(), &value);
    }
    thrown.into()
}

fn to_js(json: &str) -> Result<JsValue> {
    JSON::parse(json)
        .map_err(|_| SandboxError::new(ErrorCode::InternalError, "what was made as JSON is none"))
}
