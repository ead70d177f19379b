//! Files of the container.

use sandbox_shared::{
    AbsolutePath, Result,
    files::{ExistsResult, FileOperationResult, ListFiles, ListFilesResult, MakeDirectory},
    protocol::paths,
};
use worker::Method;

use super::Service;
use crate::agent::{self, Body, Content, json, with_query};

impl Service {
    /// Writes a file, making its parent directories.
    pub async fn write_file(
        &self,
        path: AbsolutePath,
        content: Body,
    ) -> Result<FileOperationResult> {
        let url = with_query(paths::FILES, &[("path", path.as_str())]);
        let agent = self.agent().await?;
        agent::done(agent.send(Method::Put, &url, Some(content)).await?).await?;
        Ok(done(path))
    }

    /// The content of a file.
    pub async fn read_file(&self, path: AbsolutePath) -> Result<Content> {
        let url = with_query(paths::FILES, &[("path", path.as_str())]);
        let agent = self.agent().await?;
        agent.content(&url).await
    }

    /// Deletes a file or a symbolic link.
    pub async fn delete_file(&self, path: AbsolutePath) -> Result<FileOperationResult> {
        let url = with_query(paths::FILES, &[("path", path.as_str())]);
        let agent = self.agent().await?;
        agent::done(agent.send(Method::Delete, &url, None).await?).await?;
        Ok(done(path))
    }

    /// What is in a directory.
    pub async fn list_files(
        &self,
        ListFiles {
            path,
            recursive,
            include_hidden,
        }: ListFiles,
    ) -> Result<ListFilesResult> {
        let url = with_query(
            paths::LIST,
            &[
                ("path", path.as_str()),
                ("recursive", flag(recursive)),
                ("includeHidden", flag(include_hidden)),
            ],
        );
        let agent = self.agent().await?;
        json(agent.send(Method::Get, &url, None).await?).await
    }

    /// Makes a directory.
    pub async fn mkdir(
        &self,
        MakeDirectory { path, recursive }: MakeDirectory,
    ) -> Result<FileOperationResult> {
        let url = with_query(
            paths::MKDIR,
            &[("path", path.as_str()), ("recursive", flag(recursive))],
        );
        let agent = self.agent().await?;
        agent::done(agent.send(Method::Post, &url, None).await?).await?;
        Ok(done(path))
    }

    /// Whether there is something at a path.
    pub async fn exists(&self, path: AbsolutePath) -> Result<ExistsResult> {
        let url = with_query(paths::EXISTS, &[("path", path.as_str())]);
        let agent = self.agent().await?;
        json(agent.send(Method::Get, &url, None).await?).await
    }
}

fn done(path: AbsolutePath) -> FileOperationResult {
    FileOperationResult {
        success: true,
        path: path.into(),
    }
}

fn flag(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}
