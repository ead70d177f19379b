//! `pruneBackups`: deletes what no rule keeps.
//!
//! The index says what there may be, the bucket what there is: anything may have
//! been deleted by another sandbox, by a lifecycle rule, or through a binding. So
//! what takes a place that others are deleted for is looked up first, and if it
//! is missing, the rules are applied again to what is left. What is deleted from
//! elsewhere between the look and the deletion goes unseen: R2 has no
//! transactions.

use std::collections::HashMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use sandbox_shared::{
    BackupId, BackupMetadata, Result,
    catalogue::{BackupRecord, PruneBackups, PruneResult},
    report::Listed,
};
use time::OffsetDateTime;

use self::plan::Plan;
use crate::storage::{
    bucket::{BackupBucket, DELETED_AT_ONCE},
    index::{Candidate, Index},
};

mod plan;

/// Most records that a result lists.
const LISTED: usize = 1000;
/// Backups looked up at a time: as many connections as an invocation may have
/// (Cloudflare Workers, "Limits", "Simultaneous open connections").
const LOOKED_UP_AT_ONCE: usize = 6;

/// Deletes the backups of this sandbox that the rules do not keep, or tells
/// which they are. If a look into the bucket fails, nothing is deleted of the
/// [`DELETED_AT_ONCE`] that it was for. What has been deleted before a failure is
/// out of the index, and the same call goes on.
pub async fn prune(
    bucket: &BackupBucket,
    index: &Index,
    request: PruneBackups,
    now: OffsetDateTime,
) -> Result<PruneResult> {
    request.validate()?;
    let (plan, missing) = plan(bucket, index, &request, now).await?;
    let mut result = PruneResult {
        dry_run: request.dry_run,
        kept: plan.kept,
        deleted: Listed::default(),
        freed_bytes: 0,
        missing: Listed::default(),
    };
    for doomed in plan.doomed.chunks(DELETED_AT_ONCE) {
        let restorable = restorable(bucket, doomed, now).await?;
        let mut doomed = doomed.to_vec();
        doomed.retain(|candidate| restorable.iter().all(|stays| stays.id != candidate.id));
        // They are judged by what they are when rules are next applied.
        for metadata in &restorable {
            index.correct(metadata)?;
            result.kept += 1;
        }
        list(&mut result.deleted, index, &doomed, now)?;
        result.freed_bytes += doomed.iter().map(Candidate::size_bytes).sum::<u64>();
        if !request.dry_run {
            let ids = ids(&doomed);
            bucket.delete_all(&ids).await?;
            index.remove(&ids)?;
        }
    }
    list(&mut result.missing, index, &missing, now)?;
    index.remove(&ids(&missing))?;
    Ok(result)
}

/// What is to be done, once all that decides is known to be there; and what the
/// index has that turned out not to be.
async fn plan(
    bucket: &BackupBucket,
    index: &Index,
    request: &PruneBackups,
    now: OffsetDateTime,
) -> Result<(Plan, Vec<Candidate>)> {
    // Whether what was looked up is there.
    let mut known = HashMap::new();
    loop {
        let candidates = index.own(request.dir.as_deref())?;
        let (missing, there): (Vec<_>, Vec<_>) = candidates
            .into_iter()
            .partition(|candidate| known.get(&candidate.id) == Some(&false));
        let mut plan = Plan::new(request, &there, &missing, now);
        plan.decisive.retain(|id| !known.contains_key(id));
        if plan.decisive.is_empty() {
            return Ok((plan, missing));
        }
        let looked_up: Vec<_> = stream::iter(&plan.decisive)
            .map(async |id| bucket.whole(id).await.map(|whole| (id, whole)))
            .buffer_unordered(LOOKED_UP_AT_ONCE)
            .try_collect()
            .await?;
        let mut as_planned = true;
        for (id, found) in looked_up {
            as_planned &= match &found {
                Some(metadata) => !index.correct(metadata)?,
                None => false,
            };
            known.insert(id.clone(), found.is_some());
        }
        if as_planned {
            return Ok((plan, missing));
        }
    }
}

/// Of those that have expired as far as the index knows, what can be restored
/// after all: the bucket's metadata decides, as it does for a restore.
async fn restorable(
    bucket: &BackupBucket,
    candidates: &[Candidate],
    now: OffsetDateTime,
) -> Result<Vec<BackupMetadata>> {
    let expired = candidates
        .iter()
        .filter(|candidate| candidate.is_expired(now));
    stream::iter(expired)
        .map(async |candidate| bucket.metadata(&candidate.id).await)
        .buffer_unordered(LOOKED_UP_AT_ONCE)
        .try_filter_map(async |found| Ok(found.filter(|metadata| !metadata.is_expired(now))))
        .try_collect()
        .await
}

/// Adds what the index knows of them.
fn list(
    listed: &mut Listed<BackupRecord>,
    index: &Index,
    candidates: &[Candidate],
    now: OffsetDateTime,
) -> Result<()> {
    listed.count += candidates.len() as u64;
    for candidate in candidates {
        if listed.first.len() == LISTED {
            break;
        }
        listed.first.extend(index.get(&candidate.id, now)?);
    }
    Ok(())
}

fn ids(candidates: &[Candidate]) -> Vec<BackupId> {
    let ids = candidates.iter().map(|candidate| candidate.id.clone());
    ids.collect()
}
