//! The methods of a sandbox, one row each: how a method is called, over HTTP and
//! over RPC, what it takes and returns, and how it fails. From here come HTTP
//! dispatch and `Allow`, the methods that other Workers can call, what is
//! journaled, `openapi.json`, and the TypeScript of the client.
//!
//! [`Method::read`] is the only way to what a method takes: there, fields that it
//! does not know are refused (see [`request`](crate::request)).

use std::{marker::PhantomData, ops::Deref};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    backup::{BackupOptions, RestoreBackupResult, RestoreOptions, RestoreRequest},
    catalogue::{
        BackupById, BackupPage, BackupRecord, DeleteBackupResult, ListBackups, PruneBackups,
        PruneResult, ReindexResult, StoredSandboxes,
    },
    error::{
        ErrorCode::{
            BackupCreateFailed, BackupExpired, BackupNotFound, BackupRestoreFailed,
            ContainerUnavailable, ExecFailed, FileOperationFailed, InvalidBackupConfig,
        },
        Result, SandboxError,
    },
    files::{
        ExecEvent, ExecRequest, ExecResult, ExistsResult, FileContent, FileOperationResult,
        FilePath, ListFiles, ListFilesResult, MakeDirectory, ReadFileResult,
    },
    log::{OperationLogPage, OperationLogQuery},
    operation::{CallOptions, OperationById, OperationOutcome},
    progress::CancelResult,
    protocol::{UnmountBackup, UnmountResult},
    report::{BackupPreview, CreatedBackup},
    request::{self, Input},
    status::SandboxStatus,
    verification::VerifyBackupResult,
};
use row::{
    Argument::{Content, Field, Fields, Handle, Options, Rest},
    HttpMethod::{Delete, Get, Post, Put},
    Part::{Body, Path, Query, QueryBesideContent},
    Stream::{Output, Progress},
};

pub use row::{Argument, HttpMethod, OF_ANY_METHOD, Part, Route, Row, Stream};

mod row;

/// A method that takes a `T` and `O`, options of the call, and returns an `R`.
#[derive(Debug)]
pub struct Method<T, R, O = Nothing> {
    row: Row,
    types: PhantomData<fn(T, O) -> R>,
}

/// What is taken, or returned, where there is nothing to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Nothing {}

/// What a method returns that streams the content of a file.
#[derive(Debug, JsonSchema)]
#[schemars(inline)]
pub struct Bytes(#[allow(dead_code, reason = "only its name is used")] Vec<u8>);

/// What a method returns that streams `E`s as server-sent events.
#[derive(Debug)]
pub struct Events<E>(PhantomData<E>);

impl<E: JsonSchema> JsonSchema for Events<E> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Events".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<E>()
    }
}

/// What failed, and has no code until the method that met it gives it one.
pub trait Failure {
    /// The error that `method` answers with.
    fn of(self, method: &Row) -> SandboxError;
}

/// Is shown every method with its types and its documentation.
pub trait Visitor {
    /// Sees one of them.
    fn see<T: JsonSchema, R: JsonSchema, O: JsonSchema>(
        &mut self,
        method: &'static Method<T, R, O>,
        doc: &str,
    );
}

impl<T, R, O> Deref for Method<T, R, O> {
    type Target = Row;

    fn deref(&self) -> &Row {
        &self.row
    }
}

impl<T, R, O> Method<T, R, O> {
    const fn new(row: Row) -> Self {
        Self {
            row,
            types: PhantomData,
        }
    }
}

impl<T: DeserializeOwned, R, O: DeserializeOwned> Method<T, R, O> {
    /// Reads what was sent.
    ///
    /// # Errors
    /// [`Row::refusal`], with the name of the field in `context.field` if it is not
    /// one of this method, and in `context.nearest` what may have been meant
    pub fn read(&self, input: Input) -> Result<T> {
        request::read(input, self.name, self.refusal, self.unknown)
    }

    /// Reads the options of the call.
    ///
    /// # Errors
    /// As [`Self::read`]
    pub fn read_options(&self, input: Input) -> Result<O> {
        self.read_part("second argument", input)
    }
}

/// Makes a static of each row, the list of them, and the visit of all.
macro_rules! methods {
    ($(
        $(#[doc = $doc:literal])*
        $name:ident($takes:ty $(, $options:ty)?) -> $returns:ty = $row:expr;
    )*) => {
        $(
            $(#[doc = $doc])*
            pub static $name: Method<$takes, $returns $(, $options)?> = Method::new($row);
        )*

        /// The methods of a sandbox, and what is asked of all sandboxes.
        pub static ALL: &[&Row] = &[$(&$name.row),*];

        /// Shows all methods to `visitor`.
        pub fn visit(visitor: &mut impl Visitor) {
            $(visitor.see(&$name, concat!($($doc, "\n"),*));)*
        }
    };
}

methods! {
    /// Takes a snapshot of a directory and stores it in R2.
    ///
    /// A backup exists once this has answered, and not before; a failure leaves nothing.
    CREATE_BACKUP(BackupOptions, CallOptions) -> CreatedBackup = Row::backups("createBackup")
        .failing(BackupCreateFailed)
        .or_meaningless(&["localBucket", "multipart"])
        .at(Post, "backups", Body)
        .with(&[Fields("options"), Options("call")])
        .answering(201)
        .starting_the_container()
        .streaming(Progress)
        .journaled();

    /// Returns what a backup with the same options would hold. Stores nothing.
    PREVIEW_BACKUP(BackupOptions) -> BackupPreview = Row::backups("previewBackup")
        .failing(BackupCreateFailed)
        .or_meaningless(&["localBucket", "multipart"])
        .at(Post, "preview", Body)
        .with(&[Fields("options")])
        .starting_the_container();

    /// Restores a backup to a directory, copy-on-write.
    ///
    /// Writes never reach the backup, and restoring again discards them. The answer comes as soon as
    /// the directory can be read; content is fetched when it is needed. The mount does not outlive
    /// the container: restore again after a restart, or ask for `autoRestore`.
    RESTORE_BACKUP(RestoreRequest, RestoreOptions) -> RestoreBackupResult =
        Row::backups("restoreBackup")
            .failing(BackupRestoreFailed)
            .missing(BackupNotFound)
            .or(&[BackupExpired])
            .in_a_handle()
            .at(Post, "restore", Body)
            .with(&[Fields("backup"), Options("options")])
            .starting_the_container()
            .streaming(Progress)
            .journaled();

    /// Unmounts a restored directory. What it covered is visible again.
    ///
    /// Where processes use it, only with `force`: `context.processes` of the error names them.
    UNMOUNT_BACKUP(UnmountBackup) -> UnmountResult = Row::backups("unmountBackup")
        .failing(BackupRestoreFailed)
        .at(Post, "unmount", Body)
        .with(&[Field("dir"), Rest("options")])
        .starting_the_container();

    /// Lists the backups of this sandbox, a page at a time.
    ///
    /// The newest first unless another order is asked for. It reads an index: what something else has
    /// deleted from the bucket stays in it until it is next looked for, such as by `getBackup` or
    /// `pruneBackups`. Does not start the container.
    LIST_BACKUPS(ListBackups) -> BackupPage = Row::backups("listBackups")
        .at(Get, "backups", Query)
        .with(&[Rest("query")]);

    /// Returns a stored backup as the bucket has it, whichever sandbox made it.
    ///
    /// Does not start the container.
    GET_BACKUP(BackupById) -> BackupRecord = Row::backups("getBackup")
        .missing(BackupNotFound)
        .at(Get, "backups/{id}", Path("id"))
        .with(&[Handle("backup")]);

    /// Reads all of a stored backup in the container and checks that it is whole.
    ///
    /// Whichever sandbox made it, expired or not. Nothing is restored, and nothing of it is kept. A
    /// damaged archive is a result, not an error.
    VERIFY_BACKUP(BackupById) -> VerifyBackupResult = Row::backups("verifyBackup")
        .failing(BackupRestoreFailed)
        .missing(BackupNotFound)
        .at(Post, "backups/{id}/verify", Path("id"))
        .with(&[Handle("backup")])
        .starting_the_container()
        .streaming(Progress);

    /// Deletes a backup for good, whichever sandbox made it.
    ///
    /// Deleting what is not there succeeds. Does not start the container.
    DELETE_BACKUP(BackupById) -> DeleteBackupResult = Row::backups("deleteBackup")
        .at(Delete, "backups/{id}", Path("id"))
        .with(&[Handle("backup")]);

    /// Deletes the backups of this sandbox that no rule keeps.
    ///
    /// The newest that can be restored is kept by every rule; what rules keep is looked up in the
    /// bucket before anything is deleted. At least one rule must be given. Does not start the
    /// container.
    PRUNE_BACKUPS(PruneBackups) -> PruneResult = Row::backups("pruneBackups")
        .at(Post, "prune", Body)
        .with(&[Fields("rules")]);

    /// Rebuilds the index that `listBackups` reads from the bucket.
    ///
    /// With the backups of writers that do not say which sandbox was theirs, such as
    /// `@cloudflare/sandbox` 0.12. Does not start the container.
    REINDEX_BACKUPS(Nothing) -> ReindexResult = Row::backups("reindexBackups")
        .at(Post, "reindex", Query)
        .with(&[]);

    /// Cancels the backup, restore or verification under way.
    ///
    /// Waits until nothing of it is left; its caller gets an error whose `context.cancelled` is true.
    /// One that is about to commit still does.
    CANCEL_OPERATION(Nothing) -> CancelResult = Row::backups("cancelOperation")
        .at(Delete, "operation", Query)
        .with(&[]);

    /// Returns what became of a backup or restore whose answer was lost.
    ///
    /// The JavaScript and the Rust client ask by themselves when the Durable Object goes away in the
    /// middle of a call: `context.committed` of the error says it.
    OPERATION_OUTCOME(OperationById) -> OperationOutcome = Row::backups("operationOutcome")
        .or(&[ContainerUnavailable])
        .at(Get, "operations/{operationId}", Path("operationId"))
        .with(&[Field("operationId")]);

    /// Lists the backups, restores and verifications that have ended, the last one first.
    ///
    /// 1000 are kept. Does not start the container.
    OPERATION_LOG(OperationLogQuery) -> OperationLogPage = Row::sandbox("operationLog")
        .at(Get, "log", Query)
        .with(&[Rest("query")]);

    /// Runs a command with `/bin/sh -c` and waits for its end.
    ///
    /// A command that fails is a result, not an error.
    EXEC(ExecRequest) -> ExecResult = Row::sandbox("exec")
        .failing(ExecFailed)
        .or_meaningless(&["origin", "bufferSize"])
        .at(Post, "exec", Body)
        .with(&[Field("command"), Rest("options")])
        .starting_the_container()
        .streaming(Output);

    /// Runs a command and streams its output as server-sent events.
    ///
    /// Each is an `ExecEvent` in JSON; `parseSSEStream` reads them. Cancelling the stream kills the
    /// command's process group.
    EXEC_STREAM(ExecRequest) -> Events<ExecEvent> = Row::sandbox("execStream")
        .failing(ExecFailed)
        .or_meaningless(&["origin", "bufferSize"])
        .with(&[Field("command"), Rest("options")])
        .starting_the_container();

    /// Writes a file, replacing what was there and making its parent directories.
    ///
    /// A string is written as UTF-8, or decoded first when `encoding` is `base64`.
    WRITE_FILE(FileContent) -> FileOperationResult = Row::sandbox("writeFile")
        .failing(FileOperationFailed)
        .with(&[Field("path"), Content("content"), Rest("options")])
        .starting_the_container();

    /// Reads a file. Content that is not UTF-8 is returned as base64, whatever was asked for.
    READ_FILE(FileContent) -> ReadFileResult = Row::files("readFile")
        .with(&[Field("path"), Rest("options")]);

    /// Writes a file, replacing what was there and making its parent directories.
    WRITE_RAW_FILE(FilePath) -> FileOperationResult = Row::sandbox("writeFile")
        .failing(FileOperationFailed)
        .at(Put, "files", QueryBesideContent)
        .starting_the_container();

    /// Returns the bytes of a file.
    READ_RAW_FILE(FilePath) -> Bytes = Row::files("readFile")
        .at(Get, "files", Query);

    /// Lists what is in a directory, sorted by relative path.
    LIST_FILES(ListFiles) -> ListFilesResult = Row::files("listFiles")
        .at(Get, "list", Query)
        .with(&[Field("path"), Rest("options")]);

    /// Deletes a file or a symbolic link.
    DELETE_FILE(FilePath) -> FileOperationResult = Row::files("deleteFile")
        .at(Delete, "files", Query)
        .with(&[Field("path")]);

    /// Makes a directory.
    MKDIR(MakeDirectory) -> FileOperationResult = Row::files("mkdir")
        .at(Post, "mkdir", Query)
        .with(&[Field("path"), Rest("options")]);

    /// Returns whether something is at a path, a dangling symbolic link included.
    EXISTS(FilePath) -> ExistsResult = Row::sandbox("exists")
        .failing(FileOperationFailed)
        .starting_the_container()
        .at(Get, "exists", Query)
        .with(&[Field("path")]);

    /// Returns how the container is, and what is restored in it.
    ///
    /// Does not start the container.
    STATUS(Nothing) -> SandboxStatus = Row::sandbox("status")
        .or(&[ContainerUnavailable])
        .at(Get, "status", Query).with(&[]);

    /// Destroys the container.
    ///
    /// The next call starts a new one, without its files and mounts.
    STOP(Nothing) -> Nothing = Row::sandbox("stop")
        .at(Delete, "container", Query)
        .with(&[])
        .answering(204);

    /// Lists the sandboxes that have backups, the one with the most bytes first.
    LIST_SANDBOXES(Nothing) -> StoredSandboxes = Row::sandbox("listSandboxes")
        .or(&[InvalidBackupConfig])
        .at(Get, "", Query)
        .of_all_sandboxes();
}

/// The methods of one sandbox.
pub fn of_a_sandbox() -> impl Iterator<Item = &'static Row> {
    ALL.iter().copied().filter(|row| !row.is_of_all)
}

/// The names of those that are called over RPC.
pub fn names() -> impl Iterator<Item = &'static str> {
    of_a_sandbox()
        .filter(|row| row.arguments.is_some())
        .map(|row| row.name)
}
