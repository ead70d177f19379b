//! Where the index of a repository is, in which form, and what follows where it
//! cannot be read.

use std::{fs, path::Path};

use sandbox_agent::scan::Source;

use crate::git::*;

/// A repository with `kept.o` and `made.o`, of which git ignores both and tracks
/// the first.
fn repository(root: &Path, init: &[&str]) {
    plant(
        root,
        [
            ("kept.o", ""),
            ("made.o", ""),
            ("dir/kept.o", ""),
            ("dir/made.o", ""),
            ("plain", ""),
        ],
    );
    plant(root, [(".gitignore", "*.o\n")]);
    git(root, &[&["init", "--quiet"], init].concat());
    git(
        root,
        &[
            "add",
            "--force",
            "kept.o",
            "dir/kept.o",
            "plain",
            ".gitignore",
        ],
    );
}

fn assert_kept(root: &Path, files: &[&str]) {
    let scanned = scan_by_git(root);
    assert!(scanned.notes.unread_indexes.is_empty());
    let kept: Vec<_> = scanned.files(root).into_iter().collect();
    let mut files: Vec<_> = files.iter().map(Path::new).collect();
    files.sort();
    assert_eq!(kept, files);
}

const TRACKED: [&str; 4] = [".gitignore", "dir/kept.o", "kept.o", "plain"];

#[test]
fn indexes_of_every_kind_are_read() {
    let sha256 = ["--object-format=sha256"].as_slice();
    for init in [[].as_slice(), sha256] {
        for version in ["2", "3", "4"] {
            let root = tempfile::tempdir().unwrap();
            let root = root.path();
            repository(root, init);
            git(root, &["update-index", "--index-version", version]);
            if version != "2" {
                // Which takes a flag that is not in version 2.
                git(root, &["update-index", "--skip-worktree", "kept.o"]);
            }
            let index = fs::read(root.join(".git/index")).unwrap();
            assert_eq!(index[7].to_string(), version);
            assert_kept(root, &TRACKED);

            git(root, &["update-index", "--split-index"]);
            assert_kept(root, &TRACKED);
            // Now there are entries in both parts, and some that replace others.
            plant(root, [("late.o", ""), ("plain", "changed")]);
            git(root, &["add", "--force", "late.o", "plain"]);
            assert_kept(root, &[TRACKED.as_slice(), &["late.o"]].concat());
        }
    }
}

/// With such an index, git does not know the names of all files that are tracked.
#[test]
fn below_a_sparse_directory_everything_is_kept() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    repository(root, &[]);
    plant(root, [("in/plain", "")]);
    git(root, &["add", "in"]);
    git(root, &["commit", "--quiet", "--message", "all"]);
    git(
        root,
        &["sparse-checkout", "set", "--cone", "--sparse-index", "in"],
    );
    assert!(
        git(root, &["ls-files", "--sparse"])
            .windows(4)
            .any(|name| name == b"dir/")
    );
    plant(
        root,
        [("dir/kept.o", ""), ("dir/made.o", ""), ("made.o", "")],
    );
    assert_kept(
        root,
        &[TRACKED.as_slice(), &["in/plain", "dir/made.o"]].concat(),
    );
}

#[test]
fn conflicts_are_tracked() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    repository(root, &[]);
    git(root, &["commit", "--quiet", "--message", "all"]);
    git(root, &["checkout", "--quiet", "-b", "other"]);
    for branch in ["other", "-"] {
        if branch == "-" {
            git(root, &["checkout", "--quiet", "-"]);
        }
        plant(root, [("kept.o", branch)]);
        git(root, &["commit", "--quiet", "--all", "--message", branch]);
    }
    let merged = command(root).args(["merge", "--quiet", "other"]).output();
    assert!(!merged.unwrap().status.success());
    assert!(!git(root, &["ls-files", "--unmerged"]).is_empty());
    assert_kept(root, &TRACKED);
}

/// The index and `info/exclude` of such a tree lie elsewhere.
#[test]
fn linked_working_trees_and_submodules_have_their_own_index() {
    let base = tempfile::tempdir().unwrap();
    let base = base.path().canonicalize().unwrap();
    let (main, linked) = (base.join("main"), base.join("linked"));
    repository(&main, &[]);
    git(&main, &["commit", "--quiet", "--message", "all"]);
    git(
        &main,
        &["worktree", "add", "--quiet", linked.to_str().unwrap()],
    );
    git(
        &main,
        &["submodule", "--quiet", "add", main.to_str().unwrap(), "sub"],
    );
    fs::write(main.join(".git/info/exclude"), "private\n").unwrap();
    plant(
        &linked,
        [("made.o", ""), ("private", ""), ("dir/made.o", "")],
    );
    plant(&main, [("sub/made.o", ""), ("sub/dir/made.o", "")]);
    assert_kept(&linked, &TRACKED);
    assert_kept(&linked.join("dir"), &["kept.o"]);
    assert_kept(&main.join("sub"), &TRACKED);
    assert_kept(&main.join("sub/dir"), &["kept.o"]);
    // A submodule that patterns leave out is tracked, and has its own rules.
    fs::write(main.join(".gitignore"), "*.o\nsub/\n").unwrap();
    let below = TRACKED.map(|file| format!("sub/{file}"));
    let below: Vec<_> = below.iter().map(String::as_str).collect();
    assert_kept(
        &main,
        &[TRACKED.as_slice(), &[".gitmodules"], &below].concat(),
    );

    // Where nothing else may be looked into, `main` has all that belongs to `sub`,
    // but `linked` has not.
    let unread = |directory: &Path, looked_into: &Path| {
        let source = Source::open(directory)
            .unwrap()
            .looking_into(vec![looked_into.to_owned()]);
        let scanned = scan(source, &gitignore()).unwrap();
        let all = scanned.excluded.is_empty();
        let unread = scanned.notes.unread_indexes.first().to_vec();
        assert_eq!(all, !unread.is_empty());
        unread
    };
    assert_eq!(unread(&main, &base.join("none")), [Path::new("")].repeat(0));
    assert_eq!(
        unread(&linked, &base.join("main/.git/objects")),
        [Path::new("")]
    );
    assert_eq!(unread(&linked, &main), [Path::new("")].repeat(0));
    assert_eq!(
        unread(&main.join("sub/dir"), &base.join("none")),
        [Path::new("")]
    );
}

/// Does harm to a git directory.
type Break = fn(&Path);

/// What is lost cannot be had back; what is kept for nothing can be left out.
#[test]
fn where_an_index_cannot_be_read_nothing_is_left_out() {
    let kinds: [(&str, Break); 8] = [
        ("cut", |git| {
            let index = fs::read(git.join("index")).unwrap();
            fs::write(git.join("index"), &index[..index.len() / 2]).unwrap();
        }),
        ("empty", |git| fs::write(git.join("index"), "").unwrap()),
        ("of a later version", |git| {
            let mut index = fs::read(git.join("index")).unwrap();
            index[7] = 5;
            fs::write(git.join("index"), index).unwrap();
        }),
        ("with an extension that must be known", |git| {
            let mut index = fs::read(git.join("index")).unwrap();
            let end = index.len() - 20;
            index.splice(end..end, *b"newx\0\0\0\0");
            fs::write(git.join("index"), index).unwrap();
        }),
        ("too large", |git| {
            let index = fs::OpenOptions::new()
                .write(true)
                .open(git.join("index"))
                .unwrap();
            index.set_len(1 << 40).unwrap();
        }),
        ("a directory", |git| {
            fs::remove_file(git.join("index")).unwrap();
            fs::create_dir(git.join("index")).unwrap();
        }),
        ("of which a part is missing", |git| {
            crate::git::git(git.parent().unwrap(), &["update-index", "--split-index"]);
            for entry in fs::read_dir(git).unwrap() {
                let entry = entry.unwrap();
                if entry
                    .file_name()
                    .to_str()
                    .unwrap()
                    .starts_with("sharedindex.")
                {
                    fs::remove_file(entry.path()).unwrap();
                }
            }
        }),
        ("nowhere", |git| {
            fs::remove_dir_all(git).unwrap();
            fs::write(git, "gitdir: ../gone\n").unwrap();
        }),
    ];
    for (how, break_it) in kinds {
        let outer = tempfile::tempdir().unwrap();
        let inner = outer.path().join("inner");
        repository(outer.path(), &[]);
        repository(&inner, &[]);
        break_it(&inner.join(".git"));
        let scanned = scan_by_git(outer.path());
        // The repository that it is in is not touched by that.
        let excluded: Vec<_> = scanned
            .excluded
            .iter()
            .map(|(path, _)| path.to_str().unwrap())
            .collect();
        assert_eq!(excluded, ["made.o", "dir/made.o"], "{how}");
        assert_eq!(
            scanned.notes.unread_indexes.first(),
            [Path::new("inner")],
            "{how}"
        );

        let scanned = scan_by_git(&inner.join("dir"));
        assert!(scanned.excluded.is_empty(), "{how}");
        assert_eq!(
            scanned.notes.unread_indexes.first(),
            [Path::new("")],
            "{how}"
        );
    }
}

#[test]
fn a_repository_without_an_index_tracks_nothing() {
    let root = tempfile::tempdir().unwrap();
    plant(root.path(), [("made.o", ""), (".gitignore", "*.o")]);
    git(root.path(), &["init", "--quiet"]);
    assert_kept(root.path(), &[".gitignore"]);
}

/// `repo`, for one, makes such working trees.
#[test]
fn a_link_to_the_git_directory_is_followed() {
    let base = tempfile::tempdir().unwrap();
    let root = base.path().join("tree");
    repository(&root, &[]);
    fs::rename(root.join(".git"), base.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink("../elsewhere", root.join(".git")).unwrap();
    assert_kept(&root, &TRACKED);
}
