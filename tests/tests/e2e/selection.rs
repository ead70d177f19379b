//! What goes into a backup, as its options say.

use std::sync::Arc;

use sandbox_tests::{consumer::Sandbox, stage::Stage};
use serde_json::{Value, json};

crate::tests![
    every_rule_leaves_out_what_it_says,
    a_preview_lists_the_same_and_stores_nothing,
    what_changes_meanwhile_is_named,
    other_file_systems_are_kept_empty_unless_asked_for,
    block_size_is_the_archives,
];

/// Files for every rule, and one that none of them names.
const FILES: &str = "mkdir -p cache sub && echo 'Signature: 8a477f597d28d172789f06886806bc55' \
    > cache/CACHEDIR.TAG && echo x > cache/entry && head -c 5000 /dev/zero > large \
    && echo x > note.log && echo x > sub/made.o && echo '*.o' > .gitignore && echo x > sub/kept";

fn options() -> Value {
    json!({
        "dir": "/workspace",
        "excludes": ["*.log"],
        "gitignore": true,
        "excludeCaches": true,
        "excludeLargerThan": 4999,
    })
}

async fn listing(sandbox: &Sandbox, dir: &str) -> String {
    sandbox
        .run(&format!("cd {dir} && find . -type f | sort"))
        .await
}

async fn every_rule_leaves_out_what_it_says(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("every-rule");
    sandbox.run(FILES).await;
    let created: Value = sandbox
        .call("createBackup", json!([options()]))
        .await
        .unwrap();
    assert_eq!(created["counts"]["excluded"], 4, "{created}");
    assert_eq!(created["counts"]["files"], 3, "{created}");
    let handle = json!({ "id": created["id"], "dir": "/workspace/restored" });
    sandbox.restore_backup(&handle).await.unwrap();
    assert_eq!(
        listing(&sandbox, "restored").await,
        "./.gitignore\n./cache/CACHEDIR.TAG\n./sub/kept\n"
    );
}

async fn a_preview_lists_the_same_and_stores_nothing(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("preview");
    sandbox.run(FILES).await;
    let preview: Value = sandbox
        .call("previewBackup", json!([options()]))
        .await
        .unwrap();
    let excluded = preview["excluded"]["first"].as_array().unwrap();
    let mut excluded: Vec<_> = excluded
        .iter()
        .map(|entry| {
            (
                entry["path"].as_str().unwrap(),
                entry["rule"].as_str().unwrap(),
            )
        })
        .collect();
    excluded.sort_unstable();
    assert_eq!(
        excluded,
        [
            ("cache/entry", "excludeCaches"),
            ("large", "excludeLargerThan"),
            ("note.log", "excludes"),
            ("sub/made.o", "gitignore"),
        ]
    );
    let included = preview["included"]["first"].as_array().unwrap();
    assert!(included.contains(&json!("sub/kept")), "{preview}");
    let created: Value = sandbox
        .call("createBackup", json!([options()]))
        .await
        .unwrap();
    assert_eq!(created["counts"], preview["counts"]);

    let response = stage.http("preview").post("preview", &options()).await;
    assert_eq!(response.json::<Value>().await.unwrap(), preview);
    let error = sandbox
        .call::<Value>("previewBackup", json!([{ "dir": "/etc" }]))
        .await
        .unwrap_err();
    assert_eq!(error.code(), "INVALID_BACKUP_CONFIG");
}

async fn what_changes_meanwhile_is_named(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("changes");
    sandbox
        .run("head -c 30000000 /dev/urandom > a && echo x > still")
        .await;
    // Writes without a pause until it is told to stop.
    sandbox
        .run("(while [ ! -e /tmp/stop ]; do echo x >> log; done) > /dev/null 2>&1 &")
        .await;
    let created: Value = sandbox
        .call("createBackup", json!([{ "dir": "/workspace" }]))
        .await
        .unwrap();
    sandbox.run("touch /tmp/stop").await;
    assert_eq!(created["counts"]["changed"], 1, "{created}");
    let changed = &created["report"]["changed"];
    assert_eq!(changed["count"], 1, "{created}");
    assert_eq!(changed["first"][0]["path"], "log");
    let how = changed["first"][0]["change"].as_str().unwrap();
    assert!(["grown", "modified"].contains(&how), "{how}");
    assert_eq!(
        created["report"]["unreadable"],
        json!({ "count": 0, "first": [] })
    );
}

async fn other_file_systems_are_kept_empty_unless_asked_for(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("other-file-systems");
    sandbox
        .run("mkdir other && mount -t tmpfs none other && echo x > other/inside && echo x > here")
        .await;
    let options = json!({ "dir": "/workspace" });
    let created: Value = sandbox
        .call("createBackup", json!([options]))
        .await
        .unwrap();
    assert_eq!(created["counts"]["files"], 1, "{created}");
    assert_eq!(
        created["report"]["otherFileSystems"],
        json!({ "count": 1, "first": ["other"] })
    );

    let options = json!({ "dir": "/workspace", "crossFileSystems": true });
    let created: Value = sandbox
        .call("createBackup", json!([options]))
        .await
        .unwrap();
    assert_eq!(created["counts"]["files"], 2, "{created}");
    assert_eq!(created["report"]["otherFileSystems"]["count"], 0);
}

async fn block_size_is_the_archives(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("block-size");
    sandbox.run("seq 100000 > numbers").await;
    let options = json!({
        "dir": "/workspace",
        "compression": { "format": "lz4", "blockSize": 4096 },
    });
    let backup = sandbox.create_backup(options).await.unwrap();
    let archive = stage
        .bucket
        .get(&format!("backups/{}/data.sqsh", backup.id))
        .await
        .unwrap();
    // Superblock: block_size at 12, compressor at 20.
    assert_eq!(archive[12..16], 4096_u32.to_le_bytes());
    assert_eq!(archive[20..22], 5_u16.to_le_bytes());

    for (option, value) in [("blockSize", 5000), ("threads", 0), ("level", 99)] {
        let options = json!({ "dir": "/workspace", "compression": { option: value } });
        let error = sandbox.create_backup(options).await.unwrap_err();
        assert_eq!(error.code(), "INVALID_BACKUP_CONFIG");
        assert!(error.message.contains(option), "{error:?}");
    }
}
