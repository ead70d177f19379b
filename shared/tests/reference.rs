//! How each method fails is what `docs/reference.md` says of it.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::BTreeSet;

use sandbox_shared::{ErrorCode, methods};

const REFERENCE: &str = include_str!("../../docs/reference.md");

/// The codes that the section of a method names, and the methods of that section.
fn section_of(method: &str) -> (BTreeSet<&'static str>, Vec<&'static str>) {
    let title = |section: &'static str| section.lines().next().unwrap_or_default();
    let section = REFERENCE
        .split("\n### ")
        .find(|section| title(section).split(", ").any(|name| name == method))
        .unwrap_or_else(|| panic!("there is no section of {method}"));
    let (_, errors) = section
        .split_once("\nErrors: ")
        .unwrap_or_else(|| panic!("no errors of {method}"));
    let errors = errors.split("\n\n").next().unwrap_or_default().trim_end();
    let methods = title(section).split(", ").collect();
    if let Some(other) = errors.strip_prefix("as `") {
        return (section_of(other.trim_end_matches("`.")).0, methods);
    }
    let is_code = |word: &&str| word.chars().all(|it| it.is_ascii_uppercase() || it == '_');
    let codes = errors.split('`').skip(1).step_by(2).filter(is_code);
    let specific = codes.filter(|code| *code != ErrorCode::InternalError.as_str());
    (specific.collect(), methods)
}

#[test]
fn codes_are_those_of_the_reference() {
    let mut wrong = Vec::new();
    for row in methods::ALL {
        let name = if row.is_of_all { "Sandboxes" } else { row.name };
        let (named, section) = section_of(name);
        let rows = methods::ALL
            .iter()
            .filter(|other| std::ptr::eq(**other, *row) || section.contains(&other.name));
        let codes: BTreeSet<_> = rows
            .flat_map(|row| row.codes())
            .map(ErrorCode::as_str)
            .collect();
        if named != codes {
            wrong.push(format!(
                "{name}: {named:?} in the reference, {codes:?} in the table"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
