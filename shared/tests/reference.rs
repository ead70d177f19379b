//! What each verb calls its failures is what `docs/reference.md` says of it.

use sandbox_shared::Verb;

const REFERENCE: &str = include_str!("../../docs/reference.md");

/// The errors of a method, as its section names them.
fn errors_of(method: &str) -> &'static str {
    let section = REFERENCE.split("\n### ").find(|section| {
        let title = section.lines().next().unwrap_or_default();
        title.split(", ").any(|name| name == method)
    });
    let (_, errors) = section
        .and_then(|section| section.split_once("\nErrors: "))
        .unwrap_or_else(|| panic!("no errors of {method}"));
    let errors = errors.split("\n\n").next().unwrap_or_default().trim_end();
    match errors.strip_prefix("as `") {
        Some(other) => errors_of(other.trim_end_matches("`.")),
        None => errors,
    }
}

#[test]
fn codes_are_those_of_the_reference() {
    for (verb, method) in [
        (Verb::CreateBackup, "createBackup"),
        (Verb::PreviewBackup, "previewBackup"),
        (Verb::RestoreBackup, "restoreBackup"),
        (Verb::UnmountBackup, "unmountBackup"),
        (Verb::VerifyBackup, "verifyBackup"),
        (Verb::GetBackup, "getBackup"),
        (Verb::DeleteBackup, "deleteBackup"),
        (Verb::PruneBackups, "pruneBackups"),
        (Verb::ReindexBackups, "reindexBackups"),
        (Verb::ListSandboxes, "Sandboxes"),
        (Verb::OperationOutcome, "operationOutcome"),
        (Verb::Exec, "exec"),
        (Verb::WriteFile, "writeFile"),
        (Verb::ReadFile, "readFile"),
        (Verb::ListFiles, "listFiles"),
        (Verb::DeleteFile, "deleteFile"),
        (Verb::Mkdir, "mkdir"),
        (Verb::Exists, "exists"),
    ] {
        let errors = errors_of(method);
        for error in [verb.failed(""), verb.not_found("")] {
            let code = format!("`{}`", error.code);
            assert!(
                errors.contains(&code),
                "{method}: {code} is not in {errors}"
            );
        }
    }
}
