//! Running git, and running our scan.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs,
    io::Write,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use sandbox_agent::scan::{
    self, Control, Exclusion, Notes, Observer, ScanError, Selection, Source,
};

/// Git in `directory`, with nobody's settings.
pub(crate) fn command(directory: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("-C")
        .arg(directory)
        .args(["-c", "core.excludesFile=/dev/null"])
        .args(["-c", "user.name=test", "-c", "user.email=test"])
        .args(["-c", "protocol.file.allow=always"])
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null");
    git
}

/// How often a property is tried; `PROPTEST_CASES` may say otherwise.
pub(crate) fn cases(cases: u32) -> u32 {
    let asked_for = std::env::var("PROPTEST_CASES").ok();
    asked_for
        .and_then(|asked_for| asked_for.parse().ok())
        .unwrap_or(cases)
}

/// What git says, if it succeeds.
pub(crate) fn git(directory: &Path, arguments: &[&str]) -> Vec<u8> {
    succeeded(command(directory).args(arguments).output().unwrap())
}

/// What paths git says to those on its standard input.
pub(crate) fn git_on<'a>(
    directory: &Path,
    arguments: &[&str],
    paths: impl IntoIterator<Item = &'a PathBuf>,
) -> BTreeSet<PathBuf> {
    let mut git = command(directory);
    git.args(arguments);
    git.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = git.stderr(Stdio::piped()).spawn().unwrap();
    let paths: Vec<_> = paths.into_iter().cloned().collect();
    let mut input = child.stdin.take().unwrap();
    let writing = std::thread::spawn(move || {
        for path in paths {
            input.write_all(path.as_os_str().as_bytes()).unwrap();
            input.write_all(b"\0").unwrap();
        }
    });
    let mut output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    // What `check-ignore` says when there is nothing to say.
    if output.status.code() == Some(1) && arguments[0] == "check-ignore" {
        output.status = std::process::ExitStatus::default();
    }
    paths_of(&succeeded(output))
}

fn succeeded(output: Output) -> Vec<u8> {
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

fn paths_of(list: &[u8]) -> BTreeSet<PathBuf> {
    list.split(|&byte| byte == 0)
        .filter(|path| !path.is_empty())
        .map(|path| PathBuf::from(OsString::from_vec(path.to_vec())))
        .collect()
}

/// Those of the paths that git leaves out, tracked or not.
pub(crate) fn ignored<'a>(
    root: &Path,
    paths: impl IntoIterator<Item = &'a PathBuf>,
) -> BTreeSet<PathBuf> {
    git_on(
        root,
        &["check-ignore", "--no-index", "-z", "--stdin"],
        paths,
    )
}

/// The files that git keeps, relative to `root`, those of repositories inside
/// included, by their own rules.
pub(crate) fn kept_by_git(root: &Path) -> BTreeSet<PathBuf> {
    let list = [
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ];
    let mut kept = BTreeSet::new();
    for path in paths_of(&git(root, &list)) {
        let on_disk = root.join(&path);
        if on_disk.join(".git").exists() {
            kept.extend(kept_by_git(&on_disk).iter().map(|inner| path.join(inner)));
        } else if on_disk
            .symlink_metadata()
            .is_ok_and(|found| !found.is_dir())
        {
            kept.insert(path);
        }
    }
    kept
}

/// What a scan decided.
#[derive(Default)]
pub(crate) struct Scanned {
    pub(crate) included: BTreeSet<PathBuf>,
    pub(crate) excluded: Vec<(PathBuf, Exclusion)>,
    pub(crate) notes: Notes,
}

impl Observer for Scanned {
    fn included(&mut self, path: &Path) {
        self.included.insert(path.to_owned());
    }

    fn excluded(&mut self, path: &Path, why: Exclusion) {
        self.excluded.push((path.to_owned(), why));
    }
}

impl Scanned {
    /// The files that are kept, but for git's own.
    pub(crate) fn files(&self, root: &Path) -> BTreeSet<PathBuf> {
        let is_git = |path: &Path| path.components().any(|name| name.as_os_str() == ".git");
        let is_file = |path: &Path| !root.join(path).symlink_metadata().unwrap().is_dir();
        let files = self.included.iter().cloned();
        files
            .filter(|path| !is_git(path) && is_file(path))
            .collect()
    }
}

pub(crate) fn scan(source: Source, selection: &Selection) -> Result<Scanned, ScanError> {
    let mut scanned = Scanned::default();
    scanned.notes = scan::scan(source, selection, &mut scanned, &Control::default())?.notes;
    Ok(scanned)
}

/// A scan of `directory` by `.gitignore` files, which may look for indexes
/// anywhere.
pub(crate) fn scan_by_git(directory: &Path) -> Scanned {
    let source = Source::open(directory).unwrap();
    scan(source.looking_into(vec!["/".into()]), &gitignore()).unwrap()
}

pub(crate) fn gitignore() -> Selection {
    Selection {
        gitignore: true,
        ..Selection::default()
    }
}

/// Writes files and the directories they are in.
pub(crate) fn plant<'a>(root: &Path, files: impl IntoIterator<Item = (&'a str, &'a str)>) {
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

pub(crate) fn path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}
