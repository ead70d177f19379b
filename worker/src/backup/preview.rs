//! `previewBackup`: what a backup would hold. Nothing is stored.

use sandbox_shared::{
    BackupOptions, Result,
    protocol::{PreviewBackup, PreviewEvent, paths},
    report::BackupPreview,
    rules::AllowedRoots,
};

use crate::agent::Agent;

/// Looks at a directory as `createBackup` with the same options would.
pub async fn preview(
    agent: &Agent,
    roots: &AllowedRoots,
    options: BackupOptions,
) -> Result<BackupPreview> {
    let options = options.validate(roots)?;
    let request = PreviewBackup {
        selection: options.selection(),
        dir: options.dir,
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
