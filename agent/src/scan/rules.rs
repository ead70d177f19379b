//! Which entries are left out, as gitignore(5) has it.
//!
//! Which files of patterns apply to a path, and which of them wins, is decided
//! here; [`patterns`] has what one of them says, and [`index`] which files are
//! tracked. Git's own files are only read, and only below handles of
//! directories: none of its programs is run.

use std::{
    borrow::Cow,
    ffi::OsStr,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    rc::Rc,
};

use rustix::{
    fs::{FileType, Mode, OFlags, fstat, openat},
    io::{Errno, read},
};

use squashfs::{source::open_file, tally::Tally};

use super::{Bounds, Exclusion, ScanError, Selection, Source, to_path};

mod glob;
mod globs;
mod index;
mod patterns;
mod repository;

use patterns::Patterns;
use repository::{GitDirectory, Repository, Room, is_repository};

/// The name of a repository's own files.
const GIT: &[u8] = b".git";

/// A longer file of patterns is not one: it would cost more to match than to store.
const LONGEST_PATTERN_FILE: usize = 4 << 20;

/// What every `CACHEDIR.TAG` begins with.
const CACHE_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// What git leaves out of a directory.
#[derive(Clone)]
pub(super) enum View {
    /// Nothing.
    All,
    /// What patterns say, if there are any, but for what is tracked.
    Ruled(Option<Rc<GitRules>>),
    /// All but what is tracked: patterns leave the directory itself out.
    Tracked(Rc<Repository>),
}

/// Patterns of one directory and, behind it, those of the directories above.
pub(super) struct GitRules {
    /// Bytes of a path, as [`Rules::whole`] gives it, that lead to this directory,
    /// with the slash after them.
    prefix: usize,
    /// Strongest first: `.gitignore`, then, at a repository's root,
    /// `.git/info/exclude`.
    patterns: Vec<Patterns>,
    parent: Option<Rc<GitRules>>,
    /// The one that the directory is in.
    repository: Option<Rc<Repository>>,
}

impl GitRules {
    /// Whether patterns of this directory, or of one above, leave `path` out. The
    /// innermost directory that has something to say decides.
    fn exclude(&self, path: &[u8], is_directory: bool) -> bool {
        let mut rules = Some(self);
        while let Some(GitRules {
            prefix,
            patterns,
            parent,
            ..
        }) = rules
        {
            let said = patterns
                .iter()
                .find_map(|patterns| patterns.keep(&path[*prefix..], is_directory));
            if let Some(keep) = said {
                return !keep;
            }
            rules = parent.as_deref();
        }
        false
    }
}

impl Drop for GitRules {
    /// One after the other: a directory can be deeper than a stack.
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(mut rules) = next.and_then(Rc::into_inner) {
            next = rules.parent.take();
        }
    }
}

/// The rules of a [`Selection`].
pub(super) struct Rules {
    excludes: Patterns,
    gitignore: bool,
    /// The path from the root of the repository to the source, with a slash in
    /// the end, if the source is below it.
    above: Vec<u8>,
    room: Room,
    /// Roots of repositories whose index could not be read.
    pub(super) unread_indexes: Tally<PathBuf>,
}

impl Rules {
    pub(super) fn new(selection: &Selection) -> Result<Self, ScanError> {
        let mut excludes = Patterns::default();
        for (index, pattern) in selection.excludes.iter().enumerate() {
            excludes
                .add(pattern.as_bytes())
                .map_err(|problem| ScanError::Pattern {
                    index,
                    message: problem.to_owned(),
                })?;
        }
        Ok(Self {
            excludes,
            gitignore: selection.gitignore,
            above: Vec::new(),
            room: Room::default(),
            unread_indexes: Tally::default(),
        })
    }

    /// How to see `path`, relative to the source, in a directory that is seen as
    /// `view`; or why it is left out.
    pub(super) fn judge(
        &self,
        view: &View,
        path: &[u8],
        is_directory: bool,
    ) -> Result<View, Exclusion> {
        let asked_for = match self.excludes.keep(path, is_directory) {
            Some(false) => return Err(Exclusion::Excludes),
            Some(true) => true,
            None => false,
        };
        let repository = match view {
            View::All => return Ok(View::All),
            View::Tracked(repository) => Some(repository),
            // Git applies no patterns to its own files.
            View::Ruled(_) if is_git(path) => return Ok(View::All),
            View::Ruled(Some(rules))
                if !asked_for && rules.exclude(&self.whole(path), is_directory) =>
            {
                rules.repository.as_ref()
            }
            View::Ruled(_) => return Ok(view.clone()),
        };
        repository
            .and_then(|repository| repository.keeps(&self.whole(path), is_directory))
            .ok_or(Exclusion::Gitignore)
    }

    /// The path from the root of the repository that the source is in.
    fn whole<'p>(&self, path: &'p [u8]) -> Cow<'p, [u8]> {
        if self.above.is_empty() {
            return Cow::Borrowed(path);
        }
        Cow::Owned([&self.above, path].concat())
    }

    /// How the directory is seen that the scan starts from: by the rules of those
    /// above it, if it is inside a repository.
    pub(super) fn above(&mut self, source: &Source) -> View {
        if !self.gitignore {
            return View::All;
        }
        let mut view = View::Ruled(None);
        let parents = parents_in_repository(source).unwrap_or_default();
        let Some((_, root)) = parents.last() else {
            return view;
        };
        let below_root = |path: &Path| match path.strip_prefix(root) {
            Ok(path) if path != Path::new("") => [path.as_os_str().as_bytes(), b"/"].concat(),
            _ => Vec::new(),
        };
        self.above = below_root(source.path());
        if self
            .above
            .split(|&byte| byte == b'/')
            .any(|name| name == GIT)
        {
            return View::All;
        }
        for (directory, path) in parents.iter().rev() {
            view = if path == root {
                match self.root(&source.bounds, directory.as_fd(), path, 0) {
                    Ok(view) => view,
                    Err(_) => {
                        self.unread_indexes.add(PathBuf::new());
                        return View::All;
                    }
                }
            } else {
                ruled(&view, directory.as_fd(), below_root(path).len())
            };
        }
        view
    }

    /// How a directory is seen from inside that is `view` from outside, and has
    /// entries of these names or not.
    pub(super) fn enter(
        &mut self,
        view: &View,
        bounds: &Bounds,
        directory: BorrowedFd<'_>,
        path: &[u8],
        has_patterns: bool,
        has_git: bool,
    ) -> View {
        if !self.gitignore {
            return View::All;
        }
        let slash = usize::from(!path.is_empty());
        let prefix = self.above.len() + path.len() + slash;
        if has_git && !matches!(view, View::Tracked(_)) && is_repository(directory) {
            let place = bounds.path().join(OsStr::from_bytes(path));
            return match self.root(bounds, directory, &place, prefix) {
                Ok(view) => view,
                Err(_) => {
                    self.unread_indexes.add(to_path(path));
                    View::All
                }
            };
        }
        if has_patterns {
            return ruled(view, directory, prefix);
        }
        view.clone()
    }

    /// How the root of a repository is seen, at the absolute `path`.
    ///
    /// # Errors
    /// If it cannot be told what is tracked.
    fn root(
        &self,
        bounds: &Bounds,
        directory: BorrowedFd<'_>,
        path: &Path,
        prefix: usize,
    ) -> io::Result<View> {
        let git = GitDirectory::find(directory, path, bounds)?;
        let repository = Repository::open(&git, prefix, &self.room)?;
        let gitignore = read_small_file(directory, b".gitignore", LONGEST_PATTERN_FILE).ok();
        let texts = [gitignore, git.exclude(bounds).ok()];
        let patterns = texts.iter().flatten().map(|text| Patterns::of_file(text));
        Ok(View::Ruled(Some(Rc::new(GitRules {
            prefix,
            patterns: patterns.collect(),
            parent: None,
            repository: Some(Rc::new(repository)),
        }))))
    }
}

/// The directories above the source, the innermost first, up to the root of the
/// repository; none if the source is a root itself, or is in no repository.
fn parents_in_repository(source: &Source) -> Option<Vec<(OwnedFd, &Path)>> {
    let mut parents: Vec<(OwnedFd, &Path)> = Vec::new();
    loop {
        let (directory, path) = match parents.last() {
            Some((directory, path)) => (directory.as_fd(), *path),
            None => (source.root(), source.path()),
        };
        if is_repository(directory) {
            return Some(parents);
        }
        let above = path.parent()?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = openat(directory, "..", flags, Mode::empty()).ok()?;
        parents.push((opened, above));
    }
}

/// How a directory is seen that has a `.gitignore`.
fn ruled(view: &View, directory: BorrowedFd<'_>, prefix: usize) -> View {
    let View::Ruled(parent) = view else {
        return view.clone();
    };
    let Ok(text) = read_small_file(directory, b".gitignore", LONGEST_PATTERN_FILE) else {
        return view.clone();
    };
    View::Ruled(Some(Rc::new(GitRules {
        prefix,
        patterns: vec![Patterns::of_file(&text)],
        parent: parent.clone(),
        repository: parent.as_ref().and_then(|parent| parent.repository.clone()),
    })))
}

/// Whether a path is that of a repository's own files.
fn is_git(path: &[u8]) -> bool {
    path.rsplit(|&byte| byte == b'/').next() == Some(GIT)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_directories_of_any_depth_are_dropped() {
        let mut rules: Option<Rc<GitRules>> = None;
        for _ in 0..1_000_000 {
            rules = Some(Rc::new(GitRules {
                prefix: 0,
                patterns: Vec::new(),
                parent: rules,
                repository: None,
            }));
        }
        drop(rules);
    }
}
