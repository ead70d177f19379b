//! What a request over HTTP asks a method for: a JSON body, or the parameters of
//! its query and its path. Whatever it has besides is refused, too: `?dryRun=true`
//! beside a body was meant.

use sandbox_shared::{
    ErrorCode, Result, SandboxError,
    methods::{Part, Row},
    request::Input,
};
use worker::Request;

use super::internal;

/// The fields of a request for a method that takes them in this part of it.
/// `parameter` is the one in its path.
pub async fn fields(
    request: &mut Request,
    method: &Row,
    takes: Part,
    parameter: Option<String>,
) -> Result<Input> {
    let query = parameters(request)?;
    match takes {
        Part::Body => {
            method.takes_none("query", query)?;
            let body = text(request, method.refusal).await?;
            Input::from_json(&body, method.refusal)
        }
        Part::Query => {
            no_body(request, method).await?;
            Ok(query)
        }
        Part::QueryBesideContent => Ok(query),
        Part::Path(name) => {
            no_body(request, method).await?;
            method.takes_none("query", query)?;
            Ok(Input::EMPTY.with(name, Input::Text(parameter.unwrap_or_default())))
        }
    }
}

async fn no_body(request: &mut Request, method: &Row) -> Result<()> {
    let body = text(request, method.refusal).await?;
    if body.is_empty() {
        return Ok(());
    }
    match Input::from_json(&body, method.refusal)? {
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
