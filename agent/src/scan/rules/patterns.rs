//! The patterns of one file, or of `excludes`, in the syntax of gitignore(5).
//!
//! The last one that matches decides. Those without wildcards, and those that
//! only ask how a name ends, are looked up, so that thousands of them cost as
//! much as one.

use std::collections::HashMap;

use super::{
    glob::{self, literal_length},
    globs::Globs,
};

/// Patterns, the later the stronger.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    count: u32,
    /// By the last component of a path.
    names: Table,
    /// By the whole path.
    paths: Table,
    /// By what a name ends in, for each length of that.
    endings: Vec<(usize, Table)>,
    globs: Globs<Rule>,
}

/// One pattern's say.
#[derive(Clone, Copy, Debug)]
struct Rule {
    /// Its place among all.
    number: u32,
    /// It began with `!`.
    keeps: bool,
    /// It ended with `/`.
    only_directories: bool,
}

/// Patterns that are looked up by their text: the last one of each, and the last
/// one for directories only.
#[derive(Debug, Default)]
struct Table(HashMap<Box<[u8]>, [Option<Rule>; 2]>);

impl Table {
    fn add(&mut self, text: &[u8], rule: Rule) {
        let last = self.0.entry(text.into()).or_default();
        last[usize::from(rule.only_directories)] = Some(rule);
    }

    fn last(&self, text: &[u8], is_directory: bool) -> Option<Rule> {
        let rules = self.0.get(text)?.iter().flatten();
        let rules = rules.filter(|rule| is_directory || !rule.only_directories);
        rules.copied().max_by_key(|rule| rule.number)
    }
}

impl Patterns {
    /// The patterns of a file. As with git, lines that are none match nothing.
    pub(super) fn of_file(text: &[u8]) -> Self {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let mut patterns = Self::default();
        for line in text.split(|&byte| byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            // Git's lines are strings of C.
            let end = line.iter().position(|&byte| byte == b'\0');
            // A line that is no pattern is passed over.
            let _ = patterns.add(&line[..end.unwrap_or(line.len())]);
        }
        patterns
    }

    /// Adds a line, if it is neither empty nor a comment.
    ///
    /// # Errors
    /// What is wrong, where the line is one that can match nothing.
    pub(super) fn add(&mut self, line: &[u8]) -> Result<(), &'static str> {
        if line.starts_with(b"#") {
            return Ok(());
        }
        let line = without_trailing_spaces(line);
        let (text, keeps) = match line.strip_prefix(b"!") {
            Some(text) => (text, true),
            None => (line, false),
        };
        let (text, only_directories) = match text.strip_suffix(b"/") {
            Some(text) => (text, true),
            None => (text, false),
        };
        let has_slash = text.contains(&b'/');
        let text = text.strip_prefix(b"/").unwrap_or(text);
        // So begins what holds at any depth, as a name does.
        let at_any_depth = text
            .strip_prefix(b"**/")
            .filter(|rest| !rest.contains(&b'/'));
        let of_name = !has_slash || at_any_depth.is_some();
        let text = at_any_depth.unwrap_or(text);
        if text.is_empty() {
            return Ok(());
        }
        if let Some(problem) = glob::problem(text) {
            return Err(problem);
        }
        let rule = Rule {
            number: self.count,
            keeps,
            only_directories,
        };
        self.count += 1;
        if literal_length(text) == text.len() {
            let table = if of_name {
                &mut self.names
            } else {
                &mut self.paths
            };
            table.add(text, rule);
        } else if let (true, [b'*', ending @ ..]) = (of_name, text)
            && literal_length(ending) == ending.len()
        {
            self.endings_of(ending.len()).add(ending, rule);
        } else {
            self.globs.push(text, of_name, rule);
        }
        Ok(())
    }

    fn endings_of(&mut self, length: usize) -> &mut Table {
        let found = self.endings.iter().position(|(of, _)| *of == length);
        let index = found.unwrap_or_else(|| {
            self.endings.push((length, Table::default()));
            self.endings.len() - 1
        });
        &mut self.endings[index].1
    }

    /// What the last pattern that matches says of `path`, relative to where the
    /// patterns are: whether to keep it. `None` if none matches.
    pub(super) fn keep(&self, path: &[u8], is_directory: bool) -> Option<bool> {
        let slash = path.iter().rposition(|&byte| byte == b'/');
        let name = &path[slash.map_or(0, |slash| slash + 1)..];
        let endings = self.endings.iter().map(|(length, table)| {
            let start = name.len().checked_sub(*length)?;
            table.last(&name[start..], is_directory)
        });
        let whole = [
            self.names.last(name, is_directory),
            self.paths.last(path, is_directory),
        ];
        let looked_up = whole.into_iter().chain(endings).flatten();
        let last = looked_up.max_by_key(|rule| rule.number);
        let may_decide = |rule: &Rule| {
            (is_directory || !rule.only_directories)
                && last.is_none_or(|last| last.number < rule.number)
        };
        let last = self.globs.last(path, name, may_decide).or(last.as_ref());
        last.map(|rule| rule.keeps)
    }
}

/// A line without the spaces in its end that no backslash keeps.
fn without_trailing_spaces(line: &[u8]) -> &[u8] {
    let mut end = 0;
    let mut at = 0;
    while at < line.len() {
        match line[at] {
            b' ' => at += 1,
            b'\\' => {
                at += 2;
                end = at;
            }
            _ => {
                at += 1;
                end = at;
            }
        }
    }
    &line[..end.min(line.len())]
}
