//! Every sample that the consumer runs has the guide's own statements in it,
//! and no sample of the guide has been forgotten.

use std::{fs, path::Path};

/// Without white space.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect()
}

#[test]
fn samples_hold_the_statements_of_the_guide() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = fs::read_to_string(tests.join("fixtures/user-guide.txt")).unwrap();
    let (_, sections) = guide.split_once("\n## ").unwrap();
    let mut samples = 0;
    for section in sections.split("\n## ") {
        let (name, runs) = section.split_once('\n').unwrap();
        let file = tests.join(format!("consumer/samples/{name}.ts"));
        let sample = squeezed(&fs::read_to_string(file).unwrap());
        let mut rest = sample.as_str();
        for run in runs.lines().map(squeezed).filter(|run| !run.is_empty()) {
            let (_, after) = rest
                .split_once(&run)
                .unwrap_or_else(|| panic!("{name}.ts lacks, or has elsewhere: {run}"));
            rest = after;
        }
        samples += 1;
    }
    assert_eq!(samples, 11);
}
