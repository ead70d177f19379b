//! Random repositories: of the files in them, those are kept that git keeps.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use proptest::{collection::vec, prelude::*, sample::select};
use sandbox_agent::scan::{Exclusion, Selection, Source};

use crate::git::*;

const DIRECTORIES: [&str; 8] = ["", "a", "a/b", "a/b/c", "build", "build/a", "n", "n/a"];
const FILES: [&str; 5] = ["f", "g", "x.o", "keep", ".hidden"];

const PATTERNS: &[&str] = &[
    "*.o",
    "*",
    "f",
    "/f",
    "g/",
    "a",
    "a/",
    "b/",
    "/a/b/",
    "build/",
    "build",
    "/build/*",
    "n/",
    "!keep",
    "!x.o",
    "!*/",
    "!a/",
    "!/f",
    "!b",
    "a/*",
    "!a/keep",
    "**/c",
    "a/**",
    "**/b/**",
    ".*",
    "c/f",
    "/n/a",
    "!n",
    "!build/a/",
    "keep",
];

/// A repository as it might be.
#[derive(Clone, Debug)]
struct Repository {
    /// Which of all files there are, and what of them is tracked.
    files: Vec<Option<Tracked>>,
    /// The patterns of each directory; at last, those of `info/exclude`.
    patterns: Vec<Vec<&'static str>>,
    sha256: bool,
    version: u8,
    split: bool,
    /// `n` is a repository of its own.
    nested: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tracked {
    No,
    Yes,
    /// Its name only (`git add --intent-to-add`).
    Intended,
    /// It was, and is not any more.
    Removed,
}

fn repository() -> impl Strategy<Value = Repository> {
    let tracked = prop_oneof![
        4 => Just(Tracked::No),
        3 => Just(Tracked::Yes),
        1 => Just(Tracked::Intended),
        1 => Just(Tracked::Removed),
    ];
    let patterns = prop_oneof![
        2 => Just(Vec::new()),
        1 => vec(select(PATTERNS), 1..4),
    ];
    (
        vec(prop::option::of(tracked), DIRECTORIES.len() * FILES.len()),
        vec(patterns, DIRECTORIES.len() + 1),
        any::<bool>(),
        select(vec![2, 4]),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(
            |(files, patterns, sha256, version, split, nested)| Repository {
                files,
                patterns,
                sha256,
                version,
                split,
                nested,
            },
        )
}

impl Repository {
    fn make(&self, root: &Path) {
        for directory in DIRECTORIES {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        for (path, _) in self.files() {
            fs::write(root.join(path), "").unwrap();
        }
        for (directory, patterns) in DIRECTORIES.iter().zip(&self.patterns) {
            if !patterns.is_empty() {
                fs::write(root.join(directory).join(".gitignore"), patterns.join("\n")).unwrap();
            }
        }
        let nested = root.join("n");
        if self.nested {
            self.track(&nested, |path| {
                path.strip_prefix("n").ok().map(Path::to_owned)
            });
        }
        self.track(root, |path| {
            (!self.nested || !path.starts_with("n")).then(|| path.to_owned())
        });
    }

    fn files(&self) -> impl Iterator<Item = (PathBuf, Tracked)> {
        let paths = DIRECTORIES
            .iter()
            .flat_map(|directory| FILES.map(|file| Path::new(directory).join(file)));
        paths
            .zip(&self.files)
            .filter_map(|(path, tracked)| Some((path, (*tracked)?)))
    }

    /// Makes a repository that tracks the files it has, by the names that it has
    /// for them.
    fn track(&self, root: &Path, name: impl Fn(&Path) -> Option<PathBuf>) {
        let format = if self.sha256 { "sha256" } else { "sha1" };
        git(root, &["init", "--quiet", "--object-format", format]);
        let exclude = self.patterns.last().unwrap().join("\n");
        fs::write(root.join(".git/info/exclude"), exclude).unwrap();
        git(
            root,
            &["config", "index.version", &self.version.to_string()],
        );
        let of = |wanted: &[Tracked]| -> Vec<PathBuf> {
            let files = self.files().filter(|(_, tracked)| wanted.contains(tracked));
            files.filter_map(|(path, _)| name(&path)).collect()
        };
        let pathspec = "--pathspec-from-file=-";
        let add = |what: &[&str], paths: &[PathBuf]| {
            if !paths.is_empty() {
                git_on(
                    root,
                    &[what, &[pathspec, "--pathspec-file-nul"]].concat(),
                    paths,
                );
            }
        };
        add(&["add", "--force"], &of(&[Tracked::Yes, Tracked::Removed]));
        if self.split {
            git(root, &["update-index", "--split-index"]);
        }
        add(
            &["add", "--force", "--intent-to-add"],
            &of(&[Tracked::Intended]),
        );
        add(&["rm", "--cached", "--quiet"], &of(&[Tracked::Removed]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(48),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn of_any_repository_is_kept_what_git_keeps(repository in repository()) {
        let root = tempfile::tempdir().unwrap();
        repository.make(root.path());
        let kept = kept_by_git(root.path());
        for below in ["", "a", "a/b", "build", "n"] {
            let directory = root.path().join(below);
            // What is asked for is not judged itself, nor is what it is in.
            if !below.is_empty() && !ignored(root.path(), &[below.into()]).is_empty() {
                continue;
            }
            let scanned = scan_by_git(&directory);
            prop_assert!(scanned.notes.unread_indexes.is_empty());
            let kept = kept.iter().filter_map(|path| path.strip_prefix(below).ok());
            let kept: BTreeSet<_> = kept.map(Path::to_owned).collect();
            let files = scanned.files(&directory);
            let differ: Vec<_> = kept.symmetric_difference(&files).collect();
            let differ: Vec<_> = differ
                .into_iter()
                // A part of a split index does not say what was removed since.
                .filter(|path| !(repository.split && files.contains(*path)
                    && repository.is(&Path::new(below).join(path), Tracked::Removed)))
                .collect();
            prop_assert!(differ.is_empty(), "in {below:?}: {differ:?} of {kept:?}");
        }
    }
}

impl Repository {
    fn is(&self, path: &Path, tracked: Tracked) -> bool {
        self.files().any(|file| file == (path.to_owned(), tracked))
    }
}

fn left_out(scanned: &Scanned) -> Vec<(&str, Exclusion)> {
    let excluded = scanned.excluded.iter();
    let mut excluded: Vec<_> = excluded
        .map(|(path, why)| (path.to_str().unwrap(), *why))
        .collect();
    excluded.sort_by_key(|(path, _)| *path);
    excluded
}

#[test]
fn tracked_files_are_kept_although_patterns_name_them() {
    let root = tempfile::tempdir().unwrap();
    let files = [
        ".gitignore",
        "build/deep/kept.js",
        "build/deep/made.js",
        "build/made.js",
        "build/other/made.js",
        "kept.o",
        "made.o",
        "build/.gitignore",
        "build/wanted.js",
    ];
    plant(root.path(), files.map(|file| (file, "")));
    plant(
        root.path(),
        [
            (".gitignore", "build/\n*.o\n"),
            ("build/.gitignore", "!wanted.js\n"),
        ],
    );
    git(root.path(), &["init", "--quiet"]);
    git(
        root.path(),
        &["add", "--force", "build/deep/kept.js", "kept.o"],
    );
    let scanned = scan_by_git(root.path());
    let why = Exclusion::Gitignore;
    assert_eq!(
        left_out(&scanned),
        [
            ("build/.gitignore", why),
            ("build/deep/made.js", why),
            ("build/made.js", why),
            ("build/other", why),
            ("build/wanted.js", why),
            ("made.o", why),
        ]
    );
    // The directory that is asked for is not judged, but what is in it is.
    let scanned = scan_by_git(&root.path().join("build"));
    assert!(scanned.included.contains(Path::new("made.js")));
}

#[test]
fn excludes_leave_out_what_is_tracked() {
    let root = tempfile::tempdir().unwrap();
    let files = [
        "build/kept.js",
        "build/secret",
        "build/made.js",
        "a.o",
        "secret",
    ];
    plant(root.path(), files.map(|file| (file, "")));
    plant(root.path(), [(".gitignore", "build/\n*.o")]);
    git(root.path(), &["init", "--quiet"]);
    git(root.path(), &["add", "--force", "."]);
    git(root.path(), &["rm", "--quiet", "--cached", "build/made.js"]);
    let selection = Selection {
        excludes: ["secret", "*.o", "!made.js"].map(str::to_owned).to_vec(),
        ..gitignore()
    };
    let scanned = scan(Source::open(root.path()).unwrap(), &selection).unwrap();
    assert_eq!(
        left_out(&scanned),
        [
            ("a.o", Exclusion::Excludes),
            // Nothing below a directory that is left out can be asked for.
            ("build/made.js", Exclusion::Gitignore),
            ("build/secret", Exclusion::Excludes),
            ("secret", Exclusion::Excludes),
        ]
    );
}

/// Patterns that name what git keeps in `.git`, as `logs` and `*.log` do.
#[test]
fn patterns_do_not_touch_gits_own_files() {
    let root = tempfile::tempdir().unwrap();
    plant(
        root.path(),
        [
            ("file", ""),
            (
                ".gitignore",
                "logs\nconfig\n*.pack\n/.git/HEAD\n*\n!.gitignore\n",
            ),
        ],
    );
    git(root.path(), &["init", "--quiet"]);
    plant(
        root.path(),
        [(".git/objects/pack/a.pack", ""), (".git/logs/HEAD", "")],
    );
    let scanned = scan_by_git(root.path());
    assert_eq!(left_out(&scanned), [("file", Exclusion::Gitignore)]);

    // Nor if what is asked for is in there.
    let inside = scan_by_git(&root.path().join(".git/logs"));
    assert_eq!(left_out(&inside), []);

    // They may be left out all the same.
    let selection = Selection {
        excludes: vec!["logs".to_owned()],
        ..gitignore()
    };
    let scanned = scan(Source::open(root.path()).unwrap(), &selection).unwrap();
    assert!(
        scanned
            .excluded
            .contains(&(".git/logs".into(), Exclusion::Excludes))
    );
}
