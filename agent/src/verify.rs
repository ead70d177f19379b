//! Finding out whether a stored archive is whole, without restoring it.
//!
//! All of it is read: every inode, every block of content, and every byte for
//! the checksum, most of them fetched only once. At most [`CACHE`] bytes of it,
//! or fewer if restored directories may keep fewer, are on disk at a time, in
//! files without a name; memory holds the list of its blocks and a few of them. Damage is a finding; what fails is only what
//! says nothing about the archive, as a store that cannot be reached.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use sandbox_shared::{
    ArchiveChecksum, SandboxError,
    methods::{self, Failure},
    protocol::ArchiveSource,
    verification::{ArchiveVerification, ChecksumVerdict, MAX_PROBLEMS},
};
use squashfs::{
    image::{Examination, examine},
    reader::{Archive, Options, ReadAt, ReadError},
};

use crate::{
    state::StateDir,
    transfer::{
        Store, TransferError, checksum,
        lazy::{Address, Description, LazyArchive},
    },
};

/// Bytes of the archive that are on disk at a time.
const CACHE: u64 = 256 << 20;

/// Why an archive could not be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Nothing, or nothing any more, comes from the store.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// The archive's bytes could not be had.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file of our own failed, or the source of the bytes.
    #[error("{0}")]
    Local(#[from] io::Error),
}

impl From<VerifyError> for SandboxError {
    fn from(error: VerifyError) -> Self {
        let failed = match error {
            VerifyError::Transfer(error) => error.of(&methods::VERIFY_BACKUP),
            other => methods::VERIFY_BACKUP.failed(other.to_string()),
        };
        let message = format!("cannot verify the archive: {}", failed.message);
        Self { message, ..failed }
    }
}

/// Reads all of a stored archive, of which at most `cache_bytes` bytes may be on
/// disk. `checked` hears how many have been read. Dropping the future ends the
/// work.
pub async fn verify(
    source: ArchiveSource,
    store: Store,
    state: &StateDir,
    cache_bytes: Option<u64>,
    checked: Arc<AtomicU64>,
) -> Result<ArchiveVerification, VerifyError> {
    let ArchiveSource {
        url,
        url_expires_at,
        size_bytes,
        checksum,
    } = source;
    let description = Description {
        size_bytes,
        // It is compared here: an archive with another one can be looked into
        // all the same.
        checksum: None,
        limit: Some(cache_bytes.unwrap_or(CACHE).min(CACHE)),
    };
    let address = Address::new(&url, url_expires_at)?;
    let dir = state.temporary_dir()?;
    let archive = LazyArchive::open(
        store,
        description,
        Some(address),
        &dir.path().join("archive"),
    )
    .await?;
    // Its files are open, and gone with the process.
    drop(dir);
    let wanted = Arc::new(AtomicBool::new(true));
    let _ends_with_this_future = Unwanted(Arc::clone(&wanted));
    let source = Arc::new(WhileWanted { archive, wanted });
    tokio::task::spawn_blocking(move || read_through(&source, checksum.as_ref(), &checked))
        .await
        .map_err(io::Error::other)?
}

/// Reads all of an archive. Blocks.
fn read_through<S: ReadAt + 'static>(
    source: &Arc<S>,
    recorded: Option<&ArchiveChecksum>,
    checked: &AtomicU64,
) -> Result<ArchiveVerification, VerifyError> {
    let (examined, checksum) = std::thread::scope(|scope| {
        let compared = recorded.map(|recorded| scope.spawn(|| compare(&**source, recorded)));
        let source: Arc<S> = Arc::clone(source);
        let examined = match Archive::open(source, &Options::default()) {
            Ok(archive) => examine(&archive, MAX_PROBLEMS, checked),
            Err(error) => Examination {
                damage: vec![error],
                ..Examination::default()
            },
        };
        let checksum = match compared.map(std::thread::ScopedJoinHandle::join) {
            None => Ok(ChecksumVerdict::NotRecorded),
            Some(Ok(compared)) => compared,
            Some(Err(_)) => Err(io::Error::other("the checksum was not computed")),
        };
        (examined, checksum)
    });
    let Examination {
        listing,
        bytes,
        damage,
    } = examined;
    let mut problems = Vec::with_capacity(damage.len());
    for found in damage {
        if matches!(found, ReadError::Source { .. }) {
            return Err(found.into());
        }
        problems.push(found.to_string());
    }
    Ok(ArchiveVerification {
        problems,
        checksum: checksum?,
        files: listing.files,
        directories: listing.directories,
        symlinks: listing.symlinks,
        special: listing.special,
        bytes,
    })
}

fn compare(source: &dyn ReadAt, recorded: &ArchiveChecksum) -> io::Result<ChecksumVerdict> {
    let actual = checksum::of_archive(source, recorded.part_size_bytes)?;
    Ok(if actual.sha256.eq_ignore_ascii_case(&recorded.sha256) {
        ChecksumVerdict::Matches
    } else {
        ChecksumVerdict::Differs
    })
}

/// An archive that cannot be read any more once nobody wants to know.
struct WhileWanted {
    archive: LazyArchive,
    wanted: Arc<AtomicBool>,
}

impl ReadAt for WhileWanted {
    fn size(&self) -> u64 {
        self.archive.size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if !self.wanted.load(Ordering::Relaxed) {
            return Err(io::Error::other("nobody waits for the result any more"));
        }
        self.archive.read_exact_at(buffer, offset)
    }
}

struct Unwanted(Arc<AtomicBool>);

impl Drop for Unwanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
