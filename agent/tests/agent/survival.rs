//! What is left of restored directories when a daemon, or an agent, is killed.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::process::Signal;
use sandbox_shared::{Strategy, protocol::paths};
use serde_json::json;

use rstest::rstest;

use crate::{
    harness::{Agent, Events, Setting, eventually, require_mounts, restore_request, setting},
    playground::Playground,
    store::{Fault, Store},
};

fn text(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn kill(daemons: Vec<rustix::process::Pid>) {
    for pid in daemons {
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
    }
}

/// What kills a daemon does not take away what was written.
#[rstest]
#[case::kernel(Strategy::Kernel)]
#[case::overlay(Strategy::Overlay)]
#[case::fuse(Strategy::Fuse)]
#[tokio::test]
async fn a_restore_outlives_its_daemon(#[case] strategy: Strategy) {
    require_mounts();
    let playground = Playground::new();
    let (agent, store) = (Agent::start(&playground), Store::start().await);
    let archive = agent.backup(&playground.small_tree("source"), &store).await;
    let dir = playground.text("target");
    let path = playground.path("target");
    let request = restore_request(&dir, &store, &archive, Some(strategy));
    agent.restored(&request).await;
    std::fs::write(path.join("sub/b"), "my work").unwrap();
    std::fs::remove_file(path.join("a")).unwrap();
    let (watching, watched) = (Arc::new(AtomicBool::new(true)), path.clone());
    let watcher = std::thread::spawn({
        let watching = Arc::clone(&watching);
        // What the mount covers is empty.
        move || {
            while watching.load(Ordering::Relaxed) {
                let looks_empty = std::fs::read_dir(&watched).is_ok_and(|mut e| e.next().is_none());
                assert!(!looks_empty);
            }
        }
    });
    for _ in 0..2 {
        let daemons = playground.daemons();
        assert_eq!(daemons.len(), 1);
        kill(daemons.clone());
        eventually("the daemon is dead", || playground.daemons() != daemons).await;
        agent.is_active(&dir).await;
        assert_eq!(text(path.join("sub/b")), "my work");
        assert!(!path.join("a").exists());
    }
    watching.store(false, Ordering::Relaxed);
    watcher.join().unwrap();
    agent.unmount(&dir).await;
    assert_eq!(playground.footprint(), [].into());
}

/// The kernel gives the new mount the number of the one that died.
#[rstest]
#[tokio::test]
async fn a_restore_over_one_that_outlived_its_daemon_stays(#[future(awt)] setting: Setting) {
    require_mounts();
    let (playground, agent, store) = setting;
    let archive = agent.backup(&playground.small_tree("source"), &store).await;
    let dir = playground.text("target");
    let request = restore_request(&dir, &store, &archive, Some(Strategy::Fuse));
    agent.restored(&request).await;
    for _ in 0..3 {
        let daemons = playground.daemons();
        kill(daemons.clone());
        eventually("the daemon is dead", || playground.daemons() != daemons).await;
        agent.is_active(&dir).await;
        agent.restored(&request).await;
        agent.is_active(&dir).await;
        assert!(playground.path("target/a").exists());
    }
    agent.unmount(&dir).await;
    assert_eq!(playground.footprint(), [].into());
}

#[rstest]
#[tokio::test]
async fn what_agent_and_daemon_leave_when_both_are_killed_is_removed(
    #[future(awt)] setting: Setting,
) {
    require_mounts();
    let (playground, agent, store) = setting;
    let archive = agent.backup(&playground.small_tree("source"), &store).await;
    for strategy in [Strategy::Kernel, Strategy::Overlay, Strategy::Fuse] {
        let dir = playground.text(strategy.as_str());
        let request = restore_request(&dir, &store, &archive, Some(strategy));
        agent.restored(&request).await;
    }
    agent.signal(Signal::KILL);
    drop(agent);
    kill(playground.daemons());
    let agent = Agent::start(&playground);
    assert_eq!(agent.status().await.mounts, []);
    assert_eq!(playground.footprint(), [].into());
    assert!(!playground.path("kernel").exists());
}

#[rstest]
#[tokio::test]
async fn after_being_killed_a_new_agent_keeps_what_lives_and_removes_the_rest(
    #[future(awt)] setting: Setting,
) {
    require_mounts();
    let (playground, agent, store) = setting;
    let archive = agent.backup(&playground.small_tree("source"), &store).await;
    let (kept, half) = (playground.text("kept"), playground.text("half"));
    agent
        .restored(&restore_request(&kept, &store, &archive, None))
        .await;
    std::fs::write(playground.path("kept/work"), "unsaved").unwrap();
    let footprint = playground.footprint();

    let before = store.requests();
    store.fail([Fault::Hang]);
    let request = restore_request(&half, &store, &archive, None);
    let _events = Events::of(agent.post(paths::RESTORES, &request).await);
    store.has_been_asked(before + 1).await;
    agent.signal(Signal::KILL);
    drop(agent);
    assert_ne!(playground.footprint(), footprint);

    let agent = Agent::start(&playground);
    agent.status().await;
    assert_eq!(playground.footprint(), footprint);
    assert_eq!(text(playground.path("kept/work")), "unsaved");
    agent.unmount(&kept).await;
    assert_eq!(playground.footprint(), [].into());
}

#[rstest]
#[tokio::test]
async fn what_a_failed_restore_has_left_goes_with_the_next(#[future(awt)] setting: Setting) {
    require_mounts();
    let (playground, agent, store) = setting;
    let archive = agent.backup(&playground.small_tree("source"), &store).await;
    let quiet = playground.footprint_at_rest(&agent).await;
    let dir = playground.text("next");
    for strategy in Strategy::ALL {
        let left = playground.text("left");
        let request = restore_request(&left, &store, &archive, Some(strategy));
        agent.restored(&request).await;
        // As if it had failed after that, and could not remove anything.
        let slots = std::fs::read_dir(playground.state_dir().join("mounts")).unwrap();
        let slot = slots.last().unwrap().unwrap().path();
        let record = slot.join("record.json");
        let failed = text(&record).replace(r#""complete":true"#, r#""complete":false"#);
        assert_ne!(failed, text(&record));
        std::fs::write(record, failed).unwrap();
        let unrecorded = playground.state_dir().join("mounts/unrecorded");
        std::fs::create_dir(&unrecorded).unwrap();

        let request = restore_request(&dir, &store, &archive, None);
        agent.restored(&request).await;
        assert!(!slot.exists() && !unrecorded.exists(), "{strategy}");
        assert!(!playground.path("left").exists(), "{strategy}");
        agent.unmount(&dir).await;
        assert_eq!(playground.footprint(), quiet, "{strategy}");
    }
}

#[tokio::test]
async fn terminating_takes_everything_away() {
    require_mounts();
    let playground = Playground::new();
    let (mut agent, store) = (Agent::start(&playground), Store::start().await);
    let archive = agent.backup(&playground.small_tree("source"), &store).await;
    for strategy in Strategy::ALL {
        let dir = playground.text(strategy.as_str());
        agent
            .restored(&restore_request(&dir, &store, &archive, Some(strategy)))
            .await;
    }
    // A command that runs does not hold it up.
    let command = json!({ "command": "sleep 1000" });
    let _events = Events::of(agent.post(paths::EXEC, &command).await);
    agent.signal(Signal::TERM);
    assert_eq!(agent.exit_code().await, Some(0));
    assert_eq!(playground.footprint(), [].into());
}
