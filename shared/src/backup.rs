//! Backups as users see them: the handle, the options, the stored metadata,
//! and the rule that says when a backup has expired.

use std::{fmt, num::NonZeroU64, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    error::{Result, SandboxError},
    operation::OperationId,
    report::{LeftOutEntry, Listed},
    rules,
};

/// How much earlier than the TTL a backup counts as expired, so that a restore
/// that starts just in time does not lose its archive half way.
pub const EXPIRY_MARGIN: Duration = Duration::from_secs(60);

/// The version of [`BackupMetadata`] that this code writes.
pub const METADATA_VERSION: u32 = 1;

/// Names one backup: a UUID version 4 in its canonical lower-case form (RFC 9562).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackupId(String);

impl BackupId {
    /// Reads an id that came from outside.
    pub fn parse(text: &str) -> Result<Self> {
        let canonical = uuid::Uuid::try_parse(text).is_ok_and(|id| {
            id.get_version_num() == 4
                && id.get_variant() == uuid::Variant::RFC4122
                && id.hyphenated().to_string() == text
        });
        if canonical {
            Ok(Self(text.to_owned()))
        } else {
            Err(SandboxError::invalid_config(
                "id must be a UUID version 4, as createBackup returned it",
            ))
        }
    }

    /// Makes an id from 16 random bytes.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(
            uuid::Builder::from_random_bytes(bytes)
                .into_uuid()
                .hyphenated()
                .to_string(),
        )
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for BackupId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for BackupId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| de::Error::custom(error.message))
    }
}

/// How long a backup may be restored, in seconds: positive and finite. JSON
/// numbers with a fraction are accepted, as the guide only asks for a positive
/// number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ttl(f64);

impl Ttl {
    /// Three days.
    pub const DEFAULT: Self = Self(259_200.0);

    /// The longest TTL: a thousand years, so that every expiry is a date.
    pub const MAX_SECONDS: f64 = 31_557_600_000.0;

    /// Checks a number of seconds.
    pub fn from_seconds(seconds: f64) -> Result<Self> {
        if seconds > 0.0 && seconds <= Self::MAX_SECONDS {
            Ok(Self(seconds))
        } else {
            Err(SandboxError::invalid_config(format!(
                "ttl must be a positive number of seconds, at most {}",
                Self::MAX_SECONDS
            )))
        }
    }

    /// The TTL in seconds.
    pub const fn seconds(self) -> f64 {
        self.0
    }
}

impl Default for Ttl {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Serialize for Ttl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Whole seconds are written as an integer, as other writers of this file do.
        if self.0.fract() == 0.0 {
            serializer.serialize_u64(self.0 as u64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Ttl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_seconds(f64::deserialize(deserializer)?)
            .map_err(|error| de::Error::custom(error.message))
    }
}

/// The handle of a backup: plain JSON, safe to keep in KV, D1 or Durable
/// Object storage. Unknown fields are ignored, so a handle that
/// `@cloudflare/sandbox` made is accepted as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryBackup {
    /// Names the objects `backups/{id}/…` in the bucket.
    pub id: BackupId,
    /// Absolute path of the directory that was backed up.
    pub dir: String,
}

/// Compressors that SquashFS archives may use here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CompressionFormat {
    /// Fastest; needs about 1.5 times the room of zstd.
    Lz4,
    /// The default: near lz4 in speed when reading, far smaller.
    #[default]
    Zstd,
    /// For readers that know nothing else.
    Gzip,
}

impl CompressionFormat {
    /// The name in JSON and on command lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// The levels the format knows; lz4 has none.
    pub const fn levels(self) -> Option<std::ops::RangeInclusive<u32>> {
        match self {
            Self::Lz4 => None,
            Self::Zstd => Some(1..=22),
            Self::Gzip => Some(1..=9),
        }
    }
}

/// How to compress an archive.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Compression {
    /// The compressor.
    #[serde(default)]
    pub format: CompressionFormat,
    /// Within [`CompressionFormat::levels`]; the format's own default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<u32>,
    /// Compressing threads, 1 to 256; as many as there are cores when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    /// Bytes of a data block: a power of two from 4096 to 1048576, 131072 when
    /// absent. Larger blocks compress better and make small reads slower.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_size: Option<u32>,
}

/// What to do about entries that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnreadable {
    /// Fail, and say which.
    #[default]
    Fail,
    /// Leave them out, and say which.
    Skip,
}

impl OnUnreadable {
    /// The name in JSON and on command lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

/// Which entries of a directory are wanted.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Selection {
    /// Patterns in `.gitignore` syntax, relative to the directory. A later
    /// pattern overrides an earlier one, and all of them override `.gitignore`
    /// files, as patterns on git's command line do. They leave out what is
    /// tracked, too.
    #[serde(default)]
    pub excludes: Vec<String>,
    /// Leave out what git ignores: what patterns name and git does not track. The
    /// patterns are those of `.gitignore` files in and below the directory and,
    /// when it is part of a repository, those of its parents up to the
    /// repository's root, and of `info/exclude`. A repository inside the tree
    /// follows its own rules only, as with git.
    #[serde(default)]
    pub gitignore: bool,
    /// Of a directory that has a valid `CACHEDIR.TAG`, keep only the directory
    /// and the tag (<https://bford.info/cachedir/>).
    #[serde(default)]
    pub exclude_caches: bool,
    /// Leave out regular files of more bytes than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclude_larger_than: Option<u64>,
    /// Enter directories that are other file systems. Otherwise such a
    /// directory is kept, but empty, unless it is a restored one.
    #[serde(default)]
    pub cross_file_systems: bool,
    /// What to do about entries that cannot be read, when they are looked for
    /// or when their content is read.
    #[serde(default)]
    pub on_unreadable: OnUnreadable,
}

/// What `createBackup` takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupOptions {
    /// Absolute path below an allowed root.
    pub dir: String,
    /// At most 256 Unicode characters, none of them a control character.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Three days when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Ttl>,
    /// [`Selection::gitignore`]. Off by default.
    #[serde(default, deserialize_with = "null_as_default")]
    pub gitignore: bool,
    /// Patterns in `.gitignore` syntax, relative to `dir`.
    #[serde(default, deserialize_with = "null_as_default")]
    pub excludes: Vec<String>,
    /// [`Selection::exclude_caches`].
    #[serde(default, deserialize_with = "null_as_default")]
    pub exclude_caches: bool,
    /// [`Selection::exclude_larger_than`]; at most [`rules::MAX_SAFE_INTEGER`].
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "rules::safe_integer"
    )]
    pub exclude_larger_than: Option<u64>,
    /// [`Selection::cross_file_systems`].
    #[serde(default, deserialize_with = "null_as_default")]
    pub cross_file_systems: bool,
    /// [`Selection::on_unreadable`].
    #[serde(default, deserialize_with = "null_as_default")]
    pub on_unreadable: OnUnreadable,
    /// zstd when absent.
    #[serde(default, deserialize_with = "null_as_default")]
    pub compression: Compression,
}

fn null_as_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl BackupOptions {
    /// Options for `dir` with everything else at its default.
    pub fn new(dir: impl Into<String>) -> Self {
        Self {
            dir: dir.into(),
            name: None,
            ttl: None,
            gitignore: false,
            excludes: Vec::new(),
            exclude_caches: false,
            exclude_larger_than: None,
            cross_file_systems: false,
            on_unreadable: OnUnreadable::default(),
            compression: Compression::default(),
        }
    }

    /// What of `dir` is wanted.
    pub fn selection(&self) -> Selection {
        Selection {
            excludes: self.excludes.clone(),
            gitignore: self.gitignore,
            exclude_caches: self.exclude_caches,
            exclude_larger_than: self.exclude_larger_than,
            cross_file_systems: self.cross_file_systems,
            on_unreadable: self.on_unreadable,
        }
    }

    /// Checks every option and brings `dir` into its normal form.
    pub fn validate(mut self, roots: &rules::AllowedRoots) -> Result<Self> {
        self.dir = roots.check(&self.dir)?;
        if let Some(name) = &self.name {
            rules::check_name(name)?;
        }
        rules::check_excludes(&self.excludes)?;
        rules::check_compression(&self.compression)?;
        Ok(self)
    }
}

/// How a restored directory is served. `CONTRACT`: tried in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// Linux's own squashfs on a loop device, overlayfs on top.
    Kernel,
    /// A FUSE view of the archive, overlayfs on top.
    Overlay,
    /// Copy-on-write in user space.
    Fuse,
    /// A plain unpacked copy.
    Extract,
}

impl Strategy {
    /// All strategies, best first.
    pub const ALL: [Self; 4] = [Self::Kernel, Self::Overlay, Self::Fuse, Self::Extract];

    /// The name in JSON and on command lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Overlay => "overlay",
            Self::Fuse => "fuse",
            Self::Extract => "extract",
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What `restoreBackup` takes: a handle, whose `dir` may be another directory
/// than the one backed up, and how to restore it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "FlatRestoreRequest", rename_all = "camelCase")]
pub struct RestoreRequest {
    /// Which backup, and where to.
    #[serde(flatten)]
    pub backup: DirectoryBackup,
    /// Forces one strategy instead of the first that works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// Takes an older restore of `dir` away under the processes that use it.
    pub force: bool,
    /// Puts the backup back whenever the container has started again.
    pub auto_restore: bool,
}

/// A [`RestoreRequest`] as it is read: what `flatten` reads, an error no longer
/// knows the field of.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FlatRestoreRequest {
    id: BackupId,
    dir: String,
    #[serde(default)]
    strategy: Option<Strategy>,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    auto_restore: bool,
}

impl From<FlatRestoreRequest> for RestoreRequest {
    fn from(flat: FlatRestoreRequest) -> Self {
        Self {
            backup: DirectoryBackup {
                id: flat.id,
                dir: flat.dir,
            },
            strategy: flat.strategy,
            force: flat.force,
            auto_restore: flat.auto_restore,
        }
    }
}

impl From<DirectoryBackup> for RestoreRequest {
    /// To the directory of the handle, by the best strategy that works.
    fn from(backup: DirectoryBackup) -> Self {
        Self {
            backup,
            strategy: None,
            force: false,
            auto_restore: false,
        }
    }
}

/// What `restoreBackup` takes beside the handle, over RPC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RestoreOptions {
    /// [`RestoreRequest::strategy`]
    pub strategy: Option<Strategy>,
    /// [`RestoreRequest::force`]
    pub force: Option<bool>,
    /// [`RestoreRequest::auto_restore`]
    pub auto_restore: Option<bool>,
    /// [`CallOptions::operation_id`](crate::operation::CallOptions::operation_id)
    pub operation_id: Option<OperationId>,
}

impl RestoreRequest {
    /// The same with those of `options` that are given.
    #[must_use]
    pub fn with(self, options: &RestoreOptions) -> Self {
        Self {
            backup: self.backup,
            strategy: options.strategy.or(self.strategy),
            force: options.force.unwrap_or(self.force),
            auto_restore: options.auto_restore.unwrap_or(self.auto_restore),
        }
    }

    /// Checks the handle and brings `dir` into its normal form.
    pub fn validate(mut self, roots: &rules::AllowedRoots) -> Result<Self> {
        self.backup.dir = roots.check(&self.backup.dir)?;
        Ok(self)
    }
}

/// What `restoreBackup` gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreBackupResult {
    /// Always true; failures are errors.
    pub success: bool,
    /// Where the backup now is.
    pub dir: String,
    /// Which backup.
    pub id: BackupId,
    /// How it is served.
    pub strategy: Strategy,
    /// What could not be unpacked by [`Strategy::Extract`], for want of
    /// privileges or of a file system that can hold it. Older Workers
    /// call it `left_out`.
    #[serde(default, skip_serializing_if = "Listed::is_empty", alias = "left_out")]
    pub left_out: Listed<LeftOutEntry>,
}

/// What an archive holds, by kind of entry, and what was left out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
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
    use crate::error::{ErrorCode, from_json};

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
    fn only_canonical_version_4_ids_are_accepted() {
        assert!(BackupId::parse(ID).is_ok());
        for bad in [
            "",
            "backup",
            "0B5D6A2E-6F3C-4B52-9D1E-8A4F7C3B2A10",
            "0b5d6a2e6f3c4b529d1e8a4f7c3b2a10",
            "{0b5d6a2e-6f3c-4b52-9d1e-8a4f7c3b2a10}",
            "0b5d6a2e-6f3c-1b52-9d1e-8a4f7c3b2a10",
            "0b5d6a2e-6f3c-4b52-1d1e-8a4f7c3b2a10",
            "../../etc/passwd",
        ] {
            let error = BackupId::parse(bad).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidBackupConfig, "{bad}");
        }
        let made = BackupId::from_random([7; 16]);
        assert_eq!(BackupId::parse(made.as_str()).unwrap(), made);
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
    fn ttl_is_positive_and_finite() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert!(Ttl::from_seconds(bad).is_err(), "{bad}");
        }
        assert_eq!(serde_json::to_string(&Ttl::DEFAULT).unwrap(), "259200");
        assert_eq!(serde_json::to_string(&Ttl(0.5)).unwrap(), "0.5");
    }

    #[test]
    fn a_handle_of_the_older_package_is_accepted() {
        let json = format!(r#"{{"id":"{ID}","dir":"/workspace","localBucket":true}}"#);
        let handle: DirectoryBackup = from_json(&json, ErrorCode::InvalidBackupConfig).unwrap();
        assert_eq!(handle.dir, "/workspace");
    }

    #[test]
    fn a_bad_field_of_a_restore_request_is_named() {
        let json = format!(r#"{{"id":"{ID}","dir":5}}"#);
        let error = from_json::<RestoreRequest>(&json, ErrorCode::InvalidBackupConfig).unwrap_err();
        assert!(error.message.starts_with("dir: "), "{error}");
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

    #[test]
    fn null_options_are_defaults() {
        let options: BackupOptions = from_json(
            r#"{"dir":"/workspace","name":null,"ttl":null,"gitignore":null,"excludes":null,"compression":null}"#,
            ErrorCode::InvalidBackupConfig,
        )
        .unwrap();
        assert_eq!(options, BackupOptions::new("/workspace"));
    }
}
