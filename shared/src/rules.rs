//! What input is acceptable: paths, names, patterns, compression settings.
//!
//! These rules look at the text only. Whether a directory is reached through a
//! symbolic link out of the allowed roots is a question to the file system,
//! and the agent asks it.

use std::ops::RangeInclusive;

use serde::{Deserialize, Deserializer, de};

use crate::{
    compression::Compression,
    error::{ErrorCode, Result, SandboxError},
};

/// Linux's `PATH_MAX`, in bytes.
pub const MAX_PATH_BYTES: usize = 4096;
/// Longest backup name, in Unicode characters.
pub const MAX_NAME_CHARS: usize = 256;
/// Longest sandbox name, in Unicode characters.
pub const MAX_SANDBOX_NAME_CHARS: usize = 256;
/// Most exclude patterns in one request.
pub const MAX_EXCLUDES: usize = 10_000;
/// Most compressing threads one may ask for.
pub const MAX_THREADS: u32 = 256;
/// JavaScript's `Number.MAX_SAFE_INTEGER`: above it, integers are not told apart.
pub const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;
/// Bytes of a data block that Linux's squashfs driver accepts.
pub const BLOCK_SIZES: RangeInclusive<u32> = 4096..=1 << 20;

/// The directories below which backups may be taken and restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedRoots(Vec<String>);

impl AllowedRoots {
    /// The roots that are always allowed.
    pub const DEFAULT: [&str; 5] = ["/workspace", "/home", "/tmp", "/var/tmp", "/app"];

    /// The default roots and those of `extra`, a comma-separated list of
    /// absolute paths.
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
    pub fn check(&self, dir: &str) -> Result<String> {
        let path = normalize(dir)
            .map_err(|problem| SandboxError::invalid_config(format!("dir {problem}")))?;
        if self.contains(&path) {
            return Ok(path);
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

/// The normal form of a path that a file operation names. Any absolute path
/// will do: a command could reach it just as well.
pub fn check_file_path(path: &str) -> Result<String> {
    normalize(path).map_err(|problem| SandboxError::invalid_request(format!("path {problem}")))
}

/// Checks the name of a backup.
pub fn check_name(name: &str) -> Result<()> {
    if name.chars().count() > MAX_NAME_CHARS {
        return Err(SandboxError::invalid_config(format!(
            "name must be at most {MAX_NAME_CHARS} characters"
        )));
    }
    if name.chars().any(char::is_control) {
        return Err(SandboxError::invalid_config(
            "name must not contain control characters",
        ));
    }
    Ok(())
}

/// Checks the name of a sandbox, as a route or `getSandbox` gives it.
pub fn check_sandbox_name(name: &str) -> Result<()> {
    let problem = if name.is_empty() {
        "must not be empty"
    } else if name.chars().count() > MAX_SANDBOX_NAME_CHARS {
        "must be at most 256 characters"
    } else if name.chars().any(char::is_control) {
        "must not contain control characters"
    } else {
        return Ok(());
    };
    Err(SandboxError::new(
        ErrorCode::InvalidRequest,
        format!("sandbox name {problem}"),
    ))
}

/// Checks the form of exclude patterns; their meaning is the agent's business.
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

/// Checks level and thread count against the format.
pub fn check_compression(compression: &Compression) -> Result<()> {
    let format = compression.format;
    if let Some(level) = compression.level {
        match format.levels() {
            Some(levels) if levels.contains(&level) => {}
            Some(levels) => {
                return Err(SandboxError::invalid_config(format!(
                    "compression.level for {} must be {} to {}",
                    format.as_str(),
                    levels.start(),
                    levels.end()
                )));
            }
            None => {
                return Err(SandboxError::invalid_config(format!(
                    "compression.level does not apply to {}",
                    format.as_str()
                )));
            }
        }
    }
    if compression
        .threads
        .is_some_and(|threads| !(1..=MAX_THREADS).contains(&threads))
    {
        return Err(SandboxError::invalid_config(format!(
            "compression.threads must be 1 to {MAX_THREADS}"
        )));
    }
    if compression
        .block_size
        .is_some_and(|size| !size.is_power_of_two() || !BLOCK_SIZES.contains(&size))
    {
        return Err(SandboxError::invalid_config(format!(
            "compression.blockSize must be a power of two from {} to {}",
            BLOCK_SIZES.start(),
            BLOCK_SIZES.end()
        )));
    }
    Ok(())
}

/// Reads an optional integer, at most [`MAX_SAFE_INTEGER`].
pub(crate) fn safe_integer<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<u64>, D::Error> {
    let number = Option::deserialize(deserializer)?;
    match number.filter(|number| *number > MAX_SAFE_INTEGER) {
        Some(number) => Err(de::Error::invalid_value(
            de::Unexpected::Unsigned(number),
            &"an integer of at most 2^53 - 1",
        )),
        None => Ok(number),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::compression::CompressionFormat;

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
            assert_eq!(roots.check(given).unwrap(), normal);
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

    #[test]
    fn names_are_counted_in_characters() {
        assert!(check_name(&"é".repeat(256)).is_ok());
        assert!(check_name(&"a".repeat(257)).is_err());
        assert!(check_name("two\nlines").is_err());
        assert!(check_name("del\u{7f}").is_err());
        assert!(check_name("před migrací 🚀").is_ok());
    }

    #[test]
    fn names_of_sandboxes_are_counted_in_characters_too() {
        assert!(check_sandbox_name(&"é".repeat(256)).is_ok());
        for bad in [String::new(), "a".repeat(257), "two\nlines".into()] {
            let error = check_sandbox_name(&bad).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidRequest, "{bad:?}");
        }
    }

    #[test]
    fn excludes_name_the_bad_one() {
        let error = check_excludes(&["ok".into(), " ".into()]).unwrap_err();
        assert!(error.message.contains("excludes[1]"), "{error}");
        assert!(check_excludes(&["a\nb".into()]).is_err());
        assert!(check_excludes(&["node_modules/".into(), "!keep".into()]).is_ok());
    }

    #[test]
    fn levels_belong_to_formats() {
        let with = |format, level| Compression {
            format,
            level,
            ..Compression::default()
        };
        assert!(check_compression(&with(CompressionFormat::Zstd, Some(22))).is_ok());
        assert!(check_compression(&with(CompressionFormat::Zstd, Some(23))).is_err());
        assert!(check_compression(&with(CompressionFormat::Gzip, Some(0))).is_err());
        assert!(check_compression(&with(CompressionFormat::Lz4, Some(1))).is_err());
        assert!(check_compression(&with(CompressionFormat::Lz4, None)).is_ok());
    }

    #[test]
    fn block_sizes_are_powers_of_two() {
        let with = |size| Compression {
            block_size: Some(size),
            ..Compression::default()
        };
        for good in [4096, 131_072, 1 << 20] {
            assert!(check_compression(&with(good)).is_ok(), "{good}");
        }
        for bad in [0, 2048, 5000, 1 << 21] {
            let error = check_compression(&with(bad)).unwrap_err();
            assert!(error.message.contains("compression.blockSize"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_normal_path_stays_inside_and_is_stable(path in "/(tmp|home)(/[a-z.]{0,3}){0,6}/?") {
            let roots = AllowedRoots::default();
            if let Ok(normal) = roots.check(&path) {
                prop_assert!(roots.contains(&normal));
                prop_assert!(!normal.split('/').any(|c| c == ".."));
                prop_assert_eq!(roots.check(&normal).unwrap(), normal);
            } else {
                prop_assert!(path.split('/').any(|c| c == ".."));
            }
        }
    }

    #[test]
    fn integers_are_those_that_javascript_tells_apart() {
        use crate::{backup::BackupOptions, files::ExecRequest};
        let timeout = |text: &str| {
            serde_json::from_str::<ExecRequest>(&format!(r#"{{"command": "", "timeout": {text}}}"#))
                .map(|options| options.timeout)
        };
        assert_eq!(timeout("null").unwrap(), None);
        assert_eq!(timeout("9007199254740991").unwrap(), Some(MAX_SAFE_INTEGER));
        let refused = timeout("9007199254740992").unwrap_err().to_string();
        assert!(refused.contains("at most 2^53 - 1"), "{refused}");
        let options = r#"{"dir": "/app", "excludeLargerThan": 9007199254740992}"#;
        assert!(serde_json::from_str::<BackupOptions>(options).is_err());
    }
}
