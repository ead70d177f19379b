//! The handle of a backup, and what stands in it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::{Result, SandboxError};

/// Names one backup: a UUID version 4 in its canonical lower-case form (RFC 9562).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, JsonSchema)]
#[schemars(
    inline,
    description = "A UUID version 4.",
    extend("pattern" = "^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
)]
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

    /// A new one, from the system's random numbers.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().hyphenated().to_string())
    }

    /// The same from 16 bytes that are random, or to be told apart in a test.
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
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema)]
#[schemars(
    inline,
    description = "Seconds.",
    extend("exclusiveMinimum" = 0, "maximum" = Ttl::MAX_SECONDS as u64)
)]
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

/// The handle of a backup: plain JSON, safe to keep in KV, D1 or Durable Object storage.
///
/// Unknown fields are ignored, so a handle that `@cloudflare/sandbox` made is accepted as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DirectoryBackup {
    /// Names the objects `backups/{id}/data.sqsh` and `backups/{id}/meta.json` in the bucket.
    pub id: BackupId,
    /// Absolute path of the directory that was backed up, or that it is restored to.
    pub dir: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ErrorCode, from_json};

    const ID: &str = "0b5d6a2e-6f3c-4b52-9d1e-8a4f7c3b2a10";

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
}
