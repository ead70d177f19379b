//! What the documents show works: see `sandbox_tests::documents`.

use std::{fs, process::Stdio, sync::Arc};

use sandbox_tests::{documents, stage::Stage};
use serde_json::{Value, json};
use tokio::process::Command;

/// The documents have one sandbox, and look at all that is stored.
pub(crate) fn tests() -> crate::Tests {
    crate::tests![every_block_runs];
    crate::Tests {
        alone: true,
        ..tests()
    }
}

async fn every_block_runs(stage: Arc<Stage>) {
    let mut ran = 0;
    for document in documents::all().unwrap() {
        for block in document.blocks.iter().filter(|block| block.runs) {
            match block.language.as_str() {
                "sh" | "ts" => ran += 1,
                "json" => drop(parsed(&block.at, &block.code)),
                "toml" => drop(block.code.parse::<toml::Table>().expect(&block.at)),
                "" => {}
                other => panic!("{}: {other} cannot be run; mark it no-run", block.at),
            }
        }
        let sandbox = stage.consumer.sandbox("my-sandbox");
        sandbox.call::<Value>("stop", json!([])).await.unwrap();
        // What a program of the documents installs is not for us.
        sandbox
            .run("mkdir /tmp/programs && printf '#!/bin/sh\\nexit 1\\n' > /tmp/programs/npm && cd /tmp/programs && chmod +x npm && cp npm /workspace/migrate.sh")
            .await;
        shell(&stage, &document).await;
        if document.run_of("ts").next().is_some() {
            let input = json!({ "programs": "/tmp/programs" });
            stage.consumer.run_document(&document.name, input).await;
        }
        // What is put back would be in other tests' way.
        let status = sandbox.status().await;
        for restored in status["autoRestore"].as_array().unwrap() {
            let unmount = json!([restored["dir"], { "force": true }]);
            let _: Value = sandbox.call("unmountBackup", unmount).await.unwrap();
        }
    }
    assert!(ran > 40, "{ran} blocks are not all");
}

fn parsed(at: &str, text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{at}: {error}\n{text}"))
}

async fn shell(stage: &Stage, document: &documents::Document) {
    let scratch = tempfile::tempdir().unwrap();
    // What fails over HTTP fails in the script.
    let settings = "silent\nshow-error\nfail-with-body\nmax-time = 60\n";
    fs::write(scratch.path().join(".curlrc"), settings).unwrap();
    let script = scratch.path().join("script");
    fs::write(&script, document.script()).unwrap();
    let output = Command::new("bash")
        .arg(script)
        .current_dir(scratch.path())
        .env("CURL_HOME", scratch.path())
        .env("PATH", stage.path_with_sandboxctl())
        .env("SANDBOX", "my-sandbox")
        .env("OUTPUT", scratch.path())
        .env("SANDBOX_URL", stage.address())
        .env("SANDBOX_API_TOKEN", stage.api_token())
        .env("AGENT_URL", &stage.coding_agent.address)
        .env("AGENT_TOKEN", &stage.coding_agent.token)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", document.name);
    for (number, block) in document.answers() {
        let actual = fs::read_to_string(scratch.path().join(number.to_string())).unwrap();
        let (actual, shown) = (parsed(&block.at, &actual), parsed(&block.at, &block.code));
        assert_eq!(shape(&shown), shape(&actual), "{}", block.at);
    }
}

/// The names and kinds of what is in a value; of a list, only of its first.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), shape(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(values) => values.iter().take(1).map(shape).collect(),
        Value::String(_) => "string".into(),
        Value::Number(_) => "number".into(),
        other => other.clone(),
    }
}
