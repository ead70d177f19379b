//! Backups at the same time, of one sandbox and of several.

use std::sync::Arc;

use futures::future::{join, join_all};
use sandbox_tests::{stage::Stage, tree};
use serde_json::json;

crate::tests![
    two_backups_of_one_sandbox,
    backups_of_two_sandboxes,
    many_first_calls_start_one_container,
];

async fn two_backups_of_one_sandbox(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("two-backups-of-one");
    sandbox
        .run(
            "mkdir a b && head -c 3000000 /dev/urandom > a/f && head -c 2000000 /dev/urandom > b/f",
        )
        .await;
    let digests = join(
        tree::digest(&sandbox, "/workspace/a"),
        tree::digest(&sandbox, "/workspace/b"),
    )
    .await;
    let (a, b) = join(
        sandbox.backup("/workspace/a"),
        sandbox.backup("/workspace/b"),
    )
    .await;
    assert_ne!(a.id, b.id);
    sandbox.run("rm -r a b").await;
    let (restored_a, restored_b) =
        join(sandbox.restore_backup(&a), sandbox.restore_backup(&b)).await;
    assert_eq!(
        (restored_a.unwrap().id, restored_b.unwrap().id),
        (a.id, b.id)
    );
    let after = join(
        tree::digest(&sandbox, "/workspace/a"),
        tree::digest(&sandbox, "/workspace/b"),
    )
    .await;
    assert_eq!(after, digests);
}

async fn backups_of_two_sandboxes(stage: Arc<Stage>) {
    let round_trip = async |name: &str| {
        let sandbox = stage.consumer.sandbox(name);
        sandbox
            .run(&format!(
                "echo {name} > name && head -c 3000000 /dev/urandom > random"
            ))
            .await;
        let before = tree::digest(&sandbox, "/workspace").await;
        let backup = sandbox.backup("/workspace").await;
        sandbox.run("rm *").await;
        sandbox.restore_backup(&backup).await.unwrap();
        assert_eq!(tree::digest(&sandbox, "/workspace").await, before);
        assert_eq!(sandbox.read("/workspace/name").await, format!("{name}\n"));
    };
    join(round_trip("of-two-one"), round_trip("of-two-two")).await;
}

async fn many_first_calls_start_one_container(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("many-first-calls");
    let calls = (0..8).map(|n| {
        let sandbox = sandbox.clone();
        async move {
            sandbox
                .exec(&format!("echo {n} >> all"), json!({}))
                .await
                .unwrap()
        }
    });
    let results = join_all(calls).await;
    assert!(results.iter().all(|result| result.success));
    assert_eq!(sandbox.run("wc -l < all").await, "8\n");
}
