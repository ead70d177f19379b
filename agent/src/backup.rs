//! Making a backup: scan, write the archive, upload it, all at once.
//!
//! The archive is never on disk. What is read is compressed and uploaded as
//! it comes, and a slow network slows the reading down: memory is bounded by
//! the parts in flight and the queues of the writer.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use sandbox_shared::{
    Compression, EntryCounts, ErrorCode, Result, SandboxError,
    protocol::{CreateBackup, CreateEvent, UploadedArchive},
    rules::{AllowedRoots, check_compression, check_excludes},
};
use tokio::sync::mpsc;

use crate::{
    archive::scan::{self, Control, ScanError, Selection, Source, Tree},
    archive::squashfs::writer::{self, Options, Sink, Summary, WriteError},
    paths,
    progress::reporting,
    transfer::{
        Store, TransferError,
        upload::{MAX_PARTS, PartAddresses, part_size},
    },
};

mod part_sink;

use part_sink::PartSink;

/// Parts that wait for an upload to end, besides those in flight.
const PARTS_WAITING: usize = 1;

/// What goes into an archive, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The directory, without symbolic links.
    pub dir: PathBuf,
    /// What of it is wanted.
    pub selection: Selection,
    /// Format, level, threads.
    pub compression: Compression,
}

impl Plan {
    /// Checks a request as if the Worker had not. Directories of `mounts` that
    /// lie in the requested one are read like the rest of it.
    pub fn from_request(
        request: &CreateBackup,
        roots: &AllowedRoots,
        mounts: &[PathBuf],
    ) -> Result<Self> {
        check_excludes(&request.excludes)?;
        check_compression(&request.compression)?;
        let dir = paths::existing_dir(&request.dir, roots)?;
        let read_through = mounts
            .iter()
            .filter_map(|mount| mount.strip_prefix(&dir).ok())
            .map(Path::to_owned)
            .collect();
        Ok(Self {
            dir,
            selection: Selection {
                excludes: request.excludes.clone(),
                gitignore: request.gitignore,
                read_through,
                ..Selection::default()
            },
            compression: request.compression.clone(),
        })
    }

    /// Walks the directory. Blocks.
    pub fn scan(&self, control: &Control) -> Result<Tree> {
        let source = Source::open(&self.dir).map_err(|errno| {
            SandboxError::new(
                ErrorCode::BackupCreateFailed,
                format!("cannot read {}: {errno}", self.dir.display()),
            )
        })?;
        Ok(scan::scan(source, &self.selection, &mut (), control)?)
    }

    /// Writes what was scanned. Blocks.
    pub fn write(
        &self,
        tree: &Tree,
        control: &Control,
        sink: &mut dyn Sink,
    ) -> Result<Summary, WriteError> {
        let options = Options {
            compression: self.compression.clone(),
            ..Options::default()
        };
        writer::write(tree, &options, control, sink)
    }
}

impl From<ScanError> for SandboxError {
    fn from(error: ScanError) -> Self {
        let message = error.to_string();
        match error {
            ScanError::Pattern { .. } => Self::invalid_config(message),
            ScanError::Unreadable(unreadable) => Self::new(ErrorCode::BackupCreateFailed, message)
                .with("unreadable", unreadable.count()),
            _ => Self::new(ErrorCode::BackupCreateFailed, message),
        }
    }
}

impl From<WriteError> for SandboxError {
    fn from(error: WriteError) -> Self {
        let message = error.to_string();
        let failed = Self::new(ErrorCode::BackupCreateFailed, message);
        match error {
            WriteError::Unreadable(unreadable) => failed.with("unreadable", unreadable.count()),
            _ => failed,
        }
    }
}

/// Ends the work when nobody waits for it any more.
struct CancelOnDrop(Arc<Control>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Makes the archive that `plan` describes and uploads it. Every event but the
/// terminal one goes to `events`. Dropping the future leaves nothing behind.
pub async fn create(
    plan: Plan,
    store: &Store,
    events: mpsc::Sender<CreateEvent>,
    announce: impl FnOnce(Arc<PartAddresses>),
) -> Result<UploadedArchive> {
    let control = Arc::new(Control::default());
    let _cancel = CancelOnDrop(Arc::clone(&control));
    let plan = Arc::new(plan);

    let tree = blocking({
        let (plan, control) = (Arc::clone(&plan), Arc::clone(&control));
        move || plan.scan(&control)
    })
    .await?;
    let counts = tree.counts();
    send(&events, CreateEvent::Scanned { counts }).await?;

    let most = most_bytes(&counts);
    let part_size = part_size(most);
    let last = u32::try_from(most.div_ceil(part_size.get()))
        .ok()
        .filter(|last| *last <= MAX_PARTS)
        .ok_or(TransferError::TooLarge)?;
    let addresses = Arc::new(PartAddresses::new(events.clone(), last));
    announce(Arc::clone(&addresses));

    let (sender, parts) = mpsc::channel(PARTS_WAITING);
    let writing = blocking({
        let control = Arc::clone(&control);
        move || {
            let mut sink = PartSink::new(part_size, sender);
            let summary = plan.write(&tree, &control, &mut sink)?;
            Ok((summary, sink.checksum()))
        }
    });
    let uploaded = AtomicU64::new(0);
    let upload = store.upload(parts, &addresses, |bytes| {
        uploaded.fetch_add(bytes, Ordering::Relaxed);
    });
    let both = async { tokio::join!(writing, upload) };
    let (written, parts) = reporting(both, &events, || CreateEvent::Progress {
        bytes_read: control.read_bytes.load(Ordering::Relaxed),
        bytes_uploaded: uploaded.load(Ordering::Relaxed),
    })
    .await;
    // A writer whose parts nobody takes fails too, but that is not the reason.
    let parts = parts?;
    let (summary, checksum) = written?;
    Ok(UploadedArchive {
        size_bytes: summary.size,
        checksum,
        parts,
        counts: summary.counts,
    })
}

/// An upper bound for the bytes of an archive. Content that compression would
/// make longer is stored as it is; an entry's inode, its name and its share of
/// the tables take less than a kibibyte, block lists included.
fn most_bytes(counts: &EntryCounts) -> u64 {
    const HEADERS: u64 = 1 << 20;
    const PER_ENTRY: u64 = 1024;
    let entries = counts.files + counts.directories + counts.symlinks + counts.special;
    counts.bytes + counts.bytes / 1024 + entries * PER_ENTRY + HEADERS
}

async fn send(events: &mpsc::Sender<CreateEvent>, event: CreateEvent) -> Result<()> {
    events.send(event).await.map_err(|_| cancelled())
}

fn cancelled() -> SandboxError {
    SandboxError::new(ErrorCode::BackupCreateFailed, "the backup was cancelled")
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
