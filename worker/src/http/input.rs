//! What a request over HTTP asks a method for: a JSON body, or the parameters of
//! its query and its path. Whatever it has besides is refused, too: `?dryRun=true`
//! beside a body was meant.

use sandbox_shared::{ErrorCode, Result, SandboxError, methods::Method, request::Input};
use serde::de::DeserializeOwned;
use worker::Request;

use super::internal;

/// What a method takes in the body.
pub(super) async fn body<T: DeserializeOwned>(
    request: &mut Request,
    method: &Method<T>,
) -> Result<T> {
    method.takes_none("query", parameters(request)?)?;
    let body = text(request, method.code).await?;
    method.read(Input::from_json(&body, method.code)?)
}

/// What a method takes in the query.
pub(super) async fn query<T: DeserializeOwned>(
    request: &mut Request,
    method: &Method<T>,
) -> Result<T> {
    no_body(request, method).await?;
    beside_content(request, method)
}

/// The one field that a method takes, which the path has: `value`, called `name`.
pub(super) async fn path<T: DeserializeOwned>(
    request: &mut Request,
    method: &Method<T>,
    name: &str,
    value: &str,
) -> Result<T> {
    no_body(request, method).await?;
    method.takes_none("query", parameters(request)?)?;
    method.read(Input::EMPTY.with(name, Input::Text(value.to_owned())))
}

/// What a method takes in the query when the body is a file.
pub(super) fn beside_content<T: DeserializeOwned>(
    request: &Request,
    method: &Method<T>,
) -> Result<T> {
    method.read(parameters(request)?)
}

async fn no_body<T>(request: &mut Request, method: &Method<T>) -> Result<()> {
    let body = text(request, method.code).await?;
    if body.is_empty() {
        return Ok(());
    }
    match Input::from_json(&body, method.code)? {
        Input::Null => Ok(()),
        body => method.takes_none("body", body),
    }
}

fn parameters(request: &Request) -> Result<Input> {
    let url = request.url().map_err(internal)?;
    Ok(Input::from_query(url.query_pairs()))
}

async fn text(request: &mut Request, code: ErrorCode) -> Result<String> {
    let text = request.text().await;
    text.map_err(|error| SandboxError::new(code, format!("the body is unreadable: {error}")))
}
