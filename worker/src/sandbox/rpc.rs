//! The methods that other Workers call on a sandbox's stub.
//!
//! Arguments and results are plain JavaScript values. A failure is thrown as
//! an `Error` with `code`, `context` and `status` of its own.

use base64::{Engine, prelude::BASE64_STANDARD as STANDARD};
use js_sys::{Error, Reflect, Uint8Array};
use sandbox_shared::{
    ErrorCode, Result, SandboxError,
    files::{Encoding, ReadFileResult},
    methods,
};
use serde::Serialize;
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};

use super::Sandbox;
use input::{fields, id, only, with};

mod input;

#[wasm_bindgen]
impl Sandbox {
    /// `createBackup(options, {operationId})`
    #[wasm_bindgen(js_name = createBackup)]
    pub async fn rpc_create_backup(
        &self,
        options: JsValue,
        call: JsValue,
    ) -> Result<JsValue, JsValue> {
        answer(async {
            let options = methods::CREATE_BACKUP.read(fields(&options))?;
            let call = methods::CREATE_BACKUP_CALL.read(fields(&call))?;
            to_js(&self.create_backup(options, call.operation_id).await?)
        })
        .await
    }

    /// `previewBackup(options)`
    #[wasm_bindgen(js_name = previewBackup)]
    pub async fn rpc_preview_backup(&self, options: JsValue) -> Result<JsValue, JsValue> {
        answer(async {
            let options = methods::PREVIEW_BACKUP.read(fields(&options))?;
            to_js(&self.preview_backup(options).await?)
        })
        .await
    }

    /// `listBackups(query)`
    #[wasm_bindgen(js_name = listBackups)]
    pub async fn rpc_list_backups(&self, query: JsValue) -> Result<JsValue, JsValue> {
        answer(async {
            let query = methods::LIST_BACKUPS.read(fields(&query))?;
            to_js(&self.list_backups(&query)?)
        })
        .await
    }

    /// `getBackup(id)`
    #[wasm_bindgen(js_name = getBackup)]
    pub async fn rpc_get_backup(&self, backup: JsValue) -> Result<JsValue, JsValue> {
        answer(async {
            let backup = methods::GET_BACKUP.read(id(&backup))?;
            to_js(&self.get_backup(&backup.id).await?)
        })
        .await
    }

    /// `verifyBackup(id)`
    #[wasm_bindgen(js_name = verifyBackup)]
    pub async fn rpc_verify_backup(&self, backup: JsValue) -> Result<JsValue, JsValue> {
        answer(async {
            let backup = methods::VERIFY_BACKUP.read(id(&backup))?;
            to_js(&self.verify_backup(backup.id).await?)
        })
        .await
    }

    /// `deleteBackup(id)`
    #[wasm_bindgen(js_name = deleteBackup)]
    pub async fn rpc_delete_backup(&self, backup: JsValue) -> Result<JsValue, JsValue> {
        answer(async {
            let backup = methods::DELETE_BACKUP.read(id(&backup))?;
            to_js(&self.delete_backup(backup.id).await?)
        })
        .await
    }

    /// `pruneBackups(rules)`
    #[wasm_bindgen(js_name = pruneBackups)]
    pub async fn rpc_prune_backups(&self, rules: JsValue) -> Result<JsValue, JsValue> {
        answer(async {
            let rules = methods::PRUNE_BACKUPS.read(fields(&rules))?;
            to_js(&self.prune_backups(rules).await?)
        })
        .await
    }

    /// `reindexBackups()`
    #[wasm_bindgen(js_name = reindexBackups)]
    pub async fn rpc_reindex_backups(&self) -> Result<JsValue, JsValue> {
        answer(async { to_js(&self.reindex_backups().await?) }).await
    }

    /// `cancelOperation()`
    #[wasm_bindgen(js_name = cancelOperation)]
    pub async fn rpc_cancel_operation(&self) -> Result<JsValue, JsValue> {
        answer(async { to_js(&self.cancel_operation().await) }).await
    }

    /// `operationLog({limit, cursor})`
    #[wasm_bindgen(js_name = operationLog)]
    pub async fn rpc_operation_log(&self, query: JsValue) -> Result<JsValue, JsValue> {
        answer(async {
            let query = methods::OPERATION_LOG.read(fields(&query))?;
            to_js(&self.operation_log(&query)?)
        })
        .await
    }

    /// `operationOutcome(operationId)`
    #[wasm_bindgen(js_name = operationOutcome)]
    pub async fn rpc_operation_outcome(&self, operation: JsValue) -> Result<JsValue, JsValue> {
        answer(async {
            let operation = only("operationId", &operation);
            let operation = methods::OPERATION_OUTCOME.read(operation)?;
            to_js(&self.operation_outcome(operation.operation_id).await?)
        })
        .await
    }

    /// `restoreBackup(handle, {strategy, force, autoRestore, operationId})`;
    /// the options may also stand in the handle.
    #[wasm_bindgen(js_name = restoreBackup)]
    pub async fn rpc_restore_backup(
        &self,
        backup: JsValue,
        options: JsValue,
    ) -> Result<JsValue, JsValue> {
        answer(async {
            let request = methods::RESTORE_BACKUP.read(fields(&backup))?;
            let options = methods::RESTORE_BACKUP_OPTIONS.read(fields(&options))?;
            let request = request.with(&options);
            to_js(&self.restore_backup(request, options.operation_id).await?)
        })
        .await
    }

    /// `unmountBackup(dir, {force})`
    #[wasm_bindgen(js_name = unmountBackup)]
    pub async fn rpc_unmount_backup(
        &self,
        dir: JsValue,
        options: JsValue,
    ) -> Result<JsValue, JsValue> {
        answer(async {
            let request = methods::UNMOUNT_BACKUP.read(with(&options, "dir", &dir))?;
            to_js(&self.unmount_backup(request).await?)
        })
        .await
    }

    /// `exec(command, options)`
    #[wasm_bindgen(js_name = exec)]
    pub async fn rpc_exec(&self, command: JsValue, options: JsValue) -> Result<JsValue, JsValue> {
        answer(async {
            let request = methods::EXEC.read(with(&options, "command", &command))?;
            to_js(&self.exec(&request.into()).await?)
        })
        .await
    }

    /// `execStream(command, options)`: a `ReadableStream` of server-sent events.
    #[wasm_bindgen(js_name = execStream)]
    pub async fn rpc_exec_stream(
        &self,
        command: JsValue,
        options: JsValue,
    ) -> Result<JsValue, JsValue> {
        answer(async {
            let request = methods::EXEC_STREAM.read(with(&options, "command", &command))?;
            let response = self.exec_stream(&request.into()).await?;
            let response: worker::web_sys::Response = response.into();
            Ok(response.body().into())
        })
        .await
    }

    /// `writeFile(path, content, {encoding})`
    #[wasm_bindgen(js_name = writeFile)]
    pub async fn rpc_write_file(
        &self,
        path: JsValue,
        content: JsValue,
        options: JsValue,
    ) -> Result<JsValue, JsValue> {
        answer(async {
            let file = methods::WRITE_FILE.read(with(&options, "path", &path))?;
            let content = file_content(content, file.encoding.unwrap_or_default())?;
            to_js(&self.write_file(&file.path, content).await?)
        })
        .await
    }

    /// `readFile(path, {encoding})`
    #[wasm_bindgen(js_name = readFile)]
    pub async fn rpc_read_file(&self, path: JsValue, options: JsValue) -> Result<JsValue, JsValue> {
        answer(async {
            let file = methods::READ_FILE.read(with(&options, "path", &path))?;
            let bytes = self
                .read_file(&file.path)
                .await?
                .bytes()
                .await
                .map_err(|error| {
                    SandboxError::new(ErrorCode::ContainerUnavailable, error.to_string())
                })?;
            let size = bytes.len() as u64;
            let (content, encoding) = match (file.encoding, String::from_utf8(bytes)) {
                (None | Some(Encoding::Utf8), Ok(text)) => (text, Encoding::Utf8),
                (_, Ok(text)) => (STANDARD.encode(text), Encoding::Base64),
                (_, Err(error)) => (STANDARD.encode(error.as_bytes()), Encoding::Base64),
            };
            to_js(&ReadFileResult {
                success: true,
                path: file.path,
                content,
                encoding,
                size,
            })
        })
        .await
    }

    /// `listFiles(path, {recursive, includeHidden})`
    #[wasm_bindgen(js_name = listFiles)]
    pub async fn rpc_list_files(
        &self,
        path: JsValue,
        options: JsValue,
    ) -> Result<JsValue, JsValue> {
        answer(async {
            let request = methods::LIST_FILES.read(with(&options, "path", &path))?;
            to_js(&self.list_files(&request).await?)
        })
        .await
    }

    /// `deleteFile(path)`
    #[wasm_bindgen(js_name = deleteFile)]
    pub async fn rpc_delete_file(&self, path: JsValue) -> Result<JsValue, JsValue> {
        answer(async {
            let file = methods::DELETE_FILE.read(only("path", &path))?;
            to_js(&self.delete_file(&file.path).await?)
        })
        .await
    }

    /// `mkdir(path, {recursive})`
    #[wasm_bindgen(js_name = mkdir)]
    pub async fn rpc_mkdir(&self, path: JsValue, options: JsValue) -> Result<JsValue, JsValue> {
        answer(async {
            let request = methods::MKDIR.read(with(&options, "path", &path))?;
            to_js(&self.mkdir(&request).await?)
        })
        .await
    }

    /// `exists(path)`
    #[wasm_bindgen(js_name = exists)]
    pub async fn rpc_exists(&self, path: JsValue) -> Result<JsValue, JsValue> {
        answer(async {
            let file = methods::EXISTS.read(only("path", &path))?;
            to_js(&self.exists(&file.path).await?)
        })
        .await
    }

    /// `status()`
    #[wasm_bindgen(js_name = status)]
    pub async fn rpc_status(&self) -> Result<JsValue, JsValue> {
        answer(async { to_js(&self.status().await?) }).await
    }

    /// `stop()`
    #[wasm_bindgen(js_name = stop)]
    pub async fn rpc_stop(&self) -> Result<JsValue, JsValue> {
        answer(async { self.stop().await.map(|()| JsValue::UNDEFINED) }).await
    }
}

async fn answer(result: impl Future<Output = Result<JsValue>>) -> Result<JsValue, JsValue> {
    result.await.map_err(|error| to_js_error(&error))
}

fn to_js_error(error: &SandboxError) -> JsValue {
    let thrown = Error::new(&error.message);
    let context = to_js(&error.context).unwrap_or(JsValue::UNDEFINED);
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

fn to_js<T: Serialize>(value: &T) -> Result<JsValue> {
    value
        .serialize(&serde_wasm_bindgen::Serializer::json_compatible())
        .map_err(|error| SandboxError::new(ErrorCode::InternalError, error.to_string()))
}

/// What `writeFile` was given, as bytes or text that `fetch` can send.
fn file_content(content: JsValue, encoding: Encoding) -> Result<JsValue> {
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
        return Ok(content);
    }
    Err(SandboxError::invalid_request(
        "content must be a string, a Uint8Array, an ArrayBuffer or a ReadableStream",
    ))
}

fn base64_decode(text: &str) -> Result<JsValue> {
    let bytes = STANDARD.decode(text).map_err(|error| {
        SandboxError::invalid_request(format!("content is not base64: {error}"))
    })?;
    Ok(Uint8Array::from(bytes.as_slice()).into())
}
