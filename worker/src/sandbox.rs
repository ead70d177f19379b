//! The Durable Object: one sandbox, with a container of its own.
//!
//! Backing up, restoring and unmounting happen one at a time, in the order
//! they were asked for. Commands and files do not wait for them: a backup is
//! taken of a live tree.

#![allow(missing_docs, reason = "the durable_object macro makes public methods")]

use std::{cell::RefCell, rc::Rc};

use futures_util::stream;
use sandbox_shared::{
    BackupOptions, ErrorCode, RestoreBackupResult, RestoreRequest, Result, SandboxError, Strategy,
    files::{
        ExecEvent, ExecResult, ExistsResult, FileOperationResult, ListFilesOptions,
        ListFilesResult, MAX_COLLECTED_OUTPUT, MkdirOptions,
    },
    protocol::{Exec, MountStatus, UnmountBackup, UnmountResult, paths},
    rules,
};
use serde::Serialize;
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};
use worker::{DurableObject, Env, Method, Request, Response, State, durable_object};

use crate::{
    agent::{json, with_query},
    backup::{
        Context, Operation, ProgressReport, ProgressSlot,
        auto_restore::{self, AutoRestore},
        create::{self, CreatedBackup},
        restore,
    },
    config::Config,
    http,
    lifecycle::{AgentInUse, Lifecycle},
};

mod rpc;

/// One sandbox.
#[durable_object]
pub struct Sandbox {
    config: Rc<Config>,
    lifecycle: Rc<Lifecycle>,
    /// Taken by the operation that runs; fair, so others follow in order.
    operations: tokio::sync::Mutex<()>,
    /// Why something could not be put back, when it was last tried.
    not_put_back: RefCell<Option<SandboxError>>,
    progress: ProgressSlot,
}

impl DurableObject for Sandbox {
    fn new(state: State, env: Env) -> Self {
        let config = Rc::new(Config::from_env(env));
        Self {
            lifecycle: Rc::new(Lifecycle::new(state, config.clone())),
            config,
            operations: tokio::sync::Mutex::new(()),
            not_put_back: RefCell::new(None),
            progress: Rc::new(RefCell::new(None)),
        }
    }

    async fn fetch(&self, request: Request) -> worker::Result<Response> {
        http::routes::handle(self, request).await
    }

    async fn alarm(&self) -> worker::Result<Response> {
        match self.lifecycle.on_alarm().await {
            Ok(()) => Response::empty(),
            Err(error) => Err(error.to_string().into()),
        }
    }
}

/// How a sandbox is.
#[derive(Clone, Debug, Serialize)]
pub struct SandboxStatus {
    /// The container.
    pub container: ContainerStatus,
    /// Restored directories.
    pub mounts: Vec<MountStatus>,
    /// What is put back when the container starts again.
    #[serde(rename = "autoRestore")]
    pub auto_restore: Vec<AutoRestoreStatus>,
    /// The backup or restore that runs.
    pub operation: Option<Operation>,
}

/// A directory that is put back.
#[derive(Clone, Debug, Serialize)]
pub struct AutoRestoreStatus {
    /// Which, and with what.
    #[serde(flatten)]
    pub entry: AutoRestore,
    /// Why it could not be, when it was last tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<SandboxError>,
}

/// How a container is.
#[derive(Clone, Debug, Serialize)]
pub struct ContainerStatus {
    /// `running` or `stopped`.
    pub state: &'static str,
    /// How restored directories can be served in it, best first.
    pub strategies: Vec<Strategy>,
}

impl Sandbox {
    /// Waits for its turn and runs one operation.
    async fn exclusively<T>(
        &self,
        operation: impl AsyncFnOnce(&Context<'_>) -> Result<T>,
    ) -> Result<T> {
        let _turn = self.operations.lock().await;
        let context = Context {
            config: &self.config,
            lifecycle: &self.lifecycle,
            progress: ProgressReport::new(self.progress.clone()),
        };
        operation(&context).await
    }

    /// The agent, in a container that has what is to be put back in it.
    async fn agent(&self) -> Result<AgentInUse> {
        let agent = self.lifecycle.agent().await?;
        if !self.lifecycle.is_put_back() {
            self.exclusively(async |context| self.put_back(context).await)
                .await?;
        }
        Ok(agent)
    }

    /// Restores what a container that has just started lacks.
    async fn put_back(&self, context: &Context<'_>) -> Result<()> {
        // Without it, what there is to be put back is not known.
        let _agent = context.lifecycle.agent().await?;
        if context.lifecycle.is_put_back() {
            return Ok(());
        }
        let done = auto_restore::put_back(context).await;
        *self.not_put_back.borrow_mut() = done.as_ref().err().cloned();
        if done.is_ok() {
            context.lifecycle.set_put_back();
        }
        done
    }

    /// Archives a directory into the bucket.
    pub async fn create_backup(&self, options: BackupOptions) -> Result<CreatedBackup> {
        self.exclusively(async |context| {
            self.put_back(context).await?;
            create::create(context, options).await
        })
        .await
    }

    /// Gives a directory back, copy-on-write.
    pub async fn restore_backup(&self, request: RestoreRequest) -> Result<RestoreBackupResult> {
        let dir = request.backup.dir.clone();
        self.exclusively(async |context| {
            // This may be what mends it.
            let _ = self.put_back(context).await;
            let restored = restore::restore(context, request).await;
            if restored.is_ok() {
                self.forget_failure(&dir);
            }
            restored
        })
        .await
    }

    /// Takes a restored directory away; what was there before comes back.
    pub async fn unmount_backup(&self, request: UnmountBackup) -> Result<UnmountResult> {
        let dir = self.config.allowed_roots()?.check(&request.dir)?;
        let force = request.force;
        self.exclusively(async |context| {
            // What could not be put back can be forgotten nevertheless.
            let put_back = self.put_back(context).await;
            let agent = context.lifecycle.agent().await?;
            let request = UnmountBackup {
                dir: dir.clone(),
                force,
            };
            let unmounted = agent.unmount(&request).await;
            let was_missing = put_back.is_err() && self.forget_failure(&dir);
            if unmounted.is_ok() || was_missing {
                auto_restore::forget(context, &dir).await?;
            }
            match unmounted {
                Err(_) if was_missing => Ok(UnmountResult { success: true, dir }),
                unmounted => unmounted,
            }
        })
        .await
    }

    /// Whether what could not be put back is `dir`, which is no matter any more.
    fn forget_failure(&self, dir: &str) -> bool {
        let mut failure = self.not_put_back.borrow_mut();
        let is_it = failure
            .as_ref()
            .is_some_and(|error| error.context.get("autoRestore").is_some_and(|d| d == dir));
        if is_it {
            *failure = None;
        }
        is_it
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
        let lines = stream::unfold(Some((events, agent)), async |running| {
            let (mut events, agent) = running?;
            let event: Result<ExecEvent> = events.next().await;
            let (text, rest) = match &event {
                Ok(ExecEvent::Exit { .. }) => (serde_json::to_string(&event.ok()), None),
                Ok(event) => (serde_json::to_string(event), Some((events, agent))),
                Err(error) => (serde_json::to_string(&ErrorEvent { error }), None),
            };
            let line = text.map(|text| format!("data: {text}\n\n").into_bytes());
            Some((line.map_err(worker::Error::from), rest))
        });
        let internal =
            |error: worker::Error| SandboxError::new(ErrorCode::InternalError, error.to_string());
        let mut response = Response::from_stream(lines).map_err(internal)?;
        response
            .headers_mut()
            .set("content-type", "text/event-stream")
            .map_err(internal)?;
        Ok(response)
    }

    /// Writes a file, making its parent directories; `content` is a string,
    /// bytes, or a `ReadableStream` of bytes.
    pub async fn write_file(&self, path: &str, content: JsValue) -> Result<FileOperationResult> {
        let path = rules::check_file_path(path)?;
        let url = with_query(paths::FILES, &[("path", &path)]);
        let agent = self.agent().await?;
        agent.send(Method::Put, &url, Some(content)).await?;
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
        agent.send(Method::Delete, &url, None).await?;
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
        agent.send(Method::Post, &url, None).await?;
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
                ("running", status.strategies, status.mounts)
            }
            None => ("stopped", Vec::new(), Vec::new()),
        };
        Ok(SandboxStatus {
            container: ContainerStatus { state, strategies },
            mounts,
            auto_restore: self.auto_restores().await?,
            operation: self.progress.borrow().clone(),
        })
    }

    async fn auto_restores(&self) -> Result<Vec<AutoRestoreStatus>> {
        let entries = auto_restore::all(&self.lifecycle.storage()).await?;
        let failure = self.not_put_back.borrow();
        let with_error = |entry: AutoRestore| AutoRestoreStatus {
            error: failure.clone().filter(|error| {
                error.context.get("autoRestore") == Some(&entry.backup.dir[..].into())
            }),
            entry,
        };
        Ok(entries.into_iter().map(with_error).collect())
    }

    /// Ends the container. What it had on disk, mounts included, is gone.
    pub async fn stop(&self) -> Result<()> {
        self.lifecycle.stop().await
    }
}

/// The last event of a stream that was cut off.
#[derive(Serialize)]
struct ErrorEvent<'a> {
    error: &'a SandboxError,
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
