//! Backups: made, previewed, verified.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    body::Body,
    extract::{Path, State},
};
use parking_lot::Mutex;
use sandbox_shared::{
    BackupId, ErrorCode, SandboxError, methods,
    protocol::{
        CreateBackup, CreateEvent, Done, PartUrls, PreviewBackup, PreviewEvent, VerifyBackup,
        VerifyEvent,
    },
};

use super::{
    Agent,
    answer::{Result, body, event_stream, json},
};
use crate::{
    backup::{self, Plan, Wanted},
    progress::reporting,
    transfer::upload::PartAddresses,
    verify,
};

/// A backup that waits for part URLs, for as long as it does.
struct Waiting {
    uploads: Arc<Mutex<HashMap<BackupId, Arc<PartAddresses>>>>,
    id: BackupId,
}

impl Waiting {
    fn announce(&self, addresses: Arc<PartAddresses>) {
        self.uploads.lock().insert(self.id.clone(), addresses);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.uploads.lock().remove(&self.id);
    }
}

pub(super) async fn create_backup(State(agent): State<Agent>, request: Body) -> Result {
    let request: CreateBackup = body(request, ErrorCode::InvalidBackupConfig).await?;
    let mounts = agent.restored_directories(&methods::CREATE_BACKUP).await?;
    let id = request.id.clone();
    let plan = Plan::from_request(request, &agent.config.roots, &mounts)?;
    let waiting = Waiting {
        uploads: Arc::clone(&agent.uploads),
        id,
    };
    let store = agent.store.clone();
    Ok(event_stream(&agent, |events| async move {
        let announce = |addresses| waiting.announce(addresses);
        let created = backup::create(plan, &store, events.clone(), announce).await;
        let last = created.map_or_else(CreateEvent::Failed, |archive| {
            CreateEvent::Uploaded(Box::new(archive))
        });
        let _ = events.send(last).await;
    }))
}

pub(super) async fn preview_backup(State(agent): State<Agent>, request: Body) -> Result {
    let PreviewBackup { dir, selection } = body(request, ErrorCode::InvalidBackupConfig).await?;
    let mounts = agent.restored_directories(&methods::PREVIEW_BACKUP).await?;
    let wanted = Wanted::from_request(
        &agent.config.roots.check(&dir)?,
        selection,
        &agent.config.roots,
        &mounts,
    )?;
    Ok(event_stream(&agent, |events| async move {
        let previewed = backup::preview(wanted, events.clone()).await;
        let last = previewed.map_or_else(PreviewEvent::Failed, |preview| {
            PreviewEvent::Previewed(Box::new(preview))
        });
        let _ = events.send(last).await;
    }))
}

pub(super) async fn give_parts(
    State(agent): State<Agent>,
    Path(id): Path<String>,
    request: Body,
) -> Result {
    let id = BackupId::parse(&id)?;
    let urls: PartUrls = body(request, ErrorCode::InvalidRequest).await?;
    let addresses = agent.uploads.lock().get(&id).cloned().ok_or_else(|| {
        SandboxError::invalid_request(format!("backup {id} is not waiting for part URLs"))
    })?;
    addresses.give(urls);
    Ok(json(&Done {}))
}

pub(super) async fn verify_backup(State(agent): State<Agent>, request: Body) -> Result {
    let VerifyBackup { source } = body(request, ErrorCode::InvalidBackupConfig).await?;
    let bytes_total = source.size_bytes;
    let (state, store) = (agent.state.clone(), agent.store.clone());
    let cache_bytes = agent.config.cache_bytes;
    Ok(event_stream(&agent, |events| async move {
        let checked = Arc::new(AtomicU64::new(0));
        let verified = reporting(
            verify::verify(source, store, &state, cache_bytes, Arc::clone(&checked)),
            &events,
            || VerifyEvent::Progress {
                bytes_checked: checked.load(Ordering::Relaxed),
                bytes_total,
            },
        )
        .await;
        let last = verified.map_or_else(
            |error| VerifyEvent::Failed(error.into()),
            VerifyEvent::Verified,
        );
        let _ = events.send(last).await;
    }))
}
