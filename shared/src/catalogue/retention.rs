//! Which backups to keep.
//!
//! The rules are restic's (`restic forget`): hours, days, weeks, months and years
//! are those of the calendar in UTC, weeks begin on Monday (ISO 8601), and of each
//! that has backups the newest one is kept.
//!
//! A backup that has expired cannot be restored, which restic's snapshots always
//! can. So it takes no place from those that can: they are judged as if it were
//! not there. It is itself kept for as long as it would be if it had not expired.
//! Whatever the rules are, the newest backup that can be restored is kept.

use std::time::Duration;

use time::{Date, OffsetDateTime};

use crate::error::{Result, SandboxError};

/// Which backups of a directory to keep. A rule that is absent keeps nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeepPolicy {
    /// The newest so many.
    pub keep_last: Option<u32>,
    /// The newest of each of the last so many hours that have backups.
    pub keep_hourly: Option<u32>,
    /// The newest of each of the last so many days that have backups.
    pub keep_daily: Option<u32>,
    /// The newest of each of the last so many weeks that have backups.
    pub keep_weekly: Option<u32>,
    /// The newest of each of the last so many months that have backups.
    pub keep_monthly: Option<u32>,
    /// The newest of each of the last so many years that have backups.
    pub keep_yearly: Option<u32>,
    /// All that were made within so many seconds before the newest one, of
    /// those that can be restored.
    pub keep_within: Option<f64>,
}

impl KeepPolicy {
    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Refuses rules that keep nothing.
    pub fn validate(&self) -> Result<()> {
        let counts = [
            ("keepLast", self.keep_last),
            ("keepHourly", self.keep_hourly),
            ("keepDaily", self.keep_daily),
            ("keepWeekly", self.keep_weekly),
            ("keepMonthly", self.keep_monthly),
            ("keepYearly", self.keep_yearly),
        ];
        for (name, count) in counts {
            if count == Some(0) {
                return Err(SandboxError::invalid_config(format!(
                    "{name} must be at least 1"
                )));
            }
        }
        match self.keep_within {
            Some(seconds) if Duration::try_from_secs_f64(seconds).is_err() || seconds == 0.0 => {
                Err(SandboxError::invalid_config(
                    "keepWithin must be a positive number of seconds",
                ))
            }
            _ => Ok(()),
        }
    }

    /// Judges the backups of one directory.
    pub fn judge(&self) -> Judge<'_> {
        Judge {
            restorable: Places::of(self),
            all: Places::of(self),
        }
    }
}

/// What the rules say of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether to keep it.
    pub keeps: bool,
    /// Whether others might be kept if it were not there.
    pub decides: bool,
}

/// Judges backups from the newest to the oldest, in constant memory.
#[derive(Debug)]
pub struct Judge<'a> {
    /// Taken by those that can be restored.
    restorable: Places<'a>,
    /// Taken by all, as if none of them had expired.
    all: Places<'a>,
}

impl Judge<'_> {
    /// What becomes of the next backup, made at `created_at`.
    pub fn next(&mut self, created_at: OffsetDateTime, is_expired: bool) -> Verdict {
        let among_all = self.all.next(created_at);
        if is_expired {
            return among_all;
        }
        // Who takes a place among all takes it here, too.
        self.restorable.next(created_at)
    }
}

/// The places that the rules have for backups.
#[derive(Debug)]
struct Places<'a> {
    policy: &'a KeepPolicy,
    newest: Option<OffsetDateTime>,
    seen: u32,
    hours: Periods<(Date, u8)>,
    days: Periods<Date>,
    weeks: Periods<(i32, u8)>,
    months: Periods<(i32, u8)>,
    years: Periods<i32>,
}

impl<'a> Places<'a> {
    fn of(policy: &'a KeepPolicy) -> Self {
        Self {
            policy,
            newest: None,
            seen: 0,
            hours: Periods::default(),
            days: Periods::default(),
            weeks: Periods::default(),
            months: Periods::default(),
            years: Periods::default(),
        }
    }

    fn next(&mut self, created_at: OffsetDateTime) -> Verdict {
        let at = created_at.to_offset(time::UtcOffset::UTC);
        let is_newest = self.newest.is_none();
        let newest = *self.newest.get_or_insert(at);
        self.seen = self.seen.saturating_add(1);
        let (date, policy) = (at.date(), self.policy);
        let (week_year, week, _) = date.to_iso_week_date();
        let month = (date.year(), u8::from(date.month()));
        let last = policy.keep_last.is_some_and(|last| self.seen <= last);
        let within = policy
            .keep_within
            .is_some_and(|seconds| (newest - at).as_seconds_f64() <= seconds);
        // Each has to see every backup, whatever the others say.
        let periods = [
            self.hours.is_next((date, at.hour()), policy.keep_hourly),
            self.days.is_next(date, policy.keep_daily),
            self.weeks.is_next((week_year, week), policy.keep_weekly),
            self.months.is_next(month, policy.keep_monthly),
            self.years.is_next(date.year(), policy.keep_yearly),
        ];
        let takes_place = last || periods.contains(&true);
        Verdict {
            keeps: takes_place || within,
            // Of what is kept for its age alone, only the newest says how old is too old.
            decides: takes_place || (within && is_newest),
        }
    }
}

/// How many periods there were, and the last of them.
#[derive(Debug)]
struct Periods<P> {
    last: Option<P>,
    count: u32,
}

impl<P> Default for Periods<P> {
    fn default() -> Self {
        Self {
            last: None,
            count: 0,
        }
    }
}

impl<P: PartialEq> Periods<P> {
    /// Whether `period` is another than the last, and one of the first `most`.
    fn is_next(&mut self, period: P, most: Option<u32>) -> bool {
        if self.last.as_ref() == Some(&period) {
            return false;
        }
        self.last = Some(period);
        self.count = self.count.saturating_add(1);
        most.is_some_and(|most| self.count <= most)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    /// Which of the times, given from the newest on, are kept.
    fn kept(policy: &KeepPolicy, times: &[OffsetDateTime]) -> Vec<usize> {
        kept_of(policy, times.iter().map(|time| (*time, false)))
    }

    /// The same of times with whether they have expired.
    fn kept_of(
        policy: &KeepPolicy,
        backups: impl IntoIterator<Item = (OffsetDateTime, bool)>,
    ) -> Vec<usize> {
        let mut judge = policy.judge();
        let mut kept = Vec::new();
        for (index, (time, is_expired)) in backups.into_iter().enumerate() {
            if judge.next(time, is_expired).keeps {
                kept.push(index);
            }
        }
        kept
    }

    const TIMES: [OffsetDateTime; 8] = [
        datetime!(2026-03-02 12:40 UTC), // a Monday
        datetime!(2026-03-02 12:10 UTC),
        datetime!(2026-03-02 11:59 UTC),
        datetime!(2026-03-01 23:00 UTC), // Sunday: the week before
        datetime!(2026-02-27 08:00 UTC),
        datetime!(2026-02-10 08:00 UTC),
        datetime!(2026-01-31 08:00 UTC),
        datetime!(2025-12-31 08:00 UTC),
    ];

    #[test]
    fn each_rule_keeps_the_newest_of_its_periods() {
        let none = KeepPolicy::default();
        assert!(kept(&none, &TIMES).is_empty());
        for (policy, expected) in [
            (
                KeepPolicy {
                    keep_last: Some(2),
                    ..none.clone()
                },
                vec![0, 1],
            ),
            (
                KeepPolicy {
                    keep_hourly: Some(3),
                    ..none.clone()
                },
                vec![0, 2, 3],
            ),
            (
                KeepPolicy {
                    keep_daily: Some(3),
                    ..none.clone()
                },
                vec![0, 3, 4],
            ),
            (
                KeepPolicy {
                    keep_weekly: Some(3),
                    ..none.clone()
                },
                vec![0, 3, 5],
            ),
            (
                KeepPolicy {
                    keep_monthly: Some(9),
                    ..none.clone()
                },
                vec![0, 4, 6, 7],
            ),
            (
                KeepPolicy {
                    keep_yearly: Some(2),
                    ..none.clone()
                },
                vec![0, 7],
            ),
            (
                KeepPolicy {
                    keep_within: Some(2460.0),
                    ..none.clone()
                },
                vec![0, 1, 2],
            ),
            (
                KeepPolicy {
                    keep_last: Some(1),
                    keep_monthly: Some(2),
                    ..none.clone()
                },
                vec![0, 4],
            ),
        ] {
            assert_eq!(kept(&policy, &TIMES), expected, "{policy:?}");
        }
    }

    #[test]
    fn an_expired_backup_takes_no_place() {
        let none = KeepPolicy::default();
        let last = KeepPolicy {
            keep_last: Some(2),
            ..none.clone()
        };
        let within = KeepPolicy {
            keep_within: Some(1800.0),
            ..none.clone()
        };
        let daily = KeepPolicy {
            keep_daily: Some(2),
            ..none
        };
        for (policy, expired, expected) in [
            // Expired ones that would be kept are; those that would not are not.
            (&last, &[0, 1, 2][..], vec![0, 1, 3, 4]),
            (&last, &[1], vec![0, 1, 2]),
            (&last, &[2, 3], vec![0, 1]),
            (&within, &[0], vec![0, 1, 2]),
            (&daily, &[0], vec![0, 1, 3]),
            (&daily, &[3], vec![0, 3, 4]),
            // Nothing is deleted because the last one has expired.
            (&last, &[0, 1, 2, 3, 4, 5, 6, 7], vec![0, 1]),
        ] {
            let backups = TIMES
                .iter()
                .enumerate()
                .map(|(number, time)| (*time, expired.contains(&number)));
            assert_eq!(kept_of(policy, backups), expected, "{policy:?} {expired:?}");
        }
    }

    #[test]
    fn rules_that_keep_nothing_are_refused() {
        let none = KeepPolicy::default();
        for bad in [
            KeepPolicy {
                keep_last: Some(0),
                ..none.clone()
            },
            KeepPolicy {
                keep_monthly: Some(0),
                ..none.clone()
            },
            KeepPolicy {
                keep_yearly: Some(0),
                ..none.clone()
            },
            KeepPolicy {
                keep_within: Some(0.0),
                ..none.clone()
            },
            KeepPolicy {
                keep_within: Some(-1.0),
                ..none.clone()
            },
            KeepPolicy {
                keep_within: Some(f64::NAN),
                ..none.clone()
            },
        ] {
            assert!(bad.validate().is_err(), "{bad:?}");
        }
        let three = KeepPolicy {
            keep_last: Some(3),
            ..none.clone()
        };
        assert!(three.validate().is_ok() && !three.is_empty() && none.is_empty());
    }

    proptest! {
        /// What a stricter policy keeps, a laxer one keeps too; and the newest
        /// is always kept.
        #[test]
        fn more_generous_rules_keep_more(
            mut seconds in proptest::collection::vec(0_i64..100_000_000, 1..60),
            (daily, more) in (1_u32..20, 0_u32..20),
        ) {
            seconds.sort_unstable_by(|a, b| b.cmp(a));
            let times: Vec<_> = seconds
                .iter()
                .map(|at| OffsetDateTime::from_unix_timestamp(*at).unwrap())
                .collect();
            let keep = |daily| kept(
                &KeepPolicy { keep_daily: Some(daily), ..KeepPolicy::default() },
                &times,
            );
            let (few, many) = (keep(daily), keep(daily + more));
            prop_assert_eq!(few.first(), Some(&0));
            prop_assert!(few.len() <= daily as usize);
            prop_assert!(few.iter().all(|index| many.contains(index)));
        }

        /// What can be restored is judged as if nothing else were there, and if
        /// there is any, the newest of it is kept.
        #[test]
        fn expired_backups_change_nothing_for_others(backups in backups(), policy in policy()) {
            let kept = kept_of(&policy, backups.clone());
            let restorable: Vec<usize> = (0..backups.len()).filter(|at| !backups[*at].1).collect();
            let alone: Vec<usize> = kept_of(&policy, restorable.iter().map(|at| backups[*at]))
                .into_iter()
                .map(|at| restorable[at])
                .collect();
            let among_all: Vec<usize> =
                kept.iter().copied().filter(|at| !backups[*at].1).collect();
            prop_assert_eq!(alone, among_all);
            if let Some(newest) = restorable.first() {
                prop_assert!(kept.contains(newest));
            }
        }

        /// Without one of them the others are kept that were, and if it did not
        /// decide, no more than those.
        #[test]
        fn what_does_not_decide_may_be_missing(
            backups in backups(),
            policy in policy(),
            missing in any::<prop::sample::Index>(),
        ) {
            let missing = missing.index(backups.len());
            let mut judge = policy.judge();
            let verdicts: Vec<_> =
                backups.iter().map(|(time, expired)| judge.next(*time, *expired)).collect();
            let mut judge = policy.judge();
            for (at, (time, expired)) in backups.iter().enumerate() {
                if at == missing {
                    continue;
                }
                let keeps = judge.next(*time, *expired).keeps;
                prop_assert!(keeps || !verdicts[at].keeps, "{at}");
                if !verdicts[missing].decides {
                    prop_assert_eq!(keeps, verdicts[at].keeps, "{}", at);
                }
            }
        }
    }

    /// From the newest on, when they were made and whether they have expired.
    fn backups() -> impl Strategy<Value = Vec<(OffsetDateTime, bool)>> {
        // A few hours or many years, so that each rule has something to do.
        let times = prop_oneof![
            proptest::collection::vec((0_i64..100_000, any::<bool>()), 1..30),
            proptest::collection::vec((0_i64..200_000_000, any::<bool>()), 1..30),
        ];
        times.prop_map(|mut times| {
            times.sort_unstable_by(|a, b| b.cmp(a));
            let time = |seconds| OffsetDateTime::from_unix_timestamp(seconds).unwrap();
            times
                .into_iter()
                .map(|(seconds, is_expired)| (time(seconds), is_expired))
                .collect()
        })
    }

    /// At least one rule.
    fn policy() -> impl Strategy<Value = KeepPolicy> {
        let count = || proptest::option::of(1_u32..5);
        let seconds = proptest::option::of(prop_oneof![1.0..10_000.0, 1.0..1e7]);
        let counts = (count(), count(), count(), count(), count(), count());
        (counts, seconds)
            .prop_map(
                |((last, hourly, daily, weekly, monthly, yearly), within)| KeepPolicy {
                    keep_last: last,
                    keep_hourly: hourly,
                    keep_daily: daily,
                    keep_weekly: weekly,
                    keep_monthly: monthly,
                    keep_yearly: yearly,
                    keep_within: within,
                },
            )
            .prop_filter("no rule", |policy| !policy.is_empty())
    }
}
