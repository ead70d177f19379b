//! Which entries are left out: patterns in `.gitignore` syntax.

use std::path::{Path, PathBuf};

use ignore::{
    Match,
    gitignore::{Gitignore, GitignoreBuilder},
};

use super::ArchiveError;

/// What to leave out of an archive.
///
/// The caller's own patterns decide first; a `!pattern` among them also keeps
/// what a `.gitignore` file names. Then the `.gitignore` files speak, the
/// deepest first, as Git has it. What is in a directory that is left out is
/// not looked at, so it cannot be brought back.
#[derive(Debug)]
pub struct Rules {
    excludes: Gitignore,
    gitignore: bool,
    /// One for each directory above the entry at hand that has such a file.
    files: Vec<(PathBuf, Gitignore)>,
}

impl Rules {
    /// Patterns relative to `dir`, and whether `.gitignore` files count.
    pub fn new(dir: &Path, excludes: &[String], gitignore: bool) -> Result<Self, ArchiveError> {
        let mut builder = GitignoreBuilder::new(dir);
        for pattern in excludes {
            builder
                .add_line(None, pattern)
                .map_err(ArchiveError::BadPattern)?;
        }
        Ok(Self {
            excludes: builder.build().map_err(ArchiveError::BadPattern)?,
            gitignore,
            files: Vec::new(),
        })
    }

    /// Takes notice of a directory's own `.gitignore`.
    pub(super) fn enter(&mut self, dir: &Path) {
        let file = dir.join(".gitignore");
        if self.gitignore && file.is_file() {
            // As in Git, a line that is no pattern counts as absent.
            let (rules, _) = Gitignore::new(file);
            self.files.push((dir.to_owned(), rules));
        }
    }

    /// Whether an entry is left out.
    pub(super) fn leave_out(&mut self, path: &Path, is_dir: bool) -> bool {
        match self.excludes.matched(path, is_dir) {
            Match::Ignore(_) => return true,
            Match::Whitelist(_) => return false,
            Match::None => {}
        }
        while self
            .files
            .last()
            .is_some_and(|(dir, _)| !path.starts_with(dir))
        {
            self.files.pop();
        }
        for (_, rules) in self.files.iter().rev() {
            match rules.matched(path, is_dir) {
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
                Match::None => {}
            }
        }
        false
    }
}
