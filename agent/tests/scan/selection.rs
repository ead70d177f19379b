//! What is left out, and what is not.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use sandbox_agent::scan::{
    self, Control, Exclusion, Observer, ScanError, Scanned, Selection, Source,
};
use squashfs::{
    tree::{Counts, Tree},
    writer::Options,
};

use crate::harness::*;

#[derive(Default)]
struct Decisions {
    included: Vec<String>,
    excluded: Vec<(String, Exclusion)>,
}

impl Observer for Decisions {
    fn included(&mut self, path: &Path) {
        self.included.push(path.to_str().unwrap().to_owned());
    }

    fn excluded(&mut self, path: &Path, why: Exclusion) {
        self.excluded.push((path.to_str().unwrap().to_owned(), why));
    }
}

fn decide(directory: &Path, selection: &Selection) -> (Decisions, Counts) {
    let mut decisions = Decisions::default();
    let source = Source::open(directory).unwrap();
    let scanned = scan::scan(source, selection, &mut decisions, &Control::default()).unwrap();
    decisions.included.sort();
    decisions.excluded.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(scanned.notes.excluded, decisions.excluded.len() as u64);
    (decisions, scanned.tree.counts())
}

fn scan_selected(directory: &Path, selection: &Selection) -> Tree {
    let source = Source::open(directory).unwrap();
    let scanned = scan::scan(source, selection, &mut (), &Control::default());
    scanned.unwrap().tree
}

/// Files below `root`, each with its path as content; directories end in `/`.
fn plant(root: &Path, paths: &[&str]) {
    for path in paths {
        let target = root.join(path);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        if path.ends_with('/') {
            fs::create_dir_all(target).unwrap();
        } else {
            fs::write(target, path).unwrap();
        }
    }
}

fn excludes(patterns: &[&str]) -> Selection {
    Selection {
        excludes: patterns.iter().map(ToString::to_string).collect(),
        ..Selection::default()
    }
}

#[test]
fn excludes_are_gitignore_patterns_relative_to_the_directory() {
    let source = tempfile::tempdir().unwrap();
    plant(
        source.path(),
        &[
            "a.log",
            "keep.log",
            "sub/b.log",
            "sub/build/out",
            "build/out",
            "src/build.rs",
            "docs/a.md",
            "docs/deep/b.md",
            "deep/docs/c.md",
            "#literal",
        ],
    );
    let selection = excludes(&["*.log", "!keep.log", "/build", "docs/**/*.md", "\\#literal"]);
    let (decisions, counts) = decide(source.path(), &selection);
    let excluded: Vec<_> = decisions
        .excluded
        .iter()
        .map(|(path, _)| path.as_str())
        .collect();
    assert_eq!(
        excluded,
        [
            "#literal",
            "a.log",
            "build",
            "docs/a.md",
            "docs/deep/b.md",
            "sub/b.log"
        ]
    );
    assert!(
        decisions
            .excluded
            .iter()
            .all(|(_, why)| *why == Exclusion::Excludes)
    );
    assert_eq!(decisions.excluded.len(), 6);
    assert_eq!(counts.files, 4);

    let tree = scan_selected(source.path(), &selection);
    let archive = Archive::of_tree(&tree, &Options::default());
    let shown = snapshot(archive.mount().path());
    assert_eq!(shown.len(), decisions.included.len() + 1);
    for path in &decisions.included {
        assert!(shown.contains_key(Path::new(path)), "{path}");
    }
}

#[test]
fn a_pattern_that_is_none_is_named() {
    let source = tempfile::tempdir().unwrap();
    let handle = Source::open(source.path()).unwrap();
    let selection = excludes(&["fine", "a[b"]);
    let result = scan::scan(handle, &selection, &mut (), &Control::default());
    assert!(
        matches!(result, Err(ScanError::Pattern { index: 1, .. })),
        "{result:?}"
    );
}

/// A repository with rules of every sort. Git itself is the judge.
#[test]
fn gitignore_means_what_git_means() {
    let parent = tempfile::tempdir().unwrap();
    let repository = parent.path().join("repository");
    plant(
        &repository,
        &[
            "a.o",
            "top/a.o",
            "top/keep.o",
            "top/local.txt",
            "top/nested/local.txt",
            "top/nested/a.tmp",
            "top/nested/b.tmp",
            "top/nested/wanted.o",
            "top/target/debug/x",
            "top/target-not",
            "top/logs/today",
            "top/logs/keep/today",
            "top/private/key",
            "top/dir-only",
            "top/nested/dir-only/file",
            "top/space ",
            "top/[brackets]",
            "top/ünïcode.bak",
            "top/empty/",
            "top/.hidden",
            "other/unrelated.o",
            "inner/.keep",
            "inner/a.o",
            "inner/own.inner",
        ],
    );
    let rules = |path: &str, text: &str| fs::write(repository.join(path), text).unwrap();
    rules(
        ".gitignore",
        "# comment\n*.o\r\n\n!keep.o\ntarget/\nlogs/*\n!logs/keep/\ndir-only/\nspace\\ \n\\[brackets\\]\n[bad\n",
    );
    rules("top/.gitignore", "/local.txt\nnested/*.tmp\n*.bak\n");
    rules("top/nested/.gitignore", "!b.tmp\n!wanted.o\n");
    rules("inner/.gitignore", "*.inner\n");
    let git = |directory: &Path, arguments: &[&str]| {
        let output = Command::new("git")
            .arg("-C")
            .arg(directory)
            .args(["-c", "core.excludesFile=/dev/null"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    git(&repository, &["init", "--quiet"]);
    git(&repository.join("inner"), &["init", "--quiet"]);
    rules(".git/info/exclude", "private\n.hidden\n");
    // Not of the repository, and so of no account.
    fs::write(parent.path().join(".gitignore"), "*\n").unwrap();

    for directory in ["", "top", "top/nested", "inner"] {
        let directory = repository.join(directory);
        let list = [
            "ls-files",
            "-z",
            "--others",
            "--exclude-standard",
            "--full-name",
            ".",
        ];
        let root = git(&directory, &["rev-parse", "--show-toplevel"]);
        let mut expected: Vec<PathBuf> = git(&directory, &list)
            .split_terminator('\0')
            .map(|path| Path::new(root.trim_end()).join(path))
            // Git shows a repository inside as one entry.
            .filter(|path| !path.is_dir())
            .collect();
        expected.sort();
        let selection = Selection {
            gitignore: true,
            ..Selection::default()
        };
        let (decisions, _) = decide(&directory, &selection);
        let mut found: Vec<PathBuf> = decisions
            .included
            .iter()
            .map(|path| directory.join(path))
            .filter(|path| path.is_file())
            .filter(|path| !path.components().any(|part| part.as_os_str() == ".git"))
            .filter(|path| {
                directory.ends_with("inner") || !path.starts_with(repository.join("inner"))
            })
            .collect();
        found.sort();
        assert_eq!(found, expected, "in {}", directory.display());
    }

    // Without a repository, the files count all the same; inner repositories
    // are not touched by outer rules.
    let selection = Selection {
        gitignore: true,
        ..Selection::default()
    };
    let (decisions, _) = decide(&repository, &selection);
    assert!(decisions.included.contains(&"inner/a.o".to_owned()));
    assert!(!decisions.included.contains(&"inner/own.inner".to_owned()));
    fs::remove_dir_all(repository.join(".git")).unwrap();
    let (decisions, _) = decide(&repository, &selection);
    assert!(decisions.included.contains(&"top/private/key".to_owned()));
    assert!(!decisions.included.contains(&"top/a.o".to_owned()));
}

#[test]
fn a_scan_can_be_cancelled_in_the_middle_of_a_directory() {
    struct Impatient<'a>(&'a Control);
    impl Observer for Impatient<'_> {
        fn included(&mut self, _: &Path) {
            self.0.cancel();
        }
    }
    let source = tempfile::tempdir().unwrap();
    plant(source.path(), &["a", "b"]);
    let control = Control::default();
    let handle = Source::open(source.path()).unwrap();
    let selection = Selection::default();
    let result = scan::scan(handle, &selection, &mut Impatient(&control), &control);
    assert!(matches!(result, Err(ScanError::Cancelled)), "{result:?}");
}

#[test]
fn excludes_override_gitignore() {
    let source = tempfile::tempdir().unwrap();
    plant(source.path(), &["a.o", "b.o", "c"]);
    fs::write(source.path().join(".gitignore"), "*.o").unwrap();
    let selection = Selection {
        gitignore: true,
        ..excludes(&["c", "!a.o"])
    };
    let (decisions, _) = decide(source.path(), &selection);
    assert_eq!(decisions.included, [".gitignore", "a.o"]);
    assert_eq!(
        decisions.excluded,
        [
            ("b.o".to_owned(), Exclusion::Gitignore),
            ("c".to_owned(), Exclusion::Excludes)
        ]
    );
}

#[test]
fn of_caches_the_tag_is_kept() {
    const SIGNATURE: &str = "Signature: 8a477f597d28d172789f06886806bc55\n# by a test\n";
    let source = tempfile::tempdir().unwrap();
    plant(
        source.path(),
        &[
            "file",
            "cache/data",
            "cache/sub/data",
            "fake/data",
            "cache/CACHEDIR.TAG",
        ],
    );
    fs::write(source.path().join("CACHEDIR.TAG"), SIGNATURE).unwrap();
    fs::write(source.path().join("cache/CACHEDIR.TAG"), SIGNATURE).unwrap();
    fs::write(source.path().join("fake/CACHEDIR.TAG"), "Signature: none").unwrap();
    let selection = Selection {
        exclude_caches: true,
        ..Selection::default()
    };
    let (decisions, _) = decide(source.path(), &selection);
    assert_eq!(
        decisions.included,
        [
            "CACHEDIR.TAG",
            "cache",
            "cache/CACHEDIR.TAG",
            "fake",
            "fake/CACHEDIR.TAG",
            "fake/data",
            "file"
        ]
    );
    assert_eq!(
        decisions.excluded,
        [
            ("cache/data".to_owned(), Exclusion::ExcludeCaches),
            ("cache/sub".to_owned(), Exclusion::ExcludeCaches)
        ]
    );
}

#[test]
fn large_files_may_be_left_out() {
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("just"), [1; 1000]).unwrap();
    fs::write(source.path().join("over"), [1; 1001]).unwrap();
    let selection = Selection {
        exclude_larger_than: Some(1000),
        ..Selection::default()
    };
    let (decisions, counts) = decide(source.path(), &selection);
    assert_eq!(decisions.included, ["just"]);
    assert_eq!(
        decisions.excluded,
        [("over".to_owned(), Exclusion::ExcludeLargerThan)]
    );
    assert_eq!((counts.files, counts.bytes), (1, 1000));
}

#[test]
fn other_file_systems_are_entered_only_if_asked() {
    struct Tmpfs(PathBuf);
    impl Drop for Tmpfs {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg(&self.0).status();
        }
    }
    let source = tempfile::tempdir().unwrap();
    plant(source.path(), &["file", "first/", "second/"]);
    let mut mounted = Vec::new();
    for name in ["first", "second"] {
        let path = source.path().join(name);
        run(Command::new("mount")
            .args(["-t", "tmpfs", "none"])
            .arg(&path));
        fs::write(path.join("inside"), name).unwrap();
        mounted.push(Tmpfs(path));
    }
    let listed = |selection: &Selection, read_through: &[&str]| {
        let mounts = read_through.iter().map(PathBuf::from).collect();
        let source = Source::open(source.path()).unwrap().reading_through(mounts);
        let scanned = scan::scan(source, selection, &mut (), &Control::default());
        let Scanned { tree, notes } = scanned.unwrap();
        let others: Vec<_> = notes.other_file_systems.first().to_vec();
        let archive = Archive::of_tree(&tree, &Options::default());
        let shown = snapshot(archive.mount().path()).into_keys();
        let shown: Vec<_> = shown
            .map(|path| path.to_str().unwrap().to_owned())
            .collect();
        (shown.join(" "), others)
    };
    let (shown, others) = listed(&Selection::default(), &[]);
    assert_eq!(shown, " file first second");
    assert_eq!(others, ["first", "second"].map(PathBuf::from));

    let (shown, others) = listed(&Selection::default(), &["second"]);
    assert_eq!(shown, " file first second second/inside");
    assert_eq!(others, [PathBuf::from("first")]);

    let everything = Selection {
        cross_file_systems: true,
        ..Selection::default()
    };
    let (shown, others) = listed(&everything, &[]);
    assert_eq!(shown, " file first first/inside second second/inside");
    assert!(others.is_empty());
}
