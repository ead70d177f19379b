use std::{os::unix::fs::symlink, path::Path, process::Command};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat, setxattr};
use sandbox_shared::{
    ErrorCode, SandboxError, Strategy,
    protocol::{MountState, RestoreEvent, paths},
};
use serde_json::json;

use rstest::rstest;

use crate::{
    harness::{Agent, Events, Setting, error, require_mounts, restore_request, setting},
    playground::Playground,
    store::{Fault, Store},
    tree,
};

pub(crate) fn failed(event: RestoreEvent) -> SandboxError {
    match event {
        RestoreEvent::Failed(error) => error,
        other => panic!("{other:?}"),
    }
}

fn text(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn every_strategy_works_here_and_is_probed_best_first() {
    require_mounts();
    let playground = Playground::new();
    let agent = Agent::start(&playground);
    assert_eq!(agent.status().await.strategies, Strategy::ALL);
    playground.leaves_nothing().await;
}

/// All that is promised of a restored directory.
#[rstest]
#[case::kernel(Strategy::Kernel)]
#[case::overlay(Strategy::Overlay)]
#[case::fuse(Strategy::Fuse)]
#[case::extract(Strategy::Extract)]
#[tokio::test]
async fn life_of_a_restore(#[case] strategy: Strategy) {
    require_mounts();
    let playground = Playground::new();
    let (agent, store) = (Agent::start(&playground), Store::start().await);
    tree::make_difficult(&playground.path("source"));
    let original = tree::read(&playground.path("source"));
    let archive = agent.backup(&playground.text("source"), &store).await;
    let (dir, path) = (
        playground.text("made/target"),
        playground.path("made/target"),
    );
    let request = restore_request(&dir, &store, &archive, Some(strategy));

    assert_eq!(agent.restored(&request).await, strategy);
    tree::assert_same(&original, &tree::read(&path));
    let mounts = agent.status().await.mounts;
    assert_eq!(mounts.len(), 1);
    assert_eq!(
        (mounts[0].dir.as_str(), mounts[0].state),
        (dir.as_str(), MountState::Active)
    );

    // Everything can be changed, and none of it reaches the archive.
    std::fs::write(path.join("zeros"), "changed").unwrap();
    std::fs::write(path.join("added"), "new").unwrap();
    std::fs::remove_file(path.join("noise")).unwrap();
    std::fs::remove_dir_all(path.join("with space")).unwrap();
    std::fs::rename(path.join("empty"), path.join("renamed")).unwrap();
    std::fs::rename(
        path.join("deep component of a path"),
        path.join("sticky dir/deep"),
    )
    .unwrap();
    assert_eq!(text(path.join("zeros")), "changed");
    assert!(!path.join("noise").exists());

    // Restoring again discards it.
    agent.restored(&request).await;
    tree::assert_same(&original, &tree::read(&path));
    assert_eq!(agent.status().await.mounts.len(), 1);
    let leftovers = std::fs::read_dir(playground.path("made")).unwrap().count();
    let expected = if strategy == Strategy::Extract { 2 } else { 1 };
    assert_eq!(leftovers, expected);

    agent.unmount(&dir).await;
    assert!(
        !playground.path("made").exists(),
        "what the restore made is gone"
    );
    assert_eq!(playground.footprint(), [].into(), "at once");
    assert!(agent.status().await.mounts.is_empty());
}

#[rstest]
#[tokio::test]
async fn a_directory_that_is_not_empty_comes_back(#[future(awt)] setting: Setting) {
    require_mounts();
    let (playground, agent, store) = setting;
    let archive = agent.backup(&playground.small_tree("source"), &store).await;
    for strategy in Strategy::ALL {
        let dir = playground.path("target");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("mine"), "precious").unwrap();
        let before = tree::read(&dir);
        let request = restore_request(dir.to_str().unwrap(), &store, &archive, Some(strategy));
        agent.restored(&request).await;
        assert!(!dir.join("mine").exists(), "{strategy}");
        assert_eq!(text(dir.join("sub/b")), "second");
        agent.unmount(dir.to_str().unwrap()).await;
        tree::assert_same(&before, &tree::read(&dir));
        assert_eq!(playground.footprint(), [].into(), "{strategy}");
    }
}

#[rstest]
#[tokio::test]
async fn a_mount_point_can_be_restored_to_with_every_strategy(#[future(awt)] setting: Setting) {
    require_mounts();
    let (playground, agent, store) = setting;
    let archive = agent.backup(&playground.small_tree("source"), &store).await;
    let dir = playground.path("volume");
    std::fs::create_dir(&dir).unwrap();
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount("test", &dir, "tmpfs", flags, None).unwrap();
    std::fs::write(dir.join("mine"), "precious").unwrap();
    let footprint = playground.footprint_at_rest(&agent).await;
    for strategy in Strategy::ALL {
        let request = restore_request(dir.to_str().unwrap(), &store, &archive, Some(strategy));
        for _ in 0..2 {
            agent.restored(&request).await;
            assert_eq!(text(dir.join("a")), "first", "{strategy}");
            assert!(!dir.join("mine").exists());
            std::fs::write(dir.join("a"), "written").unwrap();
        }
        agent.unmount(dir.to_str().unwrap()).await;
        assert_eq!(text(dir.join("mine")), "precious", "{strategy}");
        assert_eq!(playground.footprint(), footprint, "{strategy}");
        let beside = playground.path("");
        assert_eq!(std::fs::read_dir(beside).unwrap().count(), 3, "{strategy}");
    }
}

#[rstest]
#[tokio::test]
async fn what_cannot_be_unpacked_is_named_and_what_does_not_fit_is_refused(
    #[future(awt)] setting: Setting,
) {
    require_mounts();
    let (playground, agent, store) = setting;
    let source = playground.small_tree("source");
    let value = b"value";
    setxattr(
        Path::new(&source).join("a"),
        "user.kept",
        value,
        XattrFlags::empty(),
    )
    .unwrap();
    std::fs::write(Path::new(&source).join("large"), vec![b'x'; 4 << 20]).unwrap();
    let archive = agent.backup(&source, &store).await;
    let extract = |dir: &Path| {
        let dir = dir.to_str().unwrap();
        restore_request(dir, &store, &archive, Some(Strategy::Extract))
    };

    // It has no extended attributes.
    let target = playground.volume("ramfs", "ramfs", c"").join("target");
    let RestoreEvent::Mounted(mount) = agent.restore(&extract(&target)).await else {
        panic!("not restored");
    };
    assert_eq!(text(target.join("a")), "first");
    assert_eq!(mount.left_out.count, 1, "{mount:?}");
    let first = &mount.left_out.first[0];
    assert_eq!((&*first.path, &*first.what), ("a", "user.kept"));
    let dir = target.to_str().unwrap();
    assert_eq!(agent.mount(dir).await.left_out, mount.left_out);
    agent.unmount(dir).await;

    let small = playground.volume("tmpfs", "tmpfs", c"size=1m");
    let error = failed(agent.restore(&extract(&small.join("target"))).await);
    assert_eq!(error.code, ErrorCode::BackupRestoreFailed);
    assert!(error.message.contains("bytes are needed"), "{error:?}");
    assert_eq!(error.context["neededBytes"], (4 << 20) + 2 * 4096);
    assert_eq!(std::fs::read_dir(&small).unwrap().count(), 0);
}

#[rstest]
#[tokio::test]
async fn one_strategy_can_replace_another(#[future(awt)] setting: Setting) {
    require_mounts();
    let (playground, agent, store) = setting;
    let archive = agent.backup(&playground.small_tree("source"), &store).await;
    let dir = playground.path("target");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("mine"), "precious").unwrap();
    for strategy in [
        Strategy::Extract,
        Strategy::Kernel,
        Strategy::Extract,
        Strategy::Fuse,
        Strategy::Overlay,
        Strategy::Extract,
    ] {
        let request = restore_request(dir.to_str().unwrap(), &store, &archive, Some(strategy));
        agent.restored(&request).await;
        assert_eq!(text(dir.join("a")), "first", "{strategy}");
        std::fs::write(dir.join("a"), "written").unwrap();
        assert_eq!(agent.status().await.mounts[0].strategy, strategy);
    }
    agent.unmount(dir.to_str().unwrap()).await;
    assert_eq!(text(dir.join("mine")), "precious");
    assert_eq!(playground.footprint(), [].into());
}

#[rstest]
#[tokio::test]
async fn a_restore_that_fails_changes_nothing(#[future(awt)] setting: Setting) {
    require_mounts();
    let (playground, agent, store) = setting;
    let archive = agent.backup(&playground.small_tree("source"), &store).await;
    let dir = playground.text("target");
    let request = restore_request(&dir, &store, &archive, None);
    agent.restored(&request).await;
    std::fs::write(playground.path("target/a"), "my work").unwrap();
    let footprint = playground.footprint();

    let good = store.archive();
    let mut wrong_sum = request.clone();
    wrong_sum.source.checksum.as_mut().unwrap().sha256 = "0".repeat(64);
    let mut no_archive = request.clone();
    no_archive.source.checksum = None;
    let no_room = {
        let mut request = request.clone();
        request.source.size_bytes = 1 << 60;
        request
    };
    store.fail([Fault::Corrupt]);
    let corrupt = failed(agent.restore(&request).await);
    let damaged = failed(agent.restore(&wrong_sum).await);
    let no_room = failed(agent.restore(&no_room).await);
    store.set_archive(vec![7; good.len()]);
    let no_archive = failed(agent.restore(&no_archive).await);
    store.fail([Fault::Status(404)]);
    let missing = failed(agent.restore(&request).await);
    store.fail([Fault::Status(403)]);
    let refused = failed(agent.restore(&request).await);

    assert_eq!(missing.code, ErrorCode::BackupNotFound);
    for (error, words) in [
        (corrupt, "damaged"),
        (damaged, "damaged"),
        (no_room, "free"),
        (no_archive, "SquashFS"),
        (refused, "403"),
    ] {
        assert_eq!(error.code, ErrorCode::BackupRestoreFailed);
        assert!(error.message.contains(words), "{error}");
        assert!(!error.message.contains("secret"), "{error}");
    }
    assert_eq!(text(playground.path("target/a")), "my work");
    assert_eq!(playground.footprint(), footprint);
}

#[rstest]
#[tokio::test]
async fn a_download_survives_a_store_that_fails_for_a_while(#[future(awt)] setting: Setting) {
    require_mounts();
    let (playground, agent, store) = setting;
    let dir = playground.small_tree("source");
    let big: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..))
        .take(20 << 20)
        .collect();
    std::fs::write(playground.path("source/big"), &big).unwrap();
    let archive = agent.backup(&dir, &store).await;
    store.fail([
        Fault::Status(503),
        Fault::CutOff,
        Fault::CutOff,
        Fault::Status(500),
    ]);
    let request = restore_request(&playground.text("target"), &store, &archive, None);
    agent.restored(&request).await;
    assert!(std::fs::read(playground.path("target/big")).unwrap() == big);
}

#[rstest]
#[tokio::test]
async fn cancelling_a_download_leaves_nothing(#[future(awt)] setting: Setting) {
    require_mounts();
    let (playground, agent, store) = setting;
    let archive = agent.backup(&playground.small_tree("source"), &store).await;
    let before = store.requests();
    store.fail([Fault::Hang]);
    let request = restore_request(&playground.text("target"), &store, &archive, None);
    let events = Events::of(agent.post(paths::RESTORES, &request).await);
    store.has_been_asked(before + 1).await;
    assert!(!playground.footprint().is_empty());
    drop(events);
    playground.leaves_nothing().await;
    assert!(!playground.path("target").exists());
}

#[rstest]
#[tokio::test]
async fn a_busy_directory_is_taken_away_only_by_force(#[future(awt)] setting: Setting) {
    require_mounts();
    let (playground, agent, store) = setting;
    let archive = agent.backup(&playground.small_tree("source"), &store).await;
    for strategy in Strategy::ALL {
        let dir = playground.text("target");
        let mut request = restore_request(&dir, &store, &archive, Some(strategy));
        agent.restored(&request).await;
        std::fs::write(playground.path("target/a"), "my work").unwrap();
        let mut user = Command::new("sleep")
            .arg("1000")
            .current_dir(playground.path("target/sub"))
            .spawn()
            .unwrap();
        let refused = failed(agent.restore(&request).await);
        let response = agent.post(paths::UNMOUNT, &json!({ "dir": dir })).await;
        for error in [refused, error(response).await] {
            assert_eq!(error.code, ErrorCode::BackupRestoreFailed);
            let named = json!([{ "pid": user.id(), "command": "sleep" }]);
            assert_eq!(error.context["processes"], named, "{strategy}");
            assert!(error.message.contains(&user.id().to_string()), "{error}");
        }
        assert_eq!(text(playground.path("target/a")), "my work");
        request.force = true;
        agent.restored(&request).await;
        assert_eq!(text(playground.path("target/a")), "first");
        user.kill().unwrap();
        user.wait().unwrap();
        let mut user = Command::new("sleep")
            .arg("1000")
            .current_dir(&dir)
            .spawn()
            .unwrap();
        agent.unmount_by(&dir, true).await;
        assert!(!playground.path("target").exists(), "{strategy}");
        user.kill().unwrap();
        user.wait().unwrap();
        playground.leaves_nothing().await;
    }
}

#[rstest]
#[tokio::test]
async fn restores_within_restores_go_with_the_outer_one(#[future(awt)] setting: Setting) {
    require_mounts();
    let (playground, agent, store) = setting;
    let archive = agent.backup(&playground.small_tree("source"), &store).await;
    let (outer, inner) = (
        playground.text("target"),
        playground.text("target/sub/inner"),
    );
    agent
        .restored(&restore_request(&outer, &store, &archive, None))
        .await;
    agent
        .restored(&restore_request(&inner, &store, &archive, None))
        .await;
    assert_eq!(agent.status().await.mounts.len(), 2);
    agent
        .restored(&restore_request(&outer, &store, &archive, None))
        .await;
    assert_eq!(agent.status().await.mounts.len(), 1);
    assert!(!playground.path("target/sub/inner").exists());
    agent
        .restored(&restore_request(&inner, &store, &archive, None))
        .await;
    agent.unmount(&outer).await;
    assert_eq!(playground.footprint(), [].into());
}

#[rstest]
#[tokio::test]
async fn targets_that_must_not_be_restored_to_are_refused(#[future(awt)] setting: Setting) {
    require_mounts();
    let (playground, agent, store) = setting;
    let archive = agent.backup(&playground.small_tree("source"), &store).await;
    symlink("/opt", playground.path("way out")).unwrap();
    let etc = agent
        .post(
            paths::RESTORES,
            &restore_request("/etc", &store, &archive, None),
        )
        .await;
    assert_eq!(error(etc).await.code, ErrorCode::InvalidBackupConfig);
    for dir in ["way out", "way out/deeper", "source/a"] {
        let request = restore_request(&playground.text(dir), &store, &archive, None);
        let error = failed(agent.restore(&request).await);
        assert_eq!(error.code, ErrorCode::InvalidBackupConfig, "{dir}");
    }
    let response = agent
        .post(paths::UNMOUNT, &json!({ "dir": playground.text("source") }))
        .await;
    assert_eq!(error(response).await.code, ErrorCode::InvalidBackupConfig);
}

#[rstest]
#[tokio::test]
async fn an_archive_with_what_overlayfs_takes_for_whiteouts_is_restored(
    #[future(awt)] setting: Setting,
) {
    require_mounts();
    let (playground, agent, store) = setting;
    let source = playground.small_tree("source");
    for name in ["0", "sub/0"] {
        let device = Path::new(&source).join(name);
        let (kind, mode) = (FileType::CharacterDevice, Mode::RUSR);
        mknodat(CWD, device, kind, mode, 0).unwrap();
    }
    let archive = agent.backup(&source, &store).await;
    let dir = playground.text("target");
    for strategy in Strategy::ALL {
        let request = restore_request(&dir, &store, &archive, Some(strategy));
        agent.restored(&request).await;
        let target = Path::new(&dir);
        assert_eq!(text(target.join("sub/b")), "second");
        let is_overlay = matches!(strategy, Strategy::Kernel | Strategy::Overlay);
        for name in ["0", "sub/0"] {
            let is_shown = target.join(name).symlink_metadata().is_ok();
            assert_eq!(is_shown, !is_overlay, "{strategy}: {name}");
        }
        agent.unmount(&dir).await;
    }
    playground.leaves_nothing().await;
}
