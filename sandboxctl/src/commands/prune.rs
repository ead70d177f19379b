//! `prune`

use sandbox_shared::catalogue::{PruneBackups, PruneResult};

use super::{Context, Done, list};
use crate::{
    api::Answer,
    output::{bytes, counted},
};

/// Deletes what no rule keeps, or tells what that would be.
pub(super) async fn prune(context: &Context, rules: PruneBackups) -> Done {
    let answer: Answer<PruneResult> = context.api.post(&["prune"], &rules).await?;
    context.say(&answer, |result| {
        let mut text = String::new();
        if !result.deleted.first.is_empty() {
            text += &list::table(&result.deleted.first);
        }
        if result.deleted.count > result.deleted.first.len() as u64 {
            text += "…\n";
        }
        let (deleted, freed) = if result.dry_run {
            ("would be deleted", "would be freed")
        } else {
            ("deleted", "freed")
        };
        let count = counted(result.deleted.count, "backup", "backups");
        let size = bytes(result.freed_bytes);
        text += &format!("{count} {deleted}, {size} {freed}; {} kept\n", result.kept);
        if !result.missing.is_empty() {
            let missing = counted(result.missing.count, "backup was", "backups were");
            text += &format!("{missing} gone from the bucket, and counted for no rule:\n");
            text += &list::table(&result.missing.first);
        }
        text
    })
}
