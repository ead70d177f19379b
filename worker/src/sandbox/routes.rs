//! A sandbox over HTTP: the routes of [`sandbox_shared::methods`].

use std::rc::Rc;

use sandbox_shared::{
    Result,
    methods::{Part, Row},
    operation::OperationId,
    request::Input,
};
use wasm_bindgen::JsValue;
use worker::{Request, Response};

use super::{
    call::{Call, Reply},
    methods,
};
use crate::{
    http::{OPERATION_ID_HEADER, error_response, input, internal, matched, sandbox_route},
    service::Service,
    timing,
};

/// Answers a request that has been let through.
pub(super) async fn handle(service: Rc<Service>, request: Request) -> worker::Result<Response> {
    let (answer, metrics) = timing::parts(dispatch(service, request)).await;
    let response = answer.or_else(|error| error_response(&error))?;
    timing::with_metrics(response, &metrics)
}

async fn dispatch(service: Rc<Service>, mut request: Request) -> Result<Response> {
    let path = request.path();
    let (_, route) = sandbox_route(&path)?;
    let (method, parameter) = matched(&request, route)?;
    let takes = method.route.map_or(Part::Query, |route| route.takes);
    let call = Call {
        fields: input::fields(&mut request, method, takes, parameter).await?,
        options: Input::EMPTY,
        content: content(&request, takes),
        operation: operation_id(&request, method)?,
        follows: method.streams.is_some() && accepts_events(&request),
    };
    let response = match methods::call(service, method, call).await? {
        Reply::Json(json) => json_response(json)?,
        Reply::Stream(response) => return Ok(response),
        Reply::Done => Response::empty().map_err(internal)?,
    };
    Ok(response.with_status(method.status))
}

fn json_response(json: String) -> Result<Response> {
    let response = Response::from_bytes(json.into_bytes()).map_err(internal)?;
    let headers = response.headers();
    headers
        .set("content-type", "application/json")
        .map_err(internal)?;
    Ok(response)
}

fn content(request: &Request, takes: Part) -> JsValue {
    if takes != Part::QueryBesideContent {
        return JsValue::UNDEFINED;
    }
    let body = request.inner().body();
    body.map_or_else(|| JsValue::from(""), JsValue::from)
}

/// How the caller calls this request.
fn operation_id(request: &Request, method: &Row) -> Result<Option<OperationId>> {
    if !method.is_journaled {
        return Ok(None);
    }
    let header = request.headers().get(OPERATION_ID_HEADER).ok().flatten();
    header.map(|id| OperationId::parse(&id)).transpose()
}

/// Whether the caller wants to follow an operation rather than wait for it.
fn accepts_events(request: &Request) -> bool {
    let accept = request.headers().get("accept").ok().flatten();
    accept.is_some_and(|accept| accept.contains("text/event-stream"))
}
