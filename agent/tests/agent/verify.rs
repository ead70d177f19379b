//! Archives that are read through without being restored.

use std::process::Command;

use sandbox_shared::{
    ErrorCode, SandboxError,
    protocol::{ArchiveSource, UploadedArchive, VerifyBackup, VerifyEvent, env, paths},
    verification::{ArchiveVerification, ChecksumVerdict},
};

use rstest::rstest;

use crate::{
    harness::{Agent, Events, PROGRAM, Setting, eventually, setting},
    playground::Playground,
    store::{Fault, Limits, Store},
};

const MIB: usize = 1 << 20;
/// What may be on disk, in bytes; an archive of all files is larger.
const CACHE: usize = 32 * MIB;
const FILES: usize = 80;
/// Of the agent, in bytes.
const MOST_MEMORY: u64 = 160 << 20;

fn request(store: &Store, archive: &UploadedArchive) -> VerifyBackup {
    VerifyBackup {
        source: ArchiveSource {
            url: store.archive_url(),
            url_expires_at: None,
            size_bytes: archive.size_bytes,
            checksum: Some(archive.checksum.clone()),
        },
    }
}

async fn verify(
    agent: &Agent,
    request: &VerifyBackup,
) -> Result<ArchiveVerification, SandboxError> {
    let mut events = Events::of(agent.post(paths::VERIFY, request).await);
    loop {
        match events.next().await.expect("an end") {
            VerifyEvent::Verified(found) => return Ok(found),
            VerifyEvent::Failed(error) => return Err(error),
            _ => {}
        }
    }
}

fn make_files(playground: &Playground, files: usize) -> String {
    let source = playground.path("source");
    std::fs::create_dir(&source).unwrap();
    let mut content = vec![0; MIB];
    for number in 0..files {
        fastrand::Rng::with_seed(number as u64).fill(&mut content);
        std::fs::write(source.join(number.to_string()), &content).unwrap();
    }
    playground.text("source")
}

#[tokio::test]
async fn an_archive_of_more_than_there_is_room_for_is_read_in_little_memory() {
    let playground = Playground::new();
    let store = Store::start().await;
    let archive = {
        let agent = Agent::start(&playground);
        agent.backup(&make_files(&playground, FILES), &store).await
    };
    let mut program = Command::new(PROGRAM);
    program.env(env::CACHE_BYTES, CACHE.to_string());
    let agent = Agent::start_by(program, &playground);
    let found = verify(&agent, &request(&store, &archive)).await.unwrap();
    assert_eq!(found.problems, [""; 0]);
    assert_eq!(found.checksum, ChecksumVerdict::Matches);
    assert_eq!(found.files, FILES as u64);
    assert_eq!(found.bytes, (FILES * MIB) as u64);
    assert!(agent.most_memory() < MOST_MEMORY, "{}", agent.most_memory());
    assert_eq!(playground.footprint(), [].into());

    let mut bytes = store.archive().to_vec();
    bytes[71 * MIB] ^= 1;
    store.set_archive(bytes);
    let found = verify(&agent, &request(&store, &archive)).await.unwrap();
    assert_eq!(found.checksum, ChecksumVerdict::Differs);
    assert_eq!(found.files, FILES as u64);
}

#[rstest]
#[tokio::test]
async fn failures_of_the_store_are_none_of_the_archive(#[future(awt)] setting: Setting) {
    let (playground, agent, store) = setting;
    let archive = agent.backup(&make_files(&playground, 4), &store).await;
    let request = request(&store, &archive);
    store.fail([Fault::Status(503), Fault::CutOff, Fault::Status(500)]);
    let found = verify(&agent, &request).await.unwrap();
    assert_eq!(found.checksum, ChecksumVerdict::Matches);
    for (status, code) in [
        (404, ErrorCode::BackupNotFound),
        (403, ErrorCode::BackupRestoreFailed),
    ] {
        store.fail([Fault::Status(status), Fault::Status(status)]);
        let error = verify(&agent, &request).await.unwrap_err();
        assert_eq!(error.code, code, "{error:?}");
        assert!(!error.message.contains("Signature"), "{error:?}");
        // The second of the two, if it has not been asked for.
        store.forget_faults();
    }
    assert_eq!(playground.footprint(), [].into());
}

#[rstest]
#[tokio::test]
async fn nobody_who_asks_is_nobody_who_reads(#[future(awt)] setting: Setting) {
    let (playground, agent, store) = setting;
    let archive = agent.backup(&make_files(&playground, 20), &store).await;
    store.limit(Limits {
        rate: Some(4e6),
        ..Limits::default()
    });
    let mut events = Events::of(agent.post(paths::VERIFY, &request(&store, &archive)).await);
    let first: VerifyEvent = events.next().await.unwrap();
    assert!(matches!(first, VerifyEvent::Progress { .. }), "{first:?}");
    // What is on disk has no name.
    eventually("nothing has a name", || playground.footprint().is_empty()).await;
    drop(events);
    store.limit(Limits::default());
    eventually("files are closed", || {
        agent.open_files_below(&playground) == 0
    })
    .await;
    let requests = store.requests();
    assert!(requests < 20, "{requests}");
}
