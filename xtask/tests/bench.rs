//! The benchmarks on trees so small that their figures say nothing: what they
//! measure is there, complete, and possible.

#![allow(clippy::unwrap_used)]

use std::{fs, process::Command};

use sandbox_toolbox::project;
use serde_json::Value;

/// Runs one and returns its table and its rows.
fn quick(arguments: &[&str]) -> (String, Value) {
    let directory = project::target_dir()
        .join("tmp/bench")
        .join(arguments.join("-"));
    fs::remove_dir_all(&directory).ok();
    fs::create_dir_all(&directory).unwrap();
    let json = directory.join("figures.json");
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("bench")
        .args(arguments)
        .arg("--quick")
        .arg("--dir")
        .arg(&directory)
        .arg("--json")
        .arg(&json)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let figures: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    fs::remove_dir_all(&directory).unwrap();
    let tables = String::from_utf8(output.stdout).unwrap();
    (tables, figures["rows"].clone())
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

#[test]
fn backups_are_measured_beside_the_reference() {
    let (tables, rows) = quick(&["create", "--cache", "warm"]);
    assert!(tables.contains("| 600 small files, 12 MB | warm | archive to disk |"));
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 6);
    for row in rows {
        let (ours, reference) = (&row["ours"][0], &row["reference"][0]);
        let size = number(&ours["archiveBytes"]) / number(&reference["archiveBytes"]);
        assert!((0.8..1.2).contains(&size), "{row}");
        for run in [ours, reference] {
            assert!(number(&run["seconds"]) > 0.0, "{row}");
            assert!(number(&run["peakMemoryBytes"]) > 1e6, "{row}");
        }
        if row["work"] == "backup" {
            assert_eq!(ours["diskBytes"], 0, "{row}");
            assert_eq!(reference["diskBytes"], reference["archiveBytes"], "{row}");
        }
    }
}

#[test]
fn a_slow_store_takes_its_time() {
    let (_, rows) = quick(&["memory"]);
    let rows = rows.as_array().unwrap();
    let slow = rows.iter().find(|row| row["bytesPerSecond"] == 100_000_000);
    let slow = slow.unwrap();
    let least = number(&slow["archiveBytes"]) / 100e6;
    assert!(number(&slow["seconds"]) >= 0.9 * least, "{slow}");
}

#[test]
fn every_format_is_measured() {
    let (tables, rows) = quick(&["formats"]);
    assert!(tables.contains("| media (random) | zstd 3 |"), "{tables}");
    assert_eq!(rows.as_array().unwrap().len(), 6);
}

#[test]
fn every_stack_does_all_the_work() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test mounts file systems: run it as root"
    );
    let (tables, rows) = quick(&["restore"]);
    assert!(tables.contains("loop squashfs + overlayfs"), "{tables}");
    let work = rows["work"].as_array().unwrap();
    assert_eq!(work.len() % 9, 0);
    for row in work {
        assert!(number(&row["seconds"]["median"]) > 0.0, "{row}");
    }
    let start = rows["start"].as_array().unwrap();
    let of_reference = start
        .iter()
        .find(|row| row["stack"] == "squashfuse + fuse-overlayfs")
        .unwrap();
    let least = number(&of_reference["archiveBytes"]) / 100e6;
    assert!(number(&of_reference["firstFileSeconds"]["median"]) >= 0.9 * least);
}
