//! Reading what a method is asked for, however that came: as a JSON body, as a
//! query, as JavaScript values.
//!
//! A request says what it means. A field that its method does not know is refused
//! before anything is done, because a request is not carried out without what it
//! also said: `{keepLast: 1, dry_run: true}` would delete. What is stored, and what
//! the Worker and the agent say to each other, is read by
//! [`from_json`](crate::error::from_json) instead, which ignores what a newer
//! writer has added.
//!
//! [`methods`](crate::methods) says of each method what it takes.

use serde::de::DeserializeOwned;

use crate::{
    error::{ErrorCode, Result, SandboxError, mismatch},
    request::reader::{Problem, Reader, UnknownField},
};

mod input;
mod nearest;
mod reader;

pub use input::Input;
pub(crate) use reader::UnknownFields;

/// Reads what the method called `method` takes.
pub(crate) fn read<T: DeserializeOwned>(
    input: Input,
    method: &str,
    code: ErrorCode,
    unknown: UnknownFields,
) -> Result<T> {
    serde_path_to_error::deserialize(Reader::new(input, unknown)).map_err(|error| {
        let path = error.path().to_string();
        match error.into_inner() {
            Problem::Unknown(field) => refusal(method, code, &path, &field),
            Problem::Other(problem) => mismatch(code, &path, &problem),
        }
    })
}

fn refusal(method: &str, code: ErrorCode, path: &str, unknown: &UnknownField) -> SandboxError {
    let full = |name: &str| match path {
        "." => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    let field = full(&unknown.name);
    let is_none = format!("`{field}` is not a field of {method}");
    if let Some(nearest) = unknown.nearest.map(full) {
        let message = format!("{is_none}; did you mean `{nearest}`?");
        return SandboxError::new(code, message)
            .with("field", field)
            .with("nearest", nearest);
    }
    let known: Vec<_> = unknown.known.iter().map(|name| full(name)).collect();
    let message = match known.as_slice() {
        [] => format!("{is_none}; there are none"),
        known => format!("{is_none}; there are `{}`", known.join("`, `")),
    };
    SandboxError::new(code, message).with("field", field)
}
