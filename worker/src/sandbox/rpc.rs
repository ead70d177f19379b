//! The methods that other Workers call on a sandbox's stub.
//!
//! Arguments and results are plain JavaScript values. A failure is thrown as
//! an `Error` with `code`, `context` and `status` of its own.

use base64::{Engine, prelude::BASE64_STANDARD as STANDARD};
use js_sys::{Error, Object, Reflect, Uint8Array};
use sandbox_shared::{
    BackupId, ErrorCode, Result, SandboxError,
    error::deserialize,
    files::{Encoding, FileOptions, ReadFileResult},
    operation::OperationId,
    protocol::{Exec, UnmountBackup},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};

use super::Sandbox;

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
            let options = argument("options", options, ErrorCode::InvalidBackupConfig)?;
            let operation = operation_id(&call)?;
            to_js(&self.create_backup(options, operation).await?)
        })
        .await
    }

    /// `previewBackup(options)`
    #[wasm_bindgen(js_name = previewBackup)]
    pub async fn rpc_preview_backup(&self, options: JsValue) -> Result<JsValue, JsValue> {
        answer(async {
            let options = argument("options", options, ErrorCode::InvalidBackupConfig)?;
            to_js(&self.preview_backup(options).await?)
        })
        .await
    }

    /// `listBackups(query)`
    #[wasm_bindgen(js_name = listBackups)]
    pub async fn rpc_list_backups(&self, query: JsValue) -> Result<JsValue, JsValue> {
        answer(async {
            let query = optional("query", query, ErrorCode::InvalidBackupConfig)?;
            to_js(&self.list_backups(&query)?)
        })
        .await
    }

    /// `getBackup(id)`
    #[wasm_bindgen(js_name = getBackup)]
    pub async fn rpc_get_backup(&self, id: JsValue) -> Result<JsValue, JsValue> {
        answer(async { to_js(&self.get_backup(&id_argument(id)?).await?) }).await
    }

    /// `verifyBackup(id)`
    #[wasm_bindgen(js_name = verifyBackup)]
    pub async fn rpc_verify_backup(&self, id: JsValue) -> Result<JsValue, JsValue> {
        answer(async { to_js(&self.verify_backup(id_argument(id)?).await?) }).await
    }

    /// `deleteBackup(id)`
    #[wasm_bindgen(js_name = deleteBackup)]
    pub async fn rpc_delete_backup(&self, id: JsValue) -> Result<JsValue, JsValue> {
        answer(async { to_js(&self.delete_backup(id_argument(id)?).await?) }).await
    }

    /// `pruneBackups(rules)`
    #[wasm_bindgen(js_name = pruneBackups)]
    pub async fn rpc_prune_backups(&self, rules: JsValue) -> Result<JsValue, JsValue> {
        answer(async {
            let rules = argument("rules", rules, ErrorCode::InvalidBackupConfig)?;
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
            let query = optional("query", query, ErrorCode::InvalidRequest)?;
            to_js(&self.operation_log(&query)?)
        })
        .await
    }

    /// `operationOutcome(operationId)`
    #[wasm_bindgen(js_name = operationOutcome)]
    pub async fn rpc_operation_outcome(&self, operation: JsValue) -> Result<JsValue, JsValue> {
        answer(async {
            let operation = argument("operationId", operation, ErrorCode::InvalidBackupConfig)?;
            to_js(&self.operation_outcome(operation).await?)
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
            let operation = operation_id(&options)?;
            let request = match (backup.dyn_ref::<Object>(), options.dyn_ref::<Object>()) {
                (Some(backup), Some(options)) => {
                    Object::assign(&Object::assign(&Object::new(), backup), options).into()
                }
                _ => backup,
            };
            let request = argument("backup", request, ErrorCode::InvalidBackupConfig)?;
            to_js(&self.restore_backup(request, operation).await?)
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
            let dir: String = argument("dir", dir, ErrorCode::InvalidBackupConfig)?;
            let UnmountOptions { force } =
                optional("options", options, ErrorCode::InvalidBackupConfig)?;
            to_js(&self.unmount_backup(UnmountBackup { dir, force }).await?)
        })
        .await
    }

    /// `exec(command, options)`
    #[wasm_bindgen(js_name = exec)]
    pub async fn rpc_exec(&self, command: JsValue, options: JsValue) -> Result<JsValue, JsValue> {
        answer(async { to_js(&self.exec(&exec_request(command, options)?).await?) }).await
    }

    /// `execStream(command, options)`: a `ReadableStream` of server-sent events.
    #[wasm_bindgen(js_name = execStream)]
    pub async fn rpc_exec_stream(
        &self,
        command: JsValue,
        options: JsValue,
    ) -> Result<JsValue, JsValue> {
        answer(async {
            let response = self.exec_stream(&exec_request(command, options)?).await?;
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
            let path = path_argument(path)?;
            let options: FileOptions = optional("options", options, ErrorCode::InvalidRequest)?;
            let content = file_content(content, options.encoding.unwrap_or_default())?;
            to_js(&self.write_file(&path, content).await?)
        })
        .await
    }

    /// `readFile(path, {encoding})`
    #[wasm_bindgen(js_name = readFile)]
    pub async fn rpc_read_file(&self, path: JsValue, options: JsValue) -> Result<JsValue, JsValue> {
        answer(async {
            let path = path_argument(path)?;
            let options: FileOptions = optional("options", options, ErrorCode::InvalidRequest)?;
            let bytes = self
                .read_file(&path)
                .await?
                .bytes()
                .await
                .map_err(|error| {
                    SandboxError::new(ErrorCode::ContainerUnavailable, error.to_string())
                })?;
            let size = bytes.len() as u64;
            let (content, encoding) = match (options.encoding, String::from_utf8(bytes)) {
                (None | Some(Encoding::Utf8), Ok(text)) => (text, Encoding::Utf8),
                (_, Ok(text)) => (STANDARD.encode(text), Encoding::Base64),
                (_, Err(error)) => (STANDARD.encode(error.as_bytes()), Encoding::Base64),
            };
            to_js(&ReadFileResult {
                success: true,
                path,
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
            let path = path_argument(path)?;
            to_js(
                &self
                    .list_files(
                        &path,
                        optional("options", options, ErrorCode::InvalidRequest)?,
                    )
                    .await?,
            )
        })
        .await
    }

    /// `deleteFile(path)`
    #[wasm_bindgen(js_name = deleteFile)]
    pub async fn rpc_delete_file(&self, path: JsValue) -> Result<JsValue, JsValue> {
        answer(async { to_js(&self.delete_file(&path_argument(path)?).await?) }).await
    }

    /// `mkdir(path, {recursive})`
    #[wasm_bindgen(js_name = mkdir)]
    pub async fn rpc_mkdir(&self, path: JsValue, options: JsValue) -> Result<JsValue, JsValue> {
        answer(async {
            let path = path_argument(path)?;
            to_js(
                &self
                    .mkdir(
                        &path,
                        optional("options", options, ErrorCode::InvalidRequest)?,
                    )
                    .await?,
            )
        })
        .await
    }

    /// `exists(path)`
    #[wasm_bindgen(js_name = exists)]
    pub async fn rpc_exists(&self, path: JsValue) -> Result<JsValue, JsValue> {
        answer(async { to_js(&self.exists(&path_argument(path)?).await?) }).await
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

/// What `unmountBackup` takes besides.
#[derive(Default, Deserialize)]
#[serde(default)]
struct UnmountOptions {
    force: bool,
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

fn argument<T: DeserializeOwned>(name: &str, value: JsValue, code: ErrorCode) -> Result<T> {
    if value.is_undefined() || value.is_null() {
        return Err(SandboxError::new(code, format!("{name} is missing")));
    }
    deserialize(serde_wasm_bindgen::Deserializer::from(value), code)
}

fn optional<T: DeserializeOwned + Default>(
    name: &str,
    value: JsValue,
    code: ErrorCode,
) -> Result<T> {
    if value.is_undefined() || value.is_null() {
        return Ok(T::default());
    }
    argument(name, value, code)
}

/// How the caller calls this call, by which it can ask what became of it.
fn operation_id(options: &JsValue) -> Result<Option<OperationId>> {
    let id = Reflect::get(options, &"operationId".into()).unwrap_or(JsValue::UNDEFINED);
    if id.is_undefined() || id.is_null() {
        return Ok(None);
    }
    argument("operationId", id, ErrorCode::InvalidBackupConfig).map(Some)
}

/// An id, or a handle that has one.
fn id_argument(value: JsValue) -> Result<BackupId> {
    let id = if value.is_object() {
        Reflect::get(&value, &"id".into()).unwrap_or(JsValue::UNDEFINED)
    } else {
        value
    };
    argument("id", id, ErrorCode::InvalidBackupConfig)
}

fn path_argument(path: JsValue) -> Result<String> {
    path.as_string()
        .ok_or_else(|| SandboxError::invalid_request("path must be a string"))
}

fn exec_request(command: JsValue, options: JsValue) -> Result<Exec> {
    // What can be iterated over would be read as pairs, even a list of strings.
    if Reflect::get(&options, &"env".into()).is_ok_and(|env| js_sys::Array::is_array(&env)) {
        return Err(SandboxError::invalid_request("env must be an object"));
    }
    Ok(Exec {
        command: command
            .as_string()
            .ok_or_else(|| SandboxError::invalid_request("command must be a string"))?,
        options: optional("options", options, ErrorCode::InvalidRequest)?,
    })
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
