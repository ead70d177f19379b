//! The routes are what `/openapi.json` says: Schemathesis asks them for whatever
//! it thinks of, allowed and not, and compares the answers.

use std::{fs, process::Stdio, sync::Arc};

use sandbox_tests::stage::Stage;
use sandbox_toolbox::project;
use tokio::{process::Command, task::spawn_blocking};
use xtask::setup;

crate::tests![routes_are_as_described];

/// What it asks, and in which order, is the same in every run.
const SEED: &str = "1";
/// How many requests it invents for each operation.
const EXAMPLES: &str = "15";
/// Seconds that an answer may take: a list of all files there are is long.
const PATIENCE: &str = "120";

async fn routes_are_as_described(stage: Arc<Stage>) {
    let program = spawn_blocking(setup::schemathesis).await.unwrap().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let settings = project::root().join("tests/schemathesis.toml");
    fs::copy(settings, scratch.path().join("schemathesis.toml")).unwrap();
    let output = Command::new(program)
        .args(["run", "--no-color", "--checks", "all", "--seed", SEED])
        .args(["--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", EXAMPLES])
        .args(["--request-timeout", PATIENCE])
        .args(["--max-response-time", PATIENCE])
        .args(["--generation-database", "none", "--no-shrink"])
        .args([
            "--header",
            &format!("Authorization: Bearer {}", stage.api_token()),
        ])
        .arg(format!("{}/openapi.json", stage.address()))
        .current_dir(scratch.path())
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let mistakes = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{mistakes}");
}
