//! A sandbox in which something else answers in the agent's place: whatever it
//! says, its Durable Object ends with an error of its own, and nothing that
//! belongs to others is touched or signed for it.

use std::sync::Arc;

use sandbox_tests::{
    consumer::Setup,
    liar::{COVETED, LIES},
    stage::Stage,
};
use serde_json::{Value, json};

crate::tests![
    a_lie_about_a_backup_is_an_error_and_leaves_nothing,
    what_was_restored_is_what_was_asked_for,
    a_backup_that_nobody_restored_gets_no_url,
    an_answer_without_end_is_an_error,
];

async fn a_lie_about_a_backup_is_an_error_and_leaves_nothing(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox_of(Setup::Lying, "lies");
    for (lie, code) in LIES {
        let dir = format!("/workspace/{lie}");
        let error = sandbox.create_backup(json!({ "dir": dir })).await;
        let error = error.unwrap_err();
        assert_eq!(error.code(), code, "{lie}: {error:?}");
        assert!(!error.message.contains("X-Amz-"), "{lie}: {error:?}");
        let id = &stage.liar.told().ids[lie];
        let left = stage.bucket.keys(&format!("backups/{id}/")).await;
        assert!(left.is_empty(), "{lie}: {left:?}");
    }
    let told = stage.liar.told();
    assert_eq!(told.redirected, 0);
    assert!(!told.answers.is_empty());
    for (what, status) in told.answers {
        assert!(status.is_client_error(), "{what}: {status}");
    }
    let coveted = stage.bucket.keys(&format!("backups/{COVETED}/")).await;
    assert!(coveted.is_empty(), "{coveted:?}");
}

async fn what_was_restored_is_what_was_asked_for(stage: Arc<Stage>) {
    let source = stage.consumer.sandbox("lies-source");
    source.write("/workspace/a", "content").await;
    let backup = source.backup("/workspace").await;
    let sandbox = stage.consumer.sandbox_of(Setup::Lying, "lies-restore");
    let restored = sandbox.restore_backup(&backup).await.unwrap();
    assert_eq!((&restored.id, &restored.dir), (&backup.id, &backup.dir));
}

async fn a_backup_that_nobody_restored_gets_no_url(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox_of(Setup::Lying, "lies-renewal");
    // It starts the container, and answers with a redirection.
    let refused = sandbox.exec("true", json!({})).await.unwrap_err();
    assert_eq!(refused.code(), "CONTAINER_UNAVAILABLE");
    // Whoever asks how it is has URLs renewed that are about to expire.
    let status: Value = sandbox.call("status", json!([])).await.unwrap();
    assert!(status.to_string().contains(COVETED), "{status}");
    let told = stage.liar.told();
    assert!(told.renewals.is_empty(), "{:?}", told.renewals);
    assert_eq!(told.redirected, 0);
}

async fn an_answer_without_end_is_an_error(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox_of(Setup::Lying, "lies-list");
    let error = sandbox.list_files("/workspace", json!({})).await;
    assert_eq!(error.unwrap_err().code(), "INTERNAL_ERROR");
}
