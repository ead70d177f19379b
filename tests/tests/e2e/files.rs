//! Files in a sandbox, over RPC. HTTP is in `http_routes`.

use std::sync::Arc;

use sandbox_shared::files::Encoding;
use sandbox_tests::stage::Stage;
use serde_json::{Value, json};

crate::tests![
    text_and_binary_content,
    directories,
    listings,
    deletion,
    failures_name_their_reason,
];

async fn text_and_binary_content(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("text-and-binary");
    let write = async |args| -> Value { sandbox.call("writeFile", args).await.unwrap() };
    let read = async |args| -> Value { sandbox.call("readFile", args).await.unwrap() };

    let path = "/workspace/made/on/the/way.txt";
    let written = write(json!([path, "žluť\n"])).await;
    assert_eq!(written, json!({ "success": true, "path": path }));
    assert_eq!(
        read(json!([path])).await,
        json!({ "success": true, "path": path, "content": "žluť\n", "encoding": "utf-8", "size": 7 })
    );
    let base64 = read(json!([path, { "encoding": "base64" }])).await;
    assert_eq!(base64["content"], "xb5sdcWlCg==");

    write(json!([path, "xb5sdQ==", { "encoding": "base64" }])).await;
    assert_eq!(sandbox.read(path).await, "žlu", "the old content is gone");

    // Bytes that are not UTF-8, NUL among them, sent as a Uint8Array.
    write(json!(["/workspace/bytes", { "$base64": "AP/+gAo=" }])).await;
    let bytes = sandbox.read_file("/workspace/bytes").await.unwrap();
    assert_eq!((bytes.encoding, bytes.size), (Encoding::Base64, 5));
    assert_eq!(bytes.content, "AP/+gAo=");
    assert_eq!(sandbox.run("od -An -tx1 bytes").await, " 00 ff fe 80 0a\n");

    write(json!(["/workspace/empty", ""])).await;
    let empty = sandbox.read_file("/workspace/empty").await.unwrap();
    assert_eq!((empty.content.as_str(), empty.size), ("", 0));
}

async fn directories(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("directories");
    let mkdir = async |args| sandbox.call::<Value>("mkdir", args).await;
    mkdir(json!(["/workspace/a"])).await.unwrap();
    let again = mkdir(json!(["/workspace/a"])).await.unwrap_err();
    assert_eq!(again.code(), "FILE_OPERATION_FAILED");
    let no_parent = mkdir(json!(["/workspace/x/y"])).await.unwrap_err();
    assert_eq!(no_parent.code(), "FILE_NOT_FOUND");
    let recursive = json!({ "recursive": true });
    mkdir(json!(["/workspace/x/y", recursive])).await.unwrap();
    mkdir(json!(["/workspace/x/y", recursive])).await.unwrap();
    assert_eq!(sandbox.run("find . | sort").await, ".\n./a\n./x\n./x/y\n");
}

async fn listings(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("listings");
    sandbox
        .run(
            "mkdir -p sub/.hidden && printf 12345 > sub/five && chmod 4755 sub/five \
             && touch -d @1000000000 sub/five && ln -s nowhere link && echo x > .dot && mkfifo pipe",
        )
        .await;
    let names = async |options: Value| {
        let listed = sandbox.list_files("/workspace", options).await.unwrap();
        assert_eq!(listed.count, listed.files.len());
        let names = listed.files.into_iter().map(|file| file.relative_path);
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(json!({})).await, [".dot", "link", "pipe", "sub"]);
    assert_eq!(
        names(json!({ "includeHidden": false })).await,
        ["link", "pipe", "sub"]
    );
    assert_eq!(
        names(json!({ "recursive": true })).await,
        [".dot", "link", "pipe", "sub", "sub/.hidden", "sub/five"]
    );
    assert_eq!(
        names(json!({ "recursive": true, "includeHidden": false })).await,
        ["link", "pipe", "sub", "sub/five"]
    );

    let listed = sandbox
        .list_files("/workspace/sub", json!({}))
        .await
        .unwrap();
    let five = listed.files.last().unwrap();
    assert_eq!(
        serde_json::to_value(five).unwrap(),
        json!({
            "name": "five", "absolutePath": "/workspace/sub/five", "relativePath": "five",
            "type": "file", "size": 5, "mode": "4755", "modifiedAt": "2001-09-09T01:46:40Z",
        })
    );
    let listed = sandbox.list_files("/workspace", json!({})).await.unwrap();
    let kinds: Vec<_> = listed.files.iter().map(|file| json!(file.kind)).collect();
    assert_eq!(kinds, ["file", "symlink", "other", "directory"]);
}

async fn deletion(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("deletion");
    sandbox
        .run("echo x > file && ln -s file link && ln -s nowhere dangling && mkdir d")
        .await;
    let delete = async |path: &str| sandbox.call::<Value>("deleteFile", json!([path])).await;
    assert!(sandbox.exists("/workspace/dangling").await);
    delete("/workspace/dangling").await.unwrap();
    assert!(!sandbox.exists("/workspace/dangling").await);
    delete("/workspace/link").await.unwrap();
    assert!(sandbox.exists("/workspace/file").await, "the target stays");
    delete("/workspace/file").await.unwrap();
    let again = delete("/workspace/file").await.unwrap_err();
    assert_eq!((again.code(), again.status), ("FILE_NOT_FOUND", Some(404)));
    let directory = delete("/workspace/d").await.unwrap_err();
    assert_eq!(directory.code(), "INVALID_REQUEST");
}

async fn failures_name_their_reason(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("file-failures");
    sandbox.run("echo x > file").await;
    for (method, args, code) in [
        ("readFile", json!(["/workspace/no"]), "FILE_NOT_FOUND"),
        ("readFile", json!(["/workspace"]), "INVALID_REQUEST"),
        ("listFiles", json!(["/workspace/no"]), "FILE_NOT_FOUND"),
        (
            "listFiles",
            json!(["/workspace/file"]),
            "FILE_OPERATION_FAILED",
        ),
        (
            "writeFile",
            json!(["/workspace/file/x", "y"]),
            "FILE_OPERATION_FAILED",
        ),
        ("readFile", json!(["relative"]), "INVALID_REQUEST"),
        (
            "readFile",
            json!(["/workspace/../etc/passwd"]),
            "INVALID_REQUEST",
        ),
        ("readFile", json!(["/workspace/\u{0}"]), "INVALID_REQUEST"),
        ("readFile", json!([]), "INVALID_REQUEST"),
        (
            "readFile",
            json!(["/workspace/file", { "encoding": "utf-16" }]),
            "INVALID_REQUEST",
        ),
        ("writeFile", json!(["/workspace/file"]), "INVALID_REQUEST"),
        (
            "writeFile",
            json!(["/workspace/file", 5]),
            "INVALID_REQUEST",
        ),
        (
            "writeFile",
            json!(["/workspace/file", "!", { "encoding": "base64" }]),
            "INVALID_REQUEST",
        ),
        ("exists", json!([{}]), "INVALID_REQUEST"),
        ("mkdir", json!(["relative"]), "INVALID_REQUEST"),
    ] {
        let error = sandbox
            .call::<Value>(method, args.clone())
            .await
            .unwrap_err();
        assert_eq!(error.code(), code, "{method} {args}: {error:?}");
    }
    assert_eq!(sandbox.read("/workspace/file").await, "x\n");
}
