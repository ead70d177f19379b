//! What `createBackup` and `restoreBackup` take and return.

use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    compression::Compression,
    error::Result,
    handle::{BackupId, DirectoryBackup, Ttl},
    operation::OperationId,
    report::{LeftOutEntry, Listed},
    rules,
    selection::{OnUnreadable, Selection},
    strategy::Strategy,
};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ErrorCode, from_json};

    const ID: &str = "0b5d6a2e-6f3c-4b52-9d1e-8a4f7c3b2a10";

    #[test]
    fn a_bad_field_of_a_restore_request_is_named() {
        let json = format!(r#"{{"id":"{ID}","dir":5}}"#);
        let error = from_json::<RestoreRequest>(&json, ErrorCode::InvalidBackupConfig).unwrap_err();
        assert!(error.message.starts_with("dir: "), "{error}");
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
