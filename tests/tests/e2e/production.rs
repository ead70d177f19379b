//! As in production: credentials are set, and the agent's requests go to
//! presigned URLs of an S3 endpoint that verifies them, not to the Worker.

use std::sync::{Arc, atomic::Ordering};

use sandbox_tests::{bucket::archive_key, consumer::Setup, stage::Stage, tree};

crate::tests![create_and_restore];

async fn create_and_restore(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox_of(Setup::Production, "production");
    sandbox
        .run("mkdir d && for n in 1 2 3; do head -c 6000000 /dev/urandom > d/$n; done; ln -s d l")
        .await;
    let before = tree::digest(&sandbox, "/workspace").await;
    let backup = sandbox.backup("/workspace").await;
    let parts = stage.s3_requests.parts.load(Ordering::Relaxed);
    assert!(parts >= 2, "{parts} parts went through the endpoint");
    assert!(
        stage
            .bucket
            .get(&archive_key(&backup.id))
            .await
            .unwrap()
            .len()
            > 18_000_000
    );

    sandbox.run("rm -r *").await;
    sandbox.restore_backup(&backup).await.unwrap();
    assert_eq!(tree::digest(&sandbox, "/workspace").await, before);
    assert!(stage.s3_requests.reads.load(Ordering::Relaxed) >= 1);

    // The credentials stay in the Worker.
    let environment = sandbox
        .run("cat /proc/[0-9]*/environ | tr '\\0' '\\n'")
        .await;
    for secret in [
        sandbox_tests::s3_server::ACCESS_KEY_ID,
        sandbox_tests::s3_server::SECRET_ACCESS_KEY,
    ] {
        assert!(!environment.contains(secret));
    }
}
