//! Arguments that JSON has no word for, over RPC.

use std::sync::Arc;

use sandbox_tests::stage::Stage;
use serde_json::{Value, json};

crate::tests![undefined_is_not_given, values_that_only_javascript_has];

async fn undefined_is_not_given(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("undefined");
    let undefined = json!({ "$undefined": 1 });
    let all = |names: &[&str]| -> Value {
        names
            .iter()
            .map(|name| ((*name).to_owned(), undefined.clone()))
            .collect()
    };
    let with = |fields: Value, names: &[&str]| {
        let mut all = all(names);
        all.as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        all
    };
    let optional = [
        "name",
        "ttl",
        "gitignore",
        "excludes",
        "excludeCaches",
        "excludeLargerThan",
        "crossFileSystems",
        "onUnreadable",
        "compression",
        "localBucket",
        "multipart",
        "exclude",
    ];
    let create = with(json!({ "dir": "/workspace" }), &optional);
    let created: Value = {
        let args = json!([create, all(&["operationId"])]);
        sandbox.call("createBackup", args).await.unwrap()
    };
    let compressed = json!({
        "dir": "/workspace", "compression": all(&["format", "level", "threads", "blockSize"]),
    });
    let handle = with(
        created.clone(),
        &["strategy", "force", "autoRestore", "auto_restore"],
    );
    let options = all(&["strategy", "force", "autoRestore", "operationId"]);
    let keeps = [
        "dir",
        "keepHourly",
        "keepDaily",
        "keepWeekly",
        "keepMonthly",
        "keepWithin",
        "expired",
        "dryRun",
    ];
    let list = ["dir", "name", "state", "sort", "order", "limit", "cursor"];
    for (method, args) in [
        ("previewBackup", json!([compressed])),
        ("restoreBackup", json!([handle, options])),
        ("restoreBackup", json!([created, undefined])),
        ("unmountBackup", json!(["/workspace", all(&["force"])])),
        ("listBackups", json!([all(&list)])),
        ("listBackups", json!([undefined])),
        (
            "pruneBackups",
            json!([with(json!({ "keepLast": 9 }), &keeps)]),
        ),
        ("operationLog", json!([all(&["limit", "cursor"])])),
        (
            "exec",
            json!(["true", all(&["cwd", "env", "timeout", "stdin", "onOutput"])]),
        ),
        ("exec", json!(["true", { "env": all(&["HOME"]) }])),
        ("writeFile", json!(["/tmp/x", "x", all(&["encoding"])])),
        ("readFile", json!(["/tmp/x", all(&["encoding"])])),
        (
            "listFiles",
            json!(["/tmp", all(&["recursive", "includeHidden"])]),
        ),
        ("mkdir", json!(["/tmp/d", all(&["recursive"])])),
    ] {
        let call = sandbox.call::<Value>(method, args.clone()).await;
        assert!(call.is_ok(), "{method} {args}: {call:?}");
    }
    // It does not take back what the handle says, either.
    let mut auto = created.clone();
    auto["autoRestore"] = json!(true);
    let _: Value = sandbox
        .call("restoreBackup", json!([auto, options]))
        .await
        .unwrap();
    assert_eq!(
        sandbox.status().await["autoRestore"][0]["id"],
        created["id"]
    );
    // Null is something else, where it always was.
    for (method, args) in [
        ("unmountBackup", json!(["/workspace", { "force": null }])),
        ("pruneBackups", json!([{ "keepLast": 9, "dryRun": null }])),
        ("createBackup", json!([undefined])),
        ("exec", json!([undefined])),
        ("getBackup", json!([undefined])),
        ("operationOutcome", json!([undefined])),
    ] {
        let error = sandbox
            .call::<Value>(method, args.clone())
            .await
            .unwrap_err();
        assert_eq!(error.status, Some(400), "{method} {args}: {error:?}");
    }
}

async fn values_that_only_javascript_has(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("javascript-values");
    let number = |text: &str| json!({ "$number": text });
    for (method, args, word) in [
        (
            "createBackup",
            json!([{ "dir": "/app", "ttl": number("NaN") }]),
            "ttl",
        ),
        (
            "createBackup",
            json!([{ "dir": "/app", "ttl": number("Infinity") }]),
            "ttl",
        ),
        (
            "pruneBackups",
            json!([{ "keepWithin": number("NaN") }]),
            "keepWithin",
        ),
        (
            "exec",
            json!(["true", { "timeout": number("Infinity") }]),
            "timeout",
        ),
        (
            "exec",
            json!(["true", { "stdin": { "$base64": "eA==" } }]),
            "stdin",
        ),
        ("exec", json!(["true", { "env": ["A"] }]), "env"),
        ("createBackup", json!([["/app"]]), "an object"),
        ("createBackup", json!([{ "$set": ["/app"] }]), "an object"),
    ] {
        let error = sandbox
            .call::<Value>(method, args.clone())
            .await
            .unwrap_err();
        assert_eq!(error.status, Some(400), "{args}: {error:?}");
        assert!(error.message.contains(word), "{args}: {error:?}");
    }
    let env = json!({ "env": { "$map": { "A": "from a map" } } });
    let printed = sandbox.exec("printf %s \"$A\"", env).await.unwrap();
    assert_eq!(printed.stdout, "from a map");
    let excludes = json!({ "dir": "/workspace", "excludes": { "$set": ["*.log"] } });
    sandbox.write("/workspace/a.log", "").await;
    let preview: Value = sandbox
        .call("previewBackup", json!([excludes]))
        .await
        .unwrap();
    assert_eq!(preview["excluded"]["count"], 1);
}
