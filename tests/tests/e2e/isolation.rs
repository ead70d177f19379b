//! Sandboxes share nothing but the bucket.

use std::sync::Arc;

use sandbox_tests::stage::Stage;

crate::tests![
    two_names_are_two_file_systems,
    a_backup_moves_between_sandboxes
];

async fn two_names_are_two_file_systems(stage: Arc<Stage>) {
    let one = stage.consumer.sandbox("isolation-one");
    let two = stage.consumer.sandbox("isolation-two");
    let directories = ["/workspace", "/home", "/tmp", "/var/tmp", "/app", "/root"];
    for dir in directories {
        let path = format!("{dir}/secret");
        one.write(&path, "of one").await;
        assert!(!two.exists(&path).await, "{path}");
        two.write(&path, "of two").await;
        assert_eq!(one.read(&path).await, "of one");
    }
    // Nor do they see each other's processes.
    one.run("sleep 76543 >/dev/null 2>&1 & echo").await;
    let processes = "cat /proc/[0-9]*/cmdline | tr '\\0' ' '";
    assert!(one.run(processes).await.contains("sleep 76543"));
    assert!(!two.run(processes).await.contains("sleep 76543"));
}

async fn a_backup_moves_between_sandboxes(stage: Arc<Stage>) {
    let from = stage.consumer.sandbox("moved-from");
    let to = stage.consumer.sandbox("moved-to");
    from.write("/workspace/file", "moved").await;
    let backup = from.backup("/workspace").await;
    to.restore_backup(&backup).await.unwrap();
    assert_eq!(to.read("/workspace/file").await, "moved");
    to.write("/workspace/file", "changed").await;
    assert_eq!(from.read("/workspace/file").await, "moved");
}
