//! What `createBackup` and `restoreBackup` take and return.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

#[cfg(feature = "cli")]
use crate::cli;
use crate::{
    compression::Compression,
    error::Result,
    handle::{BackupId, DirectoryBackup, Ttl},
    name::BackupName,
    number,
    operation::OperationId,
    path::{AbsolutePath, AllowedDir, AllowedRoots},
    report::{LeftOutEntry, Listed},
    schema,
    selection::{MAX_EXCLUDES, OnUnreadable, Selection, check_excludes},
    strategy::{self, Strategy},
};

/// What `createBackup` takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(rename_all = "camelCase")]
pub struct BackupOptions {
    /// Absolute path of a directory at or below `/workspace`, `/home`, `/tmp`, `/var/tmp`, `/app` or
    /// one of `BACKUP_ALLOWED_ROOTS`, without `..`.
    #[schemars(with = "AbsolutePath")]
    pub dir: String,
    /// For people: at most 256 Unicode characters, none of them a control character.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, short, value_parser = cli::name))]
    pub name: Option<BackupName>,
    /// Seconds for which the backup may be restored; three days when absent.
    #[schemars(extend("default" = 259_200))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "DURATION", value_parser = cli::ttl, help = cli::TTL_HELP))]
    pub ttl: Option<Ttl>,
    /// Leave out what git ignores: what `.gitignore` files name and git does not track.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schemars(with = "Option<bool>", extend("default" = false))]
    #[cfg_attr(feature = "cli", arg(long))]
    pub gitignore: bool,
    /// What else to leave out: patterns in `.gitignore` syntax, relative to `dir`.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schemars(with = "Option<Vec<schema::Pattern>>", length(max = MAX_EXCLUDES))]
    #[cfg_attr(feature = "cli", arg(long = "exclude", short, value_name = "PATTERN", help = cli::EXCLUDE_HELP))]
    pub excludes: Vec<String>,
    /// Of directories with a valid `CACHEDIR.TAG`, keep only the tag.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schemars(with = "Option<bool>", extend("default" = false))]
    #[cfg_attr(feature = "cli", arg(long))]
    pub exclude_caches: bool,
    /// Leave out files of more bytes than this.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "number::safe_integer"
    )]
    #[schemars(range(max = number::MAX_SAFE_INTEGER))]
    #[cfg_attr(feature = "cli", arg(long, value_name = "SIZE", value_parser = cli::bytes, help = cli::LARGER_THAN_HELP))]
    pub exclude_larger_than: Option<u64>,
    /// Enter directories that are other file systems. Otherwise they are kept, but empty;
    /// directories that were restored are always read.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schemars(with = "Option<bool>", extend("default" = false))]
    #[cfg_attr(feature = "cli", arg(long))]
    pub cross_file_systems: bool,
    /// What to do about entries that cannot be read; `fail` when absent.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schemars(with = "Option<OnUnreadable>")]
    #[cfg_attr(feature = "cli", arg(long, default_value = "fail"))]
    pub on_unreadable: OnUnreadable,
    /// How the archive is compressed; by zstd when absent.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schemars(with = "Option<Compression>")]
    #[cfg_attr(feature = "cli", command(flatten))]
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

    /// What is to be backed up, if it may be.
    ///
    /// # Errors
    /// `INVALID_BACKUP_CONFIG`, with what is wrong
    pub fn check(self, roots: &AllowedRoots) -> Result<NewBackup> {
        self.compression.check()?;
        check_excludes(&self.excludes)?;
        Ok(NewBackup {
            dir: roots.check(&self.dir)?,
            name: self.name,
            ttl: self.ttl.unwrap_or_default(),
            selection: Selection {
                excludes: self.excludes,
                gitignore: self.gitignore,
                exclude_caches: self.exclude_caches,
                exclude_larger_than: self.exclude_larger_than,
                cross_file_systems: self.cross_file_systems,
                on_unreadable: self.on_unreadable,
            },
            compression: self.compression,
        })
    }
}

/// A backup that is to be made: [`BackupOptions`] that are acceptable.
#[derive(Clone, Debug, PartialEq)]
pub struct NewBackup {
    /// The directory.
    pub dir: AllowedDir,
    /// For people.
    pub name: Option<BackupName>,
    /// For how long it may be restored.
    pub ttl: Ttl,
    /// What of the directory goes in.
    pub selection: Selection,
    /// How the archive is compressed.
    pub compression: Compression,
}

/// What `restoreBackup` takes: a handle, whose `dir` may be another directory than the one that was
/// backed up, and how to restore it. What else a handle holds is ignored, unless its name is close
/// to one of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreRequest {
    /// Which backup.
    pub id: BackupId,
    /// Absolute path of the directory to restore to, at or below an allowed root. Made if it is not
    /// there, covered if it is not empty.
    #[schemars(with = "AbsolutePath")]
    pub dir: String,
    /// Forces one strategy; the best that works in the container when absent.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "strategy::known_if_any"
    )]
    pub strategy: Option<Strategy>,
    /// Unmount an older restore of the directory even while processes use it.
    #[serde(default)]
    pub force: bool,
    /// Restore the backup again whenever the container has started again.
    #[serde(default)]
    pub auto_restore: bool,
}

impl From<DirectoryBackup> for RestoreRequest {
    /// To the directory of the handle, by the best strategy that works.
    fn from(backup: DirectoryBackup) -> Self {
        Self {
            id: backup.id,
            dir: backup.dir,
            strategy: None,
            force: false,
            auto_restore: false,
        }
    }
}

/// How a backup is restored. Fields that are given here stand above those beside the handle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(rename_all = "camelCase", default)]
pub struct RestoreOptions {
    /// Forces one strategy; the best that works in the container when absent.
    #[cfg_attr(feature = "cli", arg(long))]
    #[serde(deserialize_with = "strategy::known_if_any")]
    pub strategy: Option<Strategy>,
    /// Unmount an older restore of the directory even while processes use it; false when absent.
    #[cfg_attr(
        feature = "cli",
        arg(long, num_args = 0, default_missing_value = "true")
    )]
    pub force: Option<bool>,
    /// Restore the backup again whenever the container has started again; false when absent.
    #[cfg_attr(
        feature = "cli",
        arg(long, num_args = 0, default_missing_value = "true")
    )]
    pub auto_restore: Option<bool>,
    /// By this the caller can ask for `operationOutcome`, even if it is itself interrupted: up to 64
    /// letters, digits, `-` and `_`, another for each call. A random UUID when absent.
    #[cfg_attr(feature = "cli", arg(skip))]
    pub operation_id: Option<OperationId>,
}

impl RestoreRequest {
    /// The same with those of `options` that are given.
    #[must_use]
    pub fn with(self, options: &RestoreOptions) -> Self {
        Self {
            strategy: options.strategy.or(self.strategy),
            force: options.force.unwrap_or(self.force),
            auto_restore: options.auto_restore.unwrap_or(self.auto_restore),
            ..self
        }
    }

    /// What is to be restored, if it may be.
    ///
    /// # Errors
    /// `INVALID_BACKUP_CONFIG`, with what is wrong
    pub fn check(self, roots: &AllowedRoots) -> Result<Restore> {
        Ok(Restore {
            dir: roots.check(&self.dir)?,
            id: self.id,
            strategy: self.strategy,
            force: self.force,
            auto_restore: self.auto_restore,
        })
    }
}

/// A restore that is to be done: a [`RestoreRequest`] that is acceptable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    /// Which backup.
    pub id: BackupId,
    /// Where to.
    pub dir: AllowedDir,
    /// The strategy that is forced.
    pub strategy: Option<Strategy>,
    /// Whether an older restore is unmounted even while processes use it.
    pub force: bool,
    /// Whether it is restored again whenever the container has started again.
    pub auto_restore: bool,
}

impl Restore {
    /// The handle of the backup, with the directory to restore to.
    pub fn backup(&self) -> DirectoryBackup {
        DirectoryBackup {
            id: self.id.clone(),
            dir: self.dir.to_string(),
        }
    }
}

/// What `restoreBackup` returns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreBackupResult {
    /// Always true; a failure is an error.
    #[schemars(extend("const" = true))]
    pub success: bool,
    /// Where the backup now is.
    pub dir: String,
    /// Which backup.
    pub id: BackupId,
    /// How it is served.
    pub strategy: Strategy,
    /// With the strategy `extract`, what could not be unpacked for want of privileges or of a file
    /// system that can hold it.
    // Older Workers call it `left_out`.
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
