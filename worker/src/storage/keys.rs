//! Names of the objects in the bucket, as the guide documents them.

use sandbox_shared::BackupId;

/// All backups are below this prefix.
pub const PREFIX: &str = "backups/";

/// The archive of a backup.
pub fn archive(id: &BackupId) -> String {
    format!("{PREFIX}{id}/data.sqsh")
}

/// The metadata of a backup, written last.
pub fn metadata(id: &BackupId) -> String {
    format!("{PREFIX}{id}/meta.json")
}

/// The backup whose metadata `key` is.
pub fn metadata_id(key: &str) -> Option<BackupId> {
    let id = key.strip_prefix(PREFIX)?.strip_suffix("/meta.json")?;
    BackupId::parse(id).ok()
}

/// The backup whose archive `key` is.
pub fn archive_id(key: &str) -> Option<BackupId> {
    let id = key.strip_prefix(PREFIX)?.strip_suffix("/data.sqsh")?;
    BackupId::parse(id).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_key_leads_back_to_its_id() {
        let id = BackupId::from_random([3; 16]);
        assert_eq!(archive_id(&archive(&id)), Some(id.clone()));
        assert_eq!(archive_id(&metadata(&id)), None);
        assert_eq!(metadata_id(&metadata(&id)), Some(id.clone()));
        assert_eq!(metadata_id(&archive(&id)), None);
        assert_eq!(archive_id("backups/../data.sqsh"), None);
    }
}
