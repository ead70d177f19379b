//! Which entries are left out, by `.gitignore` rules as gitignore(5) has them.
//!
//! The matching of one file's patterns is crate `ignore`'s. Which files apply
//! to a path, and which of them wins, is decided here, because crate `ignore`'s
//! own walker opens files by path, and ours must not.

use std::{
    ffi::OsStr,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    rc::Rc,
};

use ignore::{
    Match,
    gitignore::{Gitignore, GitignoreBuilder},
};
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, fstat, openat, statat},
    io::{Errno, read},
};

use super::{Exclusion, ScanError, Selection, Source, source::open_file};

/// A longer file of patterns is not one: it would cost more to match than to store.
const LONGEST_PATTERN_FILE: usize = 4 << 20;

/// What every `CACHEDIR.TAG` begins with.
const CACHE_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// Patterns of one directory and, behind it, those of the directories above.
pub(super) struct GitRules {
    /// Bytes of the path (relative to the source) that lead to this directory,
    /// with the slash after them.
    prefix: usize,
    /// For directories above the source: the path from there to the source,
    /// with a slash at its end.
    above: Vec<u8>,
    /// Strongest first: `.gitignore`, then, at a repository's root,
    /// `.git/info/exclude`.
    matchers: Vec<Gitignore>,
    parent: Option<Rc<GitRules>>,
}

impl GitRules {
    /// Whether git would leave `path` out, by rules of this directory or one
    /// above. The innermost directory that has something to say decides.
    fn excludes(&self, path: &[u8], is_directory: bool) -> bool {
        let mut rules = self;
        loop {
            let joined;
            let relative = if rules.above.is_empty() {
                &path[rules.prefix..]
            } else {
                joined = [&rules.above, path].concat();
                &joined
            };
            for matcher in &rules.matchers {
                match matcher.matched(as_path(relative), is_directory) {
                    Match::Ignore(_) => return true,
                    Match::Whitelist(_) => return false,
                    Match::None => {}
                }
            }
            match &rules.parent {
                Some(parent) => rules = parent,
                None => return false,
            }
        }
    }
}

/// The rules of a [`Selection`].
pub(super) struct Rules {
    excludes: Gitignore,
    gitignore: bool,
}

impl Rules {
    pub(super) fn new(selection: &Selection) -> Result<Self, ScanError> {
        let mut builder = GitignoreBuilder::new("");
        for (index, pattern) in selection.excludes.iter().enumerate() {
            let problem = |error: ignore::Error| ScanError::Pattern {
                index,
                message: error.to_string(),
            };
            builder.add_line(None, pattern).map_err(problem)?;
        }
        let excludes = builder.build().map_err(|error| ScanError::Pattern {
            index: 0,
            message: error.to_string(),
        })?;
        Ok(Self {
            excludes,
            gitignore: selection.gitignore,
        })
    }

    /// Why `path`, relative to the source, is to be left out, if it is.
    pub(super) fn exclusion(
        &self,
        git: Option<&GitRules>,
        path: &[u8],
        is_directory: bool,
    ) -> Option<Exclusion> {
        if !self.excludes.is_empty() {
            match self.excludes.matched(as_path(path), is_directory) {
                Match::Ignore(_) => return Some(Exclusion::Excludes),
                Match::Whitelist(_) => return None,
                Match::None => {}
            }
        }
        git.is_some_and(|git| git.excludes(path, is_directory))
            .then_some(Exclusion::Gitignore)
    }

    /// The rules that hold in the directory the scan starts from: those of its
    /// parents, if it is inside a repository.
    pub(super) fn above(&self, source: &Source) -> Option<Rc<GitRules>> {
        if !self.gitignore || is_repository(source.root()) {
            return None;
        }
        let mut parents: Vec<(OwnedFd, Vec<u8>)> = Vec::new();
        let mut above = Vec::new();
        let mut path = source.path();
        loop {
            let (parent, name) = (path.parent()?, path.file_name()?);
            let below = parents.last().map_or(source.root(), |(fd, _)| fd.as_fd());
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let directory = openat(below, "..", flags, Mode::empty()).ok()?;
            above = [name.as_bytes(), b"/", &above].concat();
            path = parent;
            let found = is_repository(directory.as_fd());
            parents.push((directory, above.clone()));
            if found {
                break;
            }
        }
        let mut rules = None;
        for (directory, above) in parents.into_iter().rev() {
            let matchers = pattern_files(directory.as_fd(), true, true);
            rules = Some(Rc::new(GitRules {
                prefix: 0,
                above,
                matchers,
                parent: rules,
            }));
        }
        rules
    }

    /// The rules that hold in a directory, given those of its parent and
    /// whether it has entries of these names.
    pub(super) fn enter(
        &self,
        parent: Option<&Rc<GitRules>>,
        directory: BorrowedFd<'_>,
        prefix: usize,
        has_patterns: bool,
        has_git: bool,
    ) -> Option<Rc<GitRules>> {
        if !self.gitignore || !(has_patterns || has_git) {
            return parent.cloned();
        }
        let is_root = has_git && is_repository(directory);
        let matchers = pattern_files(directory, has_patterns, is_root);
        let parent = if is_root { None } else { parent.cloned() };
        Some(Rc::new(GitRules {
            prefix,
            above: Vec::new(),
            matchers,
            parent,
        }))
    }
}

fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// Whether a directory is the root of a working tree. In linked working trees
/// and submodules, `.git` is a file.
fn is_repository(directory: BorrowedFd<'_>) -> bool {
    statat(directory, ".git", AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| {
        matches!(
            FileType::from_raw_mode(stat.st_mode),
            FileType::Directory | FileType::RegularFile
        )
    })
}

fn pattern_files(directory: BorrowedFd<'_>, patterns: bool, is_root: bool) -> Vec<Gitignore> {
    let mut matchers = Vec::new();
    if patterns && let Ok(text) = read_small_file(directory, b".gitignore", LONGEST_PATTERN_FILE) {
        matchers.push(parse(&text));
    }
    if is_root && let Ok(text) = read_info_exclude(directory) {
        matchers.push(parse(&text));
    }
    matchers.retain(|matcher| !matcher.is_empty());
    matchers
}

fn read_info_exclude(directory: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let git = openat(directory, ".git", flags, Mode::empty())?;
    let info = openat(&git, "info", flags, Mode::empty())?;
    read_small_file(info.as_fd(), b"exclude", LONGEST_PATTERN_FILE)
}

/// The patterns of one file. As with git, a line that is no pattern matches
/// nothing; so does one that is not UTF-8, which keeps files in.
fn parse(text: &[u8]) -> Gitignore {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut builder = GitignoreBuilder::new("");
    for line in text.split(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Ok(line) = str::from_utf8(line) {
            // An error leaves the builder as it was.
            let _ = builder.add_line(None, line);
        }
    }
    builder.build().unwrap_or_else(|_| Gitignore::empty())
}

/// Whether a directory that has an entry `CACHEDIR.TAG` is a cache.
pub(super) fn is_cache(directory: BorrowedFd<'_>) -> bool {
    read_start(directory, b"CACHEDIR.TAG", CACHE_SIGNATURE.len())
        .is_ok_and(|start| start == CACHE_SIGNATURE)
}

fn read_small_file(
    directory: BorrowedFd<'_>,
    name: &[u8],
    longest: usize,
) -> Result<Vec<u8>, Errno> {
    let text = read_start(directory, name, longest + 1)?;
    if text.len() > longest {
        return Err(Errno::FBIG);
    }
    Ok(text)
}

/// The first `length` bytes of a regular file, or all if it has fewer.
fn read_start(directory: BorrowedFd<'_>, name: &[u8], length: usize) -> Result<Vec<u8>, Errno> {
    let file = open_file(directory, name)?;
    let stat = fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Errno::INVAL);
    }
    let mut text = vec![0; length.min(stat.st_size as usize)];
    let mut filled = 0;
    while filled < text.len() {
        match read(&file, &mut text[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    text.truncate(filled);
    Ok(text)
}
