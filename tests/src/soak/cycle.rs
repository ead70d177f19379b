//! One sandbox and what it goes through again and again.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;
use futures::future::join;
use sandbox_shared::{
    BackupId, DirectoryBackup, RestoreBackupResult, Strategy,
    operation::{OperationOutcome, OperationState},
    protocol::MountState,
    status::SandboxStatus,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{
    Log,
    disturbance::{Disturbance, Moment, What},
};
use crate::{
    consumer::{Called, Sandbox, Thrown},
    stage::Stage,
    tree,
};

/// What is backed up and restored.
const DIR: &str = "/workspace";
/// How long a sandbox may refuse work after something was done to it, and how
/// long a directory may be without what serves it.
const RECOVERY: Duration = Duration::from_secs(30);
/// How long any call may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at what there is no event for.
const PAUSE: Duration = Duration::from_millis(50);

/// What a caller may be told of an operation during which something was killed.
const INTERRUPTED: [&str; 4] = [
    "BACKUP_CREATE_FAILED",
    "BACKUP_RESTORE_FAILED",
    "CONTAINER_UNAVAILABLE",
    "OPERATION_INTERRUPTED",
];

/// What is restored.
#[derive(Clone, Debug)]
struct Mounted {
    id: BackupId,
    /// Whether it comes back with the container.
    auto_restore: bool,
}

/// A sandbox in the soak.
#[derive(Debug)]
pub(super) struct Player {
    stage: Arc<Stage>,
    pub(super) sandbox: Sandbox,
    rng: Rng,
    /// Whether its container lives as long as the soak, so that what its agent
    /// gathers shows.
    spared: bool,
    /// Whether nothing is killed.
    calm: bool,
    strategies: Vec<Strategy>,
    log: Arc<Log>,
    cycles: usize,
    /// What is restored to [`DIR`], from which it may still be read.
    mounted: Option<Mounted>,
    /// Whether its container may have been replaced without a backup having been
    /// refused for that.
    replaced: bool,
    pub(super) restores: BTreeMap<Strategy, u32>,
    pub(super) disturbances: BTreeMap<&'static str, u32>,
}

impl Player {
    pub(super) fn new(
        stage: &Arc<Stage>,
        sandbox: Sandbox,
        number: u32,
        seed: u64,
        strategies: Vec<Strategy>,
        calm: bool,
        log: &Arc<Log>,
    ) -> Self {
        Self {
            stage: Arc::clone(stage),
            sandbox,
            rng: Rng::with_seed(seed.wrapping_add(number.into())),
            spared: number == 0,
            calm,
            strategies,
            log: Arc::clone(log),
            cycles: 0,
            mounted: None,
            replaced: false,
            restores: BTreeMap::new(),
            disturbances: BTreeMap::new(),
        }
    }

    fn log(&self, line: &str) {
        let name = self.sandbox.name();
        self.log.line(&format!("{name} {}: {line}", self.cycles));
    }

    /// Goes through one cycle.
    pub(super) async fn cycle(&mut self) -> Result<()> {
        self.cycles += 1;
        let strategy = self.strategies[self.cycles % self.strategies.len()];
        let auto_restore = self.rng.bool();
        let disturbed = self.rng.bool() && !self.calm;
        let disturbance = disturbed.then(|| Disturbance::choose(&mut self.rng, self.spared));
        let change = change(&mut self.rng);
        let unmount = self.rng.u8(..3) == 0;
        let shown = disturbance.map(|it| it.to_string()).unwrap_or_default();
        self.log(&format!(
            "{strategy}, autoRestore {auto_restore}, {shown}\n{change}"
        ));
        let at = format!(
            "{} in its cycle {}, by {strategy}, {shown}",
            self.sandbox.name(),
            self.cycles
        );
        let work = async {
            self.run(&change).await.context("changing the tree")?;
            let before = tree::digest(&self.sandbox, DIR).await;
            let Some(backup) = self.back_up(disturbance).await.context("backing up")? else {
                return Ok(());
            };
            self.run(&format!("rm -rf {DIR}/a; find {DIR} -mindepth 1 -delete"))
                .await
                .context("damaging the tree")?;
            self.restore(&backup, strategy, auto_restore, disturbance)
                .await
                .context("restoring")?;
            let after = tree::digest(&self.sandbox, DIR).await;
            ensure!(after == before, "restored:\n{after}\ninstead of:\n{before}");
            if let Some(disturbance) = disturbance.filter(|it| it.moment == Moment::Idle) {
                self.disturb_idle(disturbance, &before)
                    .await
                    .context("afterwards")?;
            }
            if unmount {
                self.unmount().await.context("unmounting")?;
            }
            Ok(())
        };
        let done = timeout(PATIENCE, work).await;
        done.context("it hangs").flatten().context(at)
    }

    /// Leaves nothing mounted and nothing stored.
    pub(super) async fn put_away(&mut self) -> Result<()> {
        self.unmount().await?;
        let listed: Value = call(&self.sandbox, "listBackups", json!([])).await?;
        let left = listed["backups"].as_array().map_or(0, Vec::len);
        ensure!(left == 0, "{left} backups are left: {listed}");
        Ok(())
    }

    /// Runs a command that must succeed.
    async fn run(&self, command: &str) -> Result<String> {
        let result = self.sandbox.exec(command, json!({})).await;
        let result = result.map_err(thrown)?;
        ensure!(result.success, "{command}: {result:?}");
        Ok(result.stdout)
    }

    fn count(&mut self, disturbance: Disturbance) {
        self.replaced |= disturbance.what.ends_container();
        let name = disturbance.what.name();
        *self.disturbances.entry(name).or_default() += 1;
    }

    /// Runs an operation, and disturbs it if this is the moment for that.
    async fn disturbed<T: DeserializeOwned>(
        &mut self,
        disturbance: Option<Disturbance>,
        method: &str,
        args: Value,
    ) -> Result<Called<T>> {
        let operation = self.sandbox.call(method, args);
        let Some(disturbance) = disturbance else {
            return Ok(operation.await);
        };
        disturbance.plan(&self.sandbox).await;
        let strike = disturbance.strike(&self.stage, &self.sandbox);
        let (result, struck) = join(operation, strike).await;
        struck?;
        // What did not happen is not to happen later.
        self.sandbox.plan_faults("reset", &[]).await;
        self.count(disturbance);
        if disturbance.what.ends_container() && !self.comes_back() {
            self.mounted_is_gone().await?;
        }
        self.recover().await?;
        Ok(result)
    }

    /// Waits until the sandbox works again.
    async fn recover(&self) -> Result<()> {
        let began = Instant::now();
        loop {
            let Err(error) = self.sandbox.exec("true", json!({})).await else {
                return Ok(());
            };
            let may_be = ["CONTAINER_UNAVAILABLE", "OPERATION_INTERRUPTED"];
            ensure!(may_be.contains(&error.code()), "{error:?}");
            ensure!(began.elapsed() < RECOVERY, "still {error:?}");
            sleep(PAUSE).await;
        }
    }

    /// Makes a backup. There is none if it was disturbed and failed, and then
    /// nothing of it is left.
    async fn back_up(
        &mut self,
        disturbance: Option<Disturbance>,
    ) -> Result<Option<DirectoryBackup>> {
        let disturbance = disturbance.filter(|it| it.moment == Moment::Backup);
        let mut id = format!("cycle-{}-{}", self.cycles, self.rng.u64(..));
        let args = |id: &str| json!([{ "dir": DIR }, { "operationId": id }]);
        let mut created = self
            .disturbed(disturbance, "createBackup", args(&id))
            .await?;
        let refused = matches!(&created, Err(error) if error.code() == "OPERATION_INTERRUPTED");
        if refused && disturbance.is_none() && std::mem::take(&mut self.replaced) {
            id.push_str("-again");
            created = self.sandbox.call("createBackup", args(&id)).await;
        }
        let outcome: OperationOutcome =
            call(&self.sandbox, "operationOutcome", json!([id])).await?;
        let backup = match (created, outcome.backup) {
            (Ok(backup), _) => backup,
            (Err(error), Some(backup)) if disturbance.is_some() => {
                self.log(&format!("{} {}", error.code(), error.message));
                ensure!(INTERRUPTED.contains(&error.code()), "{error:?}");
                if outcome.state != OperationState::Committed {
                    let state = outcome.state;
                    ensure!(state == OperationState::NotCommitted, "it is {state:?}");
                    let left = self.stage.bucket.keys_of(&backup.id).await;
                    ensure!(left.is_empty(), "{left:?} are left after {error:?}");
                    return Ok(None);
                }
                backup
            }
            // It had not begun.
            (Err(error), None) if disturbance.is_some() => {
                self.log(&format!("{} {}", error.code(), error.message));
                ensure!(INTERRUPTED.contains(&error.code()), "{error:?}");
                return Ok(None);
            }
            (Err(error), _) => bail!("{error:?}"),
        };
        let keys = self.stage.bucket.keys_of(&backup.id).await;
        ensure!(keys.len() == 2, "of the backup there is {keys:?}");
        if disturbance.is_some_and(|it| it.what == What::ContainerStopped) {
            let counts = self.stage.bucket.metadata(&backup.id).await.counts;
            if counts.is_some_and(|counts| counts.files == 0) {
                self.log("stopped before the backup was asked for");
                self.delete(&backup.id).await?;
                return Ok(None);
            }
        }
        Ok(Some(backup))
    }

    /// Restores a backup, a second time if the first was disturbed and failed.
    /// Then deletes the one that was there before.
    async fn restore(
        &mut self,
        backup: &DirectoryBackup,
        strategy: Strategy,
        auto_restore: bool,
        disturbance: Option<Disturbance>,
    ) -> Result<()> {
        let args = json!([backup, { "strategy": strategy, "autoRestore": auto_restore }]);
        let disturbance = disturbance.filter(|it| it.moment == Moment::Restore);
        let first: Called<RestoreBackupResult> = self
            .disturbed(disturbance, "restoreBackup", args.clone())
            .await?;
        let ended = disturbance.is_some_and(|it| it.what.ends_container());
        match first {
            // What has been restored may be gone with the container, or with
            // the daemon before anybody could look.
            Ok(_) if disturbance.is_none() => {}
            Ok(_) => self.again(args).await?,
            Err(error) if disturbance.is_some() => {
                self.log(&format!("{} {}, {ended}", error.code(), error.message));
                ensure!(INTERRUPTED.contains(&error.code()), "{error:?}");
                self.again(args).await?;
            }
            Err(error) => return Err(thrown(error)),
        }
        *self.restores.entry(strategy).or_default() += 1;
        let mounted = Mounted {
            id: backup.id.clone(),
            auto_restore,
        };
        if let Some(replaced) = self.mounted.replace(mounted) {
            self.delete(&replaced.id).await?;
        }
        Ok(())
    }

    async fn again(&self, args: Value) -> Result<()> {
        let _: RestoreBackupResult = call(&self.sandbox, "restoreBackup", args)
            .await
            .context("the restore after a disturbed one")?;
        Ok(())
    }

    /// Disturbs a sandbox that does nothing: a restored tree is still there, or
    /// there again.
    async fn disturb_idle(&mut self, disturbance: Disturbance, restored: &str) -> Result<()> {
        disturbance.strike(&self.stage, &self.sandbox).await?;
        self.count(disturbance);
        self.recover().await?;
        if disturbance.what.ends_container() && !self.comes_back() {
            let left = self.run("ls -A").await?;
            ensure!(left.is_empty(), "its disk is gone, but there is {left}");
            return self.mounted_is_gone().await;
        }
        self.served_again().await?;
        let now = tree::digest(&self.sandbox, DIR).await;
        ensure!(now == restored, "there is:\n{now}\ninstead of:\n{restored}");
        Ok(())
    }

    /// Waits until what was restored is served, by another daemon perhaps.
    async fn served_again(&self) -> Result<()> {
        let began = Instant::now();
        loop {
            let status: SandboxStatus = call(&self.sandbox, "status", json!([])).await?;
            let [mount] = &status.mounts[..] else {
                bail!("one directory is restored: {status:?}");
            };
            if mount.state == MountState::Active {
                return Ok(());
            }
            ensure!(began.elapsed() < RECOVERY, "still {mount:?}");
            sleep(PAUSE).await;
        }
    }

    async fn unmount(&mut self) -> Result<()> {
        if self.mounted.is_some() {
            let _: Value = call(&self.sandbox, "unmountBackup", json!([DIR])).await?;
        }
        self.mounted_is_gone().await
    }

    /// Whether what is restored comes back with the container.
    fn comes_back(&self) -> bool {
        let mounted = self.mounted.as_ref();
        mounted.is_some_and(|mounted| mounted.auto_restore)
    }

    /// Nobody reads any more from the backup that was mounted.
    async fn mounted_is_gone(&mut self) -> Result<()> {
        match self.mounted.take() {
            Some(mounted) => self.delete(&mounted.id).await,
            None => Ok(()),
        }
    }

    async fn delete(&self, id: &BackupId) -> Result<()> {
        let _: Value = call(&self.sandbox, "deleteBackup", json!([id])).await?;
        let left = self.stage.bucket.keys_of(id).await;
        ensure!(left.is_empty(), "{left:?} are left of a deleted backup");
        Ok(())
    }
}

/// Calls a method, which must succeed.
pub(super) async fn call<T: DeserializeOwned>(
    sandbox: &Sandbox,
    method: &str,
    args: Value,
) -> Result<T> {
    let called = sandbox.call(method, args).await;
    called.map_err(thrown).with_context(|| method.to_owned())
}

fn thrown(error: Thrown) -> anyhow::Error {
    anyhow::anyhow!("{error:?}")
}

/// A shell script that changes a tree of some dozens of files: writes and
/// appends, deletes, renames directories, makes links. It keeps its size.
fn change(rng: &mut Rng) -> String {
    let mut script = String::from("set -e; mkdir -p a/x b c\n");
    let directories = ["a", "a/x", "b", "c"];
    for _ in 0..rng.u32(4..12) {
        let directory = directories[rng.usize(..directories.len())];
        let file = format!("{directory}/{}", rng.u8(..12));
        let size = match rng.u8(..8) {
            0 => 0,
            1 => rng.u32(100_000..600_000),
            _ => rng.u32(..20_000),
        };
        // Together, for overlayfs counts the link of a lower file that is gone.
        let _ = writeln!(script, "rm -f {file} {file}-hard");
        let _ = match rng.u8(..8) {
            0 => Ok(()),
            1 => writeln!(script, "ln -s ../{size} {file}"),
            2 => writeln!(script, "seq {size} > {file}; chmod 640 {file}"),
            3 => writeln!(script, "touch {file}; ln {file} {file}-hard"),
            _ => writeln!(script, "head -c {size} /dev/urandom > {file}"),
        };
    }
    // Directories of the lower layer can be renamed, too.
    if rng.bool() {
        script.push_str("rm -rf d; mv b d; mv c b; mv d c\n");
    }
    script
}
