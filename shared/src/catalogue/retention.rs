//! Which backups to keep.
//!
//! The rules are restic's (`restic forget`): hours, days, weeks and months are
//! those of the calendar in UTC, weeks begin on Monday (ISO 8601), and of each
//! that has backups the newest one is kept.

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
    /// All that were made within so many seconds before the newest one.
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
            policy: self,
            newest: None,
            seen: 0,
            hours: Periods::default(),
            days: Periods::default(),
            weeks: Periods::default(),
            months: Periods::default(),
        }
    }
}

/// Judges backups from the newest to the oldest, in constant memory.
#[derive(Debug)]
pub struct Judge<'a> {
    policy: &'a KeepPolicy,
    newest: Option<OffsetDateTime>,
    seen: u32,
    hours: Periods<(Date, u8)>,
    days: Periods<Date>,
    weeks: Periods<(i32, u8)>,
    months: Periods<(i32, u8)>,
}

impl Judge<'_> {
    /// Whether to keep the next backup, made at `created_at`.
    pub fn keeps(&mut self, created_at: OffsetDateTime) -> bool {
        let at = created_at.to_offset(time::UtcOffset::UTC);
        let newest = *self.newest.get_or_insert(at);
        self.seen = self.seen.saturating_add(1);
        let (date, policy) = (at.date(), self.policy);
        let (year, week, _) = date.to_iso_week_date();
        let month = (date.year(), u8::from(date.month()));
        let last = policy.keep_last.is_some_and(|last| self.seen <= last);
        let within = policy
            .keep_within
            .is_some_and(|seconds| (newest - at).as_seconds_f64() <= seconds);
        // Each has to see every backup, whatever the others say.
        let periods = [
            self.hours.is_next((date, at.hour()), policy.keep_hourly),
            self.days.is_next(date, policy.keep_daily),
            self.weeks.is_next((year, week), policy.keep_weekly),
            self.months.is_next(month, policy.keep_monthly),
        ];
        last || within || periods.contains(&true)
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
        let mut judge = policy.judge();
        let mut kept = Vec::new();
        for (index, time) in times.iter().enumerate() {
            if judge.keeps(*time) {
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
    }
}
