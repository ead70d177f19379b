//! Commands and files.

use axum::{
    body::Body,
    extract::{Query, State, rejection::QueryRejection},
    http::header,
    response::IntoResponse,
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use sandbox_shared::{
    ErrorCode, SandboxError,
    files::{ExecEvent, ExecRequest},
    protocol::{Done, FileQuery},
};
use tokio::{io::AsyncReadExt, sync::mpsc};

use super::{
    Agent,
    answer::{Result, body, event_stream, json},
    internal,
};
use crate::{exec, files};

/// Bytes of a file that are read at a time.
const FILE_CHUNK: usize = 256 << 10;

pub(super) type FileParameters = Result<Query<FileQuery>, QueryRejection>;

fn query(parameters: FileParameters) -> Result<FileQuery, SandboxError> {
    parameters
        .map(|Query(query)| query)
        .map_err(|error| SandboxError::invalid_request(error.body_text()))
}

pub(super) async fn run_command(State(agent): State<Agent>, request: Body) -> Result {
    let request: ExecRequest = body(request, ErrorCode::InvalidRequest).await?;
    let running = exec::start(request)?;
    Ok(event_stream(&agent, |events: mpsc::Sender<ExecEvent>| {
        running.report(events)
    }))
}

pub(super) async fn read_file(parameters: FileParameters) -> Result {
    let (file, size) = files::open(&query(parameters)?.path).await?;
    // A file that grows meanwhile must not be longer than announced.
    let content = stream::unfold(file.take(size), |mut file| async {
        let mut chunk = vec![0; FILE_CHUNK];
        match file.read(&mut chunk).await {
            Ok(0) => None,
            Ok(length) => {
                chunk.truncate(length);
                Some((Ok(Bytes::from(chunk)), file))
            }
            Err(error) => Some((Err(error), file)),
        }
    });
    Ok((
        [
            (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
            (header::CONTENT_LENGTH, size.to_string()),
        ],
        Body::from_stream(content),
    )
        .into_response())
}

pub(super) async fn write_file(parameters: FileParameters, content: Body) -> Result {
    let path = query(parameters)?.path;
    files::write(&path, content.into_data_stream().boxed()).await?;
    Ok(json(&Done {}))
}

pub(super) async fn delete_file(parameters: FileParameters) -> Result {
    files::delete(&query(parameters)?.path).await?;
    Ok(json(&Done {}))
}

pub(super) async fn list_files(parameters: FileParameters) -> Result {
    let query = query(parameters)?;
    let listed = tokio::task::spawn_blocking(move || {
        files::list(&query.path, query.recursive, query.include_hidden)
    })
    .await
    .map_err(internal)?;
    Ok(json(&listed?))
}

pub(super) async fn make_dir(parameters: FileParameters) -> Result {
    let query = query(parameters)?;
    files::mkdir(&query.path, query.recursive).await?;
    Ok(json(&Done {}))
}

pub(super) async fn exists(parameters: FileParameters) -> Result {
    Ok(json(&files::exists(&query(parameters)?.path).await?))
}
