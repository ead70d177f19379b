//! What is stored: records of backups, how to ask for them, and which to keep.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

#[cfg(feature = "cli")]
use crate::cli;
use crate::{
    compression::Compression,
    error::{Result, SandboxError},
    handle::{BackupId, Ttl},
    metadata::{BackupMetadata, EntryCounts},
    report::Listed,
    schema,
};

pub mod retention;

pub use retention::KeepPolicy;

/// Most records of one page.
pub const MAX_PAGE: u32 = 1000;
/// Records of a page when nothing else is asked for.
pub const DEFAULT_PAGE: u32 = 100;

/// A stored backup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupRecord {
    /// Which backup.
    pub id: BackupId,
    /// The directory that was backed up.
    pub dir: String,
    /// As given to `createBackup`.
    pub name: Option<String>,
    /// Bytes of the archive.
    pub size_bytes: u64,
    /// Seconds from `createdAt` until it can no longer be restored.
    pub ttl: Ttl,
    /// When the backup was made.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "schema::Moment")]
    pub created_at: OffsetDateTime,
    /// From when on it can no longer be restored.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "schema::Moment")]
    pub expires_at: OffsetDateTime,
    /// Whether it can be restored now.
    pub state: BackupState,
    /// The id of the Durable Object that made it; absent from other writers, as are the fields below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<String>,
    /// How the archive is compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// What the archive holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<EntryCounts>,
}

/// Whether a backup can be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum BackupState {
    /// It can.
    Active,
    /// Its TTL has elapsed.
    Expired,
}

impl BackupRecord {
    /// What `metadata` says, at the moment `now`.
    pub fn new(metadata: BackupMetadata, now: OffsetDateTime) -> Self {
        let state = if metadata.is_expired(now) {
            BackupState::Expired
        } else {
            BackupState::Active
        };
        Self {
            expires_at: metadata.expires_at(),
            id: metadata.id,
            dir: metadata.dir,
            name: metadata.name,
            size_bytes: metadata.size_bytes,
            ttl: metadata.ttl,
            created_at: metadata.created_at,
            state,
            sandbox: metadata.sandbox,
            compression: metadata.compression,
            counts: metadata.counts,
        }
    }
}

/// By what a list is sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "camelCase")]
pub enum SortBy {
    /// When the backup was made.
    #[default]
    #[cfg_attr(feature = "cli", value(name = "created"))]
    CreatedAt,
    /// When it can no longer be restored.
    #[cfg_attr(feature = "cli", value(name = "expires"))]
    ExpiresAt,
    /// Bytes of the archive.
    #[cfg_attr(feature = "cli", value(name = "size"))]
    SizeBytes,
    /// The name, by its bytes; backups without one come first.
    Name,
    /// The directory, by its bytes.
    Dir,
}

/// In which direction a list is sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SortOrder {
    /// From the least.
    Asc,
    /// From the greatest.
    #[default]
    Desc,
}

/// What `listBackups` takes: filters, an order, a page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(rename_all = "camelCase")]
pub struct ListBackups {
    /// Only backups of this directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long))]
    pub dir: Option<String>,
    /// Only backups of this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long))]
    pub name: Option<String>,
    /// Only backups that can, or can no longer, be restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long))]
    pub state: Option<BackupState>,
    /// What they are sorted by; `createdAt` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "createdAt"))]
    #[cfg_attr(feature = "cli", arg(long, help = cli::SORT_HELP))]
    pub sort: Option<SortBy>,
    /// In which direction; `desc` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "desc"))]
    #[cfg_attr(feature = "cli", arg(skip))]
    pub order: Option<SortOrder>,
    /// Records of a page: 1 to 1000, 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_PAGE), extend("default" = DEFAULT_PAGE))]
    #[cfg_attr(feature = "cli", arg(skip))]
    pub limit: Option<u32>,
    /// `cursor` of the page before; filters and order must be the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(skip))]
    pub cursor: Option<String>,
}

impl ListBackups {
    /// How many records to give.
    pub fn page_size(&self) -> Result<u32> {
        match self.limit.unwrap_or(DEFAULT_PAGE) {
            limit @ 1..=MAX_PAGE => Ok(limit),
            _ => Err(SandboxError::invalid_config(format!(
                "limit must be 1 to {MAX_PAGE}"
            ))),
        }
    }
}

/// What `listBackups` returns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackupPage {
    /// At most as many as were asked for, in the order that was asked for.
    pub backups: Vec<BackupRecord>,
    /// For the next page; absent from the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// What `getBackup`, `verifyBackup` and `deleteBackup` take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackupById {
    /// Which backup.
    pub id: BackupId,
}

impl From<BackupId> for BackupById {
    fn from(id: BackupId) -> Self {
        Self { id }
    }
}

/// What `deleteBackup` returns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeleteBackupResult {
    /// Always true; a failure is an error.
    #[schemars(extend("const" = true))]
    pub success: bool,
    /// Which backup.
    pub id: BackupId,
    /// Whether there was one to delete.
    pub existed: bool,
}

/// What `pruneBackups` takes.
///
/// The rules apply to each directory by itself, and a backup that any of them wants is kept. Hours,
/// days, weeks (from Monday), months and years are those of the calendar in UTC; of each that has
/// backups, the newest one is kept. Backups that have expired, or are gone from the bucket, take no
/// place from those that can be restored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::Args), command(group = clap::ArgGroup::new("rules").required(true).multiple(true)))]
#[serde(rename_all = "camelCase")]
pub struct PruneBackups {
    /// Only backups of this directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long))]
    pub dir: Option<String>,
    /// Keep the newest so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", group = "rules"))]
    pub keep_last: Option<u32>,
    /// Keep the newest of each of the last so many hours that have backups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", group = "rules"))]
    pub keep_hourly: Option<u32>,
    /// Keep the newest of each of the last so many days that have backups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", group = "rules"))]
    pub keep_daily: Option<u32>,
    /// Keep the newest of each of the last so many weeks that have backups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", group = "rules"))]
    pub keep_weekly: Option<u32>,
    /// Keep the newest of each of the last so many months that have backups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", group = "rules"))]
    pub keep_monthly: Option<u32>,
    /// Keep the newest of each of the last so many years that have backups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", group = "rules"))]
    pub keep_yearly: Option<u32>,
    /// Keep what was made within so many seconds before the newest one that can be restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    #[cfg_attr(feature = "cli", arg(long, value_name = "DURATION", value_parser = cli::seconds, help = cli::KEEP_WITHIN_HELP, group = "rules"))]
    pub keep_within: Option<f64>,
    /// Delete what can no longer be restored, whatever the rules say. Otherwise it is kept while it
    /// would be if it had not expired.
    #[serde(default)]
    #[cfg_attr(feature = "cli", arg(long, group = "rules"))]
    pub expired: bool,
    /// Delete nothing, and return what would be deleted. What is `missing` leaves the index all the
    /// same.
    #[serde(default)]
    #[cfg_attr(feature = "cli", arg(long))]
    pub dry_run: bool,
}

impl PruneBackups {
    /// Which to keep.
    pub fn keep(&self) -> KeepPolicy {
        KeepPolicy {
            keep_last: self.keep_last,
            keep_hourly: self.keep_hourly,
            keep_daily: self.keep_daily,
            keep_weekly: self.keep_weekly,
            keep_monthly: self.keep_monthly,
            keep_yearly: self.keep_yearly,
            keep_within: self.keep_within,
        }
    }

    /// Refuses what would delete everything because no rule was given.
    pub fn validate(&self) -> Result<()> {
        let keep = self.keep();
        keep.validate()?;
        if keep.is_empty() && !self.expired {
            return Err(SandboxError::invalid_config(
                "no rule says what to keep: give keepLast, keepHourly, keepDaily, keepWeekly, \
                 keepMonthly, keepYearly or keepWithin, or expired: true",
            ));
        }
        Ok(())
    }
}

/// What `pruneBackups` returns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PruneResult {
    /// Whether nothing was deleted.
    pub dry_run: bool,
    /// How many backups are kept.
    pub kept: u64,
    /// What was deleted, or would be; at most the first 1000.
    pub deleted: Listed<BackupRecord>,
    /// Bytes of their archives.
    pub freed_bytes: u64,
    /// What a rule would have kept, but cannot be restored any more: an object is missing from the
    /// bucket, or the archive is not of the size that the metadata says. It took no place, and is
    /// not listed any more. At most the first 1000; absent when there is nothing of the kind.
    #[serde(default, skip_serializing_if = "Listed::is_empty")]
    pub missing: Listed<BackupRecord>,
}

/// What `reindexBackups` returns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReindexResult {
    /// Backups in the index now.
    pub indexed: u64,
    /// Keys of metadata in the bucket that cannot be read; at most the first 1000.
    pub unreadable: Listed<String>,
}

/// The sandboxes that have backups.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StoredSandboxes {
    /// The one with the most bytes first.
    pub sandboxes: Vec<StoredSandbox>,
}

/// What is stored of one sandbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoredSandbox {
    /// The id of its Durable Object; absent for backups of other writers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<String>,
    /// Its name, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many backups.
    pub backups: u64,
    /// Bytes of their archives.
    pub size_bytes: u64,
    /// When the newest of them was stored.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "schema::Moment")]
    pub newest_at: OffsetDateTime,
}
