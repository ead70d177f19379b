//! Whatever is wrong with options, handles and directories is
//! `INVALID_BACKUP_CONFIG`, over RPC and over HTTP, and names what is wrong.

use std::sync::Arc;

use sandbox_tests::stage::Stage;
use serde_json::{Value, json};

crate::tests![
    options,
    handles,
    directories_to_unmount,
    directories_that_only_the_container_knows
];

/// The same request by both ways must be refused with this word in its message.
async fn refused(stage: &Stage, method: &str, route: &str, argument: &Value, word: &str) {
    let by_rpc = stage
        .consumer
        .sandbox("invalid-input")
        .call::<Value>(method, json!([argument]))
        .await
        .expect_err(&format!("{method} {argument}"));
    assert_eq!(
        (by_rpc.code(), by_rpc.status),
        ("INVALID_BACKUP_CONFIG", Some(400)),
        "{method} {argument}: {by_rpc:?}"
    );
    assert!(by_rpc.message.contains(word), "{argument}: {by_rpc:?}");

    let by_http = stage.http("invalid-input").post(route, argument).await;
    assert_eq!(by_http.status(), 400, "{route} {argument}");
    let body: Value = by_http.json().await.unwrap();
    assert_eq!(body["error"]["code"], "INVALID_BACKUP_CONFIG");
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains(word), "{argument}: {message}");
}

fn bad_directories() -> Vec<Value> {
    let long = format!("/workspace/{}", "d/".repeat(2100));
    vec![
        json!(""),
        json!("workspace"),
        json!("./workspace"),
        json!("/"),
        json!("/etc"),
        json!("/workspaces"),
        json!("/workspace/../etc"),
        json!("/workspace/.."),
        json!("/tmp/a\u{0}b"),
        json!(long),
        json!(5),
        json!(null),
        json!(["/workspace"]),
    ]
}

async fn options(stage: Arc<Stage>) {
    let mut cases: Vec<(Value, &str)> = bad_directories()
        .into_iter()
        .map(|dir| (json!({ "dir": dir }), "dir"))
        .collect();
    let with = |name: &str, value: Value| json!({ "dir": "/workspace", name: value });
    cases.extend([
        (json!({}), "dir"),
        (json!({ "path": "/workspace" }), "dir"),
        (with("name", json!("n".repeat(257))), "name"),
        (with("name", json!("🚀".repeat(257))), "name"),
        (with("name", json!("two\nlines")), "name"),
        (with("name", json!("bell\u{7}")), "name"),
        (with("name", json!(7)), "name"),
        (with("ttl", json!(0)), "ttl"),
        (with("ttl", json!(-1)), "ttl"),
        (with("ttl", json!(1e300)), "ttl"),
        (with("ttl", json!("600")), "ttl"),
        (with("gitignore", json!("yes")), "gitignore"),
        (with("excludes", json!("node_modules")), "excludes"),
        (with("excludes", json!(["ok", ""])), "excludes[1]"),
        (with("excludes", json!(["a\nb"])), "excludes[0]"),
        (with("excludes", json!([1])), "excludes[0]"),
        (with("compression", json!("zstd")), "compression"),
        (
            with("compression", json!({ "format": "xz" })),
            "compression.format",
        ),
        (
            with("compression", json!({ "level": 23 })),
            "compression.level",
        ),
        (
            with("compression", json!({ "format": "gzip", "level": 10 })),
            "compression.level",
        ),
        (
            with("compression", json!({ "format": "lz4", "level": 1 })),
            "compression.level",
        ),
        (
            with("compression", json!({ "threads": 0 })),
            "compression.threads",
        ),
        (
            with("compression", json!({ "threads": 1.5 })),
            "compression.threads",
        ),
    ]);
    for (options, word) in &cases {
        refused(&stage, "createBackup", "backups", options, word).await;
    }
    let sandbox = stage.consumer.sandbox("invalid-input");
    let nothing = sandbox.create_backup(Value::Null).await;
    assert_eq!(nothing.unwrap_err().code(), "INVALID_BACKUP_CONFIG");
}

async fn handles(stage: Arc<Stage>) {
    const ID: &str = "0b5d6a2e-6f3c-4b52-9d1e-8a4f7c3b2a10";
    let mut cases: Vec<(Value, &str)> = bad_directories()
        .into_iter()
        .map(|dir| (json!({ "id": ID, "dir": dir }), "dir"))
        .collect();
    for id in [
        json!(""),
        json!("latest"),
        json!("0B5D6A2E-6F3C-4B52-9D1E-8A4F7C3B2A10"),
        json!("0b5d6a2e-6f3c-1b52-9d1e-8a4f7c3b2a10"),
        json!("../0b5d6a2e-6f3c-4b52-9d1e-8a4f7c3b2a10"),
        json!(7),
        json!(null),
    ] {
        cases.push((json!({ "id": id, "dir": "/workspace" }), "id"));
    }
    cases.push((json!({ "dir": "/workspace" }), "id"));
    cases.push((json!({ "id": ID }), "dir"));
    for (handle, word) in &cases {
        refused(&stage, "restoreBackup", "restore", handle, word).await;
    }
}

async fn directories_to_unmount(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("invalid-input");
    for dir in bad_directories() {
        let unmount = sandbox.call::<Value>("unmountBackup", json!([dir])).await;
        assert_eq!(
            unmount.unwrap_err().code(),
            "INVALID_BACKUP_CONFIG",
            "{dir}"
        );
    }
}

/// Whether a path is a directory, and whether it leads out of the allowed
/// roots through a link, only the container can tell.
async fn directories_that_only_the_container_knows(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("dirs-in-the-container");
    sandbox
        .run(
            "ln -s /etc out && ln -s / root && mkdir inside && ln -s inside in && echo x > file \
             && ln -s nowhere dangling",
        )
        .await;
    for dir in ["out", "root/etc", "file", "no/such", "dangling"] {
        let dir = format!("/workspace/{dir}");
        let error = sandbox
            .create_backup(json!({ "dir": dir }))
            .await
            .unwrap_err();
        assert_eq!(error.code(), "INVALID_BACKUP_CONFIG", "{dir}: {error:?}");
    }
    let backup = sandbox.backup("/workspace/inside").await;
    for dir in ["out", "root/etc", "out/new", "file"] {
        let dir = format!("/workspace/{dir}");
        let handle = json!({ "id": backup.id, "dir": dir });
        let error = sandbox.restore_backup(handle).await.unwrap_err();
        assert_eq!(error.code(), "INVALID_BACKUP_CONFIG", "{dir}: {error:?}");
    }
    assert!(!sandbox.exists("/etc/new").await);
}
