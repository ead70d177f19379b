//! The routes of one sandbox: the same methods as over RPC.

use sandbox_shared::{
    BackupId, ErrorCode, Result, SandboxError,
    error::from_json,
    files::{ListFilesOptions, MkdirOptions},
    operation::OperationId,
    protocol::UnmountBackup,
};
use serde::{Serialize, de::DeserializeOwned};
use wasm_bindgen::JsValue;
use worker::{Method, Request, Response, Url};

use super::{error_response, method, no_such_route, sandbox_route, wrong_method};
use crate::{sandbox::Sandbox, timing};

/// Operations of a sandbox: `operations/{operationId}`
pub(super) const OPERATIONS: &str = "operations/";

/// One backup of a sandbox: `backups/{id}`
const BACKUPS: &str = "backups/";
/// After it, to have it verified.
const VERIFY: &str = "/verify";

/// The header of `POST backups` and `POST restore` that names the operation.
pub(super) const OPERATION_ID_HEADER: &str = "operation-id";

/// Answers a request that has been let through.
pub async fn handle(sandbox: &Sandbox, request: Request) -> worker::Result<Response> {
    let (answer, metrics) = timing::parts(dispatch(sandbox, request)).await;
    let response = answer.or_else(|error| error_response(&error))?;
    timing::with_metrics(response, &metrics)
}

async fn dispatch(sandbox: &Sandbox, mut request: Request) -> Result<Response> {
    let url = request.url().map_err(internal)?;
    let (_, route) = sandbox_route(url.path())?;
    let Some(method) = method(&request) else {
        return Err(not_taken(&request, route, url.path()));
    };
    match (method, route) {
        (Method::Post, "backups") => {
            let options = body(&mut request, ErrorCode::InvalidBackupConfig).await?;
            let operation = operation_id(&request)?;
            if wants_events(&request) {
                return sandbox.create_backup_stream(options, operation);
            }
            let created = sandbox.create_backup(options, operation).await?;
            Ok(json(&created)?.with_status(201))
        }
        (Method::Get, "backups") => {
            json(&sandbox.list_backups(&query(&url, ErrorCode::InvalidBackupConfig)?)?)
        }
        (Method::Post, "prune") => {
            let rules = body(&mut request, ErrorCode::InvalidBackupConfig).await?;
            json(&sandbox.prune_backups(rules).await?)
        }
        (Method::Post, "reindex") => json(&sandbox.reindex_backups().await?),
        (Method::Post, "preview") => {
            let options = body(&mut request, ErrorCode::InvalidBackupConfig).await?;
            json(&sandbox.preview_backup(options).await?)
        }
        (Method::Post, "restore") => {
            let restore = body(&mut request, ErrorCode::InvalidBackupConfig).await?;
            let operation = operation_id(&request)?;
            if wants_events(&request) {
                return sandbox.restore_backup_stream(restore, operation);
            }
            json(&sandbox.restore_backup(restore, operation).await?)
        }
        (Method::Post, "unmount") => {
            let unmount: UnmountBackup = body(&mut request, ErrorCode::InvalidBackupConfig).await?;
            json(&sandbox.unmount_backup(unmount).await?)
        }
        (Method::Post, "exec") => {
            let exec = body(&mut request, ErrorCode::InvalidRequest).await?;
            if wants_events(&request) {
                sandbox.exec_stream(&exec).await
            } else {
                json(&sandbox.exec(&exec).await?)
            }
        }
        (Method::Get, "files") => sandbox.read_file(&path(&url)?).await,
        (Method::Put, "files") => {
            let content = request
                .inner()
                .body()
                .map_or_else(|| JsValue::from(""), JsValue::from);
            json(&sandbox.write_file(&path(&url)?, content).await?)
        }
        (Method::Delete, "files") => json(&sandbox.delete_file(&path(&url)?).await?),
        (Method::Get, "list") => {
            let defaults = ListFilesOptions::default();
            let options = ListFilesOptions {
                recursive: flag(&url, "recursive")?.unwrap_or(defaults.recursive),
                include_hidden: flag(&url, "includeHidden")?.unwrap_or(defaults.include_hidden),
            };
            json(&sandbox.list_files(&path(&url)?, options).await?)
        }
        (Method::Post, "mkdir") => {
            let options = MkdirOptions {
                recursive: flag(&url, "recursive")?.unwrap_or_default(),
            };
            json(&sandbox.mkdir(&path(&url)?, options).await?)
        }
        (Method::Get, "exists") => json(&sandbox.exists(&path(&url)?).await?),
        (Method::Get, "log") => {
            json(&sandbox.operation_log(&query(&url, ErrorCode::InvalidRequest)?)?)
        }
        (Method::Get, "status") => json(&sandbox.status().await?),
        (Method::Delete, "operation") => json(&sandbox.cancel_operation().await),
        (Method::Delete, "container") => {
            sandbox.stop().await?;
            Response::empty()
                .map(|response| response.with_status(204))
                .map_err(internal)
        }
        (method, route) => {
            let not_taken = || not_taken(&request, route, url.path());
            if let Some(operation) = route.strip_prefix(OPERATIONS) {
                return match method {
                    Method::Get => {
                        let operation = OperationId::parse(operation)?;
                        json(&sandbox.operation_outcome(operation).await?)
                    }
                    _ => Err(not_taken()),
                };
            }
            let id = route.strip_prefix(BACKUPS).ok_or_else(not_taken)?;
            match (method, id.strip_suffix(VERIFY)) {
                (Method::Post, Some(id)) => {
                    let id = BackupId::parse(id)?;
                    if wants_events(&request) {
                        return sandbox.verify_backup_stream(id);
                    }
                    json(&sandbox.verify_backup(id).await?)
                }
                (Method::Get, None) => json(&sandbox.get_backup(&BackupId::parse(id)?).await?),
                (Method::Delete, None) => json(&sandbox.delete_backup(BackupId::parse(id)?).await?),
                _ => Err(not_taken()),
            }
        }
    }
}

/// How the caller calls this request.
fn operation_id(request: &Request) -> Result<Option<OperationId>> {
    let header = request.headers().get(OPERATION_ID_HEADER).ok().flatten();
    header.map(|id| OperationId::parse(&id)).transpose()
}

/// Why a request is not for a route: there is none, or not with its method.
fn not_taken(request: &Request, route: &str, path: &str) -> SandboxError {
    let allowed = match route {
        "backups" => "GET, POST",
        "files" => "DELETE, GET, PUT",
        "list" | "exists" | "log" | "status" => "GET",
        "prune" | "reindex" | "preview" | "restore" | "unmount" | "exec" | "mkdir" => "POST",
        "operation" | "container" => "DELETE",
        route if route.starts_with(OPERATIONS) => "GET",
        route if route.starts_with(BACKUPS) && route.ends_with(VERIFY) => "POST",
        route if route.starts_with(BACKUPS) => "DELETE, GET",
        _ => return no_such_route(path),
    };
    wrong_method(request, route, allowed)
}

/// The parameters of a list, as the method takes them.
fn query<T: DeserializeOwned>(url: &Url, code: ErrorCode) -> Result<T> {
    let mut fields = serde_json::Map::new();
    for (name, value) in url.query_pairs() {
        let value = match name.as_ref() {
            "limit" => value
                .parse::<u32>()
                .map_or_else(|_| value.into(), Into::into),
            _ => value.into(),
        };
        fields.insert(name.into_owned(), value);
    }
    let fields = serde_json::Value::Object(fields).to_string();
    from_json(&fields, code)
}

/// Whether the caller wants to follow an operation rather than wait for it.
fn wants_events(request: &Request) -> bool {
    let accept = request.headers().get("accept").ok().flatten();
    accept.is_some_and(|accept| accept.contains("text/event-stream"))
}

fn internal(error: worker::Error) -> SandboxError {
    SandboxError::new(ErrorCode::InternalError, error.to_string())
}

fn json<T: Serialize>(value: &T) -> Result<Response> {
    Response::from_json(value).map_err(internal)
}

async fn body<T: DeserializeOwned>(request: &mut Request, code: ErrorCode) -> Result<T> {
    let text = request
        .text()
        .await
        .map_err(|error| SandboxError::new(code, format!("the body is unreadable: {error}")))?;
    from_json(&text, code)
}

fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

fn path(url: &Url) -> Result<String> {
    parameter(url, "path")
        .ok_or_else(|| SandboxError::invalid_request("the query parameter path is missing"))
}

fn flag(url: &Url, name: &str) -> Result<Option<bool>> {
    match parameter(url, name).as_deref() {
        None => Ok(None),
        Some("true" | "1" | "") => Ok(Some(true)),
        Some("false" | "0") => Ok(Some(false)),
        Some(_) => Err(SandboxError::invalid_request(format!(
            "the query parameter {name} must be true or false"
        ))),
    }
}
