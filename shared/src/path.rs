//! Paths in a container, as text. Whether a directory is reached through a symbolic
//! link out of the allowed roots is a question to the file system, and the agent
//! asks it.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::error::{Result, SandboxError};

/// Linux's `PATH_MAX`, in bytes.
pub const MAX_PATH_BYTES: usize = 4096;

/// An absolute path without `..`, doubled slashes and `.` components. Any will do
/// for a file: a command could reach it just as well.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[schemars(
    inline,
    description = "An absolute path without `..`.",
    extend(
        "maxLength" = MAX_PATH_BYTES,
        "pattern" = r"^(/(\.?|[^/.\u0000][^/\u0000]*|\.[^/.\u0000][^/\u0000]*|\.\.[^/\u0000]+))+$"
    )
)]
pub struct AbsolutePath(String);

impl AbsolutePath {
    /// The normal form of `text`.
    ///
    /// # Errors
    /// `INVALID_REQUEST`, with what is wrong
    pub fn parse(text: &str) -> Result<Self> {
        normalize(text)
            .map(Self)
            .map_err(|problem| SandboxError::invalid_request(format!("path {problem}")))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AbsolutePath {
    type Err = SandboxError;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl<'de> Deserialize<'de> for AbsolutePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| de::Error::custom(error.message))
    }
}

impl fmt::Display for AbsolutePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<AbsolutePath> for String {
    fn from(path: AbsolutePath) -> Self {
        path.0
    }
}

/// A directory that may be backed up and restored to: it is one of the
/// [`AllowedRoots`] or below one, which alone can make it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct AllowedDir(AbsolutePath);

impl AllowedDir {
    /// Its text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for AllowedDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<AllowedDir> for AbsolutePath {
    fn from(dir: AllowedDir) -> Self {
        dir.0
    }
}

impl From<AllowedDir> for String {
    fn from(dir: AllowedDir) -> Self {
        dir.0.into()
    }
}

/// The directories below which backups may be taken and restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedRoots(Vec<String>);

impl AllowedRoots {
    /// The roots that are always allowed.
    pub const DEFAULT: [&str; 5] = ["/workspace", "/home", "/tmp", "/var/tmp", "/app"];

    /// The default roots and those of `extra`, a comma-separated list of
    /// absolute paths.
    ///
    /// # Errors
    /// `INVALID_BACKUP_CONFIG` if one of them is no absolute path, or is `/`
    pub fn with_extra(extra: &str) -> Result<Self> {
        let mut roots = Self::default();
        for root in extra.split(',').map(str::trim).filter(|r| !r.is_empty()) {
            let root = normalize(root).map_err(|problem| {
                SandboxError::invalid_config(format!("allowed root {problem}"))
            })?;
            if root == "/" {
                return Err(SandboxError::invalid_config(
                    "allowed root / would hold the whole system: name directories below it",
                ));
            }
            roots.0.push(root);
        }
        Ok(roots)
    }

    /// The roots, in the order they were given.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether `path`, in normal form, is one of the roots or below one.
    pub fn contains(&self, path: &str) -> bool {
        self.iter().any(|root| is_within(path, root))
    }

    /// The normal form of `dir`, if it may be backed up or restored to.
    ///
    /// # Errors
    /// `INVALID_BACKUP_CONFIG`, with what is wrong
    pub fn check(&self, dir: &str) -> Result<AllowedDir> {
        let path = normalize(dir)
            .map_err(|problem| SandboxError::invalid_config(format!("dir {problem}")))?;
        if self.contains(&path) {
            return Ok(AllowedDir(AbsolutePath(path)));
        }
        Err(SandboxError::invalid_config(format!(
            "dir {path} is not below an allowed root ({}); BACKUP_ALLOWED_ROOTS can add more",
            self.0.join(", ")
        ))
        .with("dir", path))
    }
}

impl Default for AllowedRoots {
    fn default() -> Self {
        Self(Self::DEFAULT.map(str::to_owned).to_vec())
    }
}

/// Whether `path` is `outer` or below it, both in normal form.
pub fn is_within(path: &str, outer: &str) -> bool {
    let rest = path.strip_prefix(outer);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `path` without doubled and trailing slashes and `.` components, or what is
/// wrong with it, worded to follow the name of the field.
fn normalize(path: &str) -> Result<String, String> {
    if !path.starts_with('/') {
        return Err("must be an absolute path".into());
    }
    if path.len() > MAX_PATH_BYTES {
        return Err(format!("must be at most {MAX_PATH_BYTES} bytes"));
    }
    if path.contains('\0') {
        return Err("must not contain NUL".into());
    }
    let mut normal = String::with_capacity(path.len());
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => return Err("must not contain '..'".into()),
            name => {
                normal.push('/');
                normal.push_str(name);
            }
        }
    }
    if normal.is_empty() {
        normal.push('/');
    }
    Ok(normal)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::ErrorCode;

    #[test]
    fn allowed_directories() {
        let roots = AllowedRoots::default();
        for (given, normal) in [
            ("/workspace", "/workspace"),
            ("/workspace/", "/workspace"),
            ("//workspace//a/./b/", "/workspace/a/b"),
            ("/home/user/…/x y", "/home/user/…/x y"),
            ("/var/tmp/x", "/var/tmp/x"),
        ] {
            assert_eq!(roots.check(given).unwrap().as_str(), normal);
        }
    }

    #[test]
    fn refused_directories() {
        let roots = AllowedRoots::default();
        let long = format!("/tmp/{}", "x".repeat(MAX_PATH_BYTES));
        for bad in [
            "",
            "workspace",
            "/",
            "/etc",
            "/workspaces",
            "/var",
            "/workspace/../etc",
            "/workspace/..",
            "/workspace/a\0b",
            "./workspace",
            &long,
        ] {
            let error = roots.check(bad).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidBackupConfig, "{bad:?}");
        }
    }

    #[test]
    fn roots_can_be_added_but_not_the_whole_system() {
        let roots = AllowedRoots::with_extra(" /data/ , /srv/x").unwrap();
        assert!(roots.check("/data/set").is_ok());
        assert!(roots.check("/srv/x").is_ok());
        assert!(roots.check("/srv").is_err());
        assert!(AllowedRoots::with_extra("/").is_err());
        assert!(AllowedRoots::with_extra("data").is_err());
    }

    proptest! {
        #[test]
        fn a_normal_path_stays_inside_and_is_stable(path in "/(tmp|home)(/[a-z.]{0,3}){0,6}/?") {
            let roots = AllowedRoots::default();
            if let Ok(normal) = roots.check(&path) {
                prop_assert!(roots.contains(normal.as_str()));
                prop_assert!(!normal.as_str().split('/').any(|c| c == ".."));
                prop_assert_eq!(roots.check(normal.as_str()).unwrap(), normal);
            } else {
                prop_assert!(path.split('/').any(|c| c == ".."));
            }
        }
    }
}
