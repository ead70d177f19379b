//! The client's types, and every sample of the guide and of the documents, hold
//! under strict TypeScript.

#[test]
fn client_and_samples_type_check() {
    sandbox_tests::documents::write_samples().unwrap();
    let tools = xtask::setup::worker().unwrap().node;
    let mut tsc = tools.script(&tools.tsc).unwrap();
    let output = tsc
        .args(["--project", env!("CARGO_MANIFEST_DIR")])
        .output()
        .unwrap();
    let problems = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{problems}");
}
