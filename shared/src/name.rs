//! Names that people give.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::error::{ErrorCode, Result, SandboxError};

/// Longest name of a backup or a sandbox, in Unicode characters.
pub const MAX_NAME_CHARS: usize = 256;

/// The name of a backup: at most [`MAX_NAME_CHARS`] Unicode characters, none of
/// them a control character.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(
    inline,
    description = "At most 256 Unicode characters, none of them a control character.",
    extend("maxLength" = MAX_NAME_CHARS, "pattern" = r"^[^\u0000-\u001f\u007f-\u009f]*$")
)]
pub struct BackupName(String);

impl BackupName {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BackupName {
    type Err = SandboxError;

    /// # Errors
    /// `INVALID_BACKUP_CONFIG`, with what is wrong
    fn from_str(text: &str) -> Result<Self> {
        match problem(text) {
            None => Ok(Self(text.to_owned())),
            Some(problem) => Err(SandboxError::invalid_config(format!("name {problem}"))),
        }
    }
}

impl<'de> Deserialize<'de> for BackupName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map_err(|error: SandboxError| de::Error::custom(error.message))
    }
}

impl From<BackupName> for String {
    fn from(name: BackupName) -> Self {
        name.0
    }
}

/// The name of a sandbox: as that of a backup, and not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxName(String);

impl FromStr for SandboxName {
    type Err = SandboxError;

    /// # Errors
    /// `INVALID_REQUEST`, with what is wrong
    fn from_str(text: &str) -> Result<Self> {
        let problem = if text.is_empty() {
            Some("must not be empty".into())
        } else {
            problem(text)
        };
        match problem {
            None => Ok(Self(text.to_owned())),
            Some(problem) => Err(SandboxError::new(
                ErrorCode::InvalidRequest,
                format!("sandbox name {problem}"),
            )),
        }
    }
}

impl fmt::Display for SandboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn problem(name: &str) -> Option<String> {
    if name.chars().count() > MAX_NAME_CHARS {
        return Some(format!("must be at most {MAX_NAME_CHARS} characters"));
    }
    let has_control = name.chars().any(char::is_control);
    has_control.then(|| "must not contain control characters".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_counted_in_characters() {
        let backup = |name: &str| name.parse::<BackupName>();
        assert!(backup(&"é".repeat(256)).is_ok());
        assert!(backup(&"a".repeat(257)).is_err());
        assert!(backup("two\nlines").is_err());
        assert!(backup("del\u{7f}").is_err());
        assert!(backup("před migrací 🚀").is_ok());
    }

    #[test]
    fn names_of_sandboxes_are_counted_in_characters_too() {
        assert!("é".repeat(256).parse::<SandboxName>().is_ok());
        for bad in [String::new(), "a".repeat(257), "two\nlines".into()] {
            let error = bad.parse::<SandboxName>().unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidRequest, "{bad:?}");
        }
    }
}
