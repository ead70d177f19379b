//! Which name a misspelt one was meant to be.

/// Most mistakes that a name may have and still be taken for another.
const MAX_MISTAKES: usize = 2;

/// The one of `known` that `name` differs from by its case, by underscores and
/// hyphens, and by a letter in three at most, up to [`MAX_MISTAKES`] of them. No
/// name is near to one of two letters: `_id` is not meant to be `id`.
pub(super) fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let name = folded(name);
    let length = name.chars().count();
    let mistakes = |known: &&'static str| {
        let tolerated = MAX_MISTAKES.min(known.len() / 3);
        // Names may be as long as a request; so many letters need not be compared.
        let is_comparable = tolerated > 0 && length.abs_diff(known.len()) <= tolerated;
        let mistakes = is_comparable.then(|| strsim::osa_distance(&name, &folded(known)))?;
        (mistakes <= tolerated).then_some((mistakes, *known))
    };
    let (_, nearest) = known
        .iter()
        .filter_map(mistakes)
        .min_by_key(|(mistakes, _)| *mistakes)?;
    Some(nearest)
}

/// `name` without what tells styles of writing apart: `dryRun`, `dry_run`, `Dry-Run`.
fn folded(name: &str) -> String {
    name.chars()
        .filter(|letter| !matches!(letter, '_' | '-'))
        .map(|letter| letter.to_ascii_lowercase())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_near_to_what_it_may_have_been_meant_to_be() {
        let known = ["id", "dir", "strategy", "force", "autoRestore", "dryRun"];
        for (name, meant) in [
            ("dry_run", "dryRun"),
            ("DRYRUN", "dryRun"),
            ("dry-run", "dryRun"),
            ("dryrum", "dryRun"),
            ("autorestore", "autoRestore"),
            ("auto_restore", "autoRestore"),
            ("autoRestor", "autoRestore"),
            ("autoResotre", "autoRestore"),
            ("stragegy", "strategy"),
            ("stratgey", "strategy"),
            ("forced", "force"),
            ("froce", "force"),
            ("dri", "dir"),
            ("Dir", "dir"),
        ] {
            assert_eq!(nearest(name, &known), Some(meant), "{name}");
        }
        for name in [
            "",
            "_id",
            "ID",
            "sid",
            "kind",
            "tier",
            "source",
            "enforced",
            "restore",
            "lastRestore",
            "store",
            "state",
            "strategies",
            "dryRunner2",
            "é",
            "_",
            "label",
        ] {
            assert_eq!(nearest(name, &known), None, "{name}");
        }
        assert_eq!(nearest(&"x".repeat(1 << 20), &known), None);
    }

    #[test]
    fn of_several_names_it_is_the_nearest() {
        assert_eq!(
            nearest("keepdaly", &["keepWeekly", "keepDaily"]),
            Some("keepDaily")
        );
        assert_eq!(
            nearest("exclude", &["excludeCaches", "excludes"]),
            Some("excludes")
        );
    }
}
