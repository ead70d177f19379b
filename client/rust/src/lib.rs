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
    ArchiveChecksum, BackupId, BackupOptions, Compression, CompressionFormat, DirectoryBackup,
    EntryCounts, ErrorCode, OnUnreadable, RestoreBackupResult, RestoreRequest, Result,
    SandboxError, Strategy, Ttl,
    catalogue::{
        BackupPage, BackupRecord, BackupState, DeleteBackupResult, ListBackups, PruneBackups,
        PruneResult, ReindexResult, SortBy, SortOrder,
    },
    files::{
        ExecEvent, ExecOptions, ExecResult, ExistsResult, FileInfo, FileOperationResult, FileType,
        ListFilesOptions, ListFilesResult, MkdirOptions,
    },
    log::{LogEntry, LoggedOperation, OperationLogPage, OperationLogQuery},
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

use rpc::Argument;

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

    async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        arguments: &[&dyn Argument],
    ) -> Result<T> {
        let called = rpc::call(&self.namespace, &self.name, method, arguments).await;
        rpc::read(
            method,
            called.map_err(|failure| failure.into_error(method))?,
        )
    }

    /// Calls a method whose outcome can be asked for when its answer is lost.
    async fn call_noted<T: DeserializeOwned>(
        &self,
        method: &str,
        argument: &dyn Argument,
        operation: &OperationId,
    ) -> Result<T> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Noted<'a> {
            operation_id: &'a OperationId,
        }
        let noted = Noted {
            operation_id: operation,
        };
        match rpc::call(&self.namespace, &self.name, method, &[argument, &noted]).await {
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

    /// Takes a snapshot of a directory into R2.
    ///
    /// # Errors
    /// `INVALID_BACKUP_CONFIG`, `BACKUP_CREATE_FAILED`, `CONTAINER_UNAVAILABLE`,
    /// `OPERATION_INTERRUPTED`, whose context says whether it had committed
    pub async fn create_backup(&self, options: &BackupOptions) -> Result<CreatedBackup> {
        self.create_backup_as(options, &new_operation_id()?).await
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
        self.call_noted("createBackup", options, operation).await
    }

    /// Tells what a backup with the same options would hold. Stores nothing.
    ///
    /// # Errors
    /// `INVALID_BACKUP_CONFIG`, `BACKUP_CREATE_FAILED`, `CONTAINER_UNAVAILABLE`
    pub async fn preview_backup(&self, options: &BackupOptions) -> Result<BackupPreview> {
        self.call("previewBackup", &[options]).await
    }

    /// Puts a backup in place of a directory, copy-on-write: writes never
    /// reach the backup, and restoring again discards them. It answers as soon
    /// as the directory can be read. The mount does not outlive the container,
    /// unless [`RestoreRequest::auto_restore`] is set.
    ///
    /// # Errors
    /// `INVALID_BACKUP_CONFIG`, `BACKUP_NOT_FOUND`, `BACKUP_EXPIRED`,
    /// `BACKUP_RESTORE_FAILED`, `CONTAINER_UNAVAILABLE`, `OPERATION_INTERRUPTED`
    pub async fn restore_backup(&self, request: &RestoreRequest) -> Result<RestoreBackupResult> {
        self.restore_backup_as(request, &new_operation_id()?).await
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
        self.call_noted("restoreBackup", request, operation).await
    }

    /// What became of a backup or a restore whose answer was lost.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` when the bucket fails, `CONTAINER_UNAVAILABLE`
    pub async fn operation_outcome(&self, operation: &OperationId) -> Result<OperationOutcome> {
        self.call("operationOutcome", &[operation]).await
    }

    /// Takes a restored directory away again; what it covered reappears. Where
    /// processes use it, only by `force`: the error names them.
    ///
    /// # Errors
    /// `INVALID_BACKUP_CONFIG`, `BACKUP_RESTORE_FAILED`, `CONTAINER_UNAVAILABLE`
    pub async fn unmount_backup(&self, dir: &str, force: bool) -> Result<UnmountResult> {
        #[derive(Serialize)]
        struct Options {
            force: bool,
        }
        self.call("unmountBackup", &[&dir, &Options { force }])
            .await
    }

    /// A page of the backups of this sandbox, the newest first unless
    /// something else is asked for. Starts nothing. It is an index: what
    /// something else has deleted from the bucket is in it until it is next
    /// looked for, by [`Self::get_backup`], say, or [`Self::prune_backups`].
    ///
    /// # Errors
    /// `INVALID_BACKUP_CONFIG`
    pub async fn list_backups(&self, query: &ListBackups) -> Result<BackupPage> {
        self.call("listBackups", &[query]).await
    }

    /// A stored backup as the bucket has it, whichever sandbox made it. Starts
    /// nothing.
    ///
    /// # Errors
    /// `BACKUP_NOT_FOUND`, `INTERNAL_ERROR` when the bucket fails
    pub async fn get_backup(&self, id: &BackupId) -> Result<BackupRecord> {
        self.call("getBackup", &[id]).await
    }

    /// Reads all of a stored backup in the container, whichever sandbox made
    /// it, expired or not, and tells whether it is whole. A damaged archive is
    /// a result, not an error.
    ///
    /// # Errors
    /// `BACKUP_NOT_FOUND`, `BACKUP_RESTORE_FAILED` when the archive cannot be
    /// fetched, `CONTAINER_UNAVAILABLE`
    pub async fn verify_backup(&self, id: &BackupId) -> Result<VerifyBackupResult> {
        self.call("verifyBackup", &[id]).await
    }

    /// Deletes a backup for good, whichever sandbox made it. Deleting what is
    /// not there succeeds.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` when the bucket fails
    pub async fn delete_backup(&self, id: &BackupId) -> Result<DeleteBackupResult> {
        self.call("deleteBackup", &[id]).await
    }

    /// Deletes the backups of this sandbox that no rule keeps. The newest that
    /// can be restored is kept by every rule; what rules keep is looked up in the
    /// bucket before anything is deleted.
    ///
    /// # Errors
    /// `INVALID_BACKUP_CONFIG` when no rule is given, `INTERNAL_ERROR` when the
    /// bucket fails
    pub async fn prune_backups(&self, rules: &PruneBackups) -> Result<PruneResult> {
        self.call("pruneBackups", &[rules]).await
    }

    /// Makes the index that [`Self::list_backups`] reads anew from the bucket,
    /// with the backups of writers that do not say which sandbox was theirs.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` when the bucket fails
    pub async fn reindex_backups(&self) -> Result<ReindexResult> {
        self.call("reindexBackups", &[]).await
    }

    /// Ends the backup or restore under way and waits until nothing of it is
    /// left; its caller gets an error whose context has `cancelled: true`. One
    /// that is about to commit still does.
    pub async fn cancel_operation(&self) -> Result<CancelResult> {
        self.call("cancelOperation", &[]).await
    }

    /// The backups and restores that have ended, the last one first. Starts nothing.
    ///
    /// # Errors
    /// `INVALID_REQUEST`
    pub async fn operation_log(&self, query: &OperationLogQuery) -> Result<OperationLogPage> {
        self.call("operationLog", &[query]).await
    }

    /// Runs a command with `/bin/sh -c` and waits for its end. One that fails
    /// is a result, not an error.
    ///
    /// # Errors
    /// `INVALID_REQUEST`, `EXEC_FAILED`, `CONTAINER_UNAVAILABLE`
    pub async fn exec(&self, command: &str, options: &ExecOptions) -> Result<ExecResult> {
        self.call("exec", &[&command, options]).await
    }

    /// Runs a command and streams what it writes. Dropping the stream kills
    /// the command's process group.
    ///
    /// # Errors
    /// As [`Self::exec`]; the stream fails if the container goes away.
    pub async fn exec_stream(&self, command: &str, options: &ExecOptions) -> Result<ExecEvents> {
        const METHOD: &str = "execStream";
        let called = rpc::call(&self.namespace, &self.name, METHOD, &[&command, options]).await;
        let stream = called.map_err(|failure| failure.into_error(METHOD))?;
        ExecEvents::read(rpc::cast(METHOD, stream)?)
    }

    /// Writes a file, replacing what was there and making its parent directories.
    ///
    /// # Errors
    /// `INVALID_REQUEST`, `FILE_OPERATION_FAILED`, `CONTAINER_UNAVAILABLE`
    pub async fn write_file(
        &self,
        path: &str,
        content: impl AsRef<[u8]>,
    ) -> Result<FileOperationResult> {
        let content: JsValue = Uint8Array::from(content.as_ref()).into();
        self.call("writeFile", &[&path, &rpc::Js(content)]).await
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
        self.call("writeFile", &[&path, &rpc::Js(content.into())])
            .await
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// `INVALID_REQUEST`, `FILE_NOT_FOUND`, `FILE_OPERATION_FAILED`,
    /// `CONTAINER_UNAVAILABLE`
    pub async fn read_file(&self, path: &str) -> Result<Vec<u8>> {
        use sandbox_shared::files::{Encoding, FileOptions, ReadFileResult};
        const METHOD: &str = "readFile";
        let options = FileOptions {
            encoding: Some(Encoding::Base64),
        };
        let read: ReadFileResult = self.call(METHOD, &[&path, &options]).await?;
        BASE64
            .decode(read.content)
            .map_err(|error| rpc::misunderstood(METHOD, &error.to_string()))
    }

    /// What is in a directory, sorted by relative path.
    ///
    /// # Errors
    /// As [`Self::read_file`]
    pub async fn list_files(
        &self,
        path: &str,
        options: ListFilesOptions,
    ) -> Result<ListFilesResult> {
        self.call("listFiles", &[&path, &options]).await
    }

    /// Deletes a file or a symbolic link.
    ///
    /// # Errors
    /// As [`Self::read_file`]
    pub async fn delete_file(&self, path: &str) -> Result<FileOperationResult> {
        self.call("deleteFile", &[&path]).await
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// As [`Self::read_file`]
    pub async fn mkdir(&self, path: &str, options: MkdirOptions) -> Result<FileOperationResult> {
        self.call("mkdir", &[&path, &options]).await
    }

    /// Whether there is something at a path, a dangling symbolic link included.
    ///
    /// # Errors
    /// `INVALID_REQUEST`, `CONTAINER_UNAVAILABLE`
    pub async fn exists(&self, path: &str) -> Result<bool> {
        let result: ExistsResult = self.call("exists", &[&path]).await?;
        Ok(result.exists)
    }

    /// How the container is, and what is restored in it. Starts nothing.
    pub async fn status(&self) -> Result<SandboxStatus> {
        self.call("status", &[]).await
    }

    /// Destroys the container. The next call starts a new one, without its
    /// files and mounts.
    pub async fn stop(&self) -> Result<()> {
        self.call("stop", &[]).await
    }
}

fn new_operation_id() -> Result<OperationId> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| SandboxError::new(ErrorCode::InternalError, error.to_string()))?;
    Ok((&BackupId::from_random(bytes)).into())
}
