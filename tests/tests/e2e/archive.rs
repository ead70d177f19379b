//! The archive in the bucket is a SquashFS that other tools read.

use std::{process::Command, sync::Arc};

use sandbox_tests::{bucket::archive_key, stage::Stage};
use serde_json::json;

crate::tests![linux_tools_read_it, metadata_describes_it];

/// What `unsquashfs` says when it is called like this.
fn unsquashfs(arguments: &[&str], archive: &std::path::Path) -> String {
    let output = Command::new("unsquashfs")
        .args(arguments)
        .arg(archive)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

async fn linux_tools_read_it(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("linux-tools-read-it");
    sandbox
        .run(
            "mkdir -p src && echo hello > src/a.txt && chmod 640 src/a.txt && ln -s a.txt src/link",
        )
        .await;
    for format in ["zstd", "lz4", "gzip"] {
        let options = json!({ "dir": "/workspace", "compression": { "format": format } });
        let backup = sandbox.create_backup(options).await.unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("data.sqsh");
        let archive = stage.bucket.get(&archive_key(&backup.id)).await.unwrap();
        std::fs::write(&file, archive).unwrap();

        let superblock = unsquashfs(&["-stat"], &file);
        assert!(superblock.contains("SQUASHFS 4:0"), "{superblock}");
        assert!(
            superblock.contains(&format!("Compression {format}")),
            "{superblock}"
        );
        let listing = unsquashfs(&["-lls", "-no-progress"], &file);
        assert!(listing.contains("-rw-r-----"), "{listing}");
        assert!(listing.contains("src/link -> a.txt"), "{listing}");

        let unpacked = scratch.path().join("unpacked");
        let to = unpacked.to_str().unwrap();
        unsquashfs(&["-quiet", "-no-progress", "-d", to], &file);
        let content = std::fs::read_to_string(unpacked.join("src/link")).unwrap();
        assert_eq!(content, "hello\n");
    }
}

async fn metadata_describes_it(stage: Arc<Stage>) {
    use sha2::{Digest, Sha256};

    let sandbox = stage.consumer.sandbox("metadata-describes-it");
    sandbox
        .run("mkdir d && printf 12345 > d/a && printf 678 > b && ln -s b l && mkfifo f")
        .await;
    let options = json!({ "dir": "/workspace", "name": "six entries", "ttl": 90.5 });
    let backup = sandbox.create_backup(options).await.unwrap();
    let metadata = stage.bucket.metadata(&backup.id).await;
    let archive = stage.bucket.get(&archive_key(&backup.id)).await.unwrap();

    assert_eq!(metadata.id, backup.id);
    assert_eq!(metadata.dir, "/workspace");
    assert_eq!(metadata.name.as_deref(), Some("six entries"));
    assert_eq!(metadata.ttl.seconds(), 90.5);
    assert_eq!(metadata.size_bytes, archive.len() as u64);
    let checksum = metadata.checksum.unwrap();
    assert!(archive.len() as u64 <= checksum.part_size_bytes.get());
    let sha256: String = Sha256::digest(Sha256::digest(&archive))
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(checksum.sha256, sha256);
    let counts = metadata.counts.unwrap();
    assert_eq!(
        (
            counts.files,
            counts.directories,
            counts.symlinks,
            counts.special,
            counts.bytes
        ),
        (2, 2, 1, 1, 8)
    );
    let age = time::OffsetDateTime::now_utc() - metadata.created_at;
    assert!(
        age.is_positive() && age < time::Duration::minutes(5),
        "{age}"
    );
}
