//! Which strategies work here, found by trying each on a tiny archive.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::fs::statvfs;
use sandbox_shared::{BackupId, Compression, Selection, Strategy};
use squashfs::writer::FileSink;
use tokio::runtime::Handle;

use super::{
    MountError, daemon,
    slot::{Record, Slot},
    strategy::{self, RestoreStrategy},
};
use crate::{
    backup::{Plan, Wanted},
    scan::{Control, Scanned},
    state::StateDir,
    transfer::lazy,
};

/// Room that a substitute for upper layers must have, in bytes.
const SUBSTITUTE_ROOM: u64 = 256 << 20;
/// Where upper layers may go when the state directory's file system cannot
/// hold any, as in a container whose root is itself an overlay.
const SUBSTITUTE: &str = "/dev/shm/sandbox-agent";

/// A strategy that works, with upper layers in a place that can hold them.
#[derive(Clone, Debug)]
pub(super) struct Capability {
    pub(super) strategy: &'static dyn RestoreStrategy,
    /// Holds the scratch directories; the slot itself when absent.
    pub(super) substitute: Option<PathBuf>,
}

impl Capability {
    /// Where upper and work directory of a slot go.
    pub(super) fn scratch(&self, slot: &Path) -> PathBuf {
        match (&self.substitute, slot.file_name()) {
            (Some(base), Some(name)) => base.join(name),
            _ => slot.join("scratch"),
        }
    }
}

/// What works, best first, and why the rest does not. Blocks.
#[derive(Clone, Debug, Default)]
pub(super) struct Capabilities {
    pub(super) working: Vec<Capability>,
    pub(super) failures: Vec<(Strategy, String)>,
}

impl Capabilities {
    pub(super) fn probe(state: &StateDir) -> Self {
        let mut found = Self::default();
        let archive = match tiny_archive(state) {
            Ok(archive) => archive,
            Err(error) => {
                let failures = strategy::ALL.map(|it| (it.name(), error.to_string()));
                found.failures.extend(failures);
                return found;
            }
        };
        for strategy in strategy::ALL {
            match probe(state, strategy, archive.path()) {
                Ok(capability) => found.working.push(capability),
                Err(error) => found.failures.push((strategy.name(), error.to_string())),
            }
        }
        found
    }
}

fn tiny_archive(state: &StateDir) -> Result<tempfile::NamedTempFile, MountError> {
    let tree = tempfile::tempdir()?;
    std::fs::create_dir(tree.path().join("directory"))?;
    std::fs::write(tree.path().join("directory/file"), "content")?;
    let image = state.temporary_file()?;
    let plan = Plan {
        wanted: Wanted {
            dir: tree.path().canonicalize()?,
            selection: Selection::default(),
            read_through: Vec::new(),
            look_into: Vec::new(),
        },
        compression: Compression::default(),
    };
    let control = Control::default();
    let scanned = plan.wanted.scan(&mut (), &control);
    let Scanned { tree, .. } = scanned.map_err(io::Error::other)?;
    let mut sink = FileSink::new(image.reopen()?);
    plan.write(&tree, &control, &mut sink)
        .map_err(io::Error::other)?;
    Ok(image)
}

fn probe(
    state: &StateDir,
    strategy: &'static dyn RestoreStrategy,
    archive: &Path,
) -> Result<Capability, MountError> {
    let here = Capability {
        strategy,
        substitute: None,
    };
    let failure = match attempt(state, &here, archive) {
        Ok(()) => return Ok(here),
        Err(failure) => failure,
    };
    let base = Path::new(SUBSTITUTE);
    let room = base.parent().and_then(|parent| statvfs(parent).ok());
    let roomy = room.is_some_and(|room| room.f_bavail * room.f_frsize >= SUBSTITUTE_ROOM);
    if !strategy.is_lazy() || !roomy {
        return Err(failure);
    }
    let elsewhere = Capability {
        strategy,
        substitute: Some(base.to_owned()),
    };
    attempt(state, &elsewhere, archive).map_err(|_| failure)?;
    Ok(elsewhere)
}

/// Builds the directory, and does in it what must work.
fn attempt(state: &StateDir, capability: &Capability, archive: &Path) -> Result<(), MountError> {
    let size_bytes = archive.metadata()?.len();
    let strategy = capability.strategy;
    let mut slot = Slot::create(state, |dir| Record {
        id: BackupId::from_random([0; 16]),
        dir: String::new(),
        target: dir.join("target"),
        strategy: strategy.name(),
        scratch: capability.scratch(dir),
        copy: strategy.copy(&dir.join("target"), dir),
        size_bytes,
        checksum: None,
        cache_bytes: None,
        devices: Vec::new(),
        made: Vec::new(),
        complete: false,
    })?;
    let worked = (|| {
        std::fs::copy(archive, slot.archive())?;
        lazy::adopt(&slot.archive())?;
        if strategy.is_lazy() {
            Handle::current().block_on(daemon::start(&slot.dir, None))?;
        }
        strategy.build(&mut slot)?;
        let root = strategy.built_at(&slot);
        if std::fs::read(root.join("directory/file"))? != b"content" {
            return Err(MountError::Unreadable);
        }
        std::fs::write(root.join("directory/file"), "changed")?;
        std::fs::rename(root.join("directory"), root.join("renamed"))?;
        Ok(())
    })();
    slot.discard(true).and(worked)
}
