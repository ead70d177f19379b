//! The bucket with the backups, through the consumer's `BACKUP_BUCKET` binding.

use reqwest::{Client, StatusCode, header};
use sandbox_shared::{BackupId, BackupMetadata};
use serde_json::Value;

/// The bucket. Its methods panic when the consumer does not answer.
#[derive(Clone, Debug)]
pub struct Bucket {
    client: Client,
    /// Without a slash at its end.
    address: String,
}

/// The key of a backup's archive.
pub fn archive_key(id: &BackupId) -> String {
    format!("backups/{id}/data.sqsh")
}

/// The key of a backup's metadata.
pub fn metadata_key(id: &BackupId) -> String {
    format!("backups/{id}/meta.json")
}

impl Bucket {
    /// The bucket whose objects are below `address`.
    pub fn new(client: Client, address: String) -> Self {
        Self { client, address }
    }

    fn url(&self, key: &str) -> String {
        format!("{}/{key}", self.address)
    }

    /// The keys that begin with `prefix`.
    pub async fn keys(&self, prefix: &str) -> Vec<String> {
        let listing = self
            .client
            .get(&self.address)
            .query(&[("prefix", prefix)])
            .send();
        listing.await.unwrap().json().await.unwrap()
    }

    /// The keys of one backup.
    pub async fn keys_of(&self, id: &BackupId) -> Vec<String> {
        self.keys(&format!("backups/{id}/")).await
    }

    /// An object's content.
    pub async fn get(&self, key: &str) -> Option<Vec<u8>> {
        let response = self.client.get(self.url(key)).send().await.unwrap();
        if response.status() == StatusCode::NOT_FOUND {
            return None;
        }
        let response = response.error_for_status().unwrap();
        Some(response.bytes().await.unwrap().to_vec())
    }

    /// Writes an object.
    pub async fn put(&self, key: &str, content: Vec<u8>) {
        let put = self.client.put(self.url(key)).body(content).send();
        put.await.unwrap().error_for_status().unwrap();
    }

    /// Deletes an object.
    pub async fn delete(&self, key: &str) {
        let delete = self.client.delete(self.url(key)).send();
        delete.await.unwrap().error_for_status().unwrap();
    }

    /// The metadata of a backup that must be there.
    pub async fn metadata(&self, id: &BackupId) -> BackupMetadata {
        serde_json::from_slice(&self.get(&metadata_key(id)).await.unwrap()).unwrap()
    }

    /// Changes the metadata of a backup.
    pub async fn edit_metadata(&self, id: &BackupId, edit: impl FnOnce(&mut Value)) {
        let key = metadata_key(id);
        let mut metadata = serde_json::from_slice(&self.get(&key).await.unwrap()).unwrap();
        edit(&mut metadata);
        self.put(&key, serde_json::to_vec(&metadata).unwrap()).await;
    }

    /// Changes the archive of a backup.
    pub async fn edit_archive(&self, id: &BackupId, edit: impl FnOnce(&mut Vec<u8>)) {
        let key = archive_key(id);
        let mut archive = self.get(&key).await.unwrap();
        edit(&mut archive);
        self.put(&key, archive).await;
    }

    /// Bytes of an object, if it exists.
    pub async fn size(&self, key: &str) -> reqwest::Result<Option<u64>> {
        let response = self.client.head(self.url(key)).send().await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let response = response.error_for_status()?;
        let size = response.headers().get("x-size");
        Ok(size.and_then(|size| size.to_str().ok()?.parse().ok()))
    }

    /// The bytes `first..=last` of an object, or all of it.
    pub async fn read(
        &self,
        key: &str,
        range: Option<(u64, u64)>,
    ) -> reqwest::Result<reqwest::Response> {
        let mut get = self.client.get(self.url(key));
        if let Some((first, last)) = range {
            get = get.header(header::RANGE, format!("bytes={first}-{last}"));
        }
        get.send().await
    }

    /// Uploads one part and gives its ETag, without quotes.
    pub async fn upload_part(
        &self,
        key: &str,
        upload_id: &str,
        number: i32,
        content: Vec<u8>,
    ) -> reqwest::Result<String> {
        let number = number.to_string();
        let answer: Value = self
            .client
            .put(self.url(key))
            .query(&[("uploadId", upload_id), ("partNumber", &number)])
            .body(content)
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        Ok(answer["etag"].as_str().unwrap_or_default().to_owned())
    }
}
