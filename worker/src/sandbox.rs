//! The Durable Object: one sandbox, with a container of its own.
//!
//! Backing up, restoring, verifying and unmounting happen one at a time, in the order
//! they were asked for. Commands and files do not wait for them: a backup is
//! taken of a live tree.

#![allow(missing_docs, reason = "the durable_object macro makes public methods")]

use std::{pin::pin, rc::Rc};

use futures_util::{
    future::{Either, select},
    stream,
};
use sandbox_shared::{
    BackupId, BackupOptions, ErrorCode, RestoreBackupResult, RestoreRequest, Result, SandboxError,
    Verb,
    catalogue::{
        BackupPage, BackupRecord, DeleteBackupResult, ListBackups, PruneBackups, PruneResult,
        ReindexResult,
    },
    files::{
        ExecEvent, ExecResult, ExistsResult, FileOperationResult, ListFilesOptions,
        ListFilesResult, MAX_COLLECTED_OUTPUT, MkdirOptions,
    },
    log::{OperationLogPage, OperationLogQuery},
    operation::{OperationId, OperationOutcome},
    progress::{CancelResult, OperationEvent},
    protocol::{Exec, UnmountBackup, UnmountResult, paths},
    report::{BackupPreview, CreatedBackup},
    rules,
    status::{ContainerState, ContainerStatus, SandboxStatus},
    verification::VerifyBackupResult,
};
use serde::Serialize;
use tokio::sync::oneshot;
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};
use wasm_bindgen_futures::spawn_local;
use worker::{DurableObject, Env, Method, Request, Response, State, durable_object};

use crate::{
    agent::{self, json, with_query},
    backup::{
        auto_restore, create, delete, find_metadata, preview, prune, reindex, restore, unmount,
        verify,
    },
    clock,
    config::Config,
    http,
    lifecycle::{AgentInUse, Lifecycle},
    operations::{Cancellation, Operations},
    sse,
    storage::{bucket::BackupBucket, index::Index, journal::Journal, log::OperationLog},
};

mod rpc;

/// One sandbox.
#[durable_object]
pub struct Sandbox {
    config: Rc<Config>,
    lifecycle: Rc<Lifecycle>,
    index: Rc<Index>,
    operations: Rc<Operations>,
}

impl DurableObject for Sandbox {
    fn new(state: State, env: Env) -> Self {
        let config = Rc::new(Config::from_env(env));
        let index = Rc::new(Index::new(
            state.storage().sql(),
            state.id().to_string(),
            state.id().name(),
        ));
        let log = OperationLog::new(state.storage().sql());
        let journal = Journal::new(state.storage().sql());
        let lifecycle = Rc::new(Lifecycle::new(state, config.clone()));
        Self {
            operations: Rc::new(Operations::new(
                config.clone(),
                lifecycle.clone(),
                index.clone(),
                log,
                journal,
            )),
            index,
            lifecycle,
            config,
        }
    }

    async fn fetch(&self, request: Request) -> worker::Result<Response> {
        http::routes::handle(self, request).await
    }

    async fn alarm(&self) -> worker::Result<Response> {
        let recovered = self.operations.recover().await;
        match self.lifecycle.on_alarm(recovered).await {
            Ok(()) => Response::empty(),
            Err(error) => Err(error.to_string().into()),
        }
    }
}

impl Sandbox {
    /// Archives a directory into the bucket.
    pub async fn create_backup(
        &self,
        options: BackupOptions,
        operation: Option<OperationId>,
    ) -> Result<CreatedBackup> {
        create_backup(
            &self.operations,
            options,
            operation,
            Cancellation::default(),
        )
        .await
    }

    /// The same as server-sent events: [`OperationEvent`]s, the last of which
    /// is the result or the error. It is cancelled when the reader goes away.
    pub fn create_backup_stream(
        &self,
        options: BackupOptions,
        operation: Option<OperationId>,
    ) -> Result<Response> {
        let options = options.validate(&self.config.allowed_roots()?)?;
        self.operation_stream(async |operations, cancellation| {
            create_backup(&operations, options, operation, cancellation).await
        })
    }

    /// What a backup would hold.
    pub async fn preview_backup(&self, options: BackupOptions) -> Result<BackupPreview> {
        let roots = self.config.allowed_roots()?;
        let agent = self.agent().await?;
        preview::preview(&agent, &roots, options).await
    }

    /// Gives a directory back, copy-on-write.
    pub async fn restore_backup(
        &self,
        request: RestoreRequest,
        operation: Option<OperationId>,
    ) -> Result<RestoreBackupResult> {
        restore_backup(
            &self.operations,
            request,
            operation,
            Cancellation::default(),
        )
        .await
    }

    /// The same as server-sent events, like [`Self::create_backup_stream`].
    pub fn restore_backup_stream(
        &self,
        request: RestoreRequest,
        operation: Option<OperationId>,
    ) -> Result<Response> {
        let request = request.validate(&self.config.allowed_roots()?)?;
        self.operation_stream(async |operations, cancellation| {
            restore_backup(&operations, request, operation, cancellation).await
        })
    }

    /// Takes a restored directory away; what was there before comes back.
    pub async fn unmount_backup(&self, request: UnmountBackup) -> Result<UnmountResult> {
        let dir = self.config.allowed_roots()?.check(&request.dir)?;
        let request = UnmountBackup { dir, ..request };
        self.operations
            .run(Cancellation::default(), async |context| {
                unmount::unmount(context, request).await
            })
            .await
    }

    /// Backups of this sandbox: a page of them, filtered and sorted.
    pub fn list_backups(&self, query: &ListBackups) -> Result<BackupPage> {
        self.index.list(query, clock::now())
    }

    /// One stored backup, whichever sandbox made it.
    pub async fn get_backup(&self, id: &BackupId) -> Result<BackupRecord> {
        let bucket = self.bucket(Verb::GetBackup)?;
        let metadata = find_metadata(&bucket, id).await?;
        Ok(BackupRecord::new(metadata, clock::now()))
    }

    /// Reads all of a stored backup, whichever sandbox made it.
    pub async fn verify_backup(&self, id: BackupId) -> Result<VerifyBackupResult> {
        verify_backup(&self.operations, id, Cancellation::default()).await
    }

    /// The same as server-sent events, like [`Self::create_backup_stream`].
    pub fn verify_backup_stream(&self, id: BackupId) -> Result<Response> {
        self.operation_stream(async |operations, cancellation| {
            verify_backup(&operations, id, cancellation).await
        })
    }

    /// Deletes a backup, whichever sandbox made it.
    pub async fn delete_backup(&self, id: BackupId) -> Result<DeleteBackupResult> {
        let bucket = self.bucket(Verb::DeleteBackup)?;
        delete::delete(&bucket, &self.index, id).await
    }

    /// Deletes the backups of this sandbox that no rule keeps.
    pub async fn prune_backups(&self, request: PruneBackups) -> Result<PruneResult> {
        let bucket = self.bucket(Verb::PruneBackups)?;
        prune::prune(&bucket, &self.index, request, clock::now()).await
    }

    /// Makes the index anew from the bucket.
    pub async fn reindex_backups(&self) -> Result<ReindexResult> {
        let bucket = self.bucket(Verb::ReindexBackups)?;
        reindex::reindex(&bucket, &self.index).await
    }

    fn bucket(&self, verb: Verb) -> Result<BackupBucket> {
        BackupBucket::open(&self.config, verb)
    }

    /// What became of a backup or restore whose answer was lost.
    pub async fn operation_outcome(&self, operation: OperationId) -> Result<OperationOutcome> {
        self.operations.outcome(operation).await
    }

    /// Ends the operation that runs, and leaves nothing of it.
    pub async fn cancel_operation(&self) -> CancelResult {
        CancelResult {
            cancelled: self.operations.cancel().await,
        }
    }

    /// The operations that have ended, the last one first.
    pub fn operation_log(&self, query: &OperationLogQuery) -> Result<OperationLogPage> {
        self.operations.log().page(query)
    }

    /// Runs `operation` and streams how far it is.
    fn operation_stream<T: Serialize + 'static>(
        &self,
        operation: impl AsyncFnOnce(Rc<Operations>, Cancellation) -> Result<T> + 'static,
    ) -> Result<Response> {
        let (operations, cancellation) = (self.operations.clone(), Cancellation::default());
        let (sender, receiver) = oneshot::channel();
        // On its own, so that it can clean up after the reader has gone.
        spawn_local({
            let (operations, cancellation) = (operations.clone(), cancellation.clone());
            async move {
                let _ = sender.send(operation(operations, cancellation).await);
            }
        });
        let guard = CancelOnDrop(cancellation);
        let events = stream::unfold(Some((receiver, guard)), move |running| {
            let operations = operations.clone();
            async move {
                let (receiver, guard) = running?;
                let next = {
                    let progress = pin!(operations.progress_of(&guard.0));
                    match select(receiver, progress).await {
                        Either::Left((outcome, _)) => Err(outcome),
                        Either::Right((operation, receiver)) => Ok((operation, receiver)),
                    }
                };
                Some(match next {
                    Ok((operation, receiver)) => {
                        let event = OperationEvent::<T>::Progress {
                            operation: Box::new(operation),
                        };
                        (sse::event(&Ok(event)), Some((receiver, guard)))
                    }
                    Err(outcome) => {
                        let lost = |_| {
                            SandboxError::new(ErrorCode::InternalError, "the operation was lost")
                        };
                        let outcome = outcome.map_err(lost).flatten();
                        let last = outcome.map(|result| OperationEvent::Result { result });
                        (sse::event(&last), None)
                    }
                })
            }
        });
        sse::response(events)
    }

    /// The agent, in a container that has what is to be put back in it.
    async fn agent(&self) -> Result<AgentInUse> {
        let agent = self.lifecycle.agent().await?;
        if self.lifecycle.is_put_back() {
            return Ok(agent);
        }
        self.operations
            .run(Cancellation::default(), auto_restore::put_back)
            .await
    }

    /// Runs a command to its end.
    pub async fn exec(&self, exec: &Exec) -> Result<ExecResult> {
        let agent = self.agent().await?;
        let mut events = agent.events(paths::EXEC, exec).await?;
        let mut stdout = Collected::default();
        let mut stderr = Collected::default();
        loop {
            match events.next().await? {
                ExecEvent::Start { .. } => {}
                ExecEvent::Stdout { data } => stdout.push(&data),
                ExecEvent::Stderr { data } => stderr.push(&data),
                ExecEvent::Exit {
                    exit_code,
                    timed_out,
                    duration,
                } => {
                    return Ok(ExecResult {
                        success: exit_code == 0,
                        exit_code,
                        truncated: stdout.truncated || stderr.truncated,
                        stdout: stdout.text,
                        stderr: stderr.text,
                        duration,
                        timed_out,
                    });
                }
            }
        }
    }

    /// Runs a command and streams [`ExecEvent`]s as server-sent events. The
    /// command is killed when the reader goes away.
    pub async fn exec_stream(&self, exec: &Exec) -> Result<Response> {
        let agent = self.agent().await?;
        let events = agent.events(paths::EXEC, exec).await?;
        // The agent stays in use for as long as the stream lives.
        sse::response(stream::unfold(Some((events, agent)), async |running| {
            let (mut events, agent) = running?;
            let event: Result<ExecEvent> = events.next().await;
            let ends = matches!(event, Ok(ExecEvent::Exit { .. }) | Err(_));
            let rest = (!ends).then_some((events, agent));
            Some((sse::event(&event), rest))
        }))
    }

    /// Writes a file, making its parent directories; `content` is a string,
    /// bytes, or a `ReadableStream` of bytes.
    pub async fn write_file(&self, path: &str, content: JsValue) -> Result<FileOperationResult> {
        let path = rules::check_file_path(path)?;
        let url = with_query(paths::FILES, &[("path", &path)]);
        let agent = self.agent().await?;
        agent::done(agent.send(Method::Put, &url, Some(content)).await?).await?;
        Ok(done(path))
    }

    /// A response whose body is the content of a file.
    pub async fn read_file(&self, path: &str) -> Result<Response> {
        let path = rules::check_file_path(path)?;
        let url = with_query(paths::FILES, &[("path", &path)]);
        let agent = self.agent().await?;
        agent.send(Method::Get, &url, None).await
    }

    /// Deletes a file or a symbolic link.
    pub async fn delete_file(&self, path: &str) -> Result<FileOperationResult> {
        let path = rules::check_file_path(path)?;
        let url = with_query(paths::FILES, &[("path", &path)]);
        let agent = self.agent().await?;
        agent::done(agent.send(Method::Delete, &url, None).await?).await?;
        Ok(done(path))
    }

    /// What is in a directory.
    pub async fn list_files(
        &self,
        path: &str,
        options: ListFilesOptions,
    ) -> Result<ListFilesResult> {
        let path = rules::check_file_path(path)?;
        let url = with_query(
            paths::LIST,
            &[
                ("path", &path),
                ("recursive", flag(options.recursive)),
                ("includeHidden", flag(options.include_hidden)),
            ],
        );
        let agent = self.agent().await?;
        json(agent.send(Method::Get, &url, None).await?).await
    }

    /// Makes a directory.
    pub async fn mkdir(&self, path: &str, options: MkdirOptions) -> Result<FileOperationResult> {
        let path = rules::check_file_path(path)?;
        let url = with_query(
            paths::MKDIR,
            &[("path", &path), ("recursive", flag(options.recursive))],
        );
        let agent = self.agent().await?;
        agent::done(agent.send(Method::Post, &url, None).await?).await?;
        Ok(done(path))
    }

    /// Whether there is something at a path.
    pub async fn exists(&self, path: &str) -> Result<ExistsResult> {
        let path = rules::check_file_path(path)?;
        let url = with_query(paths::EXISTS, &[("path", &path)]);
        let agent = self.agent().await?;
        json(agent.send(Method::Get, &url, None).await?).await
    }

    /// How the sandbox is. Starts nothing.
    pub async fn status(&self) -> Result<SandboxStatus> {
        let agent = self.lifecycle.running_agent().await?;
        let (state, strategies, mounts) = match agent {
            Some(agent) => {
                let status = agent.status().await?;
                // A good moment for what should have been done already; whoever
                // looks is not to suffer if it fails.
                let _ = self.lifecycle.renew(&agent, &status.mounts).await;
                (ContainerState::Running, status.strategies, status.mounts)
            }
            None => (ContainerState::Stopped, Vec::new(), Vec::new()),
        };
        Ok(SandboxStatus {
            container: ContainerStatus { state, strategies },
            mounts,
            auto_restore: auto_restore::status(&self.lifecycle).await?,
            operation: self.operations.current(),
        })
    }

    /// Ends the container. What it had on disk, mounts included, is gone.
    pub async fn stop(&self) -> Result<()> {
        self.lifecycle.stop().await
    }
}

async fn create_backup(
    operations: &Operations,
    options: BackupOptions,
    operation: Option<OperationId>,
    cancellation: Cancellation,
) -> Result<CreatedBackup> {
    // The container of now, not of when it is this operation's turn.
    let meant = operations.lifecycle().known_agent();
    operations
        .run(cancellation, async |context| {
            create::create(context, meant, options, operation).await
        })
        .await
}

async fn restore_backup(
    operations: &Operations,
    request: RestoreRequest,
    operation: Option<OperationId>,
    cancellation: Cancellation,
) -> Result<RestoreBackupResult> {
    operations
        .run(cancellation, async |context| {
            restore::restore(context, request, operation).await
        })
        .await
}

async fn verify_backup(
    operations: &Operations,
    id: BackupId,
    cancellation: Cancellation,
) -> Result<VerifyBackupResult> {
    operations
        .run(cancellation, async |context| {
            verify::verify(context, id).await
        })
        .await
}

/// Cancels an operation that nobody waits for any more.
struct CancelOnDrop(Cancellation);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.request();
    }
}

/// Output of a command, as much of it as a result may hold.
#[derive(Default)]
struct Collected {
    text: String,
    truncated: bool,
}

impl Collected {
    fn push(&mut self, data: &str) {
        let room = MAX_COLLECTED_OUTPUT - self.text.len();
        let fits = data.floor_char_boundary(room);
        self.text.push_str(&data[..fits]);
        self.truncated |= fits < data.len();
    }
}

fn done(path: String) -> FileOperationResult {
    FileOperationResult {
        success: true,
        path,
    }
}

fn flag(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_cut_between_characters() {
        let mut output = Collected::default();
        output.push(&"x".repeat(MAX_COLLECTED_OUTPUT - 1));
        assert!(!output.truncated);
        output.push("é!");
        assert!(output.truncated);
        assert_eq!(output.text.len(), MAX_COLLECTED_OUTPUT - 1);
    }
}
