//! The HTTP front of the Worker: authentication, and the way to a sandbox.

use router::Matched;
use sandbox_shared::{
    ErrorCode, Result, SandboxError, SandboxName,
    methods::{self, HttpMethod, Part, Row},
    operation::{OperationId, OperationOutcome},
};
use serde::Serialize;
use subtle::ConstantTimeEq;
use worker::{Env, Headers, Method, Request, Response};

use crate::{
    backup::overview,
    config::{API_TOKEN, Config, SANDBOX_BINDING},
    storage::{bucket::BackupBucket, gateway},
    timing,
};

mod dashboard;
pub mod input;
mod router;

/// Routes of sandboxes: `/v1/sandboxes/{name}/…`
const SANDBOXES: &str = "/v1/sandboxes/";

/// The header of journaled requests that names the operation.
pub const OPERATION_ID_HEADER: &str = "operation-id";

/// In the context of an error: what methods a route takes.
const ALLOWED: &str = "allowed";

/// Where the routes are described.
const OPENAPI_ROUTE: &str = "/openapi.json";
/// The description, in OpenAPI 3.1.
const OPENAPI: &str = include_str!("http/openapi.json");

/// Answers a request from outside.
pub async fn handle(request: Request, env: Env) -> worker::Result<Response> {
    let config = Config::from_env(env.clone());
    if request.path().starts_with(gateway::ROUTE) {
        return gateway::handle(request, &config).await;
    }
    if request.path() == OPENAPI_ROUTE {
        return Response::from_bytes(OPENAPI.into())
            .map(|response| response.with_headers(json_headers()));
    }
    if request.method() == Method::Get
        && let Some(response) = dashboard::file(&request.path())
    {
        return response;
    }
    let (answer, metrics) = timing::parts_and_total(forward(request, &env, &config)).await;
    let response = answer.or_else(|error| error_response(&error))?;
    timing::with_metrics(response, &metrics)
}

fn json_headers() -> Headers {
    Headers::from_iter([("content-type", "application/json")])
}

async fn forward(request: Request, env: &Env, config: &Config) -> Result<Response> {
    authorize(&request, config)?;
    let path = request.path();
    if path == SANDBOXES.trim_end_matches('/') {
        return stored_sandboxes(request, config).await;
    }
    let (encoded, route) = sandbox_route(&path)?;
    let name = percent_encoding::percent_decode_str(encoded)
        .decode_utf8()
        .map_err(|_| SandboxError::invalid_request("sandbox name is not UTF-8"))?;
    let name: SandboxName = name.parse()?;
    // A stub stays broken once its object has been reset.
    let stub = || {
        env.durable_object(SANDBOX_BINDING)
            .and_then(|sandboxes| sandboxes.get_by_name(&name.to_string()))
    };
    let given = request
        .headers()
        .get(OPERATION_ID_HEADER)
        .map_err(internal)?;
    let given = given.map(|id| OperationId::parse(&id)).transpose()?;
    if !matched(&request, route).is_ok_and(|(method, _)| method.is_journaled) {
        let answer = stub().map_err(internal)?.fetch_with_request(request).await;
        return answer.map_err(|lost| {
            SandboxError::new(
                ErrorCode::OperationInterrupted,
                format!("the sandbox went away in the middle of the request: {lost}"),
            )
            .with("committed", serde_json::Value::Null)
        });
    }
    let operation = match given {
        Some(given) => given,
        None => OperationId::random(),
    };
    let request = request.clone_mut().map_err(internal)?;
    request
        .headers()
        .set(OPERATION_ID_HEADER, operation.as_str())
        .map_err(internal)?;
    let lost = match stub().map_err(internal)?.fetch_with_request(request).await {
        Ok(response) => return Ok(response),
        Err(error) => error.to_string(),
    };
    let ask = format!(
        "https://sandbox{SANDBOXES}{encoded}/operations/{}",
        operation.as_str()
    );
    let outcome: OperationOutcome = async {
        let mut response = stub()?.fetch_with_str(&ask).await?;
        response.json().await
    }
    .await
    .unwrap_or_else(|_: worker::Error| OperationOutcome::uncertain(operation));
    Err(outcome.interrupted(&lost))
}

/// What fails that cannot, unless there is a defect.
pub fn internal(error: worker::Error) -> SandboxError {
    SandboxError::new(ErrorCode::InternalError, error.to_string())
}

async fn stored_sandboxes(mut request: Request, config: &Config) -> Result<Response> {
    if http_method(&request) != Some(HttpMethod::Get) {
        return Err(wrong_method(&request, SANDBOXES, &[HttpMethod::Get]));
    }
    let method = &methods::LIST_SANDBOXES;
    let fields = input::fields(&mut request, method, Part::Query, None).await?;
    method.read(fields)?;
    let bucket = BackupBucket::open(config, &methods::LIST_SANDBOXES)?;
    Response::from_json(&overview::overview(&bucket).await?).map_err(internal)
}

/// Splits `/v1/sandboxes/{name}/{rest}`.
pub fn sandbox_route(path: &str) -> Result<(&str, &str)> {
    path.strip_prefix(SANDBOXES)
        .and_then(|rest| rest.split_once('/'))
        .ok_or_else(|| no_such_route(path))
}

fn no_such_route(path: &str) -> SandboxError {
    SandboxError::new(
        ErrorCode::RouteNotFound,
        format!("there is no route {path}; sandboxes are at {SANDBOXES}{{name}}/…"),
    )
}

/// The method of a sandbox that a request is for, by what follows the sandbox's name
/// in its path, and the parameter there.
pub fn matched(request: &Request, route: &str) -> Result<(&'static Row, Option<String>)> {
    match router::find(http_method(request), route) {
        Matched::Method(method, parameter) => Ok((method, parameter)),
        Matched::Only(others) => Err(wrong_method(request, route, &others)),
        Matched::Nothing => Err(no_such_route(&request.path())),
    }
}

/// The HTTP method, if it is one that routes have. `Request::method` takes others
/// for GET.
fn http_method(request: &Request) -> Option<HttpMethod> {
    let method = request.inner().method();
    [
        HttpMethod::Delete,
        HttpMethod::Get,
        HttpMethod::Post,
        HttpMethod::Put,
    ]
    .into_iter()
    .find(|known| known.as_str() == method)
}

/// `allowed` is what the `Allow` header says (RFC 9110, 10.2.1).
fn wrong_method(request: &Request, route: &str, allowed: &[HttpMethod]) -> SandboxError {
    let method = request.inner().method();
    let allowed: Vec<_> = allowed.iter().map(|allowed| allowed.as_str()).collect();
    let allowed = allowed.join(", ");
    SandboxError::new(
        ErrorCode::MethodNotAllowed,
        format!("{method} is not a method of {route}; it takes {allowed}"),
    )
    .with(ALLOWED, allowed)
}

/// Lets a request through that carries the secret. Without a secret nobody
/// gets through.
fn authorize(request: &Request, config: &Config) -> Result<()> {
    let Some(expected) = config.api_token() else {
        return Err(SandboxError::new(
            ErrorCode::NotConfigured,
            format!(
                "the HTTP routes are closed because the secret {API_TOKEN} is not set: \
                 `npx wrangler secret put {API_TOKEN}`, or a line in .dev.vars for `wrangler dev`"
            ),
        ));
    };
    let header = request.headers().get("authorization").ok().flatten();
    let given = header
        .as_deref()
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    match given {
        Some(token) if token.as_bytes().ct_eq(expected.as_bytes()).into() => Ok(()),
        _ => Err(SandboxError::new(
            ErrorCode::Unauthorized,
            format!("send the header `Authorization: Bearer …` with the value of {API_TOKEN}"),
        )),
    }
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: &'a SandboxError,
}

/// `{"error": {code, message, context}}` with the status of the code.
pub fn error_response(error: &SandboxError) -> worker::Result<Response> {
    let response = Response::from_json(&ErrorBody { error })?.with_status(error.code.http_status());
    if error.code == ErrorCode::Unauthorized {
        response.headers().set("www-authenticate", "Bearer")?;
    }
    if let Some(allowed) = error.context.get(ALLOWED).and_then(|a| a.as_str()) {
        response.headers().set("allow", allowed)?;
    }
    Ok(response)
}
