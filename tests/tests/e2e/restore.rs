//! Where a backup can be restored to, and what a restore leaves behind.

use std::sync::Arc;

use sandbox_shared::DirectoryBackup;
use sandbox_tests::{
    consumer::Setup,
    faulty_gateway::Fault,
    stage::{ARCHIVE_URL, Stage},
    tree,
};
use serde_json::{Value, json};

crate::tests![
    into_another_directory,
    over_a_directory_in_use,
    again_discards_the_former_restore,
    of_another_backup_replaces_the_first,
    unmount_brings_back_what_was_there,
    with_each_strategy_that_works,
    with_a_strategy_that_does_not_exist,
    what_is_not_here_when_its_url_expires,
    what_cannot_be_unpacked_is_named,
];

const MAKE_TREE: &str =
    "mkdir -p a/b && echo one > a/one && echo two > a/b/two && ln -s one a/link";

fn to(backup: &DirectoryBackup, dir: &str) -> Value {
    json!({ "id": backup.id, "dir": dir })
}

async fn into_another_directory(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("into-another-directory");
    sandbox.run(MAKE_TREE).await;
    let backup = sandbox.backup("/workspace").await;

    for dir in ["/home/restored", "/tmp/deep/er/down", "/var/tmp/x", "/app"] {
        let result = sandbox.restore_backup(to(&backup, dir)).await.unwrap();
        assert_eq!(result.dir, dir);
        assert_eq!(
            tree::digest(&sandbox, dir).await,
            tree::digest(&sandbox, "/workspace").await,
            "{dir}"
        );
    }
    let status = sandbox.status().await;
    assert_eq!(status["mounts"].as_array().unwrap().len(), 4, "{status}");
}

async fn over_a_directory_in_use(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("over-a-directory-in-use");
    sandbox.run(MAKE_TREE).await;
    let backup = sandbox.backup("/workspace").await;
    sandbox.run("rm -r a && echo later > later").await;
    sandbox.restore_backup(&backup).await.unwrap();
    assert_eq!(sandbox.run("ls").await, "a\n");
    assert_eq!(sandbox.read("/workspace/a/b/two").await, "two\n");
}

async fn again_discards_the_former_restore(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("again-discards");
    sandbox.run(MAKE_TREE).await;
    let before = tree::digest(&sandbox, "/workspace").await;
    let backup = sandbox.backup("/workspace").await;
    let mounts = "grep -c '' /proc/self/mounts";
    sandbox.restore_backup(&backup).await.unwrap();
    let after_one = sandbox.run(mounts).await;
    for _ in 0..3 {
        sandbox
            .run("rm a/one && echo changed > a/b/two && touch new")
            .await;
        sandbox.restore_backup(&backup).await.unwrap();
        assert_eq!(tree::digest(&sandbox, "/workspace").await, before);
    }
    assert_eq!(sandbox.run(mounts).await, after_one, "mounts pile up");
}

async fn of_another_backup_replaces_the_first(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("another-replaces-the-first");
    sandbox.run("echo first > file").await;
    let first = sandbox.backup("/workspace").await;
    sandbox.run("echo second > file; echo more > more").await;
    let second = sandbox.backup("/workspace").await;

    sandbox.restore_backup(&first).await.unwrap();
    assert_eq!(sandbox.run("cat *").await, "first\n");
    sandbox.restore_backup(&second).await.unwrap();
    assert_eq!(sandbox.run("cat *").await, "second\nmore\n");
    let status = sandbox.status().await;
    let mounts = status["mounts"].as_array().unwrap();
    assert_eq!(mounts.len(), 1, "{status}");
    assert_eq!(mounts[0]["id"], second.id.as_str());
}

async fn unmount_brings_back_what_was_there(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("unmount");
    sandbox.run(MAKE_TREE).await;
    let backup = sandbox.backup("/workspace").await;
    sandbox.run("echo later > later").await;
    let covered = tree::digest(&sandbox, "/workspace").await;

    sandbox.restore_backup(&backup).await.unwrap();
    sandbox.run("echo lost > lost").await;
    let result: Value = sandbox
        .call("unmountBackup", json!(["/workspace"]))
        .await
        .unwrap();
    assert_eq!(result, json!({ "success": true, "dir": "/workspace" }));
    assert_eq!(tree::digest(&sandbox, "/workspace").await, covered);
    assert_eq!(sandbox.status().await["mounts"], json!([]));

    let again = sandbox.call::<Value>("unmountBackup", json!(["/workspace"]));
    assert_eq!(again.await.unwrap_err().code(), "INVALID_BACKUP_CONFIG");
}

async fn with_each_strategy_that_works(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("with-each-strategy");
    sandbox.run(MAKE_TREE).await;
    let before = tree::digest(&sandbox, "/workspace").await;
    let backup = sandbox.backup("/workspace").await;
    let status = sandbox.status().await;
    let strategies = status["container"]["strategies"].as_array().unwrap();
    assert!(strategies.contains(&json!("extract")), "{status}");
    for strategy in strategies {
        let request = json!({ "id": backup.id, "dir": "/workspace", "strategy": strategy });
        let result = sandbox.restore_backup(request).await.unwrap();
        assert_eq!(json!(result.strategy), *strategy);
        assert_eq!(
            tree::digest(&sandbox, "/workspace").await,
            before,
            "{strategy}"
        );
        sandbox
            .run("mv a/b moved && rm a/one && echo 3 > moved/two")
            .await;
        assert_eq!(sandbox.read("/workspace/moved/two").await, "3\n");
    }
}

async fn with_a_strategy_that_does_not_exist(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("with-no-such-strategy");
    let backup = sandbox.backup("/workspace").await;
    let request = json!({ "id": backup.id, "dir": "/workspace", "strategy": "magic" });
    let error = sandbox.restore_backup(request).await.unwrap_err();
    assert_eq!(error.code(), "INVALID_BACKUP_CONFIG");
}

async fn what_is_not_here_when_its_url_expires(stage: Arc<Stage>) {
    let gateway = stage.faulty_gateway(Fault::None).await;
    let sandbox = stage.consumer.sandbox_of(Setup::Faulty, "expiring-urls");
    sandbox
        .run("for n in $(seq 10 39); do head -c 1M /dev/urandom > $n; done")
        .await;
    let expected = sandbox.run("sha256sum 28").await;
    let backup = sandbox.backup("/workspace").await;
    gateway.set(Fault::HoldsLongReads);
    sandbox.restore_backup(&backup).await.unwrap();
    // Nobody asks for the status, which would renew the URL, too.
    tokio::time::sleep(ARCHIVE_URL + ARCHIVE_URL / 2).await;
    assert_eq!(sandbox.run("sha256sum 28").await, expected);
    let status = sandbox.status().await;
    let mount = &status["mounts"][0];
    let bytes = |name: &str| mount[name].as_u64().unwrap();
    assert!(bytes("cachedBytes") < bytes("sizeBytes"), "{mount}");
}

async fn what_cannot_be_unpacked_is_named(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("cannot-be-unpacked");
    sandbox
        .run("echo x > file && setfattr -n user.kept -v value file")
        .await;
    let backup = sandbox.backup("/workspace").await;
    // It has no extended attributes.
    sandbox
        .run("mkdir /tmp/ram && mount -t ramfs ramfs /tmp/ram")
        .await;
    let mut request = to(&backup, "/tmp/ram/restored");
    request["strategy"] = "extract".into();
    let restored: Value = sandbox
        .call("restoreBackup", json!([request]))
        .await
        .unwrap();
    let left_out = json!({ "count": 1, "first": [{ "path": "file", "what": "user.kept" }] });
    assert_eq!(restored["leftOut"], left_out, "{restored}");
    let status = sandbox.status().await;
    assert_eq!(status["mounts"][0]["leftOut"], left_out, "{status}");

    let ctl = stage.sandboxctl("cannot-be-unpacked");
    let restore = [
        "restore",
        "latest",
        "/tmp/ram/restored",
        "--strategy",
        "extract",
    ];
    let said = ctl.run(&[&restore[..], &["--force"]].concat()).await.stdout;
    assert!(
        said.ends_with("1 could not be unpacked:\n  file: user.kept\n"),
        "{said}"
    );
    let said = ctl.run(&["status"]).await.stdout;
    assert!(said.contains("1 could not be unpacked"), "{said}");
}
