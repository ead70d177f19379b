//! Making a backup: scan, pack, upload.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use sandbox_shared::{
    Compression, ErrorCode, Result, SandboxError,
    protocol::{CreateBackup, CreateEvent, UploadedArchive},
    rules::{AllowedRoots, check_compression, check_excludes},
};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use tokio::sync::mpsc;

use crate::{
    archive::{self, Progress, Rules, Scan},
    paths,
    progress::reporting,
    state::StateDir,
    transfer::{
        Store, TransferError,
        download::hex,
        upload::{MAX_PARTS, PartAddresses, PartBody, part_size},
    },
};

/// Parts that are read ahead of the uploads.
const READ_AHEAD: usize = 1;

/// What goes into an archive, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The directory, without symbolic links.
    pub dir: PathBuf,
    /// Patterns relative to it.
    pub excludes: Vec<String>,
    /// Whether `.gitignore` files count.
    pub gitignore: bool,
    /// Format, level, threads.
    pub compression: Compression,
}

impl Plan {
    /// Checks a request as if the Worker had not.
    pub fn from_request(request: &CreateBackup, roots: &AllowedRoots) -> Result<Self> {
        check_excludes(&request.excludes)?;
        check_compression(&request.compression)?;
        Ok(Self {
            dir: paths::existing_dir(&request.dir, roots)?,
            excludes: request.excludes.clone(),
            gitignore: request.gitignore,
            compression: request.compression.clone(),
        })
    }

    /// Walks the directory. Blocks.
    pub fn scan(&self) -> Result<Scan> {
        let rules = Rules::new(&self.dir, &self.excludes, self.gitignore)?;
        Ok(archive::scan(&self.dir, rules)?)
    }
}

/// Ends the packing when nobody waits for it any more.
struct CancelOnDrop(Arc<Progress>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Makes the archive that `plan` describes and uploads it. Every event but the
/// terminal one goes to `events`. Dropping the future leaves nothing behind.
pub async fn create(
    plan: Plan,
    state: &StateDir,
    store: &Store,
    events: mpsc::Sender<CreateEvent>,
    announce: impl FnOnce(Arc<PartAddresses>),
) -> Result<UploadedArchive> {
    let progress = Arc::new(Progress::default());
    let _cancel = CancelOnDrop(Arc::clone(&progress));
    let report = |bytes_uploaded| CreateEvent::Progress {
        bytes_read: progress.bytes_read(),
        bytes_uploaded,
    };

    let compression = plan.compression.clone();
    let scan = blocking(move || plan.scan()).await?;
    let counts = scan.counts;
    send(&events, CreateEvent::Scanned { counts }).await?;

    let image = state.temporary_file().map_err(local)?;
    let packed = {
        let progress = Arc::clone(&progress);
        // The file goes along: it must not be removed before the work is over.
        blocking(move || {
            archive::pack(&scan, &compression, image.path(), &progress)?;
            Ok(image)
        })
    };
    let image = reporting(packed, &events, || report(0)).await?;

    let size_bytes = image.as_file().metadata().map_err(local)?.len();
    let part_size = part_size(size_bytes);
    let last = u32::try_from(size_bytes.div_ceil(part_size).max(1))
        .ok()
        .filter(|last| *last <= MAX_PARTS)
        .ok_or_else(|| SandboxError::from(TransferError::TooLarge))?;
    let addresses = Arc::new(PartAddresses::new(events.clone(), last));
    announce(Arc::clone(&addresses));

    let uploaded = AtomicU64::new(0);
    let (parts, digest) = read_parts(image, size_bytes, part_size)?;
    let upload = store.upload(parts, &addresses, |bytes| {
        uploaded.fetch_add(bytes, Ordering::Relaxed);
    });
    let parts = reporting(upload, &events, || report(uploaded.load(Ordering::Relaxed))).await?;
    let sha256 = digest.await.map_err(|_| cancelled())?;
    Ok(UploadedArchive {
        size_bytes,
        sha256,
        parts,
        counts,
    })
}

type Parts = mpsc::Receiver<Result<PartBody, TransferError>>;

/// Reads an image as parts, in order, and computes its checksum on the way.
/// The image is removed when all has been read, or nobody wants more.
fn read_parts(
    image: NamedTempFile,
    size: u64,
    part_size: u64,
) -> Result<(Parts, tokio::sync::oneshot::Receiver<String>)> {
    let (parts, receiver) = mpsc::channel(READ_AHEAD);
    let (sum, digest) = tokio::sync::oneshot::channel();
    let file: File = image.reopen().map_err(local)?;
    tokio::task::spawn_blocking(move || {
        let _image = image;
        let mut hash = Sha256::new();
        let mut offset = 0;
        for number in 1.. {
            let length = part_size.min(size - offset);
            let part = read_part(&file, offset, length).map(|bytes| {
                hash.update(&bytes);
                PartBody { number, bytes }
            });
            offset += length;
            let failed = part.is_err();
            if parts.blocking_send(part).is_err() || failed {
                return;
            }
            if offset == size {
                break;
            }
        }
        // Nobody listens if the upload has failed.
        let _ = sum.send(hex(&hash.finalize()));
    });
    Ok((receiver, digest))
}

fn read_part(file: &File, offset: u64, length: u64) -> Result<Bytes, TransferError> {
    let length = usize::try_from(length).map_err(|_| TransferError::TooLarge)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes.into())
}

async fn send(events: &mpsc::Sender<CreateEvent>, event: CreateEvent) -> Result<()> {
    events.send(event).await.map_err(|_| cancelled())
}

fn cancelled() -> SandboxError {
    SandboxError::new(ErrorCode::BackupCreateFailed, "the backup was cancelled")
}

fn local(error: std::io::Error) -> SandboxError {
    SandboxError::new(
        ErrorCode::BackupCreateFailed,
        format!("cannot use the agent's state directory: {error}"),
    )
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| SandboxError::new(ErrorCode::InternalError, error.to_string()))?
}

impl From<TransferError> for SandboxError {
    fn from(error: TransferError) -> Self {
        Self::new(ErrorCode::BackupCreateFailed, error.to_string())
    }
}
