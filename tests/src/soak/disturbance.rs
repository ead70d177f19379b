//! What is done to a sandbox at random.

use std::{fmt, time::Duration};

use anyhow::{Result, ensure};
use fastrand::Rng;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{consumer::Sandbox, stage::Stage};

/// The longest time from the beginning of an operation until something is done
/// to it. Most of them are over by then.
const LATEST: Duration = Duration::from_millis(400);

/// Kills every process whose command line has this word after the program, as
/// seen in the container.
fn kill(word: &str) -> String {
    format!(
        "for process in /proc/[0-9]*; do \
           pid=${{process#/proc/}}; \
           [ $pid = 1 ] && continue; \
           tr '\\0' ' ' < $process/cmdline 2>/dev/null | grep -q '^[^ ]* {word} ' && kill -9 $pid; \
         done; true"
    )
}

/// When something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// After the restore.
    Idle,
    /// While a backup is made.
    Backup,
    /// While one is restored.
    Restore,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// `kill -9` of the agent, with which its container ends.
    AgentKilled,
    /// `kill -9` of the processes that serve restored directories.
    DaemonsKilled,
    /// The container, killed from outside.
    ContainerKilled,
    /// The container, stopped by its user.
    ContainerStopped,
    /// The Durable Object, reset.
    ObjectReset,
    /// The Durable Object, reset before or after a call to the bucket.
    ObjectResetAtCall {
        operation: &'static str,
        key: &'static str,
        when: &'static str,
    },
}

/// What is done when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Disturbance {
    pub(super) what: What,
    pub(super) moment: Moment,
    after: Duration,
}

impl fmt::Display for Disturbance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({:?}, {:?})", self.what, self.moment, self.after)
    }
}

impl What {
    /// In a report.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::AgentKilled => "agent killed",
            Self::DaemonsKilled => "mount daemon killed",
            Self::ContainerKilled => "container killed",
            Self::ContainerStopped => "container stopped",
            Self::ObjectReset => "Durable Object reset",
            Self::ObjectResetAtCall { .. } => "Durable Object reset at a call to R2",
        }
    }

    /// Whether the container goes away, and all that is on its disk.
    pub(super) const fn ends_container(self) -> bool {
        matches!(
            self,
            Self::AgentKilled | Self::ContainerKilled | Self::ContainerStopped
        )
    }
}

impl Disturbance {
    /// One of them. The container stays if it is to be `spared`.
    pub(super) fn choose(rng: &mut Rng, spared: bool) -> Self {
        let moment = [Moment::Idle, Moment::Backup, Moment::Restore][rng.usize(..3)];
        let calls: &[_] = match moment {
            Moment::Idle => &[],
            Moment::Backup => &[
                ("createMultipartUpload", "", "before"),
                ("complete", "", "before"),
                ("complete", "", "after"),
                ("head", "data.sqsh", "after"),
                ("put", "meta.json", "before"),
                ("put", "meta.json", "after"),
            ],
            Moment::Restore => &[
                ("get", "meta.json", "after"),
                ("head", "data.sqsh", "after"),
            ],
        };
        let mut choices = vec![What::DaemonsKilled, What::ObjectReset];
        if !spared {
            choices.extend([
                What::AgentKilled,
                What::ContainerKilled,
                What::ContainerStopped,
            ]);
        }
        if !calls.is_empty() {
            let (operation, key, when) = calls[rng.usize(..calls.len())];
            choices.push(What::ObjectResetAtCall {
                operation,
                key,
                when,
            });
        }
        Self {
            what: choices[rng.usize(..choices.len())],
            moment,
            after: LATEST.mul_f64(rng.f64()),
        }
    }

    /// Does it, some time after the operation has begun. A call that fails
    /// while its own sandbox is killed has done what it should.
    pub(super) async fn strike(&self, stage: &Stage, sandbox: &Sandbox) -> Result<()> {
        sleep(self.after).await;
        match self.what {
            What::AgentKilled => {
                sandbox.exec(&kill("serve"), json!({})).await.ok();
            }
            What::DaemonsKilled => {
                sandbox.exec(&kill("serve-mount"), json!({})).await.ok();
            }
            What::ContainerKilled => stage.kill_container(sandbox).await,
            What::ContainerStopped => {
                sandbox.call::<Value>("stop", json!([])).await.ok();
            }
            What::ObjectReset => {
                let stub = sandbox.clone().bare_stub();
                let reset = stub.call::<Value>("resetNow", json!([])).await;
                ensure!(reset.is_err(), "the object was not reset");
            }
            // See `plan`.
            What::ObjectResetAtCall { .. } => {}
        }
        Ok(())
    }

    /// Prepares what happens at a call to the bucket.
    pub(super) async fn plan(&self, sandbox: &Sandbox) {
        if let What::ObjectResetAtCall {
            operation,
            key,
            when,
        } = self.what
        {
            sandbox
                .plan_faults("reset", &[(operation, key, when)])
                .await;
        }
    }
}
