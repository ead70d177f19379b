//! Whatever a file may be called on Linux, it comes back.

use std::sync::Arc;

use sandbox_tests::{stage::Stage, tree};
use serde_json::json;

crate::tests![odd_names_come_back, an_empty_directory_comes_back];

async fn odd_names_come_back(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("odd-names");
    let long = "n".repeat(255);
    for name in [
        "two  spaces",
        " leading and trailing ",
        "'single' \"double\" `back`",
        "-rf",
        "star*?[a-z]{b,c}",
        "$HOME; echo pwned & | > <",
        "back\\slash",
        "new\nline\n",
        "tab\tand\r",
        "žluťoučký kůň",
        "🚀 emoji 👩‍👩‍👧",
        "%2e%2e%2f",
        "#hash",
        "...",
        &long,
    ] {
        // A directory and a file in it, so that the name stands in the middle
        // of a path and at its end.
        sandbox
            .write(&format!("/workspace/{name}/{name}"), name)
            .await;
    }
    // Bytes that are not UTF-8 cannot be named in JSON; printf makes them.
    sandbox
        .run(r#"printf latin1 > "$(printf 'caf\351')" && mkdir "$(printf '\377\376')" && printf x > "$(printf '\377\376/\300\257')""#)
        .await;
    let before = tree::digest(&sandbox, "/workspace").await;
    assert!(before.contains("\n34\n"), "{before}");

    let backup = sandbox.backup("/workspace").await;
    sandbox.restore_backup(&backup).await.unwrap();
    assert_eq!(tree::digest(&sandbox, "/workspace").await, before);

    let rocket = "/workspace/🚀 emoji 👩‍👩‍👧/🚀 emoji 👩‍👩‍👧";
    assert_eq!(sandbox.read(rocket).await, "🚀 emoji 👩‍👩‍👧");
    let listed = sandbox.list_files("/workspace", json!({})).await.unwrap();
    assert_eq!(listed.count, 17);
    assert!(listed.files.iter().any(|file| file.name == "new\nline\n"));
    assert!(listed.files.iter().any(|file| file.name == "caf\u{fffd}"));
}

async fn an_empty_directory_comes_back(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("empty-directory");
    sandbox
        .run("mkdir /tmp/empty && chmod 711 /tmp/empty && touch -d @1234567890 /tmp/empty")
        .await;
    let before = tree::digest(&sandbox, "/tmp/empty").await;
    let backup = sandbox.backup("/tmp/empty").await;
    sandbox.run("echo rubbish > /tmp/empty/rubbish").await;
    sandbox.restore_backup(&backup).await.unwrap();
    assert_eq!(tree::digest(&sandbox, "/tmp/empty").await, before);

    sandbox.write("/tmp/empty/file", "works").await;
    assert_eq!(sandbox.run("ls -A /tmp/empty").await, "file\n");
}
