//! `pruneBackups`: deletes what no rule keeps.

use sandbox_shared::{
    BackupId, Result,
    catalogue::{PruneBackups, PruneResult},
    report::Listed,
};
use time::OffsetDateTime;

use crate::storage::{
    bucket::{BackupBucket, DELETED_AT_ONCE},
    index::Index,
};

/// Most records that a result lists.
const LISTED: usize = 1000;

/// Deletes the backups of this sandbox that the rules do not keep, or tells
/// which they are. If it fails half way, what it has deleted is out of the
/// index, and the same call goes on.
pub async fn prune(
    bucket: &BackupBucket,
    index: &Index,
    request: PruneBackups,
    now: OffsetDateTime,
) -> Result<PruneResult> {
    request.validate()?;
    let policy = request.keep();
    let mut judge = policy.judge();
    let (mut doomed, mut kept, mut freed) = (Vec::new(), 0, 0.0);
    let mut dir = None;
    index.visit_own(request.dir.as_deref(), |candidate| {
        if dir.as_ref() != Some(&candidate.dir) {
            dir = Some(candidate.dir.clone());
            judge = policy.judge();
        }
        let expired = request.expired && candidate.is_expired(now);
        // With no rule but `expired`, all others stay.
        let wanted = policy.is_empty() || judge.keeps(candidate.created_at());
        if wanted && !expired {
            kept += 1;
        } else {
            freed += candidate.size_bytes;
            doomed.push(candidate.id);
        }
    })?;

    let mut deleted = Listed {
        count: doomed.len() as u64,
        first: Vec::new(),
    };
    for id in doomed.iter().take(LISTED) {
        deleted.first.extend(index.get(id, now)?);
    }
    if !request.dry_run {
        let ids = doomed
            .iter()
            .map(|id| BackupId::parse(id))
            .collect::<Result<Vec<_>>>()?;
        for ids in ids.chunks(DELETED_AT_ONCE) {
            bucket.delete_all(ids).await?;
            index.remove(ids)?;
        }
    }
    Ok(PruneResult {
        dry_run: request.dry_run,
        kept,
        deleted,
        freed_bytes: freed as u64,
    })
}
