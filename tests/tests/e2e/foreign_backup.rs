//! Backups that `@cloudflare/sandbox` 0.12 made restore here: an archive of
//! `mksquashfs`, and metadata with nothing but its six fields.

use std::{fs, process::Command, sync::Arc};

use sandbox_shared::BackupId;
use sandbox_tests::{
    bucket::{archive_key, metadata_key},
    stage::Stage,
};
use serde_json::json;
use time::{OffsetDateTime, macros::format_description};

crate::tests![of_the_older_package_restores];

async fn of_the_older_package_restores(stage: Arc<Stage>) {
    let scratch = tempfile::tempdir().unwrap();
    let source = scratch.path().join("source");
    fs::create_dir_all(source.join("sub/dir")).unwrap();
    fs::write(source.join("sub/dir/file"), "from mksquashfs").unwrap();
    fs::write(source.join("large"), vec![b'x'; 1 << 20]).unwrap();
    // As JavaScript's toISOString writes it.
    let created = OffsetDateTime::now_utc()
        .format(format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
        ))
        .unwrap();
    let sandbox = stage.consumer.sandbox("of-the-older-package");

    for (n, compressor) in (1..).zip(["lz4", "gzip", "zstd"]) {
        let archive = scratch.path().join(compressor);
        let made = Command::new("mksquashfs")
            .args([&source, &archive])
            .args(["-comp", compressor, "-no-progress", "-quiet"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let archive = fs::read(archive).unwrap();

        let id = BackupId::from_random([n; 16]);
        let metadata = json!({
            "id": id, "dir": "/workspace", "name": null, "sizeBytes": archive.len(),
            "ttl": 259_200, "createdAt": created,
        });
        stage.bucket.put(&archive_key(&id), archive).await;
        stage
            .bucket
            .put(&metadata_key(&id), metadata.to_string().into_bytes())
            .await;

        let handle = json!({ "id": id, "dir": "/workspace", "localBucket": true });
        let result = sandbox.restore_backup(handle).await.unwrap();
        assert_eq!(result.id, id);
        assert_eq!(
            sandbox.read("/workspace/sub/dir/file").await,
            "from mksquashfs",
            "{compressor}"
        );
        assert_eq!(sandbox.run("stat -c %s large").await, "1048576\n");
    }
}
