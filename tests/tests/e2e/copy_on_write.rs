//! A restored directory takes every change, and none reaches the backup.

use std::sync::Arc;

use sandbox_tests::{bucket::archive_key, stage::Stage, tree};

crate::tests![changes_of_all_kinds, a_directory_of_the_backup_is_renamed];

async fn changes_of_all_kinds(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("changes-of-all-kinds");
    sandbox
        .run(
            "mkdir -p d/e && for n in 1 2 3 4 5 6; do echo $n > d/$n; done && ln -s 1 d/link \
             && echo deep > d/e/deep && ln d/5 d/hard",
        )
        .await;
    let before = tree::digest(&sandbox, "/workspace").await;
    let backup = sandbox.backup("/workspace").await;
    let archive = stage.bucket.get(&archive_key(&backup.id)).await.unwrap();
    sandbox.restore_backup(&backup).await.unwrap();

    sandbox
        .run(
            "echo changed >> d/1 && rm d/2 && chmod 600 d/3 && mv d/4 d/moved && ln d/3 d/new-hard \
             && rm -r d/e && mkdir d/e && echo new > d/e/new && ln -sfn 3 d/link && touch -d @1 d/6",
        )
        .await;
    assert_eq!(
        sandbox
            .run("cat d/1 d/moved d/e/new && ls d/e && readlink d/link")
            .await,
        "1\nchanged\n4\nnew\nnew\n3\n"
    );
    assert_eq!(
        sandbox
            .run("ls d && stat -c '%a %h' d/3 && stat -c %Y d/6")
            .await,
        "1\n3\n5\n6\ne\nhard\nlink\nmoved\nnew-hard\n600 2\n1\n"
    );
    assert_ne!(tree::digest(&sandbox, "/workspace").await, before);

    assert!(stage.bucket.get(&archive_key(&backup.id)).await.unwrap() == archive);
    sandbox.restore_backup(&backup).await.unwrap();
    assert_eq!(tree::digest(&sandbox, "/workspace").await, before);
}

/// `rename(2)` itself: `mv` would hide an `EXDEV` by copying.
async fn a_directory_of_the_backup_is_renamed(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("directory-renamed");
    sandbox
        .run("mkdir -p old/sub && echo x > old/sub/file")
        .await;
    let backup = sandbox.backup("/workspace").await;
    sandbox.restore_backup(&backup).await.unwrap();
    sandbox
        .run(r#"perl -e 'rename "old", "new" or die "rename: $!"'"#)
        .await;
    assert_eq!(sandbox.read("/workspace/new/sub/file").await, "x\n");
    assert!(!sandbox.exists("/workspace/old").await);
}
