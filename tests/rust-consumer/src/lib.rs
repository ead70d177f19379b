//! A Worker of somebody who uses sandboxes and writes Rust. `POST` a [`Call`]:
//! one method, through the client crate.

use futures_util::TryStreamExt;
use sandbox_backup_client::{
    BackupId, BackupOptions, ErrorCode, ExecEvent, ExecRequest, ListBackups, OperationId,
    OperationLogQuery, PruneBackups, RestoreRequest, Result, Sandbox, SandboxError,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use worker::{Context, Env, Request, Response, event};

/// Which sandbox, which method, what it is given.
#[derive(Deserialize)]
struct Call {
    binding: String,
    sandbox: String,
    #[serde(flatten)]
    method: Method,
}

#[derive(Deserialize)]
#[serde(tag = "method", content = "args", rename_all = "camelCase")]
enum Method {
    CreateBackup(BackupOptions),
    PreviewBackup(BackupOptions),
    RestoreBackup(RestoreRequest),
    UnmountBackup(String, bool),
    ListBackups(ListBackups),
    GetBackup(BackupId),
    VerifyBackup(BackupId),
    DeleteBackup(BackupId),
    PruneBackups(PruneBackups),
    ReindexBackups,
    CancelOperation,
    CreateBackupAs(BackupOptions, OperationId),
    OperationOutcome(OperationId),
    OperationLog(OperationLogQuery),
    Exec(ExecRequest),
    ExecStream(ExecRequest),
    /// Gives what was written for text or, as a stream, for bytes.
    WriteFile(String, String),
    WriteFileStream(String, String),
    ReadFile(String),
    ListFiles(String),
    DeleteFile(String),
    Mkdir(String),
    Exists(String),
    Status,
    Stop,
}

#[event(fetch)]
async fn fetch(mut request: Request, env: Env, _context: Context) -> worker::Result<Response> {
    let call: Call = request.json().await?;
    let answer = match answer(&env, call).await {
        Ok(value) => json!({ "value": value }),
        Err(error) => json!({ "error": error }),
    };
    Response::from_json(&answer)
}

async fn answer(env: &Env, call: Call) -> Result<Value> {
    let sandbox = Sandbox::bound(env, &call.binding, call.sandbox)?;
    match call.method {
        Method::CreateBackup(options) => value(sandbox.create_backup(&options).await?),
        Method::PreviewBackup(options) => value(sandbox.preview_backup(&options).await?),
        Method::RestoreBackup(request) => value(sandbox.restore_backup(&request).await?),
        Method::UnmountBackup(dir, force) => value(sandbox.unmount_backup(&dir, force).await?),
        Method::ListBackups(query) => value(sandbox.list_backups(&query).await?),
        Method::GetBackup(id) => value(sandbox.get_backup(&id).await?),
        Method::VerifyBackup(id) => value(sandbox.verify_backup(&id).await?),
        Method::DeleteBackup(id) => value(sandbox.delete_backup(&id).await?),
        Method::PruneBackups(rules) => value(sandbox.prune_backups(&rules).await?),
        Method::ReindexBackups => value(sandbox.reindex_backups().await?),
        Method::CancelOperation => value(sandbox.cancel_operation().await?),
        Method::CreateBackupAs(options, operation) => {
            value(sandbox.create_backup_as(&options, &operation).await?)
        }
        Method::OperationOutcome(operation) => value(sandbox.operation_outcome(&operation).await?),
        Method::OperationLog(query) => value(sandbox.operation_log(&query).await?),
        Method::Exec(command) => value(sandbox.exec(command).await?),
        Method::ExecStream(command) => {
            let events = sandbox.exec_stream(command).await?;
            value(events.try_collect::<Vec<ExecEvent>>().await?)
        }
        Method::WriteFile(path, text) => value(sandbox.write_file(&path, text).await?),
        Method::WriteFileStream(path, text) => {
            let response: worker::web_sys::Response = Response::ok(text)
                .map_err(|error| SandboxError::new(ErrorCode::InternalError, error.to_string()))?
                .into();
            let body = response.body().ok_or_else(|| {
                SandboxError::new(ErrorCode::InternalError, "the response has no body")
            })?;
            value(sandbox.write_file_stream(&path, body).await?)
        }
        Method::ReadFile(path) => value(sandbox.read_file(&path).await?),
        Method::ListFiles(path) => value(sandbox.list_files(path.as_str()).await?),
        Method::DeleteFile(path) => value(sandbox.delete_file(&path).await?),
        Method::Mkdir(path) => value(sandbox.mkdir(path.as_str()).await?),
        Method::Exists(path) => value(sandbox.exists(&path).await?),
        Method::Status => value(sandbox.status().await?),
        Method::Stop => value(sandbox.stop().await?),
    }
}

fn value(value: impl Serialize) -> Result<Value> {
    serde_json::to_value(value)
        .map_err(|error| SandboxError::new(ErrorCode::InternalError, error.to_string()))
}
