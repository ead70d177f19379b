//! `previewBackup`: what a backup would hold. Nothing is stored.

use sandbox_shared::{
    Result,
    backup::NewBackup,
    protocol::{PreviewBackup, PreviewEvent, paths},
    report::BackupPreview,
};

use crate::agent::Agent;

/// Looks at a directory as `createBackup` with the same options would.
pub async fn preview(agent: &Agent, backup: NewBackup) -> Result<BackupPreview> {
    let request = PreviewBackup {
        selection: backup.selection,
        dir: backup.dir.into(),
    };
    let mut events = agent.events(paths::PREVIEW, &request).await?;
    loop {
        match events.next().await? {
            PreviewEvent::Previewed(preview) => return Ok(*preview),
            PreviewEvent::Failed(error) => return Err(error),
            PreviewEvent::Progress { .. } | PreviewEvent::Unknown => {}
        }
    }
}
