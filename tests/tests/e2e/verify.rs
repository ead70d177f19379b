//! `verifyBackup` tells whether an archive is whole, and damages nothing.

use std::sync::Arc;

use sandbox_shared::{BackupId, DirectoryBackup};
use sandbox_tests::{bucket::archive_key, consumer::Sandbox, stage::Stage, tree};
use serde_json::{Value, json};

crate::tests![
    a_good_one,
    a_flipped_byte_of_content,
    a_flipped_byte_of_metadata,
    cut_short_and_empty,
    of_another_writer,
    an_expired_one,
    a_missing_one,
    over_http_with_progress,
];

async fn verify(sandbox: &Sandbox, backup: impl serde::Serialize) -> Value {
    sandbox.call("verifyBackup", json!([backup])).await.unwrap()
}

/// A file of 300,000 random bytes, two small ones that are the same, a link.
async fn made(sandbox: &Sandbox) -> DirectoryBackup {
    sandbox
        .run("mkdir d && head -c 300000 /dev/urandom > d/random && echo text > d/a && ln d/a d/b && ln -s a d/link")
        .await;
    sandbox.backup("/workspace").await
}

/// What the container's own directory holds, by name.
async fn agent_files(sandbox: &Sandbox) -> String {
    sandbox
        .run("find /var/lib/sandbox-agent/tmp /var/lib/sandbox-agent/mounts -mindepth 1")
        .await
}

async fn a_good_one(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("verify-good");
    let backup = made(&sandbox).await;
    let before = tree::digest(&sandbox, "/workspace").await;
    let found = verify(&sandbox, &backup).await;
    let size = stage.bucket.metadata(&backup.id).await.size_bytes;
    assert_eq!(
        found,
        json!({
            "id": backup.id, "valid": true, "sizeBytes": size, "problems": [],
            "checksum": "matches", "files": 3, "directories": 2, "symlinks": 1, "special": 0,
            "bytes": 300_005,
        })
    );
    assert_eq!(found, verify(&sandbox, &backup.id).await);
    assert_eq!(tree::digest(&sandbox, "/workspace").await, before);
    assert_eq!(agent_files(&sandbox).await, "");
    let status = sandbox.status().await;
    assert_eq!(
        (&status["mounts"], &status["operation"]),
        (&json!([]), &Value::Null)
    );

    // Any sandbox may ask, and its container starts for it.
    let other = stage.consumer.sandbox("verify-good-other");
    assert_eq!(verify(&other, &backup).await, found);
}

fn problems(found: &Value) -> Vec<&str> {
    let problems = found["problems"].as_array().unwrap();
    problems.iter().map(|text| text.as_str().unwrap()).collect()
}

async fn a_flipped_byte_of_content(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("verify-content");
    let backup = made(&sandbox).await;
    // Random bytes are stored as they are: only the checksum can tell.
    let damage = |archive: &mut Vec<u8>| archive[100_000] ^= 1;
    stage.bucket.edit_archive(&backup.id, damage).await;
    let found = verify(&sandbox, &backup).await;
    assert_eq!(found["valid"], false, "{found}");
    assert_eq!(found["checksum"], "differs");
    assert_eq!(found["files"], 3);
    assert_eq!(agent_files(&sandbox).await, "");
}

async fn a_flipped_byte_of_metadata(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("verify-metadata");
    let backup = made(&sandbox).await;
    // The first byte of the inode table's first block, after its header.
    let damage = |archive: &mut Vec<u8>| {
        let table = u64::from_le_bytes(archive[64..72].try_into().unwrap()) as usize;
        archive[table + 2..table + 10].fill(0xff);
    };
    stage.bucket.edit_archive(&backup.id, damage).await;
    let found = verify(&sandbox, &backup).await;
    assert_eq!(
        (&found["valid"], &found["checksum"]),
        (&json!(false), &json!("differs"))
    );
    let problems = problems(&found);
    assert_eq!(problems.len(), 1);
    assert!(problems[0].contains("damaged at byte"), "{problems:?}");
}

async fn cut_short_and_empty(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("verify-cut-short");
    let backup = made(&sandbox).await;
    let whole = stage.bucket.metadata(&backup.id).await.size_bytes;
    for kept in [whole as usize / 2, 10, 0] {
        let damage = |archive: &mut Vec<u8>| archive.truncate(kept);
        stage.bucket.edit_archive(&backup.id, damage).await;
        let found = verify(&sandbox, &backup).await;
        assert_eq!(found["valid"], false, "{found}");
        assert_eq!(found["checksum"], "differs");
        assert_eq!(found["sizeBytes"], kept);
        let problems = problems(&found);
        let sizes = format!("the archive has {kept} bytes; its metadata says {whole}");
        assert_eq!(problems[0], sizes);
        assert!(problems[1].contains("SquashFS"), "{problems:?}");
    }
}

async fn of_another_writer(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("verify-foreign");
    let backup = made(&sandbox).await;
    // As `@cloudflare/sandbox` 0.12 writes it.
    let six = ["id", "dir", "name", "sizeBytes", "ttl", "createdAt"];
    stage
        .bucket
        .edit_metadata(&backup.id, |metadata| {
            let fields = metadata.as_object_mut().unwrap();
            fields.retain(|name, _| six.contains(&name.as_str()));
        })
        .await;
    let found = verify(&sandbox, &backup).await;
    assert_eq!(
        (&found["valid"], &found["checksum"]),
        (&json!(true), &json!("notRecorded"))
    );

    // What is compressed shows damage without a checksum, too.
    sandbox.run("seq 100000 > d/numbers && rm d/random").await;
    let backup = sandbox.backup("/workspace").await;
    stage
        .bucket
        .edit_metadata(&backup.id, |metadata| {
            metadata.as_object_mut().unwrap().remove("sha256");
            metadata.as_object_mut().unwrap().remove("partSizeBytes");
        })
        .await;
    let damage = |archive: &mut Vec<u8>| archive[96..200].fill(0);
    stage.bucket.edit_archive(&backup.id, damage).await;
    let found = verify(&sandbox, &backup).await;
    assert_eq!(
        (&found["valid"], &found["checksum"]),
        (&json!(false), &json!("notRecorded"))
    );
    let [problem] = problems(&found)[..] else {
        panic!("{found}")
    };
    assert!(
        problem.ends_with("a block does not decompress"),
        "{problem}"
    );
}

async fn an_expired_one(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("verify-expired");
    let options = json!({ "dir": "/workspace", "ttl": 1 });
    let backup = sandbox.create_backup(options).await.unwrap();
    assert_eq!(verify(&sandbox, &backup).await["valid"], true);
}

async fn a_missing_one(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("verify-missing");
    let id = BackupId::from_random([9; 16]);
    let call = async |id: Value| sandbox.call::<Value>("verifyBackup", json!([id])).await;
    let error = call(json!(id)).await.unwrap_err();
    assert_eq!(
        (error.code(), error.status),
        ("BACKUP_NOT_FOUND", Some(404))
    );
    let backup = sandbox.backup("/workspace").await;
    stage.bucket.delete(&archive_key(&backup.id)).await;
    let error = call(json!(backup)).await.unwrap_err();
    assert_eq!(error.code(), "BACKUP_NOT_FOUND");
    let error = call(json!("../x")).await.unwrap_err();
    assert_eq!(error.code(), "INVALID_BACKUP_CONFIG");
}

async fn over_http_with_progress(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("verify-http");
    let backup = made(&sandbox).await;
    let http = stage.http("verify-http");
    let route = format!("backups/{}/verify", backup.id);
    let response = http.post(&route, &json!({})).await;
    assert_eq!(response.status(), 200);
    let found: Value = response.json().await.unwrap();
    assert_eq!(found, verify(&sandbox, &backup).await);

    let mut events = http.follow(&route, &json!({})).await;
    let progress = events
        .find(|event| event["operation"]["phase"] == "verifying")
        .await;
    assert_eq!(progress["operation"]["type"], "verifyBackup");
    assert_eq!(progress["operation"]["id"], backup.id.as_str());
    assert_eq!(progress["operation"]["bytesTotal"], found["sizeBytes"]);
    let last = events.find(|event| event["type"] != "progress").await;
    assert_eq!(last, json!({ "type": "result", "result": found }));
    assert_eq!(events.next().await, None);
    assert_eq!(http.get(&route).await.status(), 405);
}
