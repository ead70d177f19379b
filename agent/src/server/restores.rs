//! Restored directories: made, looked at, taken away.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::{body::Body, extract::State};
use sandbox_shared::{
    ErrorCode,
    methods::{self, Failure as _},
    protocol::{self, AgentStatus, Done, RestoreBackup, RestoreEvent, UnmountBackup},
};

use super::{
    Agent,
    answer::{Result, body, event_stream, json},
};
use crate::{
    progress::reporting,
    restore::{Destination, Restore, Source},
};

pub(super) async fn status(State(agent): State<Agent>) -> Result {
    let mounts = agent.mounts.status().await;
    Ok(json(&AgentStatus {
        protocol: protocol::VERSION,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        strategies: agent.mounts.strategies().await,
        mounts: mounts.map_err(|error| error.of(&methods::STATUS))?,
    }))
}

pub(super) async fn restore_backup(State(agent): State<Agent>, request: Body) -> Result {
    let request: RestoreBackup = body(request, ErrorCode::InvalidBackupConfig).await?;
    let dir = agent.config.roots.check(&request.dir)?;
    let bytes_total = request.source.size_bytes;
    let restore = Restore {
        id: request.id,
        destination: Destination::Allowed(dir, agent.config.roots.clone()),
        source: Source::Remote(request.source),
        strategy: request.strategy,
        force: request.force,
    };
    let mounts = agent.mounts.clone();
    Ok(event_stream(&agent, |events| async move {
        let fetched = AtomicU64::new(0);
        let restored = reporting(
            mounts.restore(restore, |bytes| {
                fetched.store(bytes, Ordering::Relaxed);
            }),
            &events,
            || RestoreEvent::Progress {
                bytes_downloaded: fetched.load(Ordering::Relaxed),
                bytes_total,
            },
        )
        .await;
        let last = restored.map_or_else(
            |error| RestoreEvent::Failed(error.of(&methods::RESTORE_BACKUP)),
            RestoreEvent::Mounted,
        );
        let _ = events.send(last).await;
    }))
}

pub(super) async fn renew_url(State(agent): State<Agent>, request: Body) -> Result {
    let renewed = agent
        .mounts
        .renew(body(request, ErrorCode::InvalidRequest).await?)
        .await;
    renewed.map_err(|error| error.of(&methods::RESTORE_BACKUP))?;
    Ok(json(&Done {}))
}

pub(super) async fn unmount_backup(State(agent): State<Agent>, request: Body) -> Result {
    let request: UnmountBackup = body(request, ErrorCode::InvalidBackupConfig).await?;
    let dir = agent.config.roots.check(&request.dir)?.into();
    let unmounted = agent.mounts.unmount(dir, request.force).await;
    Ok(json(
        &unmounted.map_err(|error| error.of(&methods::UNMOUNT_BACKUP))?,
    ))
}
