//! What `verifyBackup` finds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::handle::BackupId;

/// Most problems that are told of one archive.
pub const MAX_PROBLEMS: usize = 100;

/// What `verifyBackup` returns. A damaged archive is a result, not an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerifyBackupResult {
    /// Which backup.
    pub id: BackupId,
    /// Whether all of it can be read and is what was stored.
    pub valid: bool,
    /// Bytes of the archive in the bucket.
    pub size_bytes: u64,
    /// What the agent found.
    #[serde(flatten)]
    pub archive: ArchiveVerification,
}

impl VerifyBackupResult {
    /// Judges what was found in an archive of `size_bytes` bytes, of which the
    /// metadata says that it has `recorded_size_bytes`.
    pub fn new(
        id: BackupId,
        size_bytes: u64,
        recorded_size_bytes: u64,
        mut archive: ArchiveVerification,
    ) -> Self {
        if size_bytes != recorded_size_bytes {
            let problem = format!(
                "the archive has {size_bytes} bytes; its metadata says {recorded_size_bytes}"
            );
            archive.problems.insert(0, problem);
            archive.problems.truncate(MAX_PROBLEMS);
        }
        Self {
            valid: archive.problems.is_empty() && archive.checksum != ChecksumVerdict::Differs,
            id,
            size_bytes,
            archive,
        }
    }
}

/// What the agent finds in an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ArchiveVerification {
    /// What is wrong, for people: at most the first 100. Damaged metadata hides what comes after it.
    pub problems: Vec<String>,
    /// Whether the bytes are those that were stored.
    pub checksum: ChecksumVerdict,
    /// Regular files that were met; each name of a hard-linked file counts.
    pub files: u64,
    /// Directories that were met, the top one included.
    pub directories: u64,
    /// Symbolic links that were met.
    pub symlinks: u64,
    /// FIFOs, sockets and device nodes that were met.
    pub special: u64,
    /// Bytes of file content; files with several names count once.
    pub bytes: u64,
}

/// What comparing checksums says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ChecksumVerdict {
    /// The bytes are those that were stored.
    Matches,
    /// They are not.
    Differs,
    /// Other writers record no checksum, so there is nothing to compare with.
    NotRecorded,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(problems: &[&str], checksum: ChecksumVerdict) -> ArchiveVerification {
        ArchiveVerification {
            problems: problems.iter().map(|&problem| problem.into()).collect(),
            checksum,
            files: 1,
            directories: 1,
            symlinks: 0,
            special: 0,
            bytes: 5,
        }
    }

    #[test]
    fn valid_is_what_has_the_right_size_bytes_and_structure() {
        use ChecksumVerdict::{Differs, Matches, NotRecorded};
        let valid = |size_bytes, archive| {
            let id = BackupId::from_random([7; 16]);
            VerifyBackupResult::new(id, size_bytes, 4096, archive).valid
        };
        assert!(valid(4096, found(&[], Matches)));
        assert!(valid(4096, found(&[], NotRecorded)));
        assert!(!valid(4096, found(&[], Differs)));
        assert!(!valid(
            4096,
            found(&["a block does not decompress"], Matches)
        ));
        assert!(!valid(4095, found(&[], NotRecorded)));
    }

    #[test]
    fn json_is_one_flat_object() {
        let id = BackupId::from_random([7; 16]);
        let result = VerifyBackupResult::new(id, 2, 3, found(&["x"], ChecksumVerdict::NotRecorded));
        let json = serde_json::to_value(&result).unwrap();
        assert_eq!(json["checksum"], "notRecorded");
        assert_eq!(json["sizeBytes"], 2);
        assert_eq!(
            json["problems"],
            serde_json::json!(["the archive has 2 bytes; its metadata says 3", "x"])
        );
        assert_eq!(
            serde_json::from_value::<VerifyBackupResult>(json).unwrap(),
            result
        );
    }
}
