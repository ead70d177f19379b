//! Files of the container.

use sandbox_shared::{
    Result,
    files::{ExistsResult, FileOperationResult, ListFiles, ListFilesResult, MakeDirectory},
    protocol::paths,
    rules,
};
use worker::Method;

use super::Service;
use crate::agent::{self, Body, Content, json, with_query};

impl Service {
    /// Writes a file, making its parent directories.
    pub async fn write_file(&self, path: &str, content: Body) -> Result<FileOperationResult> {
        let path = rules::check_file_path(path)?;
        let url = with_query(paths::FILES, &[("path", &path)]);
        let agent = self.agent().await?;
        agent::done(agent.send(Method::Put, &url, Some(content)).await?).await?;
        Ok(done(path))
    }

    /// The content of a file.
    pub async fn read_file(&self, path: &str) -> Result<Content> {
        let path = rules::check_file_path(path)?;
        let url = with_query(paths::FILES, &[("path", &path)]);
        let agent = self.agent().await?;
        agent.content(&url).await
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
    pub async fn list_files(&self, request: &ListFiles) -> Result<ListFilesResult> {
        let path = rules::check_file_path(&request.path)?;
        let url = with_query(
            paths::LIST,
            &[
                ("path", &path),
                ("recursive", flag(request.recursive)),
                ("includeHidden", flag(request.include_hidden)),
            ],
        );
        let agent = self.agent().await?;
        json(agent.send(Method::Get, &url, None).await?).await
    }

    /// Makes a directory.
    pub async fn mkdir(&self, request: &MakeDirectory) -> Result<FileOperationResult> {
        let path = rules::check_file_path(&request.path)?;
        let url = with_query(
            paths::MKDIR,
            &[("path", &path), ("recursive", flag(request.recursive))],
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
