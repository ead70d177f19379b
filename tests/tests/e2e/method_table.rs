//! What the table of methods says of each method is so.

use std::{collections::BTreeSet, sync::Arc};

use sandbox_shared::methods;
use sandbox_tests::stage::Stage;
use serde_json::{Value, json};

crate::tests![the_container_is_started_by_the_methods_that_say_so];

async fn the_container_is_started_by_the_methods_that_say_so(stage: Arc<Stage>) {
    let maker = stage.consumer.sandbox("table-maker");
    maker.write("/workspace/file", "content").await;
    let backup = maker.backup("/workspace").await;
    let unknown = json!({ "id": "00000000-0000-4000-8000-000000000000", "dir": "/workspace" });
    let calls = [
        ("createBackup", json!([{ "dir": "/workspace" }])),
        ("previewBackup", json!([{ "dir": "/workspace" }])),
        ("restoreBackup", json!([backup])),
        ("unmountBackup", json!(["/workspace"])),
        ("listBackups", json!([])),
        ("getBackup", json!([backup])),
        ("verifyBackup", json!([backup])),
        ("deleteBackup", json!([unknown])),
        ("pruneBackups", json!([{ "keepLast": 1 }])),
        ("reindexBackups", json!([])),
        ("cancelOperation", json!([])),
        ("operationOutcome", json!(["unknown"])),
        ("operationLog", json!([])),
        ("exec", json!(["true"])),
        ("execStream", json!(["true"])),
        ("writeFile", json!(["/tmp/file", "content"])),
        ("readFile", json!(["/tmp/file"])),
        ("listFiles", json!(["/tmp"])),
        ("deleteFile", json!(["/tmp/file"])),
        ("mkdir", json!(["/tmp/directory"])),
        ("exists", json!(["/tmp"])),
        ("status", json!([])),
        ("stop", json!([])),
    ];
    let called: BTreeSet<_> = calls.iter().map(|(method, _)| *method).collect();
    assert_eq!(called, methods::names().collect());
    for (method, arguments) in calls {
        let sandbox = stage.consumer.sandbox(&format!("table-{method}"));
        let row = methods::of_a_sandbox().find(|row| row.name == method);
        let row = row.unwrap();
        // Some fail, but only in a container that they have started.
        if let Err(thrown) = sandbox.call::<Value>(method, arguments).await {
            let codes = row.codes();
            let is_known = codes.iter().any(|code| code.as_str() == thrown.code());
            assert!(is_known, "{method}: {thrown:?}");
        }
        let expected = match row.starts_container {
            true => "running",
            false => "stopped",
        };
        let status = sandbox.status().await;
        assert_eq!(status["container"]["state"], expected, "{method}");
    }
}
