//! What is written down about a mount before it is made, so that any later
//! process can take it away, whatever happened to the one that made it.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use sandbox_shared::{
    ArchiveChecksum, BackupId, Strategy,
    report::{LeftOutEntry, Listed},
    strategy,
};
use serde::{Deserialize, Serialize};

use crate::{
    state::{StateDir, check_private, private_dir},
    transfer::lazy::Description,
};

/// Beside the layers, in the directory of the mount.
const FILE: &str = "record.json";

/// One mount, made or in the making.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    /// Which backup.
    pub(super) id: BackupId,
    /// Where to, as it was asked for.
    pub(super) dir: String,
    /// Where that really is.
    pub(super) target: PathBuf,
    /// How.
    #[serde(deserialize_with = "strategy::known")]
    pub(super) strategy: Strategy,
    /// Holds upper and work directory.
    pub(super) scratch: PathBuf,
    /// Bytes of the archive.
    pub(super) size_bytes: u64,
    /// Of the archive, where it is known.
    pub(super) checksum: Option<ArchiveChecksum>,
    /// Bytes of the archive that may be on disk at a time.
    pub(super) cache_bytes: Option<u64>,
    /// The device numbers of the file systems that were bound to the target,
    /// as the mount table has them, the present one last: there is another
    /// whenever it had to be mounted anew.
    pub(super) devices: Vec<String>,
    /// The unpacked copy, where one is made; the directory that it has replaced is
    /// under this name while it is in its place.
    pub(super) copy: Option<Copy>,
    /// Directories that were made so that the target exists, outermost first.
    pub(super) made: Vec<PathBuf>,
    /// Whether the restore has succeeded. Otherwise all of it is to be removed.
    pub(super) complete: bool,
}

/// An unpacked copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Copy {
    /// Beside the target.
    pub(super) path: PathBuf,
    /// Which directory is the copy, under either name: device and inode.
    /// Absent until it is made.
    pub(super) identity: Option<(u64, u64)>,
    /// What could not be unpacked.
    #[serde(default)]
    pub(super) left_out: Listed<LeftOutEntry>,
}

/// Device and inode of a directory.
pub(super) fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let about = path.symlink_metadata()?;
    Ok((about.dev(), about.ino()))
}

/// The directory of a mount. It is locked while its mount is being made, so
/// that nobody takes it for something left behind.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) dir: PathBuf,
    pub(super) record: Record,
    _lock: Option<Arc<File>>,
}

impl Slot {
    /// A new one. `fill` completes the record, which is written before
    /// anything else happens. Blocks.
    pub(super) fn create(state: &StateDir, fill: impl FnOnce(&Path) -> Record) -> io::Result<Self> {
        // Until it is locked itself, it would look like something left behind.
        let _lock = state.lock()?;
        let dir = tempfile::Builder::new()
            .prefix("")
            .rand_bytes(12)
            .tempdir_in(state.mounts())?;
        let lock = File::open(dir.path())?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        let record = fill(dir.path());
        let outside = record.scratch.parent().filter(|base| *base != dir.path());
        if let Some(base) = outside {
            // Anybody may make a directory where it is, under its name too.
            private_dir(base)?;
            check_private(base)?;
        }
        let slot = Self {
            record,
            dir: dir.path().to_owned(),
            _lock: Some(Arc::new(lock)),
        };
        slot.save()?;
        let scratch = &slot.record.scratch;
        let parts = [scratch, &slot.source(), &slot.lower(), &slot.root()];
        if let Err(error) = parts.into_iter().try_for_each(|part| private_dir(part)) {
            // It may be elsewhere, and the slot goes.
            let _ = std::fs::remove_dir(scratch);
            return Err(error);
        }
        let _ = dir.keep();
        Ok(slot)
    }

    /// The one at `dir`.
    pub(super) fn load(dir: &Path) -> io::Result<Self> {
        Ok(Self {
            record: serde_json::from_slice(&std::fs::read(dir.join(FILE))?)?,
            dir: dir.to_owned(),
            _lock: None,
        })
    }

    /// All that exist and that nobody is making at the moment.
    pub(super) fn all(state: &StateDir) -> io::Result<Vec<Self>> {
        let mut slots = Vec::new();
        for entry in std::fs::read_dir(state.mounts())? {
            let dir = entry?.path();
            // One that is left out for another reason would seem not to exist.
            let found = match File::open(&dir) {
                Ok(lock) => match flock(&lock, FlockOperation::NonBlockingLockShared) {
                    Err(Errno::WOULDBLOCK) => continue,
                    Err(error) => return Err(error.into()),
                    Ok(()) => Self::load(&dir),
                },
                Err(error) => Err(error),
            };
            match found {
                Ok(slot) => slots.push(slot),
                // It has just gone, or see `remove_unrecorded`.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(slots)
    }

    /// Removes directories whose makers did not get as far as writing a
    /// record, and so had nothing else. The state must be locked.
    pub(super) fn remove_unrecorded(state: &StateDir) -> io::Result<()> {
        for entry in std::fs::read_dir(state.mounts())? {
            let dir = entry?.path();
            if !dir.join(FILE).try_exists()? {
                std::fs::remove_dir_all(&dir)?;
            }
        }
        Ok(())
    }

    /// Writes the record, whole or not at all.
    pub(super) fn save(&self) -> io::Result<()> {
        let record = serde_json::to_vec(&self.record)?;
        let path = self.dir.join(FILE);
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
        match file.write_all(&record) {
            Ok(()) => drop(file.persist(path)?),
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                // There may be room where the old one is, which is rarely
                // longer, and one call writes it.
                match File::options().write(true).open(path) {
                    Ok(old) if old.metadata()?.len() <= record.len() as u64 => {
                        old.write_all_at(&record, 0)?;
                    }
                    _ => return Err(error),
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Marks the restore as a success, and lets go of the lock.
    pub(super) fn complete(&mut self) -> io::Result<()> {
        self.record.complete = true;
        self.save()?;
        self._lock = None;
        Ok(())
    }

    /// What is known of the archive.
    pub(super) fn description(&self) -> Description {
        Description {
            size_bytes: self.record.size_bytes,
            checksum: self.record.checksum.clone(),
            limit: self.record.cache_bytes,
        }
    }

    /// The archive, or what is here of it.
    pub(super) fn archive(&self) -> PathBuf {
        self.dir.join("archive.sqsh")
    }

    /// Where the daemon serves the archive as a file.
    pub(super) fn source(&self) -> PathBuf {
        self.dir.join("source")
    }

    /// Where the daemon can be spoken to.
    pub(super) fn socket(&self) -> PathBuf {
        self.dir.join("socket")
    }

    /// Where the archive is mounted read-only.
    pub(super) fn lower(&self) -> PathBuf {
        self.dir.join("lower")
    }

    /// Where everything is put together; the target is bound to it.
    pub(super) fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    /// What was written to the restored directory.
    pub(super) fn upper(&self) -> PathBuf {
        self.record.scratch.join("upper")
    }

    /// For overlayfs.
    pub(super) fn work(&self) -> PathBuf {
        self.record.scratch.join("work")
    }
}
