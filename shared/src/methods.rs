//! The methods of a sandbox: how each is called, and what it takes.
//!
//! [`Method::read`] is the only way to what a method takes: there, fields that it
//! does not know are refused (see [`request`](crate::request)).

use std::marker::PhantomData;

use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    backup::{BackupOptions, RestoreOptions, RestoreRequest},
    catalogue::{BackupById, ListBackups, PruneBackups},
    error::{ErrorCode, Result},
    files::{ExecRequest, FileContent, FilePath, ListFiles, MakeDirectory},
    log::OperationLogQuery,
    operation::{CallOptions, OperationById},
    protocol::UnmountBackup,
    request::{self, Input, UnknownFields},
};

/// One method, or one argument of it, that takes a `T`.
#[derive(Debug)]
pub struct Method<T> {
    /// As callers write it.
    pub name: &'static str,
    /// The code of what is wrong with a request.
    pub code: ErrorCode,
    unknown: UnknownFields,
    takes: PhantomData<fn() -> T>,
}

/// What a method takes that takes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Nothing {}

impl<T> Method<T> {
    const fn new(name: &'static str, code: ErrorCode) -> Self {
        Self {
            name,
            code,
            unknown: UnknownFields::Refused { but: &[] },
            takes: PhantomData,
        }
    }

    /// A method that has to do with backups.
    const fn backups(name: &'static str) -> Self {
        Self::new(name, ErrorCode::InvalidBackupConfig)
    }

    /// Any other.
    const fn sandbox(name: &'static str) -> Self {
        Self::new(name, ErrorCode::InvalidRequest)
    }

    /// Takes options of `@cloudflare/sandbox` 0.12, too, that mean nothing here.
    const fn or_meaningless(mut self, but: &'static [&'static str]) -> Self {
        self.unknown = UnknownFields::Refused { but };
        self
    }

    /// Takes a handle, with whatever else its owner keeps in it.
    const fn in_a_handle(mut self) -> Self {
        self.unknown = UnknownFields::Ignored;
        self
    }
}

impl<T: DeserializeOwned> Method<T> {
    /// Reads what was sent.
    ///
    /// # Errors
    /// [`Self::code`], with the name of the field in `context.field` if it is not
    /// one of this method, and in `context.nearest` what may have been meant
    pub fn read(&self, input: Input) -> Result<T> {
        request::read(input, self.name, self.code, self.unknown)
    }
}

impl<T> Method<T> {
    /// Refuses any field in a `part` of the request from which this method takes none.
    ///
    /// # Errors
    /// As [`Self::read`]
    pub fn takes_none(&self, part: &str, input: Input) -> Result<()> {
        let part = format!("the {part} of {}", self.name);
        let unknown = UnknownFields::Refused { but: &[] };
        request::read(input, &part, self.code, unknown).map(|Nothing {}| ())
    }
}

/// `createBackup`
pub const CREATE_BACKUP: Method<BackupOptions> =
    Method::backups("createBackup").or_meaningless(&["localBucket", "multipart"]);
/// The second argument of [`CREATE_BACKUP`].
pub const CREATE_BACKUP_CALL: Method<CallOptions> =
    Method::backups("the second argument of createBackup");
/// `previewBackup`
pub const PREVIEW_BACKUP: Method<BackupOptions> = Method {
    name: "previewBackup",
    ..CREATE_BACKUP
};
/// `restoreBackup`
pub const RESTORE_BACKUP: Method<RestoreRequest> = Method::backups("restoreBackup").in_a_handle();
/// The second argument of [`RESTORE_BACKUP`].
pub const RESTORE_BACKUP_OPTIONS: Method<RestoreOptions> =
    Method::backups("the second argument of restoreBackup");
/// `unmountBackup`
pub const UNMOUNT_BACKUP: Method<UnmountBackup> = Method::backups("unmountBackup");
/// `listBackups`
pub const LIST_BACKUPS: Method<ListBackups> = Method::backups("listBackups");
/// `getBackup`
pub const GET_BACKUP: Method<BackupById> = Method::backups("getBackup");
/// `verifyBackup`
pub const VERIFY_BACKUP: Method<BackupById> = Method::backups("verifyBackup");
/// `deleteBackup`
pub const DELETE_BACKUP: Method<BackupById> = Method::backups("deleteBackup");
/// `pruneBackups`
pub const PRUNE_BACKUPS: Method<PruneBackups> = Method::backups("pruneBackups");
/// `reindexBackups`
pub const REINDEX_BACKUPS: Method<Nothing> = Method::backups("reindexBackups");
/// `cancelOperation`
pub const CANCEL_OPERATION: Method<Nothing> = Method::backups("cancelOperation");
/// `operationOutcome`
pub const OPERATION_OUTCOME: Method<OperationById> = Method::backups("operationOutcome");
/// `operationLog`
pub const OPERATION_LOG: Method<OperationLogQuery> = Method::sandbox("operationLog");
/// `exec`
pub const EXEC: Method<ExecRequest> =
    Method::sandbox("exec").or_meaningless(&["origin", "bufferSize"]);
/// `execStream`
pub const EXEC_STREAM: Method<ExecRequest> = Method {
    name: "execStream",
    ..EXEC
};
/// `writeFile`, beside the content
pub const WRITE_FILE: Method<FileContent> = Method::sandbox("writeFile");
/// `readFile`
pub const READ_FILE: Method<FileContent> = Method::sandbox("readFile");
/// `writeFile` over HTTP, where the body is the file
pub const WRITE_RAW_FILE: Method<FilePath> = Method::sandbox("writeFile");
/// `readFile` over HTTP, where the body is the file
pub const READ_RAW_FILE: Method<FilePath> = Method::sandbox("readFile");
/// `listFiles`
pub const LIST_FILES: Method<ListFiles> = Method::sandbox("listFiles");
/// `deleteFile`
pub const DELETE_FILE: Method<FilePath> = Method::sandbox("deleteFile");
/// `mkdir`
pub const MKDIR: Method<MakeDirectory> = Method::sandbox("mkdir");
/// `exists`
pub const EXISTS: Method<FilePath> = Method::sandbox("exists");
/// `status`
pub const STATUS: Method<Nothing> = Method::sandbox("status");
/// `stop`
pub const STOP: Method<Nothing> = Method::sandbox("stop");
/// The list of all sandboxes, which only HTTP has.
pub const LIST_SANDBOXES: Method<Nothing> = Method::sandbox("listSandboxes");
