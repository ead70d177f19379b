//! What is stored of a backup beside its archive, and when a backup has expired.

use std::{num::NonZeroU64, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    compression::Compression,
    handle::{BackupId, Ttl},
};

/// How much earlier than the TTL a backup counts as expired, so that a restore
/// that starts just in time does not lose its archive half way.
pub const EXPIRY_MARGIN: Duration = Duration::from_secs(60);

/// The version of [`BackupMetadata`] that this code writes.
pub const METADATA_VERSION: u32 = 1;

/// What an archive holds, by kind of entry, and what was left out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct EntryCounts {
    /// Regular files; each name of a hard-linked file counts.
    pub files: u64,
    /// Directories, the top one included.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// FIFOs, sockets and device nodes.
    pub special: u64,
    /// Bytes of file content, before compression.
    pub bytes: u64,
    /// Entries that exclude rules left out. A directory counts once, whatever is in it.
    pub excluded: u64,
    /// Entries that were left out because they could not be read.
    pub unreadable: u64,
    /// Entries that changed while they were read.
    pub changed: u64,
}

/// The checksum of an archive: the SHA-256 of the SHA-256s, 32 bytes each, of
/// its parts in their order.
///
/// The beginning of an archive is known last, so a digest of the whole could
/// not be computed while it is uploaded. S3 does the same for multipart uploads
/// and calls such a checksum composite. It lets a reader check a part at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArchiveChecksum {
    /// Lower-case hexadecimal.
    pub sha256: String,
    /// Bytes of every part but the last.
    pub part_size_bytes: NonZeroU64,
}

/// The object `backups/{id}/meta.json`, written last: a backup without it does
/// not exist. The first six fields are those of `@cloudflare/sandbox` 0.12.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupMetadata {
    /// Names the backup.
    pub id: BackupId,
    /// The directory that was backed up.
    pub dir: String,
    /// As given to `createBackup`.
    #[serde(default)]
    pub name: Option<String>,
    /// Size of the archive in bytes.
    pub size_bytes: u64,
    /// Seconds from `created_at` until the backup can no longer be restored.
    pub ttl: Ttl,
    /// When the backup was made. In UTC, whatever offset it is read with.
    #[serde(
        serialize_with = "time::serde::rfc3339::serialize",
        deserialize_with = "in_utc"
    )]
    pub created_at: OffsetDateTime,
    /// `sha256` and `partSizeBytes`; absent from other writers.
    #[serde(flatten)]
    pub checksum: Option<ArchiveChecksum>,
    /// How the archive is compressed; absent from other writers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// What the archive holds; absent from other writers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<EntryCounts>,
    /// The sandbox that made it: the id of its Durable Object. Absent from
    /// other writers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<String>,
    /// What that sandbox is called, if it knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox_name: Option<String>,
    /// [`METADATA_VERSION`] of the writer; absent from other writers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format_version: Option<u32>,
}

/// Reads a moment that can be written again: in UTC, one of the years 0 to 9999
/// (RFC 3339, section 1).
fn in_utc<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OffsetDateTime, D::Error> {
    time::serde::rfc3339::deserialize(deserializer)?
        .checked_to_offset(time::UtcOffset::UTC)
        .filter(|moment| moment.year() >= 0)
        .ok_or_else(|| de::Error::custom("not in the years 0 to 9999 of UTC"))
}

impl BackupMetadata {
    /// The moment from which the backup can no longer be restored.
    pub fn expires_at(&self) -> OffsetDateTime {
        self.created_at
            .checked_add(time::Duration::seconds_f64(self.ttl.seconds()))
            .unwrap_or(time::PrimitiveDateTime::MAX.assume_utc())
    }

    /// Whether a restore at `now` is too late: `now + 60 s > createdAt + ttl`.
    pub fn is_expired(&self, now: OffsetDateTime) -> bool {
        now + EXPIRY_MARGIN > self.expires_at()
    }
}

/// `moment` as ISO 8601 in UTC, as errors and metadata show it.
pub fn iso8601(moment: OffsetDateTime) -> String {
    moment
        .format(&Rfc3339)
        .unwrap_or_else(|_| moment.unix_timestamp().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0b5d6a2e-6f3c-4b52-9d1e-8a4f7c3b2a10";

    fn metadata(ttl: f64, created_at: OffsetDateTime) -> BackupMetadata {
        BackupMetadata {
            id: BackupId::parse(ID).unwrap(),
            dir: "/workspace".into(),
            name: None,
            size_bytes: 4096,
            ttl: Ttl::from_seconds(ttl).unwrap(),
            created_at,
            checksum: None,
            compression: None,
            counts: None,
            sandbox: None,
            sandbox_name: None,
            format_version: None,
        }
    }

    #[test]
    fn the_margin_counts_to_the_second() {
        let created = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
        let backup = metadata(600.0, created);
        let after = |seconds| created + time::Duration::seconds(seconds);
        assert!(!backup.is_expired(after(0)));
        assert!(!backup.is_expired(after(540)));
        assert!(backup.is_expired(after(541)));
        assert!(metadata(30.0, created).is_expired(created));
    }

    #[test]
    fn the_longest_ttl_is_a_date() {
        let created = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        let backup = metadata(Ttl::MAX_SECONDS, created);
        assert!(!backup.is_expired(created));
        assert!(iso8601(backup.expires_at()).starts_with("3027-"));
    }

    #[test]
    fn metadata_of_the_older_package_is_accepted() {
        let json = format!(
            r#"{{"id":"{ID}","dir":"/workspace","name":null,"sizeBytes":4096,"ttl":259200,
                "createdAt":"2026-02-23T10:11:12.345Z","somethingNew":1}}"#
        );
        let metadata: BackupMetadata = serde_json::from_str(&json).unwrap();
        assert_eq!(metadata.created_at.unix_timestamp(), 1_771_841_472);
        assert_eq!(metadata.checksum, None);
    }
}
