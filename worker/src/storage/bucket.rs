//! The R2 binding, as far as backups need it.
//!
//! R2 is strongly consistent: a read that starts after a write has answered
//! sees it, wherever it runs (R2, "Consistency model").

use sandbox_shared::{
    BackupId, BackupMetadata, ErrorCode, Result, SandboxError,
    protocol::{Part, UploadedArchive},
};
use worker::{Bucket, MultipartUpload, UploadedPart};

use super::keys;

/// The bucket that holds the backups.
pub struct BackupBucket {
    bucket: Bucket,
    /// What a failing call to R2 means to the operation at hand.
    on_failure: ErrorCode,
}

impl BackupBucket {
    /// A bucket whose failures are reported as `on_failure`.
    pub fn new(bucket: Bucket, on_failure: ErrorCode) -> Self {
        Self { bucket, on_failure }
    }

    fn failed(&self, doing: &str) -> impl FnOnce(worker::Error) -> SandboxError {
        let code = self.on_failure;
        let message = format!("R2 failed while {doing}");
        move |error| SandboxError::new(code, format!("{message}: {error}"))
    }

    /// Starts the upload of an archive and gives its id.
    pub async fn create_upload(&self, id: &BackupId) -> Result<String> {
        let upload = self
            .bucket
            .create_multipart_upload(keys::archive(id))
            .execute()
            .await
            .map_err(self.failed("creating the upload"))?;
        Ok(upload.upload_id().await)
    }

    fn upload(&self, id: &BackupId, upload_id: &str) -> Result<MultipartUpload> {
        self.bucket
            .resume_multipart_upload(keys::archive(id), upload_id)
            .map_err(self.failed("resuming the upload"))
    }

    /// Turns the parts into the archive and checks that the store agrees on its size.
    pub async fn complete_upload(
        &self,
        id: &BackupId,
        upload_id: &str,
        archive: &UploadedArchive,
    ) -> Result<()> {
        let parts = archive.parts.iter().map(|Part { number, etag }| {
            // At most 10,000 parts: the number fits.
            UploadedPart::new(*number as u16, etag.clone())
        });
        self.upload(id, upload_id)?
            .complete(parts)
            .await
            .map_err(self.failed("completing the upload"))?;
        match self.archive_size(id).await? {
            Some(size) if size == archive.size_bytes => Ok(()),
            size => Err(SandboxError::new(
                self.on_failure,
                format!(
                    "R2 holds {} bytes of the archive instead of {}",
                    size.unwrap_or(0),
                    archive.size_bytes
                ),
            )),
        }
    }

    /// Removes an upload that will not be completed, or has been already.
    pub async fn abort_upload(&self, id: &BackupId, upload_id: &str) -> Result<()> {
        self.upload(id, upload_id)?
            .abort()
            .await
            .map_err(self.failed("aborting the upload"))
    }

    /// Bytes of the archive, if it exists.
    pub async fn archive_size(&self, id: &BackupId) -> Result<Option<u64>> {
        let object = self
            .bucket
            .head(keys::archive(id))
            .await
            .map_err(self.failed("looking for the archive"))?;
        Ok(object.map(|object| object.size()))
    }

    /// Makes the backup exist.
    pub async fn put_metadata(&self, metadata: &BackupMetadata) -> Result<()> {
        let json = serde_json::to_vec_pretty(metadata)
            .map_err(|error| SandboxError::new(self.on_failure, error.to_string()))?;
        self.bucket
            .put(keys::metadata(&metadata.id), json)
            .http_metadata(worker::HttpMetadata {
                content_type: Some("application/json".into()),
                ..Default::default()
            })
            .execute()
            .await
            .map_err(self.failed("writing the metadata"))?;
        Ok(())
    }

    /// The metadata of a backup, if it exists.
    pub async fn metadata(&self, id: &BackupId) -> Result<Option<BackupMetadata>> {
        let Some(object) = self
            .bucket
            .get(keys::metadata(id))
            .execute()
            .await
            .map_err(self.failed("reading the metadata"))?
        else {
            return Ok(None);
        };
        let Some(body) = object.body() else {
            return Ok(None);
        };
        let json = body
            .bytes()
            .await
            .map_err(self.failed("reading the metadata"))?;
        serde_json::from_slice(&json).map(Some).map_err(|error| {
            SandboxError::new(
                self.on_failure,
                format!("the metadata of backup {id} is unreadable: {error}"),
            )
        })
    }

    /// Deletes both objects of a backup, the metadata first, so that there is
    /// never a backup without its archive. Deleting what is not there succeeds.
    pub async fn delete(&self, id: &BackupId) -> Result<()> {
        for key in [keys::metadata(id), keys::archive(id)] {
            self.bucket
                .delete(key)
                .await
                .map_err(self.failed("deleting the backup"))?;
        }
        Ok(())
    }
}
