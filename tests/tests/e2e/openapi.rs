//! The routes are what `/openapi.json` says: Schemathesis asks them for whatever
//! it thinks of, allowed and not, and compares the answers.
//!
//! `cargo test -p sandbox-tests --test e2e -- openapi --ignored`: how far it gets
//! in its time depends on the machine, so what it finds is for people to judge.

use std::{fs, process::Stdio, sync::Arc};

use sandbox_tests::stage::Stage;
use tokio::{process::Command, task::spawn_blocking};
use xtask::{project, setup};

pub(crate) fn tests() -> crate::Tests {
    crate::tests![routes_are_as_described];
    crate::Tests {
        on_demand: true,
        ..tests()
    }
}

/// What it asks, and in which order, is the same in every run.
const SEED: &str = "1";
const SECONDS: &str = "60";

async fn routes_are_as_described(stage: Arc<Stage>) {
    let program = spawn_blocking(setup::schemathesis).await.unwrap().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let settings = project::root().join("tests/schemathesis.toml");
    fs::copy(settings, scratch.path().join("schemathesis.toml")).unwrap();
    let output = Command::new(program)
        .args(["run", "--no-color", "--checks", "all", "--seed", SEED])
        .args([
            "--max-time",
            SECONDS,
            "--phases",
            "examples,coverage,fuzzing",
        ])
        .args(["--max-examples", "15", "--request-timeout", "20"])
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
