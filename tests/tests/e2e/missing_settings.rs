//! A Worker that lacks settings says which.

use std::sync::Arc;

use sandbox_tests::{consumer::Setup, stage::Stage};
use serde_json::json;

crate::tests![every_missing_setting_is_named, what_needs_no_setting_works];

const SETTINGS: [&str; 6] = [
    "R2_ACCESS_KEY_ID",
    "R2_SECRET_ACCESS_KEY",
    "CLOUDFLARE_ACCOUNT_ID",
    "BACKUP_BUCKET_NAME",
    "GATEWAY_URL",
    "GATEWAY_SECRET",
];

async fn every_missing_setting_is_named(stage: Arc<Stage>) {
    let sandbox = stage
        .consumer
        .sandbox_of(Setup::Unconfigured, "missing-settings");
    let create = sandbox.create_backup(json!({ "dir": "/workspace" })).await;
    let handle = json!({ "id": "0b5d6a2e-6f3c-4b52-9d1e-8a4f7c3b2a10", "dir": "/workspace" });
    let restore = sandbox.restore_backup(handle).await;
    for error in [create.unwrap_err(), restore.unwrap_err()] {
        assert_eq!(
            (error.code(), error.status),
            ("INVALID_BACKUP_CONFIG", Some(400))
        );
        for setting in SETTINGS {
            assert!(error.message.contains(setting), "{setting}: {error:?}");
        }
        assert_eq!(error.context.unwrap()["missing"], json!(SETTINGS));
    }
}

async fn what_needs_no_setting_works(stage: Arc<Stage>) {
    let sandbox = stage
        .consumer
        .sandbox_of(Setup::Unconfigured, "no-settings");
    assert_eq!(sandbox.run("echo works").await, "works\n");
}
