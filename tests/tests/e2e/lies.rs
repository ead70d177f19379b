//! A sandbox in which something else answers in the agent's place: whatever it
//! says, its Durable Object ends with an error of its own, and nothing that
//! belongs to others is touched or signed for it.

use std::sync::Arc;

use futures::future::join;
use sandbox_tests::{
    consumer::{Setup, Thrown},
    liar::{Ailment, COVETED, LIES},
    stage::Stage,
};
use serde_json::{Value, json};

crate::tests![
    a_lie_about_a_backup_is_an_error_and_leaves_nothing,
    what_was_restored_is_what_was_asked_for,
    a_backup_that_nobody_restored_gets_no_url,
    an_answer_without_end_is_an_error,
    a_container_that_does_not_answer_is_not_ended,
    a_container_that_never_sleeps_is_kept_by_a_heartbeat,
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

/// All that is not backed up would end with it.
async fn a_container_that_does_not_answer_is_not_ended(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox_of(Setup::Lying, "lies-silent");
    let state = async || {
        let status = sandbox.call::<Value>("status", json!([])).await?;
        Ok::<_, Thrown>(status["container"]["state"].clone())
    };
    // It starts the container.
    sandbox.exec("true", json!({})).await.unwrap_err();
    let id = sandbox.object_id().await;
    let ended = || {
        let ended = stage.liar.told().ended;
        ended.iter().filter(|ended| **ended == id).count()
    };
    for ailment in [Ailment::CutOff, Ailment::Failed, Ailment::Garbled] {
        sandbox.reset().await;
        stage.liar.ail(&id, &[ailment; 3]);
        assert_eq!(state().await.unwrap(), "running", "{ailment:?}");
        assert_eq!(ended(), 0, "{ailment:?}");

        sandbox.reset().await;
        stage.liar.ail(&id, &[ailment; 1000]);
        let error = state().await.unwrap_err();
        assert_eq!(error.code(), "CONTAINER_UNAVAILABLE", "{error:?}");
        assert_eq!(ended(), 0, "{ailment:?}");
    }

    // One that hangs keeps nobody from ending it.
    sandbox.reset().await;
    stage.liar.ail(&id, &[Ailment::Missing; 1000]);
    let error = state().await.unwrap_err();
    assert_eq!(error.code(), "CONTAINER_UNAVAILABLE", "{error:?}");
    assert_eq!(ended(), 0);
    let waits = sandbox.exec("true", json!({}));
    let stops = sandbox.call::<Value>("stop", json!([]));
    let (waited, stopped) = join(waits, stops).await;
    stopped.unwrap();
    assert_eq!(waited.unwrap_err().code(), "CONTAINER_UNAVAILABLE");
    assert_eq!(ended(), 1);
    sandbox.exec("true", json!({})).await.unwrap_err();

    // Only one that says that it is another's is replaced, when it is needed.
    sandbox.reset().await;
    stage.liar.ail(&id, &[Ailment::Unauthorized; 2]);
    assert_eq!(state().await.unwrap(), "stopped");
    assert_eq!(ended(), 1);
    sandbox.exec("true", json!({})).await.unwrap_err();
    assert_eq!(ended(), 2);
    assert_eq!(state().await.unwrap(), "running");
}

async fn a_container_that_never_sleeps_is_kept_by_a_heartbeat(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox_of(Setup::Lying, "lies-heartbeat");
    sandbox.exec("true", json!({})).await.unwrap_err();
    let id = sandbox.object_id().await;
    let timeouts = || stage.liar.told().inactivity_timeouts[&id].clone();
    let [timeout] = timeouts()[..] else {
        panic!("it was set once: {:?}", timeouts());
    };
    for beats in 1..=2 {
        let beats_in = sandbox.ring_alarm().await.expect("the alarm is set");
        assert!(0.0 < beats_in && beats_in < timeout as f64, "{beats_in} ms");
        assert_eq!(timeouts().len(), 1 + beats);
    }
}
