//! Code in the sandbox that exchanges a directory above a target with a symbolic
//! link, as fast as it can, while the agent works there.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, symlink},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use sandbox_shared::{
    ErrorCode, Strategy,
    protocol::{PreviewEvent, RestoreEvent, paths},
};
use serde_json::json;

use crate::{
    harness::{Agent, Events, require_mounts, restore_request},
    playground::Playground,
    store::Store,
};

/// A directory `place` in the playground, exchanged again and again with a link
/// that leads to where nobody may restore.
struct Race {
    outside: tempfile::TempDir,
    is_over: Arc<AtomicBool>,
    racer: Option<JoinHandle<u64>>,
}

impl Race {
    fn start(playground: &Playground) -> Self {
        let outside = tempfile::Builder::new()
            .prefix("agent-test-")
            .tempdir_in("/opt")
            .unwrap();
        fs::create_dir(outside.path().join("target")).unwrap();
        fs::write(outside.path().join("target/secret"), "secret").unwrap();
        let (place, link) = (playground.path("place"), playground.path("link"));
        fs::create_dir_all(place.join("target")).unwrap();
        symlink(outside.path(), &link).unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&is_over);
        let racer = std::thread::spawn(move || {
            let mut exchanges = 0;
            while !until.load(Ordering::Relaxed) {
                renameat_with(CWD, &place, CWD, &link, RenameFlags::EXCHANGE).unwrap();
                exchanges += 1;
            }
            // The directory has its name again.
            if place.is_symlink() {
                renameat_with(CWD, &place, CWD, &link, RenameFlags::EXCHANGE).unwrap();
            }
            exchanges
        });
        Self {
            outside,
            is_over,
            racer: Some(racer),
        }
    }

    /// Everything there, with what tells whether it was touched.
    fn outside(&self) -> BTreeMap<PathBuf, (u32, u32, i64, i64, u64)> {
        let entries = walk(self.outside.path()).into_iter().map(|path| {
            let about = path.symlink_metadata().unwrap();
            let facts = (
                about.mode(),
                about.uid(),
                about.mtime(),
                about.ctime_nsec(),
                about.ino(),
            );
            (path, facts)
        });
        entries.collect()
    }

    fn is_mounted_outside(&self) -> bool {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        mounts.contains(self.outside.path().to_str().unwrap())
    }

    fn end(mut self) -> (tempfile::TempDir, u64) {
        self.is_over.store(true, Ordering::Relaxed);
        let exchanges = self.racer.take().unwrap().join().unwrap();
        let outside = std::mem::replace(&mut self.outside, tempfile::tempdir().unwrap());
        (outside, exchanges)
    }
}

impl Drop for Race {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let point = self.outside.path().join("target");
        while self.is_mounted_outside()
            && rustix::mount::unmount(&point, rustix::mount::UnmountFlags::DETACH).is_ok()
        {}
    }
}

fn walk(directory: &Path) -> Vec<PathBuf> {
    let mut found = vec![directory.to_owned()];
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.symlink_metadata().unwrap().is_dir() {
            true => found.extend(walk(&path)),
            false => found.push(path),
        }
    }
    found
}

/// Restores and unmounts for as long as it takes to hit every moment many times.
async fn a_race_for(strategy: Strategy) {
    require_mounts();
    let playground = Playground::new();
    let (agent, store) = (Agent::start(&playground), Store::start().await);
    let archive = agent.backup(&playground.small_tree("source"), &store).await;
    agent.status().await;
    let race = Race::start(&playground);
    let before = race.outside();
    let dir = playground.text("place/target");
    let request = restore_request(&dir, &store, &archive, Some(strategy));
    let (start, mut restored) = (Instant::now(), 0);
    for _ in 0..100 {
        match agent.restore(&request).await {
            RestoreEvent::Mounted(_) => restored += 1,
            RestoreEvent::Failed(error) => assert!(
                matches!(
                    error.code,
                    ErrorCode::InvalidBackupConfig | ErrorCode::BackupRestoreFailed
                ),
                "{error:?}"
            ),
            other => panic!("{other:?}"),
        }
        assert!(!race.is_mounted_outside(), "after {restored} restores");
        assert_eq!(race.outside(), before);
        // It may be refused, or there may be nothing.
        let unmount = json!({ "dir": dir, "force": true });
        let status = agent.post(paths::UNMOUNT, &unmount).await.status();
        assert!(status.as_u16() < 501, "{status}");
        assert_eq!(race.outside(), before);
        if start.elapsed() > Duration::from_secs(4) {
            break;
        }
    }
    let (outside, exchanges) = race.end();
    assert!(exchanges > 1000, "{exchanges} exchanges");
    // It was a race, not only refusals; and everything still works.
    assert!(restored > 0);
    agent.restored(&request).await;
    assert_eq!(
        fs::read_to_string(playground.path("place/target/a")).unwrap(),
        "first"
    );
    agent.unmount(&dir).await;
    playground.leaves_nothing().await;
    drop(outside);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kernel_restore_is_not_led_out() {
    a_race_for(Strategy::Kernel).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overlay_restore_is_not_led_out() {
    a_race_for(Strategy::Overlay).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fuse_restore_is_not_led_out() {
    a_race_for(Strategy::Fuse).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extract_restore_is_not_led_out() {
    a_race_for(Strategy::Extract).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_does_not_read_what_a_link_leads_to() {
    let playground = Playground::new();
    let agent = Agent::start(&playground);
    let race = Race::start(&playground);
    let request = json!({ "dir": playground.text("place/target"), "selection": {} });
    let (start, mut read) = (Instant::now(), 0);
    for _ in 0..2000 {
        let response = agent.post(paths::PREVIEW, &request).await;
        if !response.status().is_success() {
            continue;
        }
        let mut events = Events::of(response);
        let last = loop {
            match events.next().await.unwrap() {
                PreviewEvent::Progress { .. } => {}
                last => break last,
            }
        };
        match last {
            PreviewEvent::Previewed(preview) => {
                read += 1;
                assert_eq!(preview.counts.files, 0, "{preview:?}");
            }
            PreviewEvent::Failed(error) => {
                assert_eq!(error.code, ErrorCode::BackupCreateFailed, "{error:?}");
            }
            other => panic!("{other:?}"),
        }
        if start.elapsed() > Duration::from_secs(4) {
            break;
        }
    }
    let (_outside, exchanges) = race.end();
    assert!(exchanges > 1000 && read > 0, "{exchanges}, {read}");
}
