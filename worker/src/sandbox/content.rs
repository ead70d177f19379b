//! The content of files in arguments and results of RPC: text or bytes.

use base64::{Engine, prelude::BASE64_STANDARD as STANDARD};
use js_sys::Uint8Array;
use sandbox_shared::{
    Result, SandboxError,
    files::{Encoding, FileContent, ReadFileResult},
};
use wasm_bindgen::{JsCast, JsValue};

use crate::agent::Body;

/// What `writeFile` was given.
pub(super) fn to_write(content: JsValue, encoding: Encoding) -> Result<Body> {
    if let Some(text) = content.as_string() {
        return match encoding {
            Encoding::Utf8 => Ok(text.into()),
            Encoding::Base64 => base64_decode(&text),
        };
    }
    let sendable = content.is_instance_of::<Uint8Array>()
        || content.is_instance_of::<js_sys::ArrayBuffer>()
        || content.is_instance_of::<web_sys::ReadableStream>();
    if sendable {
        return Ok(content.into());
    }
    Err(SandboxError::invalid_request(
        "content must be a string, a Uint8Array, an ArrayBuffer or a ReadableStream",
    ))
}

fn base64_decode(text: &str) -> Result<Body> {
    let bytes = STANDARD.decode(text).map_err(|error| {
        SandboxError::invalid_request(format!("content is not base64: {error}"))
    })?;
    Ok(JsValue::from(Uint8Array::from(bytes.as_slice())).into())
}

/// What `readFile` returns.
pub(super) fn as_read(file: FileContent, bytes: Vec<u8>) -> ReadFileResult {
    let size = bytes.len() as u64;
    let (content, encoding) = match (file.encoding, String::from_utf8(bytes)) {
        (None | Some(Encoding::Utf8), Ok(text)) => (text, Encoding::Utf8),
        (_, Ok(text)) => (STANDARD.encode(text), Encoding::Base64),
        (_, Err(error)) => (STANDARD.encode(error.as_bytes()), Encoding::Base64),
    };
    ReadFileResult {
        success: true,
        path: file.path.into(),
        content,
        encoding,
        size,
    }
}
