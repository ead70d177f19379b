//! Restored directories whose archive is not here yet.

use std::{io, os::unix::fs::MetadataExt, path::Path, process::Command};

use reqwest::StatusCode;
use sandbox_shared::{
    Strategy,
    protocol::{MountState, RenewUrl, RestoreBackup, UploadedArchive, env, paths},
};
use time::OffsetDateTime;

use rstest::rstest;

use crate::{
    harness::{Agent, PROGRAM, Setting, id, require_mounts, restore_request, setting},
    playground::Playground,
    store::{Limits, Store},
};

/// Strategies that serve what is not here yet.
pub(crate) const LAZY: [Strategy; 3] = [Strategy::Kernel, Strategy::Overlay, Strategy::Fuse];
const MIB: usize = 1 << 20;

/// Lets nothing through that nobody waits for.
pub(crate) const NO_PULL: Limits = Limits {
    longest: Some(4 * MIB),
    latency: std::time::Duration::ZERO,
    rate: None,
};

/// A backup of a directory with `files` files of 1 MiB, which are called by
/// their numbers and cannot be compressed.
pub(crate) async fn backup(
    playground: &Playground,
    files: usize,
    agent: &Agent,
    store: &Store,
) -> Box<UploadedArchive> {
    let source = playground.path("source");
    std::fs::create_dir(&source).unwrap();
    for number in 0..files {
        std::fs::write(source.join(number.to_string()), content(number)).unwrap();
    }
    agent.backup(&playground.text("source"), store).await
}

pub(crate) fn content(number: usize) -> Vec<u8> {
    let mut content = vec![0; MIB];
    fastrand::Rng::with_seed(number as u64).fill(&mut content);
    content
}

/// Not on the thread of the test, which has to renew URLs meanwhile.
pub(crate) async fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let path = path.as_ref().to_owned();
    tokio::task::spawn_blocking(move || std::fs::read(path))
        .await
        .unwrap()
}

pub(crate) async fn reads(dir: &Path, number: usize) {
    assert!(read(dir.join(number.to_string())).await.unwrap() == content(number));
}

async fn renew(agent: &Agent, request: &RestoreBackup, store: &Store) {
    let renewal = RenewUrl {
        id: id(),
        dir: request.dir.clone(),
        url: store.archive_url(),
        url_expires_at: OffsetDateTime::now_utc() + time::Duration::HOUR,
    };
    let response = agent.post(paths::MOUNT_URL, &renewal).await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[rstest]
#[tokio::test]
async fn a_directory_can_be_used_before_its_archive_is_here_and_then_needs_no_store(
    #[future(awt)] setting: Setting,
) {
    require_mounts();
    let (playground, agent, store) = setting;
    let archive = backup(&playground, 30, &agent, &store).await;
    for strategy in LAZY {
        let dir = playground.text("target");
        let request = restore_request(&dir, &store, &archive, Some(strategy));
        store.limit(NO_PULL);
        agent.restored(&request).await;
        reads(&playground.path("target"), 17).await;
        let mount = agent.mount(&dir).await;
        assert_eq!(mount.size_bytes, archive.size_bytes);
        assert!(mount.cached_bytes > MIB as u64, "{strategy}: {mount:?}");
        assert!(
            mount.cached_bytes < archive.size_bytes / 2,
            "{strategy}: {mount:?}"
        );
        assert!(!mount.verified);

        store.limit(Limits::default());
        agent.mount_is(&dir, |mount| mount.verified).await;
        let mount = agent.mount(&dir).await;
        assert_eq!(mount.cached_bytes, mount.size_bytes);
        let requests = store.requests();
        for number in 0..30 {
            reads(&playground.path("target"), number).await;
        }
        assert_eq!(store.requests(), requests, "{strategy}");
        agent.unmount(&dir).await;
    }
    assert_eq!(playground.footprint(), [].into());
}

#[rstest]
#[tokio::test]
async fn who_reads_everything_during_the_pull_makes_nothing_come_twice(
    #[future(awt)] setting: Setting,
) {
    require_mounts();
    let (playground, agent, store) = setting;
    let archive = backup(&playground, 40, &agent, &store).await;
    store.limit(Limits {
        longest: None,
        latency: std::time::Duration::from_millis(20),
        rate: Some(40e6),
    });
    for strategy in LAZY {
        let dir = playground.text("target");
        let before = store.bytes_read();
        agent
            .restored(&restore_request(&dir, &store, &archive, Some(strategy)))
            .await;
        for number in 0..40 {
            reads(&playground.path("target"), number).await;
        }
        agent.mount_is(&dir, |mount| mount.verified).await;
        let read = store.bytes_read() - before;
        // Where a reader meets the pull for the first time, it does not wait: for
        // that there are the longest request, and what it takes to notice.
        let most = archive.size_bytes as usize + 5 * MIB;
        assert!(read <= most, "{strategy}: {read} of {}", archive.size_bytes);
        agent.unmount(&dir).await;
    }
}

#[rstest]
#[tokio::test]
async fn what_is_wrong_is_noticed_and_not_served(#[future(awt)] setting: Setting) {
    require_mounts();
    let (playground, agent, store) = setting;
    let archive = backup(&playground, 20, &agent, &store).await;
    let mut bytes = store.archive().to_vec();
    bytes[12 * MIB] ^= 1;
    store.set_archive(bytes);
    for strategy in LAZY {
        let dir = playground.text("target");
        let request = restore_request(&dir, &store, &archive, Some(strategy));
        // It is not to be noticed before the directory can be used.
        store.limit(NO_PULL);
        agent.restored(&request).await;
        store.limit(Limits::default());
        agent
            .mount_is(&dir, |mount| mount.state == MountState::Damaged)
            .await;
        let mount = agent.mount(&dir).await;
        assert!(!mount.verified);
        let error = read(playground.path("target/12")).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(5), "{strategy}: {error}");
        agent.unmount(&dir).await;
        assert_eq!(playground.footprint(), [].into());
    }
    // Where all of it is unpacked first, nothing is restored.
    let dir = playground.text("target");
    let request = restore_request(&dir, &store, &archive, Some(Strategy::Extract));
    let answer = format!("{:?}", agent.restore(&request).await);
    assert!(answer.contains("damaged"), "{answer}");
    assert!(!playground.path("target").exists());
}

#[rstest]
#[tokio::test]
async fn reads_wait_for_a_fresh_url(#[future(awt)] setting: Setting) {
    require_mounts();
    let (playground, agent, store) = setting;
    let archive = backup(&playground, 20, &agent, &store).await;
    for strategy in LAZY {
        let dir = playground.text("target");
        let request = restore_request(&dir, &store, &archive, Some(strategy));
        store.limit(NO_PULL);
        agent.restored(&request).await;
        store.expire();
        let reading = tokio::spawn(read(playground.path("target/3")));
        agent
            .mount_is(&dir, |mount| {
                mount
                    .url_expires_at
                    .is_some_and(|at| at < OffsetDateTime::now_utc())
            })
            .await;
        assert!(!reading.is_finished());
        renew(&agent, &request, &store).await;
        assert!(reading.await.unwrap().unwrap() == content(3));
        let expires_at = agent.mount(&dir).await.url_expires_at;
        assert!(expires_at.is_some_and(|at| at > OffsetDateTime::now_utc()));
        store.limit(Limits::default());
        agent.mount_is(&dir, |mount| mount.verified).await;
        agent.unmount(&dir).await;
    }
    let unknown = restore_request(&playground.text("other"), &store, &archive, None);
    let renewal = RenewUrl {
        id: id(),
        dir: unknown.dir,
        url: store.archive_url(),
        url_expires_at: OffsetDateTime::now_utc(),
    };
    let response = agent.post(paths::MOUNT_URL, &renewal).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_cache_keeps_its_bound_and_everything_can_be_read() {
    require_mounts();
    let playground = Playground::new();
    let store = Store::start().await;
    let mut command = Command::new(PROGRAM);
    command.env(env::CACHE_BYTES, (32 * MIB).to_string());
    let agent = Agent::start_by(command, &playground);
    let archive = backup(&playground, 80, &agent, &store).await;
    let dir = playground.text("target");
    for strategy in LAZY {
        let request = restore_request(&dir, &store, &archive, Some(strategy));
        agent.restored(&request).await;
        agent.mount_is(&dir, |mount| mount.verified).await;
        for number in (0..80).rev() {
            reads(&playground.path("target"), number).await;
        }
        let mount = agent.mount(&dir).await;
        assert_eq!(mount.state, MountState::Active);
        assert!(mount.cached_bytes <= 32 * MIB as u64, "{mount:?}");
        let slot = std::fs::read_dir(playground.state_dir().join("mounts"));
        let slot = slot.unwrap().next().unwrap().unwrap().path();
        let on_disk = slot.join("archive.sqsh").metadata().unwrap().blocks() * 512;
        assert!(on_disk <= 34 * MIB as u64, "{strategy}: {on_disk}");
        agent.unmount(&dir).await;
    }
    assert_eq!(playground.footprint(), [].into());
}

#[rstest]
#[tokio::test]
async fn another_daemon_finds_what_was_fetched_and_waits_for_a_url_if_it_needs_one(
    #[future(awt)] setting: Setting,
) {
    require_mounts();
    let (playground, agent, store) = setting;
    let archive = backup(&playground, 20, &agent, &store).await;
    let dir = playground.text("target");
    let request = restore_request(&dir, &store, &archive, Some(Strategy::Fuse));
    agent.restored(&request).await;
    agent.mount_is(&dir, |mount| mount.verified).await;
    let requests = store.requests();
    for pid in playground.daemons() {
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
    agent
        .mount_is(&dir, |mount| {
            mount.state == MountState::Active && mount.verified
        })
        .await;
    reads(&playground.path("target"), 19).await;
    assert_eq!(store.requests(), requests);
}

#[rstest]
#[tokio::test]
async fn a_url_is_nowhere_but_in_memory(#[future(awt)] setting: Setting) {
    require_mounts();
    let (playground, agent, store) = setting;
    let archive = backup(&playground, 2, &agent, &store).await;
    let request = restore_request(&playground.text("target"), &store, &archive, None);
    agent.restored(&request).await;
    let pid = playground.daemons()[0].as_raw_nonzero();
    let mut places: Vec<_> = ["cmdline", "environ"]
        .map(|name| Path::new("/proc").join(pid.to_string()).join(name))
        .into();
    let slot = std::fs::read_dir(playground.state_dir().join("mounts"));
    let slot = slot.unwrap().next().unwrap().unwrap().path();
    let files = std::fs::read_dir(slot)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    places.extend(files.filter(|path| path.is_file()));
    assert!(places.len() >= 5, "{places:?}");
    for place in places {
        let bytes = std::fs::read(&place).unwrap();
        let found = bytes.windows(6).any(|window| window == b"secret");
        assert!(!found, "{}", place.display());
    }
}
