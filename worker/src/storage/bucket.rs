//! The R2 binding, as far as backups need it.
//!
//! R2 is strongly consistent: a read that starts after a write has answered
//! sees it, wherever it runs (R2, "Consistency model").

use std::collections::HashMap;

use sandbox_shared::{
    BackupId, BackupMetadata, Result, SandboxError,
    methods::Row,
    protocol::{Part, UploadedArchive},
};
use worker::{Bucket, Include, MultipartUpload, UploadedPart};

use super::keys;
use crate::{
    config::Config,
    timing::{self, measure},
};

/// The bucket that holds the backups.
pub struct BackupBucket {
    bucket: Bucket,
    /// What it is used for, which says what a failing call to R2 is called.
    method: &'static Row,
}

/// Backups that one call to R2 can delete (R2, "Workers API reference", `delete`).
pub const DELETED_AT_ONCE: usize = 1000;

/// In the custom metadata of `meta.json`: which sandbox made it.
const SANDBOX_KEY: &str = "sandbox";

/// In the custom metadata of `meta.json`: what that sandbox is called.
const SANDBOX_NAME_KEY: &str = "sandbox-name";

/// An object of a backup as the bucket lists it.
pub enum ListedObject {
    /// `data.sqsh`
    Archive {
        /// Names the backup.
        id: BackupId,
        /// Of the archive.
        size_bytes: u64,
    },
    /// `meta.json`: there is a backup.
    Metadata(ListedBackup),
}

/// What a list tells of a backup.
pub struct ListedBackup {
    /// Names the backup.
    pub id: BackupId,
    /// The sandbox that made it, if its writer says so.
    pub sandbox: Option<String>,
    /// What that sandbox is called, if its writer says so.
    pub sandbox_name: Option<String>,
    /// When the metadata was stored, in milliseconds since 1970.
    pub stored_at_ms: u64,
}

/// Some of the objects in the bucket.
pub struct ListedPage {
    /// In the order of their keys.
    pub objects: Vec<ListedObject>,
    /// For the next page, if there is one.
    pub cursor: Option<String>,
}

/// An archive in the bucket.
pub struct StoredArchive {
    /// Of the object.
    pub size_bytes: u64,
    /// Without quotes.
    pub etag: String,
}

/// R2's own messages end in its error number (R2, "Error codes").
pub(super) fn is_no_such_upload(error: &worker::Error) -> bool {
    error.to_string().contains("(10024)")
}

/// Whether an ETag is the MD5 of MD5s and a number of parts. Other stores may
/// give ETags of other kinds, which say nothing.
fn is_multipart_etag(etag: &str) -> bool {
    etag.split_once('-').is_some_and(|(digest, parts)| {
        digest.len() == 32
            && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
            && parts.parse::<u32>().is_ok()
    })
}

impl BackupBucket {
    /// The bucket that is configured, to be used for `method`.
    pub fn open(config: &Config, method: &'static Row) -> Result<Self> {
        Ok(Self {
            bucket: config.bucket()?,
            method,
        })
    }

    fn failed(&self, doing: &str) -> impl FnOnce(worker::Error) -> SandboxError {
        let method = self.method;
        let message = format!("R2 failed while {doing}");
        move |error| method.failed(format!("{message}: {error}"))
    }

    /// Waits for R2's answer.
    async fn ask<T>(
        &self,
        doing: &str,
        call: impl Future<Output = worker::Result<T>>,
    ) -> Result<T> {
        measure(timing::Part::Store, call)
            .await
            .map_err(self.failed(doing))
    }

    /// Starts the upload of an archive and gives its id.
    pub async fn create_upload(&self, id: &BackupId) -> Result<String> {
        let upload = self.bucket.create_multipart_upload(keys::archive(id));
        let upload = self.ask("creating the upload", upload.execute()).await?;
        Ok(upload.upload_id().await)
    }

    fn upload(&self, id: &BackupId, upload_id: &str) -> Result<MultipartUpload> {
        self.bucket
            .resume_multipart_upload(keys::archive(id), upload_id)
            .map_err(self.failed("resuming the upload"))
    }

    /// Turns the parts into the archive, and checks that the store has received
    /// what the agent has sent: its size, and the MD5s of its parts.
    pub async fn complete_upload(
        &self,
        id: &BackupId,
        upload_id: &str,
        archive: &UploadedArchive,
    ) -> Result<()> {
        let parts = archive.parts.iter().map(|Part { number, etag }| {
            // The caller has seen that there are at most 10,000: the number fits.
            UploadedPart::new(*number as u16, etag.clone())
        });
        let completed = self.upload(id, upload_id)?.complete(parts);
        self.ask("completing the upload", completed).await?;
        let wrong = |message: String| Err(self.method.failed(message));
        match self.archive(id).await? {
            Some(stored) if stored.size_bytes != archive.size_bytes => wrong(format!(
                "R2 holds {} bytes of the archive instead of {}",
                stored.size_bytes, archive.size_bytes
            )),
            Some(stored) if is_multipart_etag(&stored.etag) && stored.etag != archive.etag => {
                wrong(format!(
                    "R2 holds an archive with the ETag {} instead of {}: bytes were changed on their way",
                    stored.etag, archive.etag
                ))
            }
            Some(_) => Ok(()),
            None => wrong("R2 does not hold the archive that it has just taken".into()),
        }
    }

    /// Removes an upload that will not be completed. One that has been, or that
    /// is gone, is none any more.
    pub async fn abort_upload(&self, id: &BackupId, upload_id: &str) -> Result<()> {
        let upload = self.upload(id, upload_id)?;
        match measure(timing::Part::Store, upload.abort()).await {
            Err(error) if !is_no_such_upload(&error) => {
                Err(self.failed("aborting the upload")(error))
            }
            _ => Ok(()),
        }
    }

    /// What R2 knows of the archive, if it exists.
    pub async fn archive(&self, id: &BackupId) -> Result<Option<StoredArchive>> {
        let object = self.bucket.head(keys::archive(id));
        let object = self.ask("looking for the archive", object).await?;
        Ok(object.map(|object| StoredArchive {
            size_bytes: object.size(),
            etag: object.etag(),
        }))
    }

    /// Makes the backup exist.
    pub async fn put_metadata(&self, metadata: &BackupMetadata) -> Result<()> {
        let json = serde_json::to_vec_pretty(metadata)
            .map_err(|error| self.method.failed(error.to_string()))?;
        let put = self
            .bucket
            .put(keys::metadata(&metadata.id), json)
            .http_metadata(worker::HttpMetadata {
                content_type: Some("application/json".into()),
                ..Default::default()
            })
            .custom_metadata(
                [
                    (SANDBOX_KEY, &metadata.sandbox),
                    (SANDBOX_NAME_KEY, &metadata.sandbox_name),
                ]
                .into_iter()
                .filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)))
                .collect::<HashMap<_, _>>(),
            );
        self.ask("writing the metadata", put.execute()).await?;
        Ok(())
    }

    /// The metadata of a backup, if it exists.
    pub async fn metadata(&self, id: &BackupId) -> Result<Option<BackupMetadata>> {
        let Some(json) = self.metadata_json(id).await? else {
            return Ok(None);
        };
        serde_json::from_slice(&json).map(Some).map_err(|error| {
            self.method.failed(format!(
                "the metadata of backup {id} is unreadable: {error}"
            ))
        })
    }

    /// The same, as it is stored: whoever wrote it may have written anything.
    pub async fn metadata_json(&self, id: &BackupId) -> Result<Option<Vec<u8>>> {
        const DOING: &str = "reading the metadata";
        let object = self.bucket.get(keys::metadata(id));
        let Some(object) = self.ask(DOING, object.execute()).await? else {
            return Ok(None);
        };
        let Some(body) = object.body() else {
            return Ok(None);
        };
        self.ask(DOING, body.bytes()).await.map(Some)
    }

    /// The metadata of a backup that is whole: there is an archive, too, of the
    /// size that the metadata says.
    pub async fn whole(&self, id: &BackupId) -> Result<Option<BackupMetadata>> {
        let Some(metadata) = self.metadata(id).await? else {
            return Ok(None);
        };
        let archive = self.archive(id).await?;
        let fits = archive.is_some_and(|archive| archive.size_bytes == metadata.size_bytes);
        Ok(fits.then_some(metadata))
    }

    /// Whether the backup exists.
    pub async fn exists(&self, id: &BackupId) -> Result<bool> {
        let object = self.bucket.head(keys::metadata(id));
        let object = self.ask("looking for the metadata", object).await?;
        Ok(object.is_some())
    }

    /// Objects of backups in the order of their ids, the archive before the
    /// metadata: a page of them, after `cursor`.
    pub async fn list(&self, cursor: Option<String>) -> Result<ListedPage> {
        let mut list = self
            .bucket
            .list()
            .prefix(keys::PREFIX)
            .include(vec![Include::CustomMetadata]);
        if let Some(cursor) = cursor {
            list = list.cursor(cursor);
        }
        let page = self.ask("listing the bucket", list.execute()).await?;
        let listed = |object: worker::Object| {
            let key = object.key();
            if let Some(id) = keys::archive_id(&key) {
                let size_bytes = object.size();
                return Some(ListedObject::Archive { id, size_bytes });
            }
            let id = keys::metadata_id(&key)?;
            let mut custom = object.custom_metadata().unwrap_or_default();
            Some(ListedObject::Metadata(ListedBackup {
                id,
                sandbox: custom.remove(SANDBOX_KEY),
                sandbox_name: custom.remove(SANDBOX_NAME_KEY),
                stored_at_ms: object.uploaded().as_millis(),
            }))
        };
        Ok(ListedPage {
            objects: page.objects().into_iter().filter_map(listed).collect(),
            cursor: page.truncated().then(|| page.cursor()).flatten(),
        })
    }

    /// Deletes at most [`DELETED_AT_ONCE`] backups, as [`Self::delete`] does.
    pub async fn delete_all(&self, ids: &[BackupId]) -> Result<()> {
        for key in [keys::metadata, keys::archive] {
            let deleted = self.bucket.delete_multiple(ids.iter().map(key).collect());
            self.ask("deleting backups", deleted).await?;
        }
        Ok(())
    }

    /// Deletes both objects of a backup, the metadata first, so that there is
    /// never a backup without its archive. Deleting what is not there succeeds.
    pub async fn delete(&self, id: &BackupId) -> Result<()> {
        for key in [keys::metadata(id), keys::archive(id)] {
            let deleted = self.bucket.delete(key);
            self.ask("deleting the backup", deleted).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_etags_of_multipart_uploads_are_compared() {
        assert!(is_multipart_etag("bf25bdcd9ec1ea4eb4b9dfeffeb17c7a-2"));
        for other in ["bf25bdcd9ec1ea4eb4b9dfeffeb17c7a", "opaque-2", "", "-1"] {
            assert!(!is_multipart_etag(other), "{other}");
        }
    }
}
