//! `reindexBackups`: makes the index anew from what is in the bucket.

use futures_util::{StreamExt, stream};
use sandbox_shared::{BackupMetadata, Result, catalogue::ReindexResult, report::Listed};

use crate::storage::{
    bucket::{BackupBucket, ListedObject},
    index::Index,
    keys,
};

/// Metadata objects read at a time.
const READ_AT_ONCE: usize = 8;
/// Most keys of unreadable metadata that are listed.
const LISTED: usize = 1000;

/// Indexes the backups of this sandbox, and those of writers that do not say
/// which sandbox was theirs.
pub async fn reindex(bucket: &BackupBucket, index: &Index) -> Result<ReindexResult> {
    index.clear()?;
    let mut unreadable = Listed::default();
    let mut cursor = None;
    loop {
        let page = bucket.list(cursor).await?;
        let candidates = page.objects.into_iter().filter_map(|object| {
            let ListedObject::Metadata(listed) = object else {
                return None;
            };
            let sandbox = listed.sandbox.as_deref();
            let candidate = sandbox.is_none_or(|sandbox| sandbox == index.sandbox());
            candidate.then_some(listed)
        });
        let mut read = stream::iter(candidates)
            .map(async |listed| {
                let json = bucket.metadata_json(&listed.id).await;
                (listed.id, json)
            })
            .buffer_unordered(READ_AT_ONCE);
        while let Some((id, json)) = read.next().await {
            let Some(json) = json? else {
                // Deleted meanwhile.
                continue;
            };
            match serde_json::from_slice::<BackupMetadata>(&json) {
                Ok(metadata) => {
                    let sandbox = metadata.sandbox.as_deref();
                    if sandbox.is_none_or(|sandbox| sandbox == index.sandbox()) {
                        index.put(&metadata)?;
                    }
                }
                Err(_) => {
                    unreadable.count += 1;
                    if unreadable.first.len() < LISTED {
                        unreadable.first.push(keys::metadata(&id));
                    }
                }
            }
        }
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok(ReindexResult {
                indexed: index.count()?,
                unreadable,
            });
        }
    }
}
