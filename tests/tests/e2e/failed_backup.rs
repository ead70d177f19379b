//! A backup that fails leaves nothing, and one that meets passing trouble succeeds.

use std::sync::Arc;

use sandbox_tests::{
    consumer::{Sandbox, Setup},
    faulty_gateway::Fault,
    stage::Stage,
    tree,
};
use serde_json::json;

crate::tests![
    refused_upload_leaves_nothing,
    upload_refused_half_way_leaves_nothing,
    passing_faults_are_retried,
    changed_parts_are_sent_again,
];

/// Several parts, whatever their size may be: this does not compress.
pub(crate) async fn with_random_files(sandbox: &Sandbox) {
    sandbox
        .run("for n in 1 2 3 4; do head -c 6000000 /dev/urandom > $n; done")
        .await;
}

/// Scratch space of the agent and of the archiver, by name.
const LEFTOVERS: &str = "find /tmp /var/tmp /var/lib/sandbox-agent -type f 2>/dev/null; true";

async fn a_failure_leaves_nothing(stage: &Stage, name: &str, fault: Fault) {
    let sandbox = stage.consumer.sandbox_of(Setup::Faulty, name);
    with_random_files(&sandbox).await;
    let leftovers = sandbox.run(LEFTOVERS).await;
    let gateway = stage.faulty_gateway(fault).await;

    let error = sandbox
        .create_backup(json!({ "dir": "/workspace", "name": name }))
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), error.status),
        ("BACKUP_CREATE_FAILED", Some(500)),
        "{error:?}"
    );
    assert!(!error.message.contains("X-Amz-"), "{error:?}");
    let tried = gateway.archive_ids();
    assert_eq!(tried.len(), 1, "{tried:?}");
    for id in tried {
        let left = stage.bucket.keys(&format!("backups/{id}/")).await;
        assert!(left.is_empty(), "{left:?}");
    }
    assert_eq!(sandbox.run(LEFTOVERS).await, leftovers);

    gateway.set(Fault::None);
    let backup = sandbox.backup("/workspace").await;
    assert_eq!(stage.bucket.keys_of(&backup.id).await.len(), 2);
}

async fn refused_upload_leaves_nothing(stage: Arc<Stage>) {
    a_failure_leaves_nothing(&stage, "refused-upload", Fault::RefusesParts).await;
}

async fn upload_refused_half_way_leaves_nothing(stage: Arc<Stage>) {
    a_failure_leaves_nothing(&stage, "refused-half-way", Fault::RefusesLaterParts).await;
}

async fn passing_faults_are_retried(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox_of(Setup::Faulty, "passing-faults");
    with_random_files(&sandbox).await;
    let before = tree::digest(&sandbox, "/workspace").await;
    let gateway = stage.faulty_gateway(Fault::FailsOnce).await;
    let backup = sandbox.backup("/workspace").await;
    assert!(gateway.failures() >= 2, "{}", gateway.failures());

    gateway.set(Fault::FailsOnce);
    sandbox.run("rm *").await;
    sandbox.restore_backup(&backup).await.unwrap();
    assert_eq!(tree::digest(&sandbox, "/workspace").await, before);
    assert!(gateway.failures() >= 1);
}

async fn changed_parts_are_sent_again(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox_of(Setup::Faulty, "changed-parts");
    with_random_files(&sandbox).await;
    let before = tree::digest(&sandbox, "/workspace").await;
    let gateway = stage.faulty_gateway(Fault::ChangesPartsOnce).await;
    let backup = sandbox.backup("/workspace").await;
    assert!(gateway.failures() >= 3, "{}", gateway.failures());
    gateway.set(Fault::None);
    sandbox.run("rm *").await;
    sandbox.restore_backup(&backup).await.unwrap();
    assert_eq!(tree::digest(&sandbox, "/workspace").await, before);
}
