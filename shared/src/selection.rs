//! What of a directory goes into an archive.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};
use strum::{IntoStaticStr, VariantArray};

#[cfg(feature = "cli")]
use crate::cli;
use crate::{
    error::{Result, SandboxError},
    path::MAX_PATH_BYTES,
};

/// Most exclude patterns in one request.
pub const MAX_EXCLUDES: usize = 10_000;

/// What to do about entries that cannot be read.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
    IntoStaticStr,
    VariantArray,
)]
#[strum(serialize_all = "lowercase")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum OnUnreadable {
    /// Fail; the error names them.
    #[default]
    Fail,
    /// Leave them out; the report names them.
    Skip,
}

impl OnUnreadable {
    /// The name in JSON and on command lines.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Which entries of a directory are wanted.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(rename_all = "camelCase")]
pub struct Selection {
    /// Patterns in `.gitignore` syntax, relative to the directory. A later
    /// pattern overrides an earlier one, and all of them override `.gitignore`
    /// files, as patterns on git's command line do. They leave out what is
    /// tracked, too.
    #[serde(default, deserialize_with = "excludes")]
    #[cfg_attr(feature = "cli", arg(long = "exclude", short, value_name = "PATTERN", help = cli::EXCLUDE_HELP))]
    pub excludes: Vec<String>,
    /// Leave out what git ignores: what patterns name and git does not track. The
    /// patterns are those of `.gitignore` files in and below the directory and,
    /// when it is part of a repository, those of its parents up to the
    /// repository's root, and of `info/exclude`. A repository inside the tree
    /// follows its own rules only, as with git.
    #[serde(default)]
    #[cfg_attr(feature = "cli", arg(long))]
    pub gitignore: bool,
    /// Of a directory that has a valid `CACHEDIR.TAG`, keep only the directory
    /// and the tag (<https://bford.info/cachedir/>).
    #[serde(default)]
    #[cfg_attr(feature = "cli", arg(long))]
    pub exclude_caches: bool,
    /// Leave out regular files of more bytes than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "SIZE", value_parser = cli::bytes, help = cli::LARGER_THAN_HELP))]
    pub exclude_larger_than: Option<u64>,
    /// Enter directories that are other file systems. Otherwise such a
    /// directory is kept, but empty, unless it is a restored one.
    #[serde(default)]
    #[cfg_attr(feature = "cli", arg(long))]
    pub cross_file_systems: bool,
    /// What to do about entries that cannot be read, when they are looked for
    /// or when their content is read.
    #[serde(default)]
    #[cfg_attr(feature = "cli", arg(long, default_value = "fail"))]
    pub on_unreadable: OnUnreadable,
}

/// Checks the form of [`Selection::excludes`]; what they mean is for the agent to say.
///
/// # Errors
/// `INVALID_BACKUP_CONFIG`, with what is wrong with which of them
pub fn check_excludes(patterns: &[String]) -> Result<()> {
    if patterns.len() > MAX_EXCLUDES {
        return Err(SandboxError::invalid_config(format!(
            "excludes must be at most {MAX_EXCLUDES} patterns"
        )));
    }
    for (index, pattern) in patterns.iter().enumerate() {
        let problem = if pattern.trim().is_empty() {
            "is empty"
        } else if pattern.len() > MAX_PATH_BYTES {
            "is longer than 4096 bytes"
        } else if pattern.contains(['\0', '\n', '\r']) {
            "contains NUL or a line break"
        } else {
            continue;
        };
        return Err(SandboxError::invalid_config(format!(
            "excludes[{index}] {problem}"
        )));
    }
    Ok(())
}

/// Reads what [`check_excludes`] accepts.
pub(crate) fn excludes<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<String>, D::Error> {
    let patterns = Option::<Vec<String>>::deserialize(deserializer)?.unwrap_or_default();
    check_excludes(&patterns).map_err(|error| de::Error::custom(error.message))?;
    Ok(patterns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excludes_name_the_bad_one() {
        let error = check_excludes(&["ok".into(), " ".into()]).unwrap_err();
        assert!(error.message.contains("excludes[1]"), "{error}");
        assert!(check_excludes(&["a\nb".into()]).is_err());
        assert!(check_excludes(&["node_modules/".into(), "!keep".into()]).is_ok());
    }
}
