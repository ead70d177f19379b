//! What a scan decides, and what a backup that failed says.

use std::path::Path;

use sandbox_shared::{
    SandboxError,
    methods::Row,
    report::{ExcludedEntry, Exclusion, Listed},
};
use squashfs::{report::Unreadable, tally::Tally};

use crate::{convert, scan::Observer};

/// Most paths of one list of a preview.
const PREVIEWED: usize = 10_000;
/// Most bytes of the paths of one list of a preview.
const PREVIEWED_BYTES: usize = 1 << 20;

/// The error of a backup that failed because entries could not be read.
pub(super) fn unreadable(
    method: &Row,
    message: String,
    unreadable: &Tally<Unreadable>,
) -> SandboxError {
    let listed = convert::unreadable(unreadable);
    method
        .failed(format!(
            "{message}. Leave them out with onUnreadable: \"skip\" or excludes"
        ))
        .with("unreadable", serde_json::json!(listed))
}

/// Collects what a scan decides, within bounds.
#[derive(Debug, Default)]
pub(super) struct Decisions {
    pub(super) included: Listed<String>,
    pub(super) excluded: Listed<ExcludedEntry>,
    included_bytes: usize,
    excluded_bytes: usize,
}

impl Observer for Decisions {
    fn included(&mut self, path: &Path) {
        add(&mut self.included, &mut self.included_bytes, path, |path| {
            path
        });
    }

    fn excluded(&mut self, path: &Path, why: Exclusion) {
        add(&mut self.excluded, &mut self.excluded_bytes, path, |path| {
            ExcludedEntry { path, rule: why }
        });
    }
}

fn add<T>(list: &mut Listed<T>, bytes: &mut usize, path: &Path, item: impl Fn(String) -> T) {
    list.count += 1;
    *bytes += path.as_os_str().len();
    if list.first.len() < PREVIEWED && *bytes <= PREVIEWED_BYTES {
        list.first.push(item(path.to_string_lossy().into_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_counts_all_and_lists_within_bounds() {
        let mut decisions = Decisions::default();
        for number in 0..PREVIEWED + 5 {
            decisions.included(Path::new(&number.to_string()));
        }
        assert_eq!(decisions.included.count, PREVIEWED as u64 + 5);
        assert_eq!(decisions.included.first.len(), PREVIEWED);

        let long = "x".repeat(4000);
        for _ in 0..1000 {
            decisions.excluded(Path::new(&long), Exclusion::Excludes);
        }
        assert_eq!(decisions.excluded.count, 1000);
        assert_eq!(decisions.excluded.first.len(), PREVIEWED_BYTES / 4000);
    }
}
