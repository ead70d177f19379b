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

use rustix::io::Errno;
use sandbox_shared::{
    AllowedDir, AllowedRoots, Compression, ErrorCode, Result, SandboxError, Selection,
    methods::{self, Failure, Row},
    protocol::{
        CreateBackup, CreateEvent, CreateProgress, MAX_PARTS, PreviewEvent, UploadedArchive,
    },
    report::BackupPreview,
};
use squashfs::{
    tree::Tree,
    writer::{self, Sink, Summary, WriteError},
};
use tokio::sync::mpsc;

use crate::{
    convert, paths,
    progress::reporting,
    scan::{self, Control, Observer, ScanError, Scanned, Source},
    transfer::{
        Store, TransferError,
        upload::{PartAddresses, part_size},
    },
};

mod part_sink;
mod report;

use part_sink::PartSink;
use report::Decisions;

/// Parts that wait for an upload to end, besides those in flight.
const PARTS_WAITING: usize = 1;

/// What of which directory is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The directory, without symbolic links.
    pub dir: PathBuf,
    /// What of it.
    pub selection: Selection,
    /// Restored directories in it, relative to it: read like the rest.
    pub read_through: Vec<PathBuf>,
    /// Where else the index of a repository may be read: see [`Source::looking_into`].
    pub look_into: Vec<PathBuf>,
}

impl Wanted {
    /// Looks for the directory, whose form has been checked. Directories of `mounts`
    /// that lie in it are read like the rest of it.
    pub fn from_request(
        dir: &AllowedDir,
        selection: Selection,
        roots: &AllowedRoots,
        mounts: &[PathBuf],
    ) -> Result<Self> {
        let dir = paths::existing_dir(dir, roots)?;
        let read_through = mounts
            .iter()
            .filter_map(|mount| mount.strip_prefix(&dir).ok())
            .map(Path::to_owned)
            .collect();
        Ok(Self {
            dir,
            selection,
            read_through,
            look_into: paths::real_roots(roots).collect(),
        })
    }

    /// Walks the directory. `observer` is told of every decision. Blocks.
    pub fn scan(
        &self,
        observer: &mut dyn Observer,
        control: &Control,
    ) -> Result<Scanned, ScanError> {
        self.scan_but(Vec::new(), observer, control)
    }

    /// As [`Self::scan`], but for some files: see [`Source::leaving_out`].
    pub fn scan_but(
        &self,
        files: Vec<(u64, u64)>,
        observer: &mut dyn Observer,
        control: &Control,
    ) -> Result<Scanned, ScanError> {
        let source = Source::open(&self.dir).map_err(|error| ScanError::Source {
            path: self.dir.clone(),
            // All that is no system call's is a path that cannot be opened so.
            errno: Errno::from_io_error(&error).unwrap_or(Errno::INVAL),
        })?;
        let source = source
            .reading_through(self.read_through.clone())
            .looking_into(self.look_into.clone())
            .leaving_out(files);
        scan::scan(source, &self.selection, observer, control)
    }

    /// What a backup would hold. Blocks.
    pub fn preview(&self, control: &Control) -> Result<BackupPreview, ScanError> {
        let mut decisions = Decisions::default();
        let Scanned { tree, notes } = self.scan(&mut decisions, control)?;
        Ok(BackupPreview {
            dir: self.dir.to_string_lossy().into_owned(),
            counts: convert::counts(tree.counts(), &notes, tree.report()),
            included: decisions.included,
            excluded: decisions.excluded,
            report: convert::report(tree.report(), &notes),
        })
    }
}

/// What goes into an archive, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What goes into it.
    pub wanted: Wanted,
    /// Format, level, threads, block size.
    pub compression: Compression,
}

impl Plan {
    /// Checks a request as if the Worker had not: see [`Wanted::from_request`].
    pub fn from_request(
        request: CreateBackup,
        roots: &AllowedRoots,
        mounts: &[PathBuf],
    ) -> Result<Self> {
        request.compression.check()?;
        Ok(Self {
            wanted: Wanted::from_request(
                &roots.check(&request.dir)?,
                request.selection,
                roots,
                mounts,
            )?,
            compression: request.compression,
        })
    }

    /// Writes what was scanned. Blocks.
    pub fn write(
        &self,
        tree: &Tree,
        control: &Control,
        sink: &mut dyn Sink,
    ) -> Result<Summary, WriteError> {
        let on_unreadable = self.wanted.selection.on_unreadable;
        let options = convert::options(&self.compression, on_unreadable);
        writer::write(tree, &options, &control.writer, sink)
    }
}

impl Failure for ScanError {
    fn of(self, method: &Row) -> SandboxError {
        let message = self.to_string();
        match self {
            Self::Cancelled => cancelled(method),
            Self::Pattern { .. } => SandboxError::invalid_config(message),
            Self::Unreadable(unreadable) => report::unreadable(method, message, &unreadable),
            _ => method.failed(message),
        }
    }
}

/// Why there is no archive.
struct NotWritten(WriteError);

impl Failure for NotWritten {
    fn of(self, method: &Row) -> SandboxError {
        let message = self.0.to_string();
        match self.0 {
            WriteError::Cancelled => cancelled(method),
            WriteError::Unreadable(unreadable) => report::unreadable(method, message, &unreadable),
            _ => method.failed(message),
        }
    }
}

fn cancelled(method: &Row) -> SandboxError {
    method.failed("the backup was cancelled")
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
    let uploaded = AtomicU64::new(0);
    let progress = || {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // First what comes last, so that the figures never contradict each other.
        let bytes_uploaded = count(&uploaded);
        CreateEvent::Progress(CreateProgress {
            entries_scanned: count(&control.scanned_entries),
            bytes_scanned: count(&control.scanned_bytes),
            files_read: count(&control.writer.archived_files),
            bytes_read: count(&control.writer.read_bytes),
            bytes_compressed: count(&control.writer.written_bytes),
            bytes_uploaded,
        })
    };

    let failed = |error: TransferError| error.of(&methods::CREATE_BACKUP);

    let scanning = blocking(&methods::CREATE_BACKUP, {
        let (plan, control) = (Arc::clone(&plan), Arc::clone(&control));
        move || plan.wanted.scan(&mut (), &control)
    });
    let Scanned { tree, notes } = reporting(scanning, &events, progress).await?;
    let counts = convert::counts(tree.counts(), &notes, tree.report());
    send(&events, CreateEvent::Scanned { counts }).await?;

    let most = tree.largest_archive();
    let part_size = part_size(most);
    let last = u32::try_from(most.div_ceil(part_size.get()))
        .ok()
        .filter(|last| *last <= MAX_PARTS)
        .ok_or_else(|| failed(TransferError::TooLarge))?;
    let addresses = Arc::new(PartAddresses::new(events.clone(), last));
    announce(Arc::clone(&addresses));

    let (sender, parts) = mpsc::channel(PARTS_WAITING);
    let writing = blocking(&methods::CREATE_BACKUP, {
        let control = Arc::clone(&control);
        move || {
            let mut sink = PartSink::new(part_size, sender);
            let written = plan.write(&tree, &control, &mut sink);
            Ok::<_, NotWritten>((written.map_err(NotWritten)?, sink.checksum()))
        }
    });
    let upload = store.upload(parts, part_size, &addresses, |bytes| {
        uploaded.fetch_add(bytes, Ordering::Relaxed);
    });
    let both = async { tokio::join!(writing, upload) };
    let (written, upload) = reporting(both, &events, progress).await;
    // A writer whose parts nobody takes fails too, but that is not the reason.
    let upload = upload.map_err(failed)?;
    let (summary, checksum) = written?;
    Ok(UploadedArchive {
        size_bytes: summary.size,
        checksum,
        etag: upload.etag,
        parts: upload.parts,
        counts: convert::counts(summary.counts, &notes, &summary.report),
        report: convert::report(&summary.report, &notes),
    })
}

/// Looks at what `wanted` names, as [`create`] would. Every event but the
/// terminal one goes to `events`. Dropping the future ends the work.
pub async fn preview(wanted: Wanted, events: mpsc::Sender<PreviewEvent>) -> Result<BackupPreview> {
    let control = Arc::new(Control::default());
    let _cancel = CancelOnDrop(Arc::clone(&control));
    let looking = blocking(&methods::PREVIEW_BACKUP, {
        let control = Arc::clone(&control);
        move || wanted.preview(&control)
    });
    reporting(looking, &events, || PreviewEvent::Progress {
        entries_scanned: control.scanned_entries.load(Ordering::Relaxed),
    })
    .await
}

async fn send(events: &mpsc::Sender<CreateEvent>, event: CreateEvent) -> Result<()> {
    let sent = events.send(event).await;
    sent.map_err(|_| cancelled(&methods::CREATE_BACKUP))
}

/// Does what blocks, and calls its failure what `method` does.
async fn blocking<T: Send + 'static, E: Failure + Send + 'static>(
    method: &Row,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| SandboxError::new(ErrorCode::InternalError, error.to_string()))?
        .map_err(|error| error.of(method))
}
