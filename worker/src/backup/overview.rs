//! `GET /v1/sandboxes`: whose backups are in the bucket.

use std::collections::HashMap;

use sandbox_shared::{
    Result,
    catalogue::{StoredSandbox, StoredSandboxes},
};
use time::OffsetDateTime;

use crate::storage::bucket::{BackupBucket, ListedObject};

/// Counts what the bucket lists. Memory grows with the number of sandboxes, not
/// of backups; R2 is asked once for every thousand objects.
pub async fn overview(bucket: &BackupBucket) -> Result<StoredSandboxes> {
    let mut sandboxes: HashMap<Option<String>, StoredSandbox> = HashMap::new();
    // An archive is listed just before its metadata.
    let mut archive = None;
    let mut cursor = None;
    loop {
        let page = bucket.list(cursor).await?;
        for object in page.objects {
            let listed = match object {
                ListedObject::Archive { id, size_bytes } => {
                    archive = Some((id, size_bytes));
                    continue;
                }
                ListedObject::Metadata(listed) => listed,
            };
            let size_bytes = archive
                .take()
                .filter(|(id, _)| *id == listed.id)
                .map_or(0, |(_, size_bytes)| size_bytes);
            let stored_at = i128::from(listed.stored_at_ms) * 1_000_000;
            let stored_at = OffsetDateTime::from_unix_timestamp_nanos(stored_at)
                .unwrap_or(OffsetDateTime::UNIX_EPOCH);
            let stored = sandboxes
                .entry(listed.sandbox.clone())
                .or_insert_with(|| StoredSandbox {
                    sandbox: listed.sandbox,
                    name: None,
                    backups: 0,
                    size_bytes: 0,
                    newest_at: stored_at,
                });
            stored.backups += 1;
            stored.size_bytes += size_bytes;
            stored.newest_at = stored.newest_at.max(stored_at);
            stored.name = stored.name.take().or(listed.sandbox_name);
        }
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    let mut sandboxes: Vec<_> = sandboxes.into_values().collect();
    sandboxes.sort_by(|a, b| {
        let by_size = b.size_bytes.cmp(&a.size_bytes);
        by_size.then_with(|| a.sandbox.cmp(&b.sandbox))
    });
    Ok(StoredSandboxes { sandboxes })
}
