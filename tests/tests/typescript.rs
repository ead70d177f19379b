//! The client's types, and every sample of the guide and of the documents, hold
//! under strict TypeScript. What is checked in of the client, compiled, is what
//! its source says.

use std::{collections::BTreeMap, ffi::OsString, fs, io, path::Path};

use sandbox_toolbox::project;
use xtask::generate;

#[test]
fn client_and_samples_type_check() {
    sandbox_tests::documents::write_samples().unwrap();
    let tools = xtask::setup::node().unwrap();
    let mut tsc = tools.script(&tools.tsc).unwrap();
    let output = tsc
        .args(["--project", env!("CARGO_MANIFEST_DIR")])
        .output()
        .unwrap();
    let problems = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{problems}");
}

#[test]
fn what_is_generated_is_current() {
    let tools = xtask::setup::node().unwrap();
    for (path, content) in generate::files(&tools).unwrap() {
        assert!(
            generate::is_current(&project::root().join(path), &content),
            "{path} is not what cargo xtask generate makes"
        );
    }
}

#[test]
fn compiled_client_is_current() {
    let tools = xtask::setup::node().unwrap();
    let compiled = tempfile::tempdir().unwrap();
    generate::compile_client(&tools, compiled.path()).unwrap();
    let checked_in = project::root().join(generate::COMPILED_CLIENT);
    assert!(
        files(compiled.path()).unwrap() == files(&checked_in).unwrap(),
        "client/dist is not what cargo xtask generate makes"
    );
}

/// The files of a directory, by name.
fn files(directory: &Path) -> io::Result<BTreeMap<OsString, Vec<u8>>> {
    fs::read_dir(directory)?
        .map(|entry| {
            let entry = entry?;
            Ok((entry.file_name(), fs::read(entry.path())?))
        })
        .collect()
}

/// Server-sent events may end their lines as they like, and a value may have several
/// lines (WHATWG HTML, "Server-sent events").
#[test]
fn the_client_reads_events_with_any_line_endings() {
    const SCRIPT: &str = r#"
        const { parseSSEStream } = await import(process.argv[1]);
        const text = ": a comment\r\n\r\ndata: {\"type\":\r\ndata: \"start\"}\r\n\r\n" +
            "data:{\"type\":\"stdout\"}\rdata:\r\r\n" + "data: {\"type\":\"exit\"}\n\n";
        // Byte by byte, so that line endings are torn apart.
        const bytes = [...new TextEncoder().encode(text)].map((byte) => Uint8Array.of(byte));
        const types = [];
        for await (const event of parseSSEStream(ReadableStream.from(bytes))) types.push(event.type);
        process.stdout.write(types.join());
    "#;
    let tools = xtask::setup::node().unwrap();
    let client = project::root()
        .join(generate::COMPILED_CLIENT)
        .join("index.js");
    let output = tools
        .command(&tools.node)
        .unwrap()
        .args(["--input-type=module", "--eval", SCRIPT])
        .arg(client)
        .output()
        .unwrap();
    let problems = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "start,stdout,exit",
        "{problems}"
    );
}
