//! Backs up and restores directories of a sandbox, from any workers-rs Worker
//! that binds its Durable Object by `script_name`.
//!
//! Every method is one remote call. A failure is a [`SandboxError`], whose
//! [`ErrorCode`] says why; options that are wrong are refused by the sandbox,
//! which alone knows its settings.

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod events;
mod rpc;

use base64::{Engine, prelude::BASE64_STANDARD as BASE64};
use js_sys::Uint8Array;
use serde::{Serialize, de::DeserializeOwned};
use wasm_bindgen::JsValue;
use worker::{Env, ObjectNamespace};

pub use events::ExecEvents;
pub use sandbox_shared::{
    AbsolutePath, ArchiveChecksum, BackupId, BackupName, BackupOptions, Compression,
    CompressionFormat, DirectoryBackup, EntryCounts, ErrorCode, OnUnreadable, RestoreBackupResult,
    RestoreRequest, Result, SandboxError, Strategy, Ttl,
    catalogue::{
        BackupPage, BackupRecord, BackupState, DeleteBackupResult, ListBackups, PruneBackups,
        PruneResult, ReindexResult, SortBy, SortOrder,
    },
    files::{
        ExecEvent, ExecRequest, ExecResult, ExistsResult, FileInfo, FileOperationResult, FileType,
        ListFiles, ListFilesResult, MakeDirectory,
    },
    log::{LogEntry, LoggedOperation, OperationLogPage, OperationLogQuery},
    methods,
    operation::{OperationId, OperationOutcome, OperationState},
    progress::{CancelResult, Operation, OperationKind, Phase},
    protocol::{MountState, MountStatus, UnmountResult},
    report::{
        BackupPreview, BackupReport, ChangeKind, ChangedEntry, CreatedBackup, DroppedXattr,
        ExcludedEntry, Exclusion, LeftOutEntry, Listed, UnreadableEntry,
    },
    status::{AutoRestore, AutoRestoreStatus, ContainerState, ContainerStatus, SandboxStatus},
    verification::{ArchiveVerification, ChecksumVerdict, VerifyBackupResult},
};

use sandbox_shared::{
    files::{Encoding, FileContent},
    methods::{Method, Nothing, Row},
    operation::{CallOptions, OperationById},
    protocol::UnmountBackup,
};

/// A sandbox: a container with its Durable Object. Backups and restores of
/// one sandbox run one after the other.
#[derive(Clone, Debug)]
pub struct Sandbox {
    namespace: ObjectNamespace,
    name: String,
}

impl Sandbox {
    /// The sandbox called `name`: the same one for every caller that uses the
    /// same name. It starts with the first call that needs it.
    ///
    /// `namespace` is the binding of the Durable Object class `Sandbox`.
    pub fn new(namespace: ObjectNamespace, name: impl Into<String>) -> Self {
        Self {
            namespace,
            name: name.into(),
        }
    }

    /// The same, of the binding called `binding`.
    ///
    /// # Errors
    /// `INVALID_BACKUP_CONFIG` if there is no such binding.
    pub fn bound(env: &Env, binding: &str, name: impl Into<String>) -> Result<Self> {
        let namespace = env.durable_object(binding).map_err(|error| {
            SandboxError::invalid_config(format!(
                "{binding} is no Durable Object binding of this Worker: {error}"
            ))
        })?;
        Ok(Self::new(namespace, name))
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Calls a method of the table with what it takes.
    async fn call<T, R, O>(&self, method: &Method<T, R, O>, request: &T) -> Result<R>
    where
        T: Serialize,
        R: DeserializeOwned,
    {
        let answer = self.answer(method, request, JsValue::UNDEFINED).await?;
        rpc::read(method, answer)
    }

    async fn answer<T: Serialize>(
        &self,
        method: &Row,
        request: &T,
        content: JsValue,
    ) -> Result<JsValue> {
        let arguments = rpc::arguments(method, request, &Nothing {}, content)?;
        let called = rpc::call(&self.namespace, &self.name, method, &arguments).await;
        called.map_err(|failure| failure.into_error(method))
    }

    /// Calls a method whose outcome can be asked for when its answer is lost.
    async fn call_journaled<T, R, O>(
        &self,
        method: &Method<T, R, O>,
        request: &T,
        operation: &OperationId,
    ) -> Result<R>
    where
        T: Serialize,
        R: DeserializeOwned,
    {
        let options = CallOptions {
            operation_id: Some(operation.clone()),
        };
        let arguments = rpc::arguments(method, request, &options, JsValue::UNDEFINED)?;
        match rpc::call(&self.namespace, &self.name, method, &arguments).await {
            Ok(value) => rpc::read(method, value),
            Err(rpc::Failure::Interrupted(reason)) => {
                let outcome = self.operation_outcome(operation).await;
                Err(outcome
                    .unwrap_or_else(|_| OperationOutcome::uncertain(operation.clone()))
                    .interrupted(&reason))
            }
            Err(failure) => Err(failure.into_error(method)),
        }
    }

    /// `createBackup`: takes a snapshot of a directory and stores it in R2. See
    /// [`methods::CREATE_BACKUP`].
    ///
    /// # Errors
    /// `INVALID_BACKUP_CONFIG`, `BACKUP_CREATE_FAILED`, `CONTAINER_UNAVAILABLE`,
    /// `OPERATION_INTERRUPTED`, whose context says whether it had committed
    pub async fn create_backup(&self, options: &BackupOptions) -> Result<CreatedBackup> {
        self.create_backup_as(options, &OperationId::random()).await
    }

    /// The same under an id of the caller's, by which it can ask for the
    /// [`Self::operation_outcome`] even if it is itself interrupted.
    ///
    /// # Errors
    /// As [`Self::create_backup`]
    pub async fn create_backup_as(
        &self,
        options: &BackupOptions,
        operation: &OperationId,
    ) -> Result<CreatedBackup> {
        self.call_journaled(&methods::CREATE_BACKUP, options, operation)
            .await
    }

    /// `previewBackup`: returns what a backup with the same options would hold. See
    /// [`methods::PREVIEW_BACKUP`].
    ///
    /// # Errors
    /// `INVALID_BACKUP_CONFIG`, `BACKUP_CREATE_FAILED`, `CONTAINER_UNAVAILABLE`
    pub async fn preview_backup(&self, options: &BackupOptions) -> Result<BackupPreview> {
        self.call(&methods::PREVIEW_BACKUP, options).await
    }

    /// `restoreBackup`: restores a backup to a directory, copy-on-write. See
    /// [`methods::RESTORE_BACKUP`].
    ///
    /// # Errors
    /// `INVALID_BACKUP_CONFIG`, `BACKUP_NOT_FOUND`, `BACKUP_EXPIRED`,
    /// `BACKUP_RESTORE_FAILED`, `CONTAINER_UNAVAILABLE`, `OPERATION_INTERRUPTED`
    pub async fn restore_backup(&self, request: &RestoreRequest) -> Result<RestoreBackupResult> {
        self.restore_backup_as(request, &OperationId::random())
            .await
    }

    /// The same under an id of the caller's, as [`Self::create_backup_as`].
    ///
    /// # Errors
    /// As [`Self::restore_backup`]
    pub async fn restore_backup_as(
        &self,
        request: &RestoreRequest,
        operation: &OperationId,
    ) -> Result<RestoreBackupResult> {
        self.call_journaled(&methods::RESTORE_BACKUP, request, operation)
            .await
    }

    /// `operationOutcome`: returns what became of a backup or restore whose answer was
    /// lost. See [`methods::OPERATION_OUTCOME`].
    ///
    /// # Errors
    /// `INTERNAL_ERROR` when the bucket fails, `CONTAINER_UNAVAILABLE`
    pub async fn operation_outcome(&self, operation: &OperationId) -> Result<OperationOutcome> {
        let request = OperationById {
            operation_id: operation.clone(),
        };
        self.call(&methods::OPERATION_OUTCOME, &request).await
    }

    /// `unmountBackup`: unmounts a restored directory. See [`methods::UNMOUNT_BACKUP`].
    ///
    /// # Errors
    /// `INVALID_BACKUP_CONFIG`, `BACKUP_RESTORE_FAILED`, `CONTAINER_UNAVAILABLE`
    pub async fn unmount_backup(&self, dir: &str, force: bool) -> Result<UnmountResult> {
        let request = UnmountBackup {
            dir: dir.to_owned(),
            force,
        };
        self.call(&methods::UNMOUNT_BACKUP, &request).await
    }

    /// `listBackups`: a page of the backups of this sandbox. See
    /// [`methods::LIST_BACKUPS`].
    ///
    /// # Errors
    /// `INVALID_BACKUP_CONFIG`
    pub async fn list_backups(&self, query: &ListBackups) -> Result<BackupPage> {
        self.call(&methods::LIST_BACKUPS, query).await
    }

    /// `getBackup`: a stored backup as the bucket has it. See [`methods::GET_BACKUP`].
    ///
    /// # Errors
    /// `BACKUP_NOT_FOUND`, `INTERNAL_ERROR` when the bucket fails
    pub async fn get_backup(&self, id: &BackupId) -> Result<BackupRecord> {
        self.call(&methods::GET_BACKUP, &id.clone().into()).await
    }

    /// `verifyBackup`: reads all of a stored backup and checks that it is whole. See
    /// [`methods::VERIFY_BACKUP`].
    ///
    /// # Errors
    /// `BACKUP_NOT_FOUND`, `BACKUP_RESTORE_FAILED` when the archive cannot be
    /// fetched, `CONTAINER_UNAVAILABLE`
    pub async fn verify_backup(&self, id: &BackupId) -> Result<VerifyBackupResult> {
        self.call(&methods::VERIFY_BACKUP, &id.clone().into()).await
    }

    /// `deleteBackup`: deletes a backup for good. See [`methods::DELETE_BACKUP`].
    ///
    /// # Errors
    /// `INTERNAL_ERROR` when the bucket fails
    pub async fn delete_backup(&self, id: &BackupId) -> Result<DeleteBackupResult> {
        self.call(&methods::DELETE_BACKUP, &id.clone().into()).await
    }

    /// `pruneBackups`: deletes the backups of this sandbox that no rule keeps. See
    /// [`methods::PRUNE_BACKUPS`].
    ///
    /// # Errors
    /// `INVALID_BACKUP_CONFIG` when no rule is given, `INTERNAL_ERROR` when the
    /// bucket fails
    pub async fn prune_backups(&self, rules: &PruneBackups) -> Result<PruneResult> {
        self.call(&methods::PRUNE_BACKUPS, rules).await
    }

    /// `reindexBackups`: rebuilds the index that [`Self::list_backups`] reads. See
    /// [`methods::REINDEX_BACKUPS`].
    ///
    /// # Errors
    /// `INTERNAL_ERROR` when the bucket fails
    pub async fn reindex_backups(&self) -> Result<ReindexResult> {
        self.call(&methods::REINDEX_BACKUPS, &Nothing {}).await
    }

    /// `cancelOperation`: cancels the operation under way. See
    /// [`methods::CANCEL_OPERATION`].
    pub async fn cancel_operation(&self) -> Result<CancelResult> {
        self.call(&methods::CANCEL_OPERATION, &Nothing {}).await
    }

    /// `operationLog`: the operations that have ended, the last one first. See
    /// [`methods::OPERATION_LOG`].
    ///
    /// # Errors
    /// `INVALID_REQUEST`
    pub async fn operation_log(&self, query: &OperationLogQuery) -> Result<OperationLogPage> {
        self.call(&methods::OPERATION_LOG, query).await
    }

    /// `exec`: runs a command with `/bin/sh -c` and waits for its end. See
    /// [`methods::EXEC`].
    ///
    /// # Errors
    /// `INVALID_REQUEST`, `EXEC_FAILED`, `CONTAINER_UNAVAILABLE`
    pub async fn exec(&self, command: impl Into<ExecRequest>) -> Result<ExecResult> {
        self.call(&methods::EXEC, &command.into()).await
    }

    /// `execStream`: runs a command and streams what it writes. Dropping the stream
    /// kills the command's process group. See [`methods::EXEC_STREAM`].
    ///
    /// # Errors
    /// As [`Self::exec`]; the stream fails if the container goes away.
    pub async fn exec_stream(&self, command: impl Into<ExecRequest>) -> Result<ExecEvents> {
        let method = &methods::EXEC_STREAM;
        let request = command.into();
        let stream = self.answer(method, &request, JsValue::UNDEFINED).await?;
        ExecEvents::read(rpc::cast(method, stream)?)
    }

    /// `writeFile`: writes a file, replacing what was there and making its parent
    /// directories. See [`methods::WRITE_FILE`].
    ///
    /// # Errors
    /// `INVALID_REQUEST`, `FILE_OPERATION_FAILED`, `CONTAINER_UNAVAILABLE`
    pub async fn write_file(
        &self,
        path: &str,
        content: impl AsRef<[u8]>,
    ) -> Result<FileOperationResult> {
        let content = Uint8Array::from(content.as_ref());
        self.write(path, content.into()).await
    }

    /// The same, of a stream of bytes, which is not kept in memory.
    ///
    /// # Errors
    /// As [`Self::write_file`]
    pub async fn write_file_stream(
        &self,
        path: &str,
        content: web_sys::ReadableStream,
    ) -> Result<FileOperationResult> {
        self.write(path, content.into()).await
    }

    async fn write(&self, path: &str, content: JsValue) -> Result<FileOperationResult> {
        let method = &methods::WRITE_FILE;
        let file = FileContent {
            path: path.parse()?,
            encoding: None,
        };
        rpc::read(method, self.answer(method, &file, content).await?)
    }

    /// `readFile`: returns the bytes of a file. See [`methods::READ_FILE`].
    ///
    /// # Errors
    /// `INVALID_REQUEST`, `FILE_NOT_FOUND`, `FILE_OPERATION_FAILED`,
    /// `CONTAINER_UNAVAILABLE`
    pub async fn read_file(&self, path: &str) -> Result<Vec<u8>> {
        let method = &methods::READ_FILE;
        let file = FileContent {
            path: path.parse()?,
            encoding: Some(Encoding::Base64),
        };
        let read = self.call(method, &file).await?;
        BASE64
            .decode(read.content)
            .map_err(|error| rpc::misunderstood(method, &error.to_string()))
    }

    /// `listFiles`: lists what is in a directory, sorted by relative path. See
    /// [`methods::LIST_FILES`].
    ///
    /// # Errors
    /// As [`Self::read_file`]
    pub async fn list_files(
        &self,
        directory: impl TryInto<ListFiles, Error: Into<SandboxError>>,
    ) -> Result<ListFilesResult> {
        let request = directory.try_into().map_err(Into::into)?;
        self.call(&methods::LIST_FILES, &request).await
    }

    /// `deleteFile`: deletes a file or a symbolic link. See [`methods::DELETE_FILE`].
    ///
    /// # Errors
    /// As [`Self::read_file`]
    pub async fn delete_file(&self, path: &str) -> Result<FileOperationResult> {
        self.call(&methods::DELETE_FILE, &path.try_into()?).await
    }

    /// `mkdir`: makes a directory. See [`methods::MKDIR`].
    ///
    /// # Errors
    /// As [`Self::read_file`]
    pub async fn mkdir(
        &self,
        directory: impl TryInto<MakeDirectory, Error: Into<SandboxError>>,
    ) -> Result<FileOperationResult> {
        let request = directory.try_into().map_err(Into::into)?;
        self.call(&methods::MKDIR, &request).await
    }

    /// `exists`: returns whether something is at a path, a dangling symbolic link
    /// included. See [`methods::EXISTS`].
    ///
    /// # Errors
    /// `INVALID_REQUEST`, `CONTAINER_UNAVAILABLE`
    pub async fn exists(&self, path: &str) -> Result<bool> {
        let result = self.call(&methods::EXISTS, &path.try_into()?).await?;
        Ok(result.exists)
    }

    /// `status`: returns how the container is, and what is restored in it. See
    /// [`methods::STATUS`].
    pub async fn status(&self) -> Result<SandboxStatus> {
        self.call(&methods::STATUS, &Nothing {}).await
    }

    /// `stop`: destroys the container. See [`methods::STOP`].
    pub async fn stop(&self) -> Result<()> {
        let stopped = self.answer(&methods::STOP, &Nothing {}, JsValue::UNDEFINED);
        stopped.await.map(|_| ())
    }
}
