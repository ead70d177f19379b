//! What can stand between an archive and a directory that is written to: the
//! agent's strategies, and what they are compared with.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use sandbox_shared::{
    ArchiveChecksum, BackupId, Strategy,
    protocol::{RestoreEvent, paths},
};
use serde_json::json;

use super::{
    agent::{Agent, Scratch},
    measure::Usage,
    reference,
    store::Store,
};
use sandbox_toolbox::process;

/// How long the agent may take to fetch the rest of an archive.
const PATIENCE: Duration = Duration::from_secs(300);
/// For how long a process must do nothing to count as idle.
const IDLE: Duration = Duration::from_millis(500);

/// One of the contestants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stack {
    /// The agent.
    Ours(Strategy),
    /// squashfuse below fuse-overlayfs, on an archive that is downloaded first.
    Fuse,
    /// Linux's own squashfs on a loop device below overlayfs, likewise.
    Linux,
    /// Files on a disk.
    Plain,
}

impl Stack {
    pub(super) fn name(self) -> String {
        match self {
            Self::Ours(strategy) => format!("`{strategy}`"),
            Self::Fuse => "squashfuse + fuse-overlayfs".into(),
            Self::Linux => "loop squashfs + overlayfs".into(),
            Self::Plain => "plain files".into(),
        }
    }
}

/// Where archives come from, and what serves them.
pub(super) struct Source<'a> {
    pub(super) program: &'a Path,
    pub(super) store: &'a Store,
    pub(super) archive: &'a Path,
    pub(super) checksum: &'a ArchiveChecksum,
    /// What the archive was made of.
    pub(super) tree: &'a Path,
    /// Whether the reference has to download the archive.
    pub(super) is_remote: bool,
    /// Where to restore to.
    pub(super) scratch: PathBuf,
}

/// A restored directory. Dropping it takes it away.
pub(super) struct Restored {
    directory: PathBuf,
    /// Those made last come last.
    mounts: Vec<PathBuf>,
    agent: Option<Agent>,
    archive_bytes: u64,
    /// From the request until the directory could be used.
    pub(super) since: Instant,
    scratch: Scratch,
}

impl Restored {
    /// Restores the archive of `source`.
    pub(super) fn new(stack: Stack, source: &Source<'_>) -> Result<Self> {
        let scratch = Scratch::new(&source.scratch)?;
        let base = scratch.path().to_owned();
        let mut restored = Self {
            directory: base.join("restored"),
            mounts: Vec::new(),
            agent: None,
            archive_bytes: fs::metadata(source.archive)?.len(),
            since: Instant::now(),
            scratch,
        };
        source.store.offer(source.archive);
        match stack {
            Stack::Ours(strategy) => restored.ours(strategy, source, &base)?,
            Stack::Fuse | Stack::Linux => restored.layers(stack, source, &base)?,
            Stack::Plain => {
                let mut copy = Command::new("cp");
                copy.args(["--archive", "--reflink=never"]);
                process::run(copy.arg(source.tree).arg(&restored.directory))?;
            }
        }
        Ok(restored)
    }

    fn ours(&mut self, strategy: Strategy, source: &Source<'_>, base: &Path) -> Result<()> {
        let agent = Agent::start(source.program, &base.join("state"), base)?;
        // What else the protocol knows has its default.
        let request = json!({
            "id": BackupId::random(),
            "dir": self.directory,
            "source": {
                "url": source.store.archive_url(),
                "sizeBytes": self.archive_bytes,
                "sha256": source.checksum.sha256,
                "partSizeBytes": source.checksum.part_size_bytes,
            },
            "strategy": strategy,
        });
        self.since = Instant::now();
        let mut events = agent.events(paths::RESTORES, &request)?;
        self.agent = Some(agent);
        loop {
            match events.next()? {
                RestoreEvent::Mounted(mount) if mount.strategy == strategy => return Ok(()),
                RestoreEvent::Mounted(mount) => bail!("restored by {}", mount.strategy),
                RestoreEvent::Failed(error) => return Err(error.into()),
                _ => {}
            }
        }
    }

    fn layers(&mut self, stack: Stack, source: &Source<'_>, base: &Path) -> Result<()> {
        let [lower, upper, work] = ["lower", "upper", "work"].map(|name| base.join(name));
        for directory in [&lower, &upper, &work, &self.directory] {
            fs::create_dir(directory)?;
        }
        self.since = Instant::now();
        let archive = if source.is_remote {
            let file = base.join("downloaded.sqsh");
            reference::download(source.store, self.archive_bytes, &file)?;
            file
        } else {
            source.archive.to_owned()
        };
        let layers = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.display(),
            upper.display(),
            work.display()
        );
        let (mut below, mut above) = if stack == Stack::Fuse {
            let mut above = Command::new("fuse-overlayfs");
            above.args(["-o", &layers]);
            (Command::new("squashfuse"), above)
        } else {
            let mut below = Command::new("mount");
            below.args(["-t", "squashfs", "-o", "ro,loop"]);
            let mut above = Command::new("mount");
            let options = format!("{layers},redirect_dir=on");
            above.args(["-t", "overlay", "overlay", "-o", &options]);
            (below, above)
        };
        process::run(below.arg(&archive).arg(&lower))?;
        self.mounts.push(lower);
        process::run(above.arg(&self.directory))?;
        self.mounts.push(self.directory.clone());
        Ok(())
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Waits until the whole archive is here, and nothing is done with it.
    pub(super) fn wait_until_whole(&self, store: &Store) -> Result<()> {
        if self.agent.is_none() {
            return Ok(());
        }
        store.wait_until_read(self.archive_bytes, PATIENCE)?;
        let mut used = f64::NEG_INFINITY;
        loop {
            let now = self.usage()?.cpu_seconds;
            if now <= used {
                return Ok(());
            }
            used = now;
            // There is no event for it.
            sleep(IDLE);
        }
    }

    /// Of all processes that serve the directory, the agent included.
    pub(super) fn usage(&self) -> Result<Usage> {
        let agent = self.agent.as_ref().map(Agent::usage).transpose()?;
        // Daemons have paths in the scratch directory among their arguments.
        let daemons = Usage::of_processes_about(self.scratch.path())?;
        Ok(agent.unwrap_or_default() + daemons)
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        // It takes its own mounts away.
        self.agent = None;
        for mount in self.mounts.iter().rev() {
            // The daemon of the mount above may hold it for a moment longer.
            if let Err(error) = process::run(Command::new("umount").arg("--lazy").arg(mount)) {
                eprintln!("{error}");
            }
        }
    }
}
