use std::{
    collections::BTreeMap,
    os::unix::fs::{FileExt, symlink},
    time::Duration,
};

use sandbox_agent::transfer::checksum::{content_md5, multipart_etag};
use sandbox_shared::{
    EntryCounts, ErrorCode, Selection,
    protocol::{CreateEvent, CreateProgress, PreviewBackup, PreviewEvent, paths},
    report::{BackupReport, Exclusion},
};

use rstest::rstest;

use crate::{
    harness::{Agent, Events, Setting, create_request, error, setting},
    playground::Playground,
    store::Fault,
};

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    std::iter::repeat_with(|| fastrand::u8(..))
        .take(length)
        .collect()
}

fn failed(event: CreateEvent) -> sandbox_shared::SandboxError {
    match event {
        CreateEvent::Failed(error) => error,
        other => panic!("{other:?}"),
    }
}

#[rstest]
#[tokio::test]
async fn parts_are_equal_numbered_and_complete(#[future(awt)] setting: Setting) {
    let (playground, agent, store) = setting;
    let dir = playground.small_tree("tree");
    std::fs::write(playground.path("tree/big"), noise(20 << 20)).unwrap();
    let archive = agent.backup(&dir, &store).await;

    let numbers: Vec<_> = archive.parts.iter().map(|part| part.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(archive.parts[2].etag, "etag-3");
    let sizes: Vec<_> = store.parts().iter().map(|part| part.len()).collect();
    assert_eq!(&sizes[..2], [8 << 20, 8 << 20]);
    assert_eq!(sizes.iter().sum::<usize>() as u64, archive.size_bytes);
    let mut lengths: Vec<_> = store.content_lengths().into_iter().flatten().collect();
    let mut expected: Vec<_> = sizes.iter().map(ToString::to_string).collect();
    lengths.sort();
    expected.sort();
    assert_eq!(lengths, expected);
    let counts = EntryCounts {
        files: 3,
        directories: 2,
        bytes: 11 + (20 << 20),
        ..EntryCounts::default()
    };
    assert_eq!(archive.counts, counts);
    assert_eq!(archive.report, BackupReport::default());
    let md5s: Vec<_> = store.parts().iter().map(|part| content_md5(part)).collect();
    assert_eq!(archive.etag, multipart_etag(&md5s));
    playground.leaves_nothing().await;
}

#[rstest]
#[tokio::test]
async fn progress_tells_how_much_was_scanned_read_compressed_and_uploaded(
    #[future(awt)] setting: Setting,
) {
    let (playground, agent, store) = setting;
    let dir = playground.small_tree("tree");
    std::fs::write(playground.path("tree/big"), vec![7; 9 << 20]).unwrap();
    let mut events = agent.start_backup(&create_request(&dir)).await;
    let mut last = CreateProgress::default();
    let archive = loop {
        match events.next().await.unwrap() {
            CreateEvent::PartsNeeded { first, count } => {
                agent.give_parts(&store, first, count).await;
            }
            CreateEvent::Progress(progress) => {
                assert!(progress.bytes_read >= last.bytes_read);
                assert!(progress.bytes_uploaded <= progress.bytes_compressed);
                last = progress;
            }
            CreateEvent::Uploaded(archive) => break archive,
            CreateEvent::Scanned { counts } => assert_eq!(counts.files, 3),
            other => panic!("{other:?}"),
        }
    };
    let whole = CreateProgress {
        // The top directory is not an entry of anything.
        entries_scanned: 4,
        bytes_scanned: archive.counts.bytes,
        files_read: 3,
        bytes_read: archive.counts.bytes,
        bytes_compressed: archive.size_bytes,
        bytes_uploaded: archive.size_bytes,
    };
    assert_eq!(last, whole);
}

#[rstest]
#[tokio::test]
async fn a_preview_lists_what_a_backup_would_hold(#[future(awt)] setting: Setting) {
    let (playground, agent, store) = setting;
    let dir = playground.small_tree("tree");
    for (file, content) in [
        (
            "cache/CACHEDIR.TAG",
            "Signature: 8a477f597d28d172789f06886806bc55\n",
        ),
        ("cache/entry", ""),
        ("large", &"x".repeat(101)),
        ("note.log", ""),
        ("made.o", ""),
        (".gitignore", "*.o\n"),
    ] {
        let path = playground.path("tree").join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let selection = Selection {
        excludes: vec!["*.log".into()],
        gitignore: true,
        exclude_caches: true,
        exclude_larger_than: Some(100),
        ..Selection::default()
    };
    let request = PreviewBackup {
        dir: dir.clone(),
        selection: selection.clone(),
    };
    let mut events = Events::of(agent.post(paths::PREVIEW, &request).await);
    let preview = loop {
        match events.next().await.unwrap() {
            PreviewEvent::Progress { .. } => {}
            PreviewEvent::Previewed(preview) => break preview,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(preview.dir, dir);
    let rules: BTreeMap<_, _> = preview
        .excluded
        .first
        .iter()
        .map(|entry| (entry.path.as_str(), entry.rule))
        .collect();
    let expected = [
        ("cache/entry", Exclusion::ExcludeCaches),
        ("large", Exclusion::ExcludeLargerThan),
        ("made.o", Exclusion::Gitignore),
        ("note.log", Exclusion::Excludes),
    ];
    assert_eq!(rules, expected.into());
    assert!(
        preview
            .included
            .first
            .contains(&"cache/CACHEDIR.TAG".to_owned())
    );
    assert_eq!(preview.included.count, preview.included.first.len() as u64);

    // The backup is what was foretold, and nothing was left by either.
    let mut request = create_request(&dir);
    request.selection = selection;
    let events = agent.start_backup(&request).await;
    match agent.finish_backup(events, &store).await {
        CreateEvent::Uploaded(archive) => assert_eq!(archive.counts, preview.counts),
        other => panic!("{other:?}"),
    }
    playground.leaves_nothing().await;
}

#[rstest]
#[tokio::test]
async fn a_huge_sparse_file_takes_small_parts(#[future(awt)] setting: Setting) {
    let (playground, agent, store) = setting;
    let dir = playground.small_tree("tree");
    let file = std::fs::File::create(playground.path("tree/sparse")).unwrap();
    file.set_len(1 << 40).unwrap();
    file.write_all_at(b"end", (1 << 40) - 3).unwrap();
    let archive = agent.backup(&dir, &store).await;
    assert_eq!(archive.counts.bytes, 11 + (1 << 40));
    assert_eq!(archive.checksum.part_size_bytes.get(), 8 << 20);
}

#[rstest]
#[tokio::test]
async fn a_store_that_fails_for_a_while_is_asked_again(#[future(awt)] setting: Setting) {
    let (playground, agent, store) = setting;
    let dir = playground.small_tree("tree");
    store.fail([
        Fault::Status(503),
        Fault::Status(500),
        Fault::CutOff,
        Fault::Corrupt,
        Fault::Status(429),
    ]);
    agent.backup(&dir, &store).await;
    assert_eq!(store.requests(), 6);
}

#[rstest]
#[tokio::test]
async fn a_refused_url_is_asked_for_again_once(#[future(awt)] setting: Setting) {
    let (playground, agent, store) = setting;
    let dir = playground.small_tree("tree");
    store.fail([Fault::Status(403)]);
    agent.backup(&dir, &store).await;
    assert_eq!(store.requests(), 2);

    store.fail([Fault::Status(403), Fault::Status(403)]);
    let events = agent.start_backup(&create_request(&dir)).await;
    let error = failed(agent.finish_backup(events, &store).await);
    assert_eq!(error.code, ErrorCode::BackupCreateFailed);
    assert!(error.message.contains("403"), "{error}");
    playground.leaves_nothing().await;
}

#[rstest]
#[tokio::test]
async fn a_store_that_refuses_for_good_fails_the_backup_without_showing_the_url(
    #[future(awt)] setting: Setting,
) {
    let (playground, agent, store) = setting;
    let dir = playground.small_tree("tree");
    store.fail([Fault::Status(400)]);
    let events = agent.start_backup(&create_request(&dir)).await;
    let error = failed(agent.finish_backup(events, &store).await);
    assert_eq!(error.code, ErrorCode::BackupCreateFailed);
    assert!(error.message.contains("400"), "{error}");
    assert!(error.message.contains("SlowDown"), "{error}");
    assert!(!error.message.contains("http://"), "{error}");
    assert!(!error.message.contains("secret"), "{error}");
    assert_eq!(store.requests(), 1);
    playground.leaves_nothing().await;
}

#[rstest]
#[tokio::test]
async fn cancelling_in_the_middle_of_an_upload_leaves_nothing(#[future(awt)] setting: Setting) {
    let (playground, agent, store) = setting;
    let dir = playground.small_tree("tree");
    std::fs::write(playground.path("tree/big"), noise(40 << 20)).unwrap();
    store.fail([Fault::Hang; 8]);
    let mut events = agent.start_backup(&create_request(&dir)).await;
    loop {
        if let Some(CreateEvent::PartsNeeded { first, count }) = events.next().await {
            agent.give_parts(&store, first, count).await;
            break;
        }
    }
    store.has_been_asked(1).await;
    // The archive is never on disk.
    assert!(playground.footprint().is_empty());
    drop(events);
    playground.leaves_nothing().await;
    // And soon nobody waits for its URLs any more.
    let path = paths::BACKUP_PARTS.replace("{id}", crate::harness::id().as_str());
    let refused = async {
        loop {
            let response = agent.post(&path, &serde_json::json!({ "urls": [] })).await;
            if !response.status().is_success() {
                return error(response).await;
            }
        }
    };
    let refused = tokio::time::timeout(Duration::from_secs(10), refused).await;
    assert_eq!(refused.unwrap().code, ErrorCode::InvalidRequest);
}

#[rstest]
#[tokio::test]
async fn what_patterns_name_is_left_out_and_counted(#[future(awt)] setting: Setting) {
    let (playground, agent, store) = setting;
    let dir = playground.small_tree("tree");
    for (file, content) in [
        ("node_modules/deep/x", ""),
        ("sub/node_modules/y", ""),
        ("keep.log", ""),
        ("drop.log", ""),
        ("sub/.gitignore", "*.tmp\n!important.tmp\n"),
        ("sub/a.tmp", ""),
        ("sub/important.tmp", ""),
        ("a.tmp", ""),
    ] {
        let path = playground.path("tree").join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let mut request = create_request(&dir);
    request.selection.excludes = vec!["node_modules/".into(), "*.log".into(), "!keep.log".into()];
    request.selection.gitignore = true;
    let events = agent.start_backup(&request).await;
    let CreateEvent::Uploaded(archive) = agent.finish_backup(events, &store).await else {
        panic!("not uploaded");
    };
    assert_eq!(archive.counts.excluded, 4);
    assert_eq!(archive.counts.directories, 2);
    assert_eq!(archive.counts.files, 6);
}

#[rstest]
#[tokio::test]
async fn an_index_elsewhere_is_read_below_allowed_roots_only(#[future(awt)] setting: Setting) {
    let (playground, agent, store) = setting;
    let outside = tempfile::tempdir_in("/opt").unwrap();
    for (main, unread) in [
        (playground.path("main"), 0),
        (outside.path().join("main"), 1),
    ] {
        let git = |arguments: &[&str]| {
            let mut git = std::process::Command::new("git");
            git.args(["-c", "user.name=test", "-c", "user.email=test", "-C"]);
            let output = git.arg(&main).args(arguments).output().unwrap();
            assert!(output.status.success(), "{output:?}");
        };
        std::fs::create_dir(&main).unwrap();
        std::fs::write(main.join(".gitignore"), "*.o\n").unwrap();
        std::fs::write(main.join("tracked.o"), "").unwrap();
        git(&["init", "--quiet"]);
        git(&["add", "--force", "."]);
        git(&["commit", "--quiet", "--message", "all"]);
        let linked = playground.text(&format!("linked-{unread}"));
        git(&["worktree", "add", "--quiet", &linked]);
        std::fs::write(format!("{linked}/made.o"), "").unwrap();

        let mut request = create_request(&linked);
        request.selection.gitignore = true;
        let events = agent.start_backup(&request).await;
        let CreateEvent::Uploaded(archive) = agent.finish_backup(events, &store).await else {
            panic!("not uploaded");
        };
        assert_eq!(archive.report.unread_indexes.count, unread);
        // `.git`, `.gitignore` and what is tracked; and the rest, if that is not known.
        assert_eq!(archive.counts.files, 3 + unread);
    }
}

#[rstest]
#[tokio::test]
async fn an_empty_directory_and_one_with_everything_left_out(#[future(awt)] setting: Setting) {
    let (playground, agent, store) = setting;
    std::fs::create_dir(playground.path("empty")).unwrap();
    let archive = agent.backup(&playground.text("empty"), &store).await;
    let mut counts = EntryCounts {
        directories: 1,
        ..EntryCounts::default()
    };
    assert_eq!(archive.counts, counts);

    let mut request = create_request(&playground.small_tree("tree"));
    request.selection.excludes = vec!["*".into()];
    let events = agent.start_backup(&request).await;
    counts.excluded = 2;
    match agent.finish_backup(events, &store).await {
        CreateEvent::Uploaded(archive) => assert_eq!(archive.counts, counts),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn directories_that_must_not_be_backed_up_are_refused() {
    let playground = Playground::new();
    let agent = Agent::start(&playground);
    symlink("/etc", playground.path("way out")).unwrap();
    std::fs::write(playground.path("file"), "").unwrap();
    for dir in [
        "/etc".to_owned(),
        "/tmp/../etc".to_owned(),
        playground.text("way out"),
        playground.text("missing"),
        playground.text("file"),
    ] {
        let response = agent.post(paths::BACKUPS, &create_request(&dir)).await;
        let error = error(response).await;
        assert_eq!(error.code, ErrorCode::InvalidBackupConfig, "{dir}");
    }
    let mut request = create_request(&playground.small_tree("tree"));
    request.selection.excludes = vec!["fine".into(), "a\nb".into()];
    let refused = error(agent.post(paths::BACKUPS, &request).await).await;
    assert!(refused.message.contains("excludes[1]"), "{refused}");
}
