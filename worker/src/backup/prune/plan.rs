//! What is to be pruned, by what is known so far.

use std::collections::HashMap;

use sandbox_shared::{BackupId, catalogue::PruneBackups};
use time::OffsetDateTime;

use crate::storage::index::Candidate;

/// What is to become of backups.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// How many stay.
    pub(super) kept: u64,
    /// They go.
    pub(super) doomed: Vec<Candidate>,
    /// They must be there, or others are to stay.
    pub(super) decisive: Vec<BackupId>,
}

impl Plan {
    /// Applies the rules to backups that are there, each directory's together
    /// and from the newest on, as far as is known.
    pub(super) fn new(
        request: &PruneBackups,
        there: &[Candidate],
        missing: &[Candidate],
        now: OffsetDateTime,
    ) -> Self {
        let policy = request.keep();
        let mut missing_of = HashMap::<_, usize>::new();
        for candidate in missing {
            *missing_of.entry(&candidate.dir).or_default() += 1;
        }
        let mut plan = Self::default();
        for of_dir in there.chunk_by(|a, b| a.dir == b.dir) {
            let mut judge = policy.judge();
            let (mut doomed, mut decisive) = (Vec::new(), Vec::new());
            for candidate in of_dir {
                let is_expired = candidate.is_expired(now);
                let verdict = judge.next(candidate.created_at(), is_expired);
                // With no rule but `expired`, all others stay.
                let keeps = verdict.keeps || policy.is_empty();
                if !keeps || (is_expired && request.expired) {
                    doomed.push(candidate.clone());
                    continue;
                }
                plan.kept += 1;
                if verdict.decides {
                    decisive.push(candidate.id.clone());
                }
            }
            // Where none goes, none decides. Where some are missing, as many more
            // may be: they are looked for together, or it would take as long as a
            // look for each.
            if !doomed.is_empty() {
                let more = missing_of.get(&of_dir[0].dir).copied().unwrap_or_default();
                plan.decisive.append(&mut decisive);
                plan.decisive
                    .extend(doomed.iter().take(more).map(|next| next.id.clone()));
            }
            plan.doomed.append(&mut doomed);
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use sandbox_shared::BackupMetadata;
    use serde_json::json;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-03-02 12:00 UTC);

    /// One made so many hours ago, with a TTL of so many hours.
    fn backup(number: u8, dir: &str, age: i64, ttl: i64) -> Candidate {
        let created_at = NOW - time::Duration::hours(age);
        let metadata: BackupMetadata = serde_json::from_value(json!({
            "id": id(number), "dir": dir, "sizeBytes": 4096, "ttl": ttl * 3600,
            "createdAt": sandbox_shared::metadata::iso8601(created_at),
        }))
        .unwrap();
        Candidate::of(&metadata)
    }

    fn id(number: u8) -> BackupId {
        BackupId::from_random([number; 16])
    }

    fn ids<const N: usize>(numbers: [u8; N]) -> Vec<BackupId> {
        numbers.map(id).into()
    }

    fn doomed(plan: &Plan) -> Vec<BackupId> {
        plan.doomed.iter().map(|doomed| doomed.id.clone()).collect()
    }

    #[test]
    fn rules_are_for_each_directory_and_what_keeps_all_is_not_looked_for() {
        let there = [
            backup(1, "/a", 1, 99),
            backup(2, "/a", 2, 99),
            backup(3, "/b", 1, 99),
        ];
        let request = PruneBackups {
            keep_last: Some(1),
            ..PruneBackups::default()
        };
        let plan = Plan::new(&request, &there, &[], NOW);
        assert_eq!((plan.kept, doomed(&plan)), (2, ids([2])));
        assert_eq!(plan.decisive, ids([1]));
    }

    #[test]
    fn expired_ones_go_if_asked_for() {
        let there = [
            backup(1, "/a", 1, 1),
            backup(2, "/a", 2, 99),
            backup(3, "/a", 3, 3),
            backup(4, "/a", 4, 99),
        ];
        let mut request = PruneBackups {
            keep_last: Some(1),
            ..PruneBackups::default()
        };
        let plan = Plan::new(&request, &there, &[], NOW);
        assert_eq!((plan.kept, doomed(&plan)), (2, ids([3, 4])));
        assert_eq!(plan.decisive, ids([1, 2]));

        request.expired = true;
        let plan = Plan::new(&request, &there, &[], NOW);
        assert_eq!((plan.kept, doomed(&plan)), (1, ids([1, 3, 4])));
        assert_eq!(plan.decisive, ids([2]));

        request.keep_last = None;
        let plan = Plan::new(&request, &there, &[], NOW);
        assert_eq!((plan.kept, doomed(&plan)), (2, ids([1, 3])));
        assert!(plan.decisive.is_empty(), "{plan:?}");
    }

    #[test]
    fn as_many_more_are_looked_for_as_were_missing() {
        let missing = [backup(1, "/a", 1, 99), backup(2, "/a", 2, 99)];
        let there: Vec<_> = (3..9)
            .map(|number| backup(number, "/a", number.into(), 99))
            .collect();
        let request = PruneBackups {
            keep_last: Some(1),
            ..PruneBackups::default()
        };
        let plan = Plan::new(&request, &there, &missing, NOW);
        assert_eq!(plan.decisive, ids([3, 4, 5]));
        assert_eq!(plan.kept, 1);
    }
}
