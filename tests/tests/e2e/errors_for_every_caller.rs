//! Whoever calls over RPC can read `error.code`.

use std::sync::Arc;

use sandbox_tests::{
    consumer::{Sandbox, Thrown},
    stage::Stage,
};
use serde_json::json;

crate::tests![
    through_the_client,
    through_the_client_at_an_old_compatibility_date,
    on_the_bare_stub,
];

async fn thrown(sandbox: Sandbox) -> Thrown {
    let error = sandbox
        .create_backup(json!({ "dir": "/etc" }))
        .await
        .unwrap_err();
    assert!(error.is_error, "{error:?}");
    assert!(error.message.starts_with("dir /etc is not"), "{error:?}");
    assert_eq!(error.code(), "INVALID_BACKUP_CONFIG");
    assert_eq!(error.status, Some(400));
    let context = error.context.clone().unwrap();
    assert_eq!(context["dir"], "/etc");
    error
}

async fn through_the_client(stage: Arc<Stage>) {
    let error = thrown(stage.consumer.sandbox("errors-client")).await;
    assert_eq!(error.name, "SandboxError");
}

async fn through_the_client_at_an_old_compatibility_date(stage: Arc<Stage>) {
    let error = thrown(stage.old_consumer.sandbox("errors-old")).await;
    assert_eq!(error.name, "SandboxError");
}

async fn on_the_bare_stub(stage: Arc<Stage>) {
    thrown(stage.consumer.sandbox("errors-stub").bare_stub()).await;
}
