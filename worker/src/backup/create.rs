//! `createBackup`: archive a directory, straight into the bucket.
//!
//! It is noted in the journal before it begins, so that an object that is
//! restarted in the middle can remove what there is of it. The metadata is
//! written last: until then, and after any failure, there is no backup.

use super::{Context, auto_restore, cancelled_error};
use crate::{
    agent::Agent,
    clock,
    storage::{
        bucket::BackupBucket,
        journal::{Journal, State},
        presign::Presigner,
    },
};
use sandbox_shared::{
    BackupId, BackupMetadata, DirectoryBackup, ErrorCode, Result, SandboxError,
    backup::NewBackup,
    metadata::METADATA_VERSION,
    methods,
    operation::{OperationId, OperationState},
    progress::{OperationKind, Phase},
    protocol::{CreateBackup, CreateEvent, MAX_PARTS, PartUrls, UploadedArchive, paths},
    report::CreatedBackup,
};

/// Makes a backup of the container that is `meant`, where there is one: another
/// that has taken its place has nothing of what is to be kept.
pub async fn create(
    context: &Context<'_>,
    meant: Option<u32>,
    new: NewBackup,
    operation: Option<OperationId>,
) -> Result<CreatedBackup> {
    let presigner = Presigner::from_settings(&context.config.transfer)?;
    let bucket = context.bucket(&methods::CREATE_BACKUP)?;
    // Nobody hears any more what it comes to.
    if context.cancellation.is_requested() {
        return Err(cancelled_error(&methods::CREATE_BACKUP));
    }
    let agent = auto_restore::put_back(context).await?;

    let id = BackupId::random();
    let operation = operation.unwrap_or_else(|| (&id).into());
    let created_at = clock::now();
    let backup = DirectoryBackup {
        id: id.clone(),
        dir: new.dir.to_string(),
    };
    context
        .journal
        .begin(&operation, OperationKind::CreateBackup, &backup, created_at)?;
    context.begin(OperationKind::CreateBackup, &id, new.dir.as_str());
    let stored = async {
        let lifecycle = context.lifecycle;
        if !lifecycle
            .is_what_was_meant(&agent, meant, new.dir.as_str())
            .await?
        {
            return Err(replaced_error(&operation));
        }
        lifecycle.recover_later().await?;
        let mut upload = Upload {
            id: &id,
            operation: &operation,
            agent: &agent,
            presigner: &presigner,
            bucket: &bucket,
            journal: context.journal,
            upload_id: None,
        };
        let archive = upload.run(&new, context).await?;
        if context.cancellation.is_requested() {
            return Err(cancelled_error(&methods::CREATE_BACKUP));
        }
        context
            .progress
            .update(|operation| operation.phase = Phase::Committing);
        upload.complete(&archive).await?;
        let metadata = BackupMetadata {
            id: id.clone(),
            dir: new.dir.to_string(),
            name: new.name.clone().map(Into::into),
            size_bytes: archive.size_bytes,
            ttl: new.ttl,
            created_at,
            checksum: Some(archive.checksum.clone()),
            compression: Some(new.compression.clone()),
            counts: Some(archive.counts),
            sandbox: Some(context.index.sandbox().to_owned()),
            sandbox_name: context.index.sandbox_name().map(str::to_owned),
            format_version: Some(METADATA_VERSION),
        };
        if let Err(error) = bucket.put_metadata(&metadata).await {
            // The answer may have been lost, not the object.
            if !bucket.exists(&id).await.unwrap_or_default() {
                return Err(error);
            }
        }
        // The backup exists now, with or without its entry in the index.
        if let Err(error) = context.index.put(&metadata) {
            worker::console_error!("indexing backup {id}: {error}");
        }
        Ok(archive)
    }
    .await;
    match stored {
        Ok(archive) => {
            let committed = State::Settled(OperationState::Committed);
            // One that stays is settled before the next operation, which finds the metadata.
            if let Err(error) = context.journal.set(&operation, committed) {
                worker::console_warn!("closing the entry of a finished backup: {error}");
            }
            Ok(CreatedBackup {
                backup,
                size_bytes: archive.size_bytes,
                counts: archive.counts,
                report: archive.report,
            })
        }
        Err(error) => {
            context.journal.set(&operation, State::Failed)?;
            Err(error)
        }
    }
}

/// The error of the first backup in a container that has taken another's place.
fn replaced_error(operation: &OperationId) -> SandboxError {
    SandboxError::new(
        ErrorCode::OperationInterrupted,
        "the container that was to be backed up has ended, with all that it had on disk, and \
         another has taken its place; nothing was stored. Restore what is missing, or call again \
         to back up what is there now",
    )
    .with("committed", false)
    .with("operationId", operation.as_str())
}

/// One archive on its way into the bucket.
struct Upload<'a> {
    id: &'a BackupId,
    operation: &'a OperationId,
    agent: &'a Agent,
    presigner: &'a Presigner,
    bucket: &'a BackupBucket,
    journal: &'a Journal,
    /// Once it was created.
    upload_id: Option<String>,
}

impl Upload<'_> {
    async fn run(&mut self, new: &NewBackup, context: &Context<'_>) -> Result<UploadedArchive> {
        let request = CreateBackup {
            id: self.id.clone(),
            dir: new.dir.to_string(),
            selection: new.selection.clone(),
            compression: new.compression.clone(),
        };
        let mut events = self.agent.events(paths::BACKUPS, &request).await?;
        loop {
            let next = context.next(&mut events, &methods::CREATE_BACKUP);
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
                // An agent newer than this Worker has more to tell.
                CreateEvent::Unknown => {}
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
        if let Some(upload_id) = &self.upload_id {
            return Ok(upload_id.clone());
        }
        let upload_id = self.bucket.create_upload(self.id).await?;
        self.journal.note_upload(self.operation, &upload_id)?;
        Ok(self.upload_id.insert(upload_id).clone())
    }

    async fn complete(&self, archive: &UploadedArchive) -> Result<()> {
        let numbers = archive.parts.iter().map(|part| part.number);
        if archive.parts.len() > MAX_PARTS as usize || !numbers.eq(1..=archive.parts.len() as u32) {
            return Err(SandboxError::new(
                ErrorCode::BackupCreateFailed,
                "the agent reported parts that are not numbered one after the other",
            ));
        }
        let Some(upload_id) = &self.upload_id else {
            return Err(SandboxError::new(
                ErrorCode::BackupCreateFailed,
                "the agent reported an upload that it had no URLs for",
            ));
        };
        self.bucket
            .complete_upload(self.id, upload_id, archive)
            .await
    }
}
