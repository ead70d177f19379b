//! Every sample of the user guide runs, as it is printed, in a Worker that
//! binds the sandbox's Durable Object by `script_name`.
//!
//! The samples name their sandbox themselves, so they take turns with it.

use std::sync::Arc;

use sandbox_shared::{BackupId, DirectoryBackup};
use sandbox_tests::{
    bucket::archive_key,
    consumer::{Sandbox, Setup},
    faulty_gateway::Fault,
    stage::Stage,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

crate::tests![
    create,
    restore,
    checkpoint,
    handle_in_kv,
    handle_in_d1,
    handle_in_durable_object,
    named,
    ttl,
    replace_latest,
    delete_old,
    delete_by_id,
    copy_on_write,
    errors_of_create,
    errors_of_restore,
];

static MY_SANDBOX: Mutex<()> = Mutex::const_new(());

/// `my-sandbox` with one file in `/workspace`, for as long as its turn lasts.
struct Turn {
    sandbox: Sandbox,
    _turn: MutexGuard<'static, ()>,
}

async fn turn(stage: &Stage) -> Turn {
    let turn = MY_SANDBOX.lock().await;
    let sandbox = stage.consumer.sandbox("my-sandbox");
    sandbox.call::<Value>("stop", json!([])).await.unwrap();
    sandbox.write("/workspace/kept.txt", "kept").await;
    Turn {
        sandbox,
        _turn: turn,
    }
}

async fn run(stage: &Stage, sample: &str, input: Value) -> Value {
    stage.consumer.run_sample(sample, input).await.unwrap()
}

fn field<T: DeserializeOwned>(result: &Value, name: &str) -> T {
    serde_json::from_value(result[name].clone()).unwrap()
}

fn handle(result: &Value, name: &str) -> DirectoryBackup {
    field(result, name)
}

async fn create(stage: Arc<Stage>) {
    let _turn = turn(&stage).await;
    let result = run(&stage, "create", json!({})).await;
    let backup = handle(&result, "backup");
    assert_eq!(backup.dir, "/workspace");
    let printed: Vec<String> = field(&result, "printed");
    assert_eq!(printed, [format!("Backup created: {}", backup.id)]);
    let id = &backup.id;
    assert_eq!(
        stage.bucket.keys_of(id).await,
        [
            format!("backups/{id}/data.sqsh"),
            format!("backups/{id}/meta.json")
        ]
    );
}

async fn restore(stage: Arc<Stage>) {
    let turn = turn(&stage).await;
    let result = run(&stage, "restore", json!({})).await;
    let backup = handle(&result, "backup");
    assert_eq!(result["result"]["success"], true);
    assert_eq!(result["result"]["dir"], "/workspace");
    assert_eq!(result["result"]["id"], backup.id.as_str());
    assert_eq!(result["printed"], json!(["Restored: true"]));
    assert_eq!(turn.sandbox.read("/workspace/kept.txt").await, "kept");
}

async fn checkpoint(stage: Arc<Stage>) {
    let turn = turn(&stage).await;
    // An npm that does half of its work and fails.
    let npm = "#!/bin/sh\necho $1 >> /opt/programs/ran\nrm -f /workspace/kept.txt\n\
               mkdir -p /workspace/node_modules/$1\nexit 1\n";
    turn.sandbox.write("/opt/programs/npm", npm).await;
    turn.sandbox.run("chmod +x /opt/programs/npm").await;

    let programs = json!({ "programs": "/opt/programs" });
    let result = run(&stage, "checkpoint", programs).await;
    assert_eq!(result["printed"], json!(["Rolled back to checkpoint"]));
    assert_eq!(
        turn.sandbox.read("/opt/programs/ran").await,
        "install\nrun\n"
    );
    assert_eq!(turn.sandbox.run("ls /workspace").await, "kept.txt\n");
    assert_eq!(turn.sandbox.read("/workspace/kept.txt").await, "kept");
}

async fn a_kept_handle_restores(stage: &Stage, sample: &str) {
    let turn = turn(stage).await;
    let result = run(
        stage,
        sample,
        json!({ "userId": format!("user-of-{sample}") }),
    )
    .await;
    assert_eq!(result["backup"], result["backupHandle"]);
    let backup = handle(&result, "backupHandle");
    let status = turn.sandbox.status().await;
    assert_eq!(status["mounts"][0]["id"], backup.id.as_str());
    assert_eq!(turn.sandbox.read("/workspace/kept.txt").await, "kept");
}

async fn handle_in_kv(stage: Arc<Stage>) {
    a_kept_handle_restores(&stage, "handle-in-kv").await;
}

async fn handle_in_d1(stage: Arc<Stage>) {
    a_kept_handle_restores(&stage, "handle-in-d1").await;
}

async fn handle_in_durable_object(stage: Arc<Stage>) {
    a_kept_handle_restores(&stage, "handle-in-durable-object").await;
}

async fn named(stage: Arc<Stage>) {
    let _turn = turn(&stage).await;
    let result = run(&stage, "named", json!({})).await;
    let backup = handle(&result, "backup");
    assert_eq!(
        result["printed"],
        json!([format!("Backup ID: {}", backup.id)])
    );
    let metadata = stage.bucket.metadata(&backup.id).await;
    assert_eq!(metadata.name.as_deref(), Some("before-migration"));
}

async fn ttl(stage: Arc<Stage>) {
    let _turn = turn(&stage).await;
    let result = run(&stage, "ttl", json!({})).await;
    let ttl = async |name| {
        let backup = handle(&result, name);
        stage.bucket.metadata(&backup.id).await.ttl.seconds()
    };
    assert_eq!(ttl("shortBackup").await, 600.0);
    assert_eq!(ttl("longBackup").await, 604_800.0);
}

async fn replace_latest(stage: Arc<Stage>) {
    let turn = turn(&stage).await;
    let previous = turn.sandbox.backup("/workspace").await;
    let result = run(
        &stage,
        "replace-latest",
        json!({ "previousBackup": previous }),
    )
    .await;
    let backup = handle(&result, "backup");
    assert!(stage.bucket.keys_of(&previous.id).await.is_empty());
    assert_eq!(stage.bucket.keys_of(&backup.id).await.len(), 2);
    let latest: String = field(&result, "latest");
    let latest: DirectoryBackup = serde_json::from_str(&latest).unwrap();
    assert_eq!(latest, backup);
}

async fn delete_old(stage: Arc<Stage>) {
    let turn = turn(&stage).await;
    let old = turn.sandbox.backup("/workspace").await;
    let new = turn.sandbox.backup("/workspace").await;
    let aged = |days| json!({ "aged": { "id": old.id, "days": days } });

    let result = run(&stage, "delete-old", aged(6)).await;
    assert_eq!(result["printed"], json!([]));
    assert_eq!(stage.bucket.keys_of(&old.id).await.len(), 2);

    let result = run(&stage, "delete-old", aged(8)).await;
    let id = &old.id;
    assert_eq!(
        result["printed"],
        json!([
            format!("Deleted expired object: backups/{id}/data.sqsh"),
            format!("Deleted expired object: backups/{id}/meta.json")
        ])
    );
    assert!(stage.bucket.keys_of(&old.id).await.is_empty());
    assert_eq!(stage.bucket.keys_of(&new.id).await.len(), 2);
    let error = turn.sandbox.restore_backup(&old).await.unwrap_err();
    assert_eq!(error.code(), "BACKUP_NOT_FOUND");
}

async fn delete_by_id(stage: Arc<Stage>) {
    let turn = turn(&stage).await;
    let backup = turn.sandbox.backup("/workspace").await;
    run(&stage, "delete-by-id", json!({ "backup": backup })).await;
    assert!(stage.bucket.keys_of(&backup.id).await.is_empty());
    let error = turn.sandbox.restore_backup(&backup).await.unwrap_err();
    assert_eq!(error.code(), "BACKUP_NOT_FOUND");
}

async fn copy_on_write(stage: Arc<Stage>) {
    let turn = turn(&stage).await;
    let result = run(&stage, "copy-on-write", json!({})).await;
    assert_eq!(
        result["written"]["content"],
        "This does not modify the backup"
    );
    assert_eq!(result["after"]["exists"], false);
    assert_eq!(turn.sandbox.run("ls /workspace").await, "kept.txt\n");
}

/// What the sample prints when its `createBackup` and its `restoreBackup` fail.
async fn printed_errors(stage: &Stage, setup: Setup, backup: &DirectoryBackup) -> Vec<String> {
    let input = json!({ "setup": setup, "backup": backup });
    let result = run(stage, "errors", input).await;
    field(&result, "printed")
}

async fn errors_of_create(stage: Arc<Stage>) {
    let turn = turn(&stage).await;
    let backup = turn.sandbox.backup("/workspace").await;

    let printed = printed_errors(&stage, Setup::Unconfigured, &backup).await;
    assert!(
        printed[0].starts_with("Configuration error: "),
        "{printed:?}"
    );

    let gateway = stage.faulty_gateway(Fault::RefusesParts).await;
    let printed = printed_errors(&stage, Setup::Faulty, &backup).await;
    assert!(printed[0].starts_with("Backup failed: "), "{printed:?}");
    drop(gateway);
}

async fn errors_of_restore(stage: Arc<Stage>) {
    let turn = turn(&stage).await;
    let errors = async |backup: &DirectoryBackup| {
        let printed = printed_errors(&stage, Setup::Main, backup).await;
        // The sample's createBackup succeeds and prints its handle first.
        assert_eq!(printed.len(), 2, "{printed:?}");
        printed[1].clone()
    };

    let missing = DirectoryBackup {
        id: BackupId::from_random([9; 16]),
        dir: "/workspace".into(),
    };
    let printed = errors(&missing).await;
    assert!(printed.starts_with("Backup not found in R2: "), "{printed}");

    let expired = turn.sandbox.backup("/workspace").await;
    stage
        .bucket
        .edit_metadata(&expired.id, |metadata| {
            metadata["createdAt"] = "2020-01-01T00:00:00Z".into();
        })
        .await;
    let printed = errors(&expired).await;
    assert!(printed.starts_with("Backup TTL has elapsed: "), "{printed}");

    let corrupt = turn.sandbox.backup("/workspace").await;
    let key = archive_key(&corrupt.id);
    let size = stage.bucket.get(&key).await.unwrap().len();
    stage.bucket.put(&key, vec![0; size]).await;
    let printed = errors(&corrupt).await;
    assert!(printed.starts_with("Restore failed: "), "{printed}");
}
