//! What is left when the agent, or the daemon of a restored directory, is killed:
//! at every step of all that they do.

use std::{collections::BTreeMap, path::PathBuf};

use rustix::process::Signal;
use sandbox_shared::{
    Strategy,
    protocol::{CreateEvent, MountState, RestoreBackup, VerifyBackup, paths},
};
use serde_json::json;

use crate::{
    harness::{Agent, create_request, eventually, require_mounts, restore_request},
    playground::Playground,
    store::Store,
    tracer::{Killer, Victim},
    tree::{self, Entry},
};

/// A backup, and a directory that is not empty to restore it to.
struct Stage {
    playground: Playground,
    store: Store,
    request: RestoreBackup,
    /// What is in the backup.
    archived: BTreeMap<PathBuf, Entry>,
    /// What was in the directory before.
    before: BTreeMap<PathBuf, Entry>,
}

impl Stage {
    async fn set_up(strategy: Strategy) -> (Self, Agent) {
        Self::set_up_with(strategy, 0).await
    }

    /// With so many bytes more in the backup.
    async fn set_up_with(strategy: Strategy, bytes: usize) -> (Self, Agent) {
        require_mounts();
        let playground = Playground::new();
        let (agent, store) = (Agent::start(&playground), Store::start().await);
        let source = playground.small_tree("source");
        let mut noise = vec![0; bytes];
        fastrand::Rng::with_seed(7).fill(&mut noise);
        std::fs::write(playground.path("source/noise"), noise).unwrap();
        let archive = agent.backup(&source, &store).await;
        let target = playground.small_tree("target");
        std::fs::write(playground.path("target/mine"), "precious").unwrap();
        let stage = Self {
            request: restore_request(&target, &store, &archive, Some(strategy)),
            archived: tree::read(&playground.path("source")),
            before: tree::read(&playground.path("target")),
            playground,
            store,
        };
        (stage, agent)
    }

    fn target(&self) -> BTreeMap<PathBuf, Entry> {
        tree::read(&self.playground.path("target"))
    }

    /// Restores, and changes something there.
    async fn restore_and_work(&self, agent: &Agent) {
        agent.restored(&self.request).await;
        std::fs::write(self.playground.path("target/work"), "unsaved").unwrap();
    }

    /// After whatever happened: the directory is restored, whole, or it is as
    /// it was before and nothing of the attempt is left. Afterwards it is the
    /// latter. Says whether it was restored, and work in it is still there.
    async fn whole_or_nothing(&self, agent: &Agent) -> Outcome {
        let mounts = agent.status().await.mounts;
        let outcome = if mounts.is_empty() {
            Outcome::Nothing
        } else {
            let states: Vec<_> = mounts.iter().map(|mount| mount.state).collect();
            assert_eq!(states, [MountState::Active], "{mounts:?}");
            let mut found = self.target();
            let work = found.remove(&PathBuf::from("work"));
            tree::assert_same(&self.archived, &found);
            agent.unmount(&self.request.dir).await;
            match work {
                Some(_) => Outcome::Kept,
                None => Outcome::Restored,
            }
        };
        assert_eq!(agent.status().await.mounts, []);
        assert_eq!(self.playground.footprint(), [].into(), "{outcome:?}");
        tree::assert_same(&self.before, &self.target());
        outcome
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The directory is as it was before anything was restored.
    Nothing,
    /// It is as it is in the backup.
    Restored,
    /// It is as it was restored earlier, with what was done to it since.
    Kept,
}

/// Kills the agent at every step of a restore over an older one: the directory
/// is the old one or the new one, never neither.
async fn restoring_agent_killed(strategy: Strategy) {
    let (stage, mut agent) = Stage::set_up(strategy).await;
    for step in 1.. {
        agent.status().await;
        stage.restore_and_work(&agent).await;
        let killer = Killer::new(&agent, Victim::Agent, step);
        let answer = agent.try_post(paths::RESTORES, &stage.request).await;
        if !killer.release(&agent).await {
            assert!(answer.unwrap().contains("mounted"));
            assert_eq!(stage.whole_or_nothing(&agent).await, Outcome::Restored);
            assert!(step > 10, "{strategy}: only {step} steps were seen");
            return;
        }
        drop(agent);
        agent = Agent::start(&stage.playground);
        let outcome = stage.whole_or_nothing(&agent).await;
        assert_ne!(outcome, Outcome::Nothing, "{strategy}, step {step}");
    }
}

#[tokio::test]
async fn an_agent_killed_at_any_step_of_a_kernel_restore() {
    restoring_agent_killed(Strategy::Kernel).await;
}

#[tokio::test]
async fn an_agent_killed_at_any_step_of_an_overlay_restore() {
    restoring_agent_killed(Strategy::Overlay).await;
}

#[tokio::test]
async fn an_agent_killed_at_any_step_of_a_fuse_restore() {
    restoring_agent_killed(Strategy::Fuse).await;
}

#[tokio::test]
async fn an_agent_killed_at_any_step_of_an_extract_restore() {
    restoring_agent_killed(Strategy::Extract).await;
}

/// Kills the agent at every step of an unmount: the directory is as it was
/// restored and worked in, or as it was before.
async fn unmounting_agent_killed(strategy: Strategy) {
    let (stage, mut agent) = Stage::set_up(strategy).await;
    for step in 1.. {
        agent.status().await;
        stage.restore_and_work(&agent).await;
        let killer = Killer::new(&agent, Victim::Agent, step);
        let request = json!({ "dir": stage.request.dir });
        let answer = agent.try_post(paths::UNMOUNT, &request).await;
        if !killer.release(&agent).await {
            assert!(answer.unwrap().contains("success"));
            assert_eq!(stage.whole_or_nothing(&agent).await, Outcome::Nothing);
            assert!(step > 4, "{strategy}: only {step} steps were seen");
            return;
        }
        drop(agent);
        agent = Agent::start(&stage.playground);
        let outcome = stage.whole_or_nothing(&agent).await;
        assert_ne!(outcome, Outcome::Restored, "{strategy}, step {step}");
    }
}

#[tokio::test]
async fn an_agent_killed_at_any_step_of_taking_a_mount_away() {
    // The others have nothing else to take away.
    unmounting_agent_killed(Strategy::Kernel).await;
}

#[tokio::test]
async fn an_agent_killed_at_any_step_of_taking_an_unpacked_directory_away() {
    unmounting_agent_killed(Strategy::Extract).await;
}

/// Kills the daemon at every step of a restore: the agent says so and leaves
/// nothing, or serves the directory by another daemon.
async fn restoring_daemon_killed(strategy: Strategy) {
    let (stage, agent) = Stage::set_up(strategy).await;
    agent.status().await;
    for step in 1.. {
        let killer = Killer::new(&agent, Victim::Daemon, step);
        let answer = agent.try_post(paths::RESTORES, &stage.request).await;
        let killed = killer.release(&agent).await;
        let answer = answer.unwrap();
        if answer.contains("mounted") {
            agent.is_active(&stage.request.dir).await;
            assert_eq!(stage.whole_or_nothing(&agent).await, Outcome::Restored);
        } else {
            assert!(answer.contains("BACKUP_RESTORE_FAILED"), "{answer}");
            assert_eq!(stage.whole_or_nothing(&agent).await, Outcome::Nothing);
        }
        if !killed {
            assert!(step > 5, "{strategy}: only {step} steps were seen");
            return;
        }
    }
}

#[tokio::test]
async fn a_daemon_killed_at_any_step_of_a_restore() {
    for strategy in [Strategy::Kernel, Strategy::Overlay, Strategy::Fuse] {
        restoring_daemon_killed(strategy).await;
    }
}

/// Bytes that take several parts and several range requests.
const LARGE: usize = 20 << 20;

/// Kills the agent while the store has one of its requests, whichever it is.
#[tokio::test]
async fn an_agent_killed_at_any_request_of_a_backup() {
    let (stage, mut agent) = Stage::set_up_with(Strategy::Fuse, LARGE).await;
    let source = stage.playground.text("source");
    let whole = stage.store.archive();
    for number in 1.. {
        let before = stage.store.requests();
        stage.store.hold(number);
        let mut events = agent.start_backup(&create_request(&source)).await;
        let backup = async {
            while let Some(event) = events.next().await {
                match event {
                    CreateEvent::PartsNeeded { first, count } => {
                        agent.give_parts(&stage.store, first, count).await;
                    }
                    CreateEvent::Uploaded(archive) => return archive,
                    CreateEvent::Failed(error) => panic!("{error}"),
                    _ => {}
                }
            }
            panic!("the stream ended");
        };
        tokio::select! {
            archive = backup => {
                assert!(number > 3, "only {number} requests were seen");
                stage.store.complete(&archive.parts);
                assert!(stage.store.archive() == whole);
                return;
            }
            () = stage.store.has_been_asked(before + number) => {}
        }
        agent.signal(Signal::KILL);
        drop(agent);
        agent = Agent::start(&stage.playground);
        assert_eq!(stage.whole_or_nothing(&agent).await, Outcome::Nothing);
    }
}

#[tokio::test]
async fn an_agent_killed_at_any_request_or_change_of_a_verification() {
    let (stage, mut agent) = Stage::set_up_with(Strategy::Fuse, LARGE).await;
    let request = VerifyBackup {
        source: stage.request.source.clone(),
    };
    for number in 1.. {
        let before = stage.store.requests();
        stage.store.hold(number);
        let answer = tokio::select! {
            answer = agent.try_post(paths::VERIFY, &request) => answer,
            () = stage.store.has_been_asked(before + number) => None,
        };
        if let Some(answer) = answer {
            assert!(answer.contains("matches"), "{answer}");
            assert!(number > 3, "only {number} requests were seen");
            break;
        }
        agent.signal(Signal::KILL);
        drop(agent);
        agent = Agent::start(&stage.playground);
        assert_eq!(stage.whole_or_nothing(&agent).await, Outcome::Nothing);
    }
    stage.store.forget_faults();
    for step in 1.. {
        agent.status().await;
        let killer = Killer::new(&agent, Victim::Agent, step);
        let answer = agent.try_post(paths::VERIFY, &request).await;
        if !killer.release(&agent).await {
            assert!(answer.unwrap().contains("matches"));
            return;
        }
        drop(agent);
        agent = Agent::start(&stage.playground);
        assert_eq!(stage.whole_or_nothing(&agent).await, Outcome::Nothing);
        // Most of them write what was fetched, one like the other.
        if step == 12 {
            return;
        }
    }
}

/// Kills the daemon, or the agent, or both, while the store has one of the
/// daemon's requests, whichever it is.
#[tokio::test]
async fn a_pull_survives_the_death_of_either_and_goes_with_both() {
    let (stage, mut agent) = Stage::set_up_with(Strategy::Fuse, LARGE).await;
    let dir = &stage.request.dir;
    let strategies = [Strategy::Kernel, Strategy::Overlay, Strategy::Fuse];
    for (number, strategy) in (1..).zip(strategies.into_iter().cycle()) {
        let mut request = stage.request.clone();
        request.strategy = Some(strategy);
        let before = stage.store.requests();
        stage.store.hold(number);
        let mut restoring = Box::pin(agent.try_post(paths::RESTORES, &request));
        let mut held = Box::pin(stage.store.has_been_asked(before + number));
        let pulling = tokio::select! {
            answer = &mut restoring => {
                assert!(answer.unwrap().contains("mounted"));
                true
            }
            () = &mut held => false,
        };
        if pulling {
            let done = agent.mount_is(dir, |mount| mount.verified);
            tokio::select! {
                () = done => {
                    assert!(number > 4, "only {number} requests were seen");
                    assert_eq!(stage.whole_or_nothing(&agent).await, Outcome::Restored);
                    return;
                }
                () = held => {}
            }
        }
        let daemons = stage.playground.daemons();
        let kill_daemons = || {
            for pid in &daemons {
                let _ = rustix::process::kill_process(*pid, Signal::KILL);
            }
        };
        if !pulling || number % 2 == 0 {
            // Another daemon goes on from where this one was.
            kill_daemons();
            if pulling {
                eventually("it is dead", || stage.playground.daemons() != daemons).await;
                agent.mount_is(dir, |mount| mount.verified).await;
                assert_eq!(stage.whole_or_nothing(&agent).await, Outcome::Restored);
            } else if restoring.await.unwrap().contains("mounted") {
                // It was pulling already.
                agent.mount_is(dir, |mount| mount.verified).await;
                assert_eq!(stage.whole_or_nothing(&agent).await, Outcome::Restored);
            } else {
                assert_eq!(stage.whole_or_nothing(&agent).await, Outcome::Nothing);
            }
        } else {
            drop(restoring);
            agent.signal(Signal::KILL);
            drop(agent);
            kill_daemons();
            agent = Agent::start(&stage.playground);
            assert_eq!(stage.whole_or_nothing(&agent).await, Outcome::Nothing);
        }
    }
}
