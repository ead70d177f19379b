//! The methods of a sandbox, one row each: how a method is called, over HTTP and
//! over RPC, and what it takes. HTTP dispatch and `Allow`, the methods that other
//! Workers can call, and what is journaled, come from here.
//!
//! [`Method::read`] is the only way to what a method takes: there, fields that it
//! does not know are refused (see [`request`](crate::request)).

use std::{marker::PhantomData, ops::Deref};

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
use row::{
    Argument::{Content, Field, Fields, Handle, Options},
    HttpMethod::{Delete, Get, Post, Put},
    Part::{Body, Path, Query, QueryBesideContent},
};

pub use row::{Argument, HttpMethod, Part, Route, Row};

mod row;

/// One method that takes a `T`, or one argument of it.
#[derive(Debug)]
pub struct Method<T> {
    row: Row,
    takes: PhantomData<fn() -> T>,
}

/// What a method takes that takes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Nothing {}

impl<T> Deref for Method<T> {
    type Target = Row;

    fn deref(&self) -> &Row {
        &self.row
    }
}

impl<T> Method<T> {
    const fn new(name: &'static str, code: ErrorCode) -> Self {
        Self {
            row: Row::new(name, code),
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
        self.row.unknown = UnknownFields::Refused { but };
        self
    }

    /// Takes a handle, with whatever else its owner keeps in it.
    const fn in_a_handle(mut self) -> Self {
        self.row.unknown = UnknownFields::Ignored;
        self
    }

    /// Is called over HTTP like this.
    const fn at(mut self, method: HttpMethod, path: &'static str, takes: Part) -> Self {
        self.row.route = Some(Route {
            method,
            path,
            takes,
        });
        self
    }

    /// Is called over RPC with these arguments.
    const fn with(mut self, arguments: &'static [Argument]) -> Self {
        self.row.arguments = Some(arguments);
        self
    }

    /// Answers with this HTTP status instead of 200.
    const fn answering(mut self, status: u16) -> Self {
        self.row.status = status;
        self
    }

    /// Tells its progress, or its output, to whoever accepts server-sent events.
    const fn followed(mut self) -> Self {
        self.row.is_followed = true;
        self
    }

    /// Is in the journal under the id of the operation, by which a caller whose
    /// answer was lost can ask what became of it.
    const fn journaled(mut self) -> Self {
        self.row.is_journaled = true;
        self
    }
}

impl<T: DeserializeOwned> Method<T> {
    /// Reads what was sent.
    ///
    /// # Errors
    /// [`Row::code`], with the name of the field in `context.field` if it is not
    /// one of this method, and in `context.nearest` what may have been meant
    pub fn read(&self, input: Input) -> Result<T> {
        request::read(input, self.name, self.code, self.unknown)
    }
}

/// `createBackup`
pub static CREATE_BACKUP: Method<BackupOptions> = Method::backups("createBackup")
    .or_meaningless(&["localBucket", "multipart"])
    .at(Post, "backups", Body)
    .with(&[Fields, Options])
    .answering(201)
    .followed()
    .journaled();
/// The second argument of [`CREATE_BACKUP`].
pub static CREATE_BACKUP_CALL: Method<CallOptions> =
    Method::backups("the second argument of createBackup");
/// `previewBackup`
pub static PREVIEW_BACKUP: Method<BackupOptions> = Method::backups("previewBackup")
    .or_meaningless(&["localBucket", "multipart"])
    .at(Post, "preview", Body)
    .with(&[Fields]);
/// `restoreBackup`
pub static RESTORE_BACKUP: Method<RestoreRequest> = Method::backups("restoreBackup")
    .in_a_handle()
    .at(Post, "restore", Body)
    .with(&[Fields, Options])
    .followed()
    .journaled();
/// The second argument of [`RESTORE_BACKUP`].
pub static RESTORE_BACKUP_OPTIONS: Method<RestoreOptions> =
    Method::backups("the second argument of restoreBackup");
/// `unmountBackup`
pub static UNMOUNT_BACKUP: Method<UnmountBackup> = Method::backups("unmountBackup")
    .at(Post, "unmount", Body)
    .with(&[Field("dir"), Fields]);
/// `listBackups`
pub static LIST_BACKUPS: Method<ListBackups> = Method::backups("listBackups")
    .at(Get, "backups", Query)
    .with(&[Fields]);
/// `getBackup`
pub static GET_BACKUP: Method<BackupById> = Method::backups("getBackup")
    .at(Get, "backups/{id}", Path("id"))
    .with(&[Handle]);
/// `verifyBackup`
pub static VERIFY_BACKUP: Method<BackupById> = Method::backups("verifyBackup")
    .at(Post, "backups/{id}/verify", Path("id"))
    .with(&[Handle])
    .followed();
/// `deleteBackup`
pub static DELETE_BACKUP: Method<BackupById> = Method::backups("deleteBackup")
    .at(Delete, "backups/{id}", Path("id"))
    .with(&[Handle]);
/// `pruneBackups`
pub static PRUNE_BACKUPS: Method<PruneBackups> = Method::backups("pruneBackups")
    .at(Post, "prune", Body)
    .with(&[Fields]);
/// `reindexBackups`
pub static REINDEX_BACKUPS: Method<Nothing> = Method::backups("reindexBackups")
    .at(Post, "reindex", Query)
    .with(&[]);
/// `cancelOperation`
pub static CANCEL_OPERATION: Method<Nothing> = Method::backups("cancelOperation")
    .at(Delete, "operation", Query)
    .with(&[]);
/// `operationOutcome`
pub static OPERATION_OUTCOME: Method<OperationById> = Method::backups("operationOutcome")
    .at(Get, "operations/{operationId}", Path("operationId"))
    .with(&[Field("operationId")]);
/// `operationLog`
pub static OPERATION_LOG: Method<OperationLogQuery> = Method::sandbox("operationLog")
    .at(Get, "log", Query)
    .with(&[Fields]);
/// `exec`
pub static EXEC: Method<ExecRequest> = Method::sandbox("exec")
    .or_meaningless(&["origin", "bufferSize"])
    .at(Post, "exec", Body)
    .with(&[Field("command"), Fields])
    .followed();
/// `execStream`
pub static EXEC_STREAM: Method<ExecRequest> = Method::sandbox("execStream")
    .or_meaningless(&["origin", "bufferSize"])
    .with(&[Field("command"), Fields]);
/// `writeFile`, beside the content
pub static WRITE_FILE: Method<FileContent> =
    Method::sandbox("writeFile").with(&[Field("path"), Content, Fields]);
/// `readFile`
pub static READ_FILE: Method<FileContent> =
    Method::sandbox("readFile").with(&[Field("path"), Fields]);
/// `writeFile` over HTTP, where the body is the file
pub static WRITE_RAW_FILE: Method<FilePath> =
    Method::sandbox("writeFile").at(Put, "files", QueryBesideContent);
/// `readFile` over HTTP, where the body is the file
pub static READ_RAW_FILE: Method<FilePath> = Method::sandbox("readFile").at(Get, "files", Query);
/// `listFiles`
pub static LIST_FILES: Method<ListFiles> = Method::sandbox("listFiles")
    .at(Get, "list", Query)
    .with(&[Field("path"), Fields]);
/// `deleteFile`
pub static DELETE_FILE: Method<FilePath> = Method::sandbox("deleteFile")
    .at(Delete, "files", Query)
    .with(&[Field("path")]);
/// `mkdir`
pub static MKDIR: Method<MakeDirectory> = Method::sandbox("mkdir")
    .at(Post, "mkdir", Query)
    .with(&[Field("path"), Fields]);
/// `exists`
pub static EXISTS: Method<FilePath> = Method::sandbox("exists")
    .at(Get, "exists", Query)
    .with(&[Field("path")]);
/// `status`
pub static STATUS: Method<Nothing> = Method::sandbox("status").at(Get, "status", Query).with(&[]);
/// `stop`
pub static STOP: Method<Nothing> = Method::sandbox("stop")
    .at(Delete, "container", Query)
    .with(&[])
    .answering(204);
/// The list of all sandboxes, which only HTTP has.
pub static LIST_SANDBOXES: Method<Nothing> = Method::sandbox("listSandboxes");

/// The methods of a sandbox. What only has an argument's rules, or is for all
/// sandboxes, is not among them.
pub static ALL: [&Row; 25] = [
    &CREATE_BACKUP.row,
    &PREVIEW_BACKUP.row,
    &RESTORE_BACKUP.row,
    &UNMOUNT_BACKUP.row,
    &LIST_BACKUPS.row,
    &GET_BACKUP.row,
    &VERIFY_BACKUP.row,
    &DELETE_BACKUP.row,
    &PRUNE_BACKUPS.row,
    &REINDEX_BACKUPS.row,
    &CANCEL_OPERATION.row,
    &OPERATION_OUTCOME.row,
    &OPERATION_LOG.row,
    &EXEC.row,
    &EXEC_STREAM.row,
    &WRITE_FILE.row,
    &READ_FILE.row,
    &WRITE_RAW_FILE.row,
    &READ_RAW_FILE.row,
    &LIST_FILES.row,
    &DELETE_FILE.row,
    &MKDIR.row,
    &EXISTS.row,
    &STATUS.row,
    &STOP.row,
];

/// The names of those that are called over RPC.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.into_iter()
        .filter(|row| row.arguments.is_some())
        .map(|row| row.name)
}
