//! `createBackup`: archive a directory, straight into the bucket.
//!
//! The upload is noted in the Durable Object's storage before it begins, so
//! that an object that is restarted in the middle can remove it. The metadata
//! is written last: until then, and after any failure, there is no backup.

use sandbox_shared::{
    BackupId, BackupMetadata, BackupOptions, DirectoryBackup, EntryCounts, ErrorCode, Result,
    SandboxError,
    backup::METADATA_VERSION,
    protocol::{CreateBackup, CreateEvent, MAX_PARTS, PartUrls, UploadedArchive, paths},
    report::BackupReport,
};
use serde::{Deserialize, Serialize};
use worker::Storage;

use super::{Context, cancelled_error};
use crate::{
    agent::Agent,
    clock,
    operations::Phase,
    random_bytes,
    storage::{bucket::BackupBucket, presign::Presigner},
};

/// Where the upload under way is noted in storage.
const JOURNAL_KEY: &str = "upload-under-way";

/// What `createBackup` gives: the handle, and what became of the directory.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreatedBackup {
    /// `id` and `dir`.
    #[serde(flatten)]
    pub backup: DirectoryBackup,
    /// Bytes of the archive.
    pub size_bytes: u64,
    /// What went into it and what was left out.
    pub counts: EntryCounts,
    /// What was met.
    pub report: BackupReport,
}

/// An upload that may have to be removed.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct UploadUnderWay {
    id: BackupId,
    upload_id: String,
}

/// Makes a backup.
pub async fn create(context: &Context<'_>, options: BackupOptions) -> Result<CreatedBackup> {
    let options = options.validate(&context.config.allowed_roots()?)?;
    let presigner = Presigner::from_settings(&context.config.transfer)?;
    let bucket = context.bucket(ErrorCode::BackupCreateFailed)?;
    let storage = context.lifecycle.storage();
    remove_interrupted(&storage, &bucket).await?;

    let id = BackupId::from_random(random_bytes()?);
    let created_at = clock::now();
    context.begin("createBackup", &id, &options.dir);
    let agent = context.lifecycle.agent().await?;
    let mut upload = Upload {
        id: &id,
        agent: &agent,
        presigner: &presigner,
        bucket: &bucket,
        storage: &storage,
        under_way: None,
    };
    let stored = async {
        let archive = upload.run(&options, context).await?;
        if context.cancellation.is_requested() {
            return Err(cancelled_error(ErrorCode::BackupCreateFailed));
        }
        context
            .progress
            .update(|operation| operation.phase = Phase::Committing);
        upload.complete(&archive).await?;
        let metadata = BackupMetadata {
            id: id.clone(),
            dir: options.dir.clone(),
            name: options.name.clone(),
            size_bytes: archive.size_bytes,
            ttl: options.ttl.unwrap_or_default(),
            created_at,
            checksum: Some(archive.checksum.clone()),
            compression: Some(options.compression.clone()),
            counts: Some(archive.counts),
            sandbox: Some(context.index.sandbox().to_owned()),
            sandbox_name: context.index.sandbox_name().map(str::to_owned),
            format_version: Some(METADATA_VERSION),
        };
        bucket.put_metadata(&metadata).await?;
        // The backup exists now, with or without its entry in the index.
        if let Err(error) = context.index.put(&metadata) {
            worker::console_error!("indexing backup {id}: {error}");
        }
        Ok(archive)
    }
    .await;
    match stored {
        Ok(archive) => {
            // A note that stays is removed by the next backup, which finds the metadata.
            if let Err(error) = storage.delete(JOURNAL_KEY).await {
                worker::console_warn!("removing the note of a finished upload: {error}");
            }
            Ok(CreatedBackup {
                backup: DirectoryBackup {
                    id,
                    dir: options.dir,
                },
                size_bytes: archive.size_bytes,
                counts: archive.counts,
                report: archive.report,
            })
        }
        Err(error) => {
            // If this fails too, the note stays and the next backup tries again.
            if let Err(left) = remove_interrupted(&storage, &bucket).await {
                worker::console_error!("cleaning up after a failed backup: {left}");
            }
            Err(error)
        }
    }
}

/// One archive on its way into the bucket.
struct Upload<'a> {
    id: &'a BackupId,
    agent: &'a Agent,
    presigner: &'a Presigner,
    bucket: &'a BackupBucket,
    storage: &'a Storage,
    under_way: Option<UploadUnderWay>,
}

impl Upload<'_> {
    async fn run(
        &mut self,
        options: &BackupOptions,
        context: &Context<'_>,
    ) -> Result<UploadedArchive> {
        let request = CreateBackup {
            id: self.id.clone(),
            dir: options.dir.clone(),
            selection: options.selection(),
            compression: options.compression.clone(),
        };
        let mut events = self.agent.events(paths::BACKUPS, &request).await?;
        loop {
            let next = context.next(&mut events, ErrorCode::BackupCreateFailed);
            match next.await? {
                CreateEvent::Scanned { counts } => context.progress.update(|operation| {
                    operation.files = Some(counts.files);
                    operation.phase = Phase::Uploading;
                    operation.bytes_total = Some(counts.bytes);
                }),
                CreateEvent::Progress(progress) => context.progress.update(|operation| {
                    if operation.phase == Phase::Starting {
                        operation.phase = Phase::Scanning;
                    }
                    operation.bytes_done = progress.bytes_read;
                    operation.backup = Some(progress);
                }),
                CreateEvent::PartsNeeded { first, count } => {
                    self.give_parts(first, count).await?;
                }
                CreateEvent::Uploaded(archive) => return Ok(*archive),
                CreateEvent::Failed(error) => return Err(error),
                // An agent newer than this Worker may have more to tell.
                _ => {}
            }
        }
    }

    async fn give_parts(&mut self, first: u32, count: u32) -> Result<()> {
        let numbers = first..first.saturating_add(count.min(MAX_PARTS));
        if first == 0 || numbers.end > MAX_PARTS + 1 {
            return Err(SandboxError::new(
                ErrorCode::BackupCreateFailed,
                format!("the agent asked for parts {numbers:?}; there are at most {MAX_PARTS}"),
            ));
        }
        let upload_id = self.upload_id().await?;
        let now = clock::now();
        let urls = numbers
            .map(|number| self.presigner.upload_part(self.id, &upload_id, number, now))
            .collect();
        let path = paths::BACKUP_PARTS.replace("{id}", self.id.as_str());
        match self.agent.give_parts(&path, &PartUrls { urls }).await {
            // The backup has failed meanwhile: the agent's last event says why.
            Err(error) if error.code == ErrorCode::InvalidRequest => Ok(()),
            given => given,
        }
    }

    /// The upload's id; the upload is created, and noted, when it is first asked for.
    async fn upload_id(&mut self) -> Result<String> {
        if let Some(upload) = &self.under_way {
            return Ok(upload.upload_id.clone());
        }
        let upload_id = self.bucket.create_upload(self.id).await?;
        let upload = UploadUnderWay {
            id: self.id.clone(),
            upload_id: upload_id.clone(),
        };
        self.storage
            .put(JOURNAL_KEY, &upload)
            .await
            .map_err(|error| SandboxError::new(ErrorCode::BackupCreateFailed, error.to_string()))?;
        self.under_way = Some(upload);
        Ok(upload_id)
    }

    async fn complete(&self, archive: &UploadedArchive) -> Result<()> {
        let Some(upload) = &self.under_way else {
            return Err(SandboxError::new(
                ErrorCode::BackupCreateFailed,
                "the agent reported an upload that it had no URLs for",
            ));
        };
        self.bucket
            .complete_upload(&upload.id, &upload.upload_id, archive)
            .await
    }
}

/// Removes what a backup left that did not come to its end. One whose metadata
/// is there did, and only its note is removed.
pub async fn remove_interrupted(storage: &Storage, bucket: &BackupBucket) -> Result<()> {
    let failed =
        |error: worker::Error| SandboxError::new(ErrorCode::BackupCreateFailed, error.to_string());
    let noted: Option<UploadUnderWay> = storage.get(JOURNAL_KEY).await.map_err(failed)?;
    let Some(UploadUnderWay { id, upload_id }) = noted else {
        return Ok(());
    };
    if bucket.metadata(&id).await?.is_none() {
        // It may have been completed, or aborted already: both refuse this.
        let aborted = bucket.abort_upload(&id, &upload_id).await;
        bucket.delete(&id).await?;
        if let Err(error) = aborted {
            worker::console_warn!("aborting the upload of {id}: {error}");
        }
    }
    storage.delete(JOURNAL_KEY).await.map_err(failed)?;
    Ok(())
}
