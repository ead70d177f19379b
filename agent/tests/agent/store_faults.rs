//! Stores that answer wrongly, slowly, or not at all.

use std::time::{Duration, Instant};

use sandbox_shared::{ErrorCode, Strategy};

use rstest::rstest;

use crate::{
    harness::{Agent, Setting, require_mounts, restore_request, setting},
    lazy::{LAZY, NO_PULL, backup, content, read, reads},
    playground::Playground,
    restores::failed,
    store::{Fault, Limits, Store},
};

const FAULTS: [Fault; 6] = [
    Fault::Hang,
    Fault::Trickle,
    Fault::CutOff,
    Fault::Short,
    Fault::Elsewhere,
    Fault::Whole,
];

#[tokio::test]
async fn a_restore_survives_each_of_them_once() {
    require_mounts();
    let playground = Playground::new();
    let (agent, store) = (Agent::start_impatient(&playground), Store::start().await);
    let archive = backup(&playground, 20, &agent, &store).await;
    let quiet = playground.footprint_at_rest(&agent).await;
    let (dir, path) = (playground.text("target"), playground.path("target"));
    for fault in FAULTS {
        let request = restore_request(&dir, &store, &archive, None);
        // Both ends of the archive, a reader and a pull.
        store.fail([fault; 4]);
        agent.restored(&request).await;
        for number in (0..20).rev() {
            reads(&path, number).await;
        }
        agent.mount_is(&dir, |mount| mount.verified).await;
        agent.unmount(&dir).await;
        assert_eq!(playground.footprint(), quiet, "{fault:?}");
    }
}

#[rstest]
#[tokio::test]
async fn a_slow_connection_holds_up_no_other_reader(#[future(awt)] setting: Setting) {
    require_mounts();
    let (playground, agent, store) = setting;
    let archive = backup(&playground, 20, &agent, &store).await;
    let (dir, path) = (playground.text("target"), playground.path("target"));
    store.limit(NO_PULL);
    let request = restore_request(&dir, &store, &archive, Some(Strategy::Overlay));
    agent.restored(&request).await;
    let before = store.requests();
    store.fail([Fault::Hang]);
    let waiting = tokio::spawn(read(path.join("3")));
    store.has_been_asked(before + 1).await;
    // What a pull is not about to bring.
    for number in [14, 12, 18] {
        reads(&path, number).await;
    }
    assert!(!waiting.is_finished());
    agent.unmount_by(&dir, true).await;
    assert!(waiting.await.unwrap().is_err());
}

#[rstest]
#[tokio::test]
async fn who_waits_for_a_pull_that_stands_still_asks_for_himself(#[future(awt)] setting: Setting) {
    require_mounts();
    let (playground, agent, store) = setting;
    let archive = backup(&playground, 20, &agent, &store).await;
    let (dir, path) = (playground.text("target"), playground.path("target"));
    store.limit(NO_PULL);
    let request = restore_request(&dir, &store, &archive, Some(Strategy::Overlay));
    agent.restored(&request).await;
    let start = Instant::now();
    // Where a pull begins.
    reads(&path, 8).await;
    assert!(start.elapsed() < Duration::from_secs(20));
    agent.unmount(&dir).await;
}

#[tokio::test]
async fn a_restore_from_a_store_that_says_nothing_fails_in_time() {
    require_mounts();
    let playground = Playground::new();
    let (agent, store) = (Agent::start_impatient(&playground), Store::start().await);
    let archive = agent.backup(&playground.small_tree("source"), &store).await;
    let quiet = playground.footprint_at_rest(&agent).await;
    store.fail([Fault::Hang; 100]);
    let request = restore_request(&playground.text("target"), &store, &archive, None);
    let error = failed(agent.restore(&request).await);
    assert_eq!(error.code, ErrorCode::BackupRestoreFailed);
    assert!(error.message.contains("in 1 s"), "{error}");
    assert_eq!(playground.footprint(), quiet);
    store.forget_faults();
    agent.restored(&request).await;
}

#[tokio::test]
async fn parts_that_nobody_takes_are_sent_again() {
    let playground = Playground::new();
    let (agent, store) = (Agent::start_impatient(&playground), Store::start().await);
    std::fs::create_dir(playground.path("source")).unwrap();
    for number in 0..20 {
        let file = playground.path(&format!("source/{number}"));
        std::fs::write(file, content(number)).unwrap();
    }
    store.fail([Fault::Hang, Fault::Pass, Fault::Hang]);
    let archive = agent.backup(&playground.text("source"), &store).await;
    assert_eq!(store.archive().len() as u64, archive.size_bytes);
}

#[tokio::test]
async fn readers_of_a_deleted_archive_are_told() {
    require_mounts();
    for strategy in LAZY {
        let playground = Playground::new();
        let (agent, store) = (Agent::start(&playground), Store::start().await);
        // More than a pull asks for at once.
        let archive = backup(&playground, 60, &agent, &store).await;
        let (dir, path) = (playground.text("target"), playground.path("target"));
        store.limit(NO_PULL);
        let request = restore_request(&dir, &store, &archive, Some(strategy));
        agent.restored(&request).await;
        reads(&path, 3).await;
        store.fail([Fault::Status(404); 1000]);
        let error = read(path.join("55")).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(5), "{strategy}: {error}");
        store.limit(Limits::default());
        agent.mount_is(&dir, |mount| mount.problem.is_some()).await;
        let problem = agent.mount(&dir).await.problem.unwrap();
        assert!(problem.contains("404"), "{problem}");
        // What has come is there, and what one writes.
        reads(&path, 3).await;
        std::fs::write(path.join("55"), "mine").unwrap();
        assert_eq!(std::fs::read(path.join("55")).unwrap(), b"mine");
        // Put back, all of it is there again.
        store.forget_faults();
        reads(&path, 56).await;
        agent.unmount(&dir).await;
    }
}
