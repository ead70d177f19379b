//! What failures are called: by what was asked for, not by what has failed.

use std::{collections::BTreeMap, path::Path};

use reqwest::Method;
use sandbox_shared::{
    ErrorCode, Selection, Strategy,
    protocol::{CreateEvent, PreviewBackup, RestoreEvent, UploadedArchive, VerifyBackup, paths},
};
use serde_json::json;

use rstest::rstest;

use crate::{
    harness::{
        Agent, Events, Setting, create_request, error, require_mounts, restore_request, setting,
    },
    playground::Playground,
    store::{Fault, Store},
};

/// What each operation calls its failure, by its name.
type Codes = BTreeMap<&'static str, ErrorCode>;

/// The code of the error that ends a stream of events.
async fn code_of(agent: &Agent, path: &str, request: &impl serde::Serialize) -> ErrorCode {
    let mut events = Events::of(agent.post(path, request).await);
    while let Some(event) = events.next::<serde_json::Value>().await {
        assert!(!event.to_string().contains("Signature"), "{event}");
        if event["type"] == "failed" {
            return serde_json::from_value(event["code"].clone()).unwrap();
        }
    }
    panic!("{path} has not failed");
}

/// Has every operation that needs the store fail.
async fn codes(
    agent: &Agent,
    store: &Store,
    playground: &Playground,
    archive: &UploadedArchive,
) -> Codes {
    let mut codes = Codes::new();
    let events = agent
        .start_backup(&create_request(&playground.text("source")))
        .await;
    match agent.finish_backup(events, store).await {
        CreateEvent::Failed(error) => codes.insert("create", error.code),
        other => panic!("{other:?}"),
    };
    let target = playground.text("target");
    for (name, strategy) in [("restore", None), ("unpack", Some(Strategy::Extract))] {
        let request = restore_request(&target, store, archive, strategy);
        match agent.restore(&request).await {
            RestoreEvent::Failed(error) => codes.insert(name, error.code),
            other => panic!("{other:?}"),
        };
    }
    let source = restore_request(&target, store, archive, None).source;
    let request = VerifyBackup { source };
    codes.insert("verify", code_of(agent, paths::VERIFY, &request).await);
    codes
}

#[tokio::test]
async fn a_store_that_fails_is_called_what_the_operation_calls_it() {
    use ErrorCode::{BackupCreateFailed, BackupNotFound, BackupRestoreFailed};
    require_mounts();
    let playground = Playground::new();
    let (agent, store) = (Agent::start(&playground), Store::start().await);
    let archive = agent.backup(&playground.small_tree("source"), &store).await;
    for (fault, of_reading) in [
        (Fault::Status(403), BackupRestoreFailed),
        // To an upload, it is no backup that is missing.
        (Fault::Status(404), BackupNotFound),
        (Fault::Nowhere("NoSuchBucket"), BackupRestoreFailed),
        (Fault::Status(418), BackupRestoreFailed),
    ] {
        store.fail([fault; 1000]);
        let expected = [
            ("create", BackupCreateFailed),
            ("restore", of_reading),
            ("unpack", of_reading),
            ("verify", of_reading),
        ];
        let codes = codes(&agent, &store, &playground, &archive).await;
        assert_eq!(codes, expected.into(), "{fault:?}");
        store.forget_faults();
    }
}

#[rstest]
#[tokio::test]
async fn so_is_a_state_directory_that_cannot_be_used(#[future(awt)] setting: Setting) {
    require_mounts();
    let (playground, agent, store) = setting;
    let source = playground.small_tree("source");
    let archive = agent.backup(&source, &store).await;
    playground.footprint_at_rest(&agent).await;
    for part in ["mounts", "tmp"].map(|part| playground.state_dir().join(part)) {
        make_unusable(&part);
    }
    let target = playground.text("target");
    let restore = restore_request(&target, &store, &archive, None);
    let preview = PreviewBackup {
        dir: source.clone(),
        selection: Selection::default(),
    };
    let verify = VerifyBackup {
        source: restore.source.clone(),
    };
    let status = agent.request(Method::GET, paths::STATUS).send().await;
    let unmount = json!({ "dir": target });
    let found = [
        (
            "create",
            error(agent.post(paths::BACKUPS, &create_request(&source)).await)
                .await
                .code,
        ),
        (
            "preview",
            error(agent.post(paths::PREVIEW, &preview).await).await.code,
        ),
        ("restore", code_of(&agent, paths::RESTORES, &restore).await),
        (
            "unmount",
            error(agent.post(paths::UNMOUNT, &unmount).await).await.code,
        ),
        ("verify", code_of(&agent, paths::VERIFY, &verify).await),
        ("status", error(status.unwrap()).await.code),
    ];
    let expected = [
        ("create", ErrorCode::BackupCreateFailed),
        ("preview", ErrorCode::BackupCreateFailed),
        ("restore", ErrorCode::BackupRestoreFailed),
        ("unmount", ErrorCode::BackupRestoreFailed),
        ("verify", ErrorCode::BackupRestoreFailed),
        ("status", ErrorCode::InternalError),
    ];
    assert_eq!(Codes::from(found), expected.into());
}

/// A file in place of an empty directory.
fn make_unusable(dir: &Path) {
    std::fs::remove_dir(dir).unwrap();
    std::fs::write(dir, "").unwrap();
}
