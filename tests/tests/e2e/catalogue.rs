//! What is stored: lists, deletion, retention.

use std::sync::Arc;

use sandbox_shared::DirectoryBackup;
use sandbox_tests::{consumer::Sandbox, stage::Stage};
use serde_json::{Value, json};

crate::tests![
    lists_are_filtered_sorted_and_paged,
    a_record_tells_what_is_stored,
    deleting_removes_both_objects_and_may_be_repeated,
    pruning_keeps_what_the_rules_want,
    the_index_can_be_made_anew,
    bad_queries_are_refused,
];

async fn call(sandbox: &Sandbox, method: &str, args: Value) -> Value {
    sandbox.call(method, args).await.unwrap()
}

async fn named(sandbox: &Sandbox, dir: &str, name: &str) -> DirectoryBackup {
    let options = json!({ "dir": dir, "name": name });
    sandbox.create_backup(options).await.unwrap()
}

fn names(page: &Value) -> Vec<&str> {
    let backups = page["backups"].as_array().unwrap();
    backups
        .iter()
        .map(|backup| backup["name"].as_str().unwrap_or("-"))
        .collect()
}

async fn lists_are_filtered_sorted_and_paged(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("list");
    assert_eq!(
        call(&sandbox, "listBackups", json!([])).await,
        json!({ "backups": [] })
    );
    sandbox
        .run("mkdir a b && head -c 100000 /dev/urandom > b/large")
        .await;
    for (dir, name) in [("a", "one"), ("b", "two"), ("a", "three"), ("a", "one")] {
        named(&sandbox, &format!("/workspace/{dir}"), name).await;
    }
    let list = async |query: Value| call(&sandbox, "listBackups", json!([query])).await;
    assert_eq!(
        names(&list(json!({})).await),
        ["one", "three", "two", "one"]
    );
    assert_eq!(
        names(&list(json!({ "dir": "/workspace/b" })).await),
        ["two"]
    );
    assert_eq!(names(&list(json!({ "name": "one" })).await), ["one", "one"]);
    let by_name = json!({ "sort": "name", "order": "asc" });
    assert_eq!(names(&list(by_name).await), ["one", "one", "three", "two"]);
    let by_size = json!({ "sort": "sizeBytes", "limit": 1 });
    assert_eq!(names(&list(by_size).await), ["two"]);
    assert_eq!(names(&list(json!({ "state": "expired" })).await), [""; 0]);

    for sort in ["createdAt", "expiresAt", "name", "dir", "sizeBytes"] {
        let mut query = json!({ "sort": sort, "order": "asc", "limit": 3 });
        let mut ids = Vec::new();
        loop {
            let page = list(query.clone()).await;
            let backups = page["backups"].as_array().unwrap();
            ids.extend(backups.iter().map(|backup| backup["id"].to_string()));
            match page.get("cursor") {
                Some(cursor) => query["cursor"] = cursor.clone(),
                None => break,
            }
        }
        let whole = list(json!({ "sort": sort, "order": "asc" })).await;
        let whole = whole["backups"].as_array().unwrap();
        let whole: Vec<_> = whole
            .iter()
            .map(|backup| backup["id"].to_string())
            .collect();
        assert_eq!(ids, whole, "{sort}");
        assert_eq!(ids.len(), 4);
    }

    let http = stage.http("list");
    let page: Value = http
        .get("backups?name=one&limit=1&order=asc")
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(names(&page), ["one"]);
    assert!(page["cursor"].is_string());
    // Another sandbox's backups are not in it.
    let other = stage.consumer.sandbox("list-other");
    assert_eq!(
        call(&other, "listBackups", json!([])).await,
        json!({ "backups": [] })
    );
}

async fn a_record_tells_what_is_stored(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("record");
    sandbox.write("/workspace/file", "12345").await;
    let options = json!({ "dir": "/workspace", "name": "x", "ttl": 600 });
    let backup = sandbox.create_backup(options).await.unwrap();
    let metadata = stage.bucket.metadata(&backup.id).await;
    let record = call(&sandbox, "getBackup", json!([backup.id])).await;
    assert_eq!(record, call(&sandbox, "getBackup", json!([backup])).await);
    assert_eq!(record["id"], backup.id.as_str());
    assert_eq!(record["dir"], "/workspace");
    assert_eq!(record["name"], "x");
    assert_eq!(record["sizeBytes"], metadata.size_bytes);
    assert_eq!(record["ttl"], 600);
    assert_eq!(record["state"], "active");
    assert_eq!(record["counts"]["bytes"], 5);
    assert_eq!(record["sandbox"], sandbox.object_id().await.as_str());
    let listed = call(&sandbox, "listBackups", json!([])).await;
    assert_eq!(listed["backups"], json!([record]));

    // Any sandbox may look at it, as any sandbox may restore it.
    let other = stage.consumer.sandbox("record-other");
    assert_eq!(call(&other, "getBackup", json!([backup.id])).await, record);

    // Expired by the rule of the restore: a minute early.
    let options = json!({ "dir": "/workspace", "ttl": 30 });
    let expired = sandbox.create_backup(options).await.unwrap();
    let record = call(&sandbox, "getBackup", json!([expired.id])).await;
    assert_eq!(record["state"], "expired");
    let query = json!([{ "state": "expired" }]);
    let listed = call(&sandbox, "listBackups", query).await;
    assert_eq!(listed["backups"], json!([record]));
}

async fn deleting_removes_both_objects_and_may_be_repeated(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("delete");
    let backup = sandbox.backup("/workspace").await;
    let deleted = call(&sandbox, "deleteBackup", json!([backup])).await;
    assert_eq!(
        deleted,
        json!({ "success": true, "id": backup.id, "existed": true })
    );
    assert!(stage.bucket.keys_of(&backup.id).await.is_empty());
    assert_eq!(
        call(&sandbox, "listBackups", json!([])).await,
        json!({ "backups": [] })
    );
    let error = sandbox.restore_backup(&backup).await.unwrap_err();
    assert_eq!(error.code(), "BACKUP_NOT_FOUND");
    let error = sandbox
        .call::<Value>("getBackup", json!([backup]))
        .await
        .unwrap_err();
    assert_eq!(error.code(), "BACKUP_NOT_FOUND");

    let http = stage.http("delete");
    let route = format!("backups/{}", backup.id);
    let again = http
        .request(reqwest::Method::DELETE, &route)
        .send()
        .await
        .unwrap();
    assert_eq!(again.status(), 200);
    assert_eq!(again.json::<Value>().await.unwrap()["existed"], false);
    assert_eq!(http.get(&route).await.status(), 404);

    // An archive without its metadata goes as well.
    let backup = sandbox.backup("/workspace").await;
    stage
        .bucket
        .delete(&format!("backups/{}/meta.json", backup.id))
        .await;
    call(&sandbox, "deleteBackup", json!([backup.id])).await;
    assert!(stage.bucket.keys_of(&backup.id).await.is_empty());
}

async fn pruning_keeps_what_the_rules_want(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("prune");
    sandbox.run("mkdir a b").await;
    let mut made = Vec::new();
    for name in ["1", "2", "3"] {
        made.push(named(&sandbox, "/workspace/a", name).await);
    }
    made.push(named(&sandbox, "/workspace/b", "b").await);
    let expired = json!({ "dir": "/workspace/b", "name": "expired", "ttl": 1 });
    let expired = sandbox.create_backup(expired).await.unwrap();
    let sizes = async |ids: &[&DirectoryBackup]| {
        let mut sum = 0;
        for backup in ids {
            sum += stage.bucket.metadata(&backup.id).await.size_bytes;
        }
        sum
    };

    let prune = async |rules: Value| call(&sandbox, "pruneBackups", json!([rules])).await;
    // Rules are per directory: one of each is kept, and the expired one takes no place.
    let foretold = prune(json!({ "keepLast": 1, "dryRun": true })).await;
    assert_eq!(foretold["kept"], 3);
    assert_eq!(foretold["deleted"]["count"], 2);
    let freed = sizes(&[&made[0], &made[1]]).await;
    assert_eq!(foretold["freedBytes"], freed);
    let page = call(&sandbox, "listBackups", json!([])).await;
    assert_eq!(names(&page).len(), 5, "a dry run deletes nothing");

    let pruned = prune(json!({ "keepLast": 1, "dir": "/workspace/a" })).await;
    assert_eq!(
        (&pruned["kept"], &pruned["deleted"]["count"]),
        (&json!(1), &json!(2))
    );
    for backup in &made[..2] {
        assert!(stage.bucket.keys_of(&backup.id).await.is_empty());
    }
    let pruned = prune(json!({ "expired": true })).await;
    assert_eq!(pruned["deleted"]["first"][0]["id"], expired.id.as_str());
    assert_eq!(
        (&pruned["kept"], &pruned["deleted"]["count"]),
        (&json!(2), &json!(1))
    );
    let page = call(&sandbox, "listBackups", json!([])).await;
    assert_eq!(names(&page), ["b", "3"]);
    sandbox.restore_backup(&made[2]).await.unwrap();
}

async fn the_index_can_be_made_anew(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("reindex");
    let (kept, lost) = (
        sandbox.backup("/workspace").await,
        sandbox.backup("/workspace").await,
    );
    // Deleted behind the index's back.
    for key in stage.bucket.keys_of(&lost.id).await {
        stage.bucket.delete(&key).await;
    }
    // Written by someone who knows six fields.
    let foreign = "3f6f0f3e-5a39-4a0b-9a6b-0a4bb0f6a111";
    let metadata = json!({
        "id": foreign, "dir": "/workspace/foreign", "name": null, "sizeBytes": 4096,
        "ttl": 259_200, "createdAt": "2026-02-23T10:11:12.345Z",
    });
    let key = format!("backups/{foreign}/meta.json");
    stage
        .bucket
        .put(&key, metadata.to_string().into_bytes())
        .await;
    let unreadable = "backups/3f6f0f3e-5a39-4a0b-9a6b-0a4bb0f6a112/meta.json";
    stage.bucket.put(unreadable, b"{".to_vec()).await;

    let result = call(&sandbox, "reindexBackups", json!([])).await;
    stage.bucket.delete(unreadable).await;
    let listed = result["unreadable"]["first"].as_array().unwrap();
    assert!(listed.contains(&json!(unreadable)), "{result}");
    let ids = async |query: Value| {
        let page = call(&sandbox, "listBackups", json!([query])).await;
        let backups = page["backups"].as_array().unwrap().clone();
        backups
            .into_iter()
            .map(|backup| backup["id"].clone())
            .collect::<Vec<_>>()
    };
    let of_workspace = ids(json!({ "dir": "/workspace" })).await;
    assert!(of_workspace.contains(&json!(kept.id)));
    assert!(!of_workspace.contains(&json!(lost.id)));
    assert_eq!(
        ids(json!({ "dir": "/workspace/foreign" })).await,
        [json!(foreign)]
    );
    // It belongs to nobody, and no rule of ours deletes it.
    let rules = json!([{ "expired": true, "keepLast": 1, "dir": "/workspace/foreign" }]);
    let pruned = call(&sandbox, "pruneBackups", rules).await;
    assert_eq!(
        (&pruned["kept"], &pruned["deleted"]["count"]),
        (&json!(0), &json!(0))
    );
    stage.bucket.delete(&key).await;
}

async fn bad_queries_are_refused(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("bad-queries");
    for (method, argument, named) in [
        ("listBackups", json!({ "limit": 0 }), "limit"),
        ("listBackups", json!({ "limit": 1001 }), "limit"),
        ("listBackups", json!({ "sort": "colour" }), "sort"),
        ("listBackups", json!({ "state": 1 }), "state"),
        ("listBackups", json!({ "cursor": "x" }), "cursor"),
        ("getBackup", json!("../../x"), "id"),
        ("deleteBackup", json!({}), "id"),
        ("pruneBackups", json!({}), "keepLast"),
        ("pruneBackups", json!({ "keepLast": 0 }), "keepLast"),
        ("pruneBackups", json!({ "keepDaily": -1 }), "keepDaily"),
        ("pruneBackups", json!({ "keepYearly": 0 }), "keepYearly"),
        (
            "pruneBackups",
            json!({ "keepWithin": "week" }),
            "keepWithin",
        ),
    ] {
        let error = sandbox
            .call::<Value>(method, json!([argument]))
            .await
            .unwrap_err();
        assert_eq!(
            error.code(),
            "INVALID_BACKUP_CONFIG",
            "{method} {argument}: {error:?}"
        );
        assert!(
            error.message.contains(named),
            "{method} {argument}: {error:?}"
        );
    }
    let http = stage.http("bad-queries");
    for route in ["backups?limit=x", "backups?sort=colour", "backups/nonsense"] {
        assert_eq!(http.get(route).await.status(), 400, "{route}");
    }
}
