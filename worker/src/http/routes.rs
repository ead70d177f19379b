//! The routes of one sandbox: the same methods as over RPC.

use sandbox_shared::{Result, SandboxError, methods, operation::OperationId};
use serde::Serialize;
use wasm_bindgen::JsValue;
use worker::{Method, Request, Response};

use super::{
    error_response,
    input::{beside_content, body, path, query},
    internal, method, no_such_route, sandbox_route, wrong_method,
};
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
            let options = body(&mut request, &methods::CREATE_BACKUP).await?;
            let operation = operation_id(&request)?;
            if wants_events(&request) {
                return sandbox.create_backup_stream(options, operation);
            }
            let created = sandbox.create_backup(options, operation).await?;
            Ok(json(&created)?.with_status(201))
        }
        (Method::Get, "backups") => {
            let list = query(&mut request, &methods::LIST_BACKUPS).await?;
            json(&sandbox.list_backups(&list)?)
        }
        (Method::Post, "prune") => {
            let rules = body(&mut request, &methods::PRUNE_BACKUPS).await?;
            json(&sandbox.prune_backups(rules).await?)
        }
        (Method::Post, "reindex") => {
            query(&mut request, &methods::REINDEX_BACKUPS).await?;
            json(&sandbox.reindex_backups().await?)
        }
        (Method::Post, "preview") => {
            let options = body(&mut request, &methods::PREVIEW_BACKUP).await?;
            json(&sandbox.preview_backup(options).await?)
        }
        (Method::Post, "restore") => {
            let restore = body(&mut request, &methods::RESTORE_BACKUP).await?;
            let operation = operation_id(&request)?;
            if wants_events(&request) {
                return sandbox.restore_backup_stream(restore, operation);
            }
            json(&sandbox.restore_backup(restore, operation).await?)
        }
        (Method::Post, "unmount") => {
            let unmount = body(&mut request, &methods::UNMOUNT_BACKUP).await?;
            json(&sandbox.unmount_backup(unmount).await?)
        }
        (Method::Post, "exec") => {
            let exec = body(&mut request, &methods::EXEC).await?.into();
            if wants_events(&request) {
                sandbox.exec_stream(&exec).await
            } else {
                json(&sandbox.exec(&exec).await?)
            }
        }
        (Method::Get, "files") => {
            let file = query(&mut request, &methods::READ_RAW_FILE).await?;
            sandbox.read_file(&file.path).await
        }
        (Method::Put, "files") => {
            let file = beside_content(&request, &methods::WRITE_RAW_FILE)?;
            let content = request
                .inner()
                .body()
                .map_or_else(|| JsValue::from(""), JsValue::from);
            json(&sandbox.write_file(&file.path, content).await?)
        }
        (Method::Delete, "files") => {
            let file = query(&mut request, &methods::DELETE_FILE).await?;
            json(&sandbox.delete_file(&file.path).await?)
        }
        (Method::Get, "list") => {
            let list = query(&mut request, &methods::LIST_FILES).await?;
            json(&sandbox.list_files(&list).await?)
        }
        (Method::Post, "mkdir") => {
            let mkdir = query(&mut request, &methods::MKDIR).await?;
            json(&sandbox.mkdir(&mkdir).await?)
        }
        (Method::Get, "exists") => {
            let file = query(&mut request, &methods::EXISTS).await?;
            json(&sandbox.exists(&file.path).await?)
        }
        (Method::Get, "log") => {
            let page = query(&mut request, &methods::OPERATION_LOG).await?;
            json(&sandbox.operation_log(&page)?)
        }
        (Method::Get, "status") => {
            query(&mut request, &methods::STATUS).await?;
            json(&sandbox.status().await?)
        }
        (Method::Delete, "operation") => {
            query(&mut request, &methods::CANCEL_OPERATION).await?;
            json(&sandbox.cancel_operation().await)
        }
        (Method::Delete, "container") => {
            query(&mut request, &methods::STOP).await?;
            sandbox.stop().await?;
            Response::empty()
                .map(|response| response.with_status(204))
                .map_err(internal)
        }
        (method, route) => {
            if let (Method::Get, Some(id)) = (&method, route.strip_prefix(OPERATIONS)) {
                let operation = &methods::OPERATION_OUTCOME;
                let operation = path(&mut request, operation, "operationId", id).await?;
                return json(&sandbox.operation_outcome(operation.operation_id).await?);
            }
            let Some(id) = route.strip_prefix(BACKUPS) else {
                return Err(not_taken(&request, route, url.path()));
            };
            match (method, id.strip_suffix(VERIFY)) {
                (Method::Post, Some(id)) => {
                    let backup = path(&mut request, &methods::VERIFY_BACKUP, "id", id).await?;
                    if wants_events(&request) {
                        return sandbox.verify_backup_stream(backup.id);
                    }
                    json(&sandbox.verify_backup(backup.id).await?)
                }
                (Method::Get, None) => {
                    let backup = path(&mut request, &methods::GET_BACKUP, "id", id).await?;
                    json(&sandbox.get_backup(&backup.id).await?)
                }
                (Method::Delete, None) => {
                    let backup = path(&mut request, &methods::DELETE_BACKUP, "id", id).await?;
                    json(&sandbox.delete_backup(backup.id).await?)
                }
                _ => Err(not_taken(&request, route, url.path())),
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

/// Whether the caller wants to follow an operation rather than wait for it.
fn wants_events(request: &Request) -> bool {
    let accept = request.headers().get("accept").ok().flatten();
    accept.is_some_and(|accept| accept.contains("text/event-stream"))
}

fn json<T: Serialize>(value: &T) -> Result<Response> {
    Response::from_json(value).map_err(internal)
}
