//! Disks that are full, and agents that may have little of everything: what
//! cannot be done fails with a reason and leaves nothing, and as soon as there is
//! room again all of it works.

use std::{
    collections::BTreeSet,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::{
    fs::{FallocateFlags, fallocate, statvfs},
    io::Errno,
    process::Signal,
};
use sandbox_shared::{
    ErrorCode, SandboxError, Strategy,
    protocol::{RestoreEvent, VerifyBackup, VerifyEvent, paths},
};
use serde_json::json;

use crate::{
    harness::{Agent, Events, PROGRAM, eventually, require_mounts, restore_request},
    lazy::{LAZY, NO_PULL, backup, content, read, reads},
    playground::Playground,
    restores::failed,
    store::{Limits, Store},
    tree,
};

const MIB: u64 = 1 << 20;

/// Takes all room of a file system but so many bytes.
fn fill(volume: &Path, but: u64) -> PathBuf {
    let filler = volume.join("filler");
    let room = statvfs(volume).unwrap();
    let length = room.f_bavail * room.f_frsize - but;
    let file = File::create(&filler).unwrap();
    fallocate(&file, FallocateFlags::empty(), 0, length).unwrap();
    filler
}

#[tokio::test]
async fn a_full_disk_stops_no_backup_and_every_restore() {
    require_mounts();
    let playground = Playground::new();
    let state = playground.volume("state", "tmpfs", c"size=16m");
    let (agent, store) = (Agent::start(&playground), Store::start().await);
    let source = playground.small_tree("source");
    let quiet = playground.footprint_at_rest(&agent).await;

    let filler = fill(&state, 0);
    let archive = agent.backup(&source, &store).await;
    for strategy in Strategy::ALL {
        let request = restore_request(&playground.text("target"), &store, &archive, Some(strategy));
        let error = failed(agent.restore(&request).await);
        assert_eq!(error.code, ErrorCode::BackupRestoreFailed);
        assert!(error.message.contains("No space"), "{strategy}: {error}");
        assert_eq!(playground.footprint(), quiet, "{strategy}");
        assert!(!playground.path("target").exists());
    }
    let request = restore_request(&playground.text("target"), &store, &archive, None);
    let verify = VerifyBackup {
        source: request.source,
    };
    let answer = agent.try_post(paths::VERIFY, &verify).await.unwrap();
    assert!(answer.contains("BACKUP_RESTORE_FAILED"), "{answer}");
    assert_eq!(playground.footprint(), quiet);

    std::fs::remove_file(filler).unwrap();
    for strategy in Strategy::ALL {
        let request = restore_request(&playground.text("target"), &store, &archive, Some(strategy));
        agent.restored(&request).await;
        agent.unmount(&playground.text("target")).await;
        assert_eq!(playground.footprint(), quiet, "{strategy}");
    }
}

#[tokio::test]
async fn a_cache_whose_disk_becomes_full_serves_nothing_wrong() {
    require_mounts();
    let playground = Playground::new();
    let state = playground.volume("state", "tmpfs", c"size=40m");
    let (agent, store) = (Agent::start(&playground), Store::start().await);
    let archive = backup(&playground, 20, &agent, &store).await;
    let quiet = playground.footprint_at_rest(&agent).await;
    let (dir, path) = (playground.text("target"), playground.path("target"));
    for strategy in LAZY {
        store.limit(NO_PULL);
        let request = restore_request(&dir, &store, &archive, Some(strategy));
        agent.restored(&request).await;
        let filler = fill(&state, 4 * MIB);
        store.limit(Limits::default());
        for number in 0..20 {
            match read(path.join(number.to_string())).await {
                Ok(bytes) => assert!(bytes == content(number), "{strategy}: {number}"),
                Err(error) => assert_eq!(error.raw_os_error(), Some(5), "{strategy}: {error}"),
            }
        }
        agent.mount_is(&dir, |mount| mount.problem.is_some()).await;
        let mount = agent.mount(&dir).await;
        assert!(mount.cached_bytes < 8 * MIB, "{strategy}: {mount:?}");
        std::fs::remove_file(filler).unwrap();
        agent.mount_is(&dir, |mount| mount.verified).await;
        for number in 0..20 {
            reads(&path, number).await;
        }
        agent.unmount(&dir).await;
        assert_eq!(playground.footprint(), quiet, "{strategy}");
    }
}

#[tokio::test]
async fn an_archive_that_does_not_fit_any_more_is_not_unpacked() {
    require_mounts();
    let playground = Playground::new();
    let state = playground.volume("state", "tmpfs", c"size=40m");
    let (agent, store) = (Agent::start(&playground), Store::start().await);
    let archive = backup(&playground, 20, &agent, &store).await;
    let quiet = playground.footprint_at_rest(&agent).await;
    let dir = playground.text("target");
    let request = restore_request(&dir, &store, &archive, Some(Strategy::Extract));
    store.limit(NO_PULL);
    let before = store.requests();
    let running_short = async {
        // The ends have come; now for the rest.
        store.has_been_asked(before + 3).await;
        fill(&state, 4 * MIB);
        store.limit(Limits::default());
    };
    let (event, ()) = tokio::join!(agent.restore(&request), running_short);
    let error = failed(event);
    assert_eq!(error.code, ErrorCode::BackupRestoreFailed);
    assert!(error.message.contains("No space"), "{error}");
    assert_eq!(playground.footprint(), quiet);
    assert!(!playground.path("target").exists());
}

#[tokio::test]
async fn whoever_lacks_room_is_told_how_much_it_takes() {
    require_mounts();
    let playground = Playground::new();
    playground.volume("state", "tmpfs", c"size=16m");
    let (agent, store) = (Agent::start(&playground), Store::start().await);
    let archive = backup(&playground, 20, &agent, &store).await;
    let dir = playground.text("target");
    for strategy in Strategy::ALL {
        let request = restore_request(&dir, &store, &archive, Some(strategy));
        let error = failed(agent.restore(&request).await);
        says_how_much_room(&error, archive.size_bytes);
    }
    let source = restore_request(&dir, &store, &archive, None).source;
    let mut events = Events::of(agent.post(paths::VERIFY, &VerifyBackup { source }).await);
    loop {
        match events.next().await.unwrap() {
            VerifyEvent::Progress { .. } => {}
            VerifyEvent::Failed(error) => {
                return says_how_much_room(&error, archive.size_bytes);
            }
            other => panic!("{other:?}"),
        }
    }
}

fn says_how_much_room(error: &SandboxError, bytes: u64) {
    assert_eq!(error.code, ErrorCode::BackupRestoreFailed);
    assert_eq!(error.context["neededBytes"], bytes, "{error:?}");
    assert!(error.context["availableBytes"].as_u64().unwrap() <= 16 * MIB);
}

#[tokio::test]
async fn what_an_agent_says_may_be_lost_and_it_goes_on() {
    let playground = Playground::new();
    // It has something to say about this.
    let slot = playground.state_dir().join("mounts/broken");
    std::fs::create_dir_all(&slot).unwrap();
    std::fs::write(slot.join("record.json"), "{").unwrap();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(PROGRAM);
    command.stderr(full);
    let agent = Agent::start_by(command, &playground);
    let echo = json!({ "command": "echo here" });
    assert!(
        agent
            .try_post(paths::EXEC, &echo)
            .await
            .unwrap()
            .contains("here")
    );
}

#[tokio::test]
async fn unpacking_that_runs_out_of_room_leaves_nothing() {
    require_mounts();
    let playground = Playground::new();
    // Bytes are counted before; what is missing here are inodes.
    let small = playground.volume("small", "tmpfs", c"nr_inodes=12");
    let (agent, store) = (Agent::start(&playground), Store::start().await);
    let source = playground.small_tree("source");
    for number in 0..30 {
        std::fs::write(Path::new(&source).join(number.to_string()), "x").unwrap();
    }
    let archive = agent.backup(&source, &store).await;
    let quiet = playground.footprint_at_rest(&agent).await;
    let dir = small.join("target");
    let dir = dir.to_str().unwrap();
    let request = restore_request(dir, &store, &archive, Some(Strategy::Extract));
    let error = failed(agent.restore(&request).await);
    assert_eq!(error.code, ErrorCode::BackupRestoreFailed);
    assert!(error.message.contains("No space"), "{error}");
    assert_eq!(std::fs::read_dir(&small).unwrap().count(), 0);
    assert_eq!(playground.footprint(), quiet);
}

/// Writes until there is no room.
fn write_too_much(path: &Path) -> std::io::Error {
    let mut file = File::create(path).unwrap();
    let piece = vec![b'x'; MIB as usize];
    for _ in 0..64 {
        if let Err(error) = file.write_all(&piece).and_then(|()| file.sync_data()) {
            return error;
        }
    }
    panic!("there is room for everything");
}

#[tokio::test]
async fn a_restored_directory_on_a_full_disk_loses_nothing_not_even_with_its_daemon() {
    require_mounts();
    let playground = Playground::new();
    let state = playground.volume("state", "tmpfs", c"size=16m");
    let (agent, store) = (Agent::start(&playground), Store::start().await);
    let source = playground.small_tree("source");
    let archive = agent.backup(&source, &store).await;
    let quiet = playground.footprint_at_rest(&agent).await;
    let (dir, path) = (playground.text("target"), playground.path("target"));
    for strategy in LAZY {
        let request = restore_request(&dir, &store, &archive, Some(strategy));
        agent.restored(&request).await;
        agent.mount_is(&dir, |mount| mount.verified).await;
        std::fs::write(path.join("work"), "unsaved").unwrap();
        let room = || statvfs(&state).unwrap().f_bavail;
        let before = room();
        let error = write_too_much(&path.join("large"));
        let full = Errno::NOSPC.raw_os_error();
        assert_eq!(error.raw_os_error(), Some(full), "{strategy}: {error}");
        // Its room comes back when the kernel has let go of it.
        let slack = MIB / 4 / statvfs(&state).unwrap().f_frsize;
        std::fs::remove_file(path.join("large")).unwrap();
        eventually("room comes back", || room() + slack >= before).await;
        std::fs::write(path.join("small"), vec![1; MIB as usize]).unwrap();
        std::fs::remove_file(path.join("small")).unwrap();
        eventually("room comes back", || room() + slack >= before).await;

        // Now there is no room even for names, where they take any.
        let filler = fill(&state, 0);
        let mut names: BTreeSet<String> = ["a", "sub", "work"].map(str::to_owned).into();
        for number in 0..300 {
            let name = format!("{number:0200}");
            match File::create(path.join(&name)) {
                Ok(_) => assert!(names.insert(name)),
                Err(error) => assert_eq!(error.raw_os_error(), Some(full), "{strategy}: {error}"),
            }
        }
        if strategy == Strategy::Fuse {
            assert!(names.len() < 300, "the journal is on a full disk");
        }
        let daemons = playground.daemons();
        for pid in &daemons {
            rustix::process::kill_process(*pid, Signal::KILL).unwrap();
        }
        eventually("it is dead", || playground.daemons() != daemons).await;
        agent.is_active(&dir).await;
        let listed = std::fs::read_dir(&path).unwrap();
        let listed: BTreeSet<String> = listed
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert!(listed == names, "{strategy}");
        assert_eq!(std::fs::read(path.join("work")).unwrap(), b"unsaved");
        assert_eq!(std::fs::read(path.join("sub/b")).unwrap(), b"second");

        std::fs::remove_file(filler).unwrap();
        std::fs::write(path.join("after"), "room").unwrap();
        agent.unmount(&dir).await;
        assert_eq!(playground.footprint(), quiet, "{strategy}");
        let request = restore_request(&dir, &store, &archive, Some(strategy));
        agent.restored(&request).await;
        tree::assert_same(
            &tree::read(Path::new(&source)),
            &tree::read(&playground.path("target")),
        );
        agent.unmount(&dir).await;
    }
}

#[tokio::test]
async fn an_agent_with_few_file_descriptors_says_so_and_recovers() {
    require_mounts();
    let playground = Playground::new();
    let mut command = Command::new("prlimit");
    command.args(["--nofile=64", PROGRAM]);
    let (agent, store) = (Agent::start_by(command, &playground), Store::start().await);
    let source = playground.small_tree("source");
    let archive = agent.backup(&source, &store).await;
    let quiet = playground.footprint_at_rest(&agent).await;
    let request = restore_request(&playground.text("target"), &store, &archive, None);

    let exec = json!({ "command": "sleep 0.5; echo done" });
    let commands = (0..20).map(|_| agent.try_post(paths::EXEC, &exec));
    let restore = agent.restore(&request);
    let (answers, restored) = tokio::join!(futures_util::future::join_all(commands), restore);
    let (mut done, mut failed) = (0, 0);
    for answer in answers {
        match answer.expect("every request is answered") {
            answer if answer.contains("done") => done += 1,
            answer if answer.contains("EXEC_FAILED") => failed += 1,
            answer => panic!("{answer}"),
        }
    }
    assert!(done > 0 && failed > 0, "{done} done, {failed} failed");
    match restored {
        RestoreEvent::Failed(error) => {
            assert_eq!(error.code, ErrorCode::BackupRestoreFailed);
            agent.restored(&request).await;
        }
        restored => assert!(matches!(restored, RestoreEvent::Mounted(_)), "{restored:?}"),
    }
    tree::assert_same(
        &tree::read(Path::new(&source)),
        &tree::read(&playground.path("target")),
    );
    agent.backup(&source, &store).await;
    agent.unmount(&playground.text("target")).await;
    assert_eq!(playground.footprint(), quiet);
}
