//! What a writer meets that whoever asked for the archive should know of.

use std::path::PathBuf;

use rustix::io::Errno;

use crate::tally::Tally;

/// An entry that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Relative to the archived directory; empty for that directory itself.
    pub path: PathBuf,
    /// What the system said.
    pub errno: Errno,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.errno)
    }
}

/// In what way an entry changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It went away, and is not in the archive.
    Vanished,
    /// It became another kind of entry, and is not in the archive.
    Retyped,
    /// It became another file, whose content and metadata are in the archive.
    Replaced,
    /// It became shorter; the archive has what was left.
    Shrunk,
    /// It became longer; the archive has at least what was there at first.
    Grown,
    /// It was written to, or its metadata changed. The archive may have some
    /// bytes from before and some from after.
    Modified,
}

/// An entry that changed between the moment it was found and the end of reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Relative to the archived directory.
    pub path: PathBuf,
    /// In what way.
    pub kind: ChangeKind,
}

/// What whoever built a tree, and the writer, met.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Entries that are not in the archive because they could not be read.
    pub unreadable: Tally<Unreadable>,
    /// Entries that changed while they were looked at.
    pub changes: Tally<Change>,
    /// Extended attributes outside `user.`, `trusted.`, `security.` and
    /// POSIX ACLs, which no archive can hold: the entry, and their names.
    pub dropped_xattrs: Tally<(PathBuf, String)>,
}

/// How many entries an error message names.
const NAMED: usize = 10;

/// For people: how many entries could not be read, and the first of them.
pub fn describe_unreadable(tally: &Tally<Unreadable>) -> String {
    let entries = if tally.count() == 1 {
        "entry"
    } else {
        "entries"
    };
    let mut text = format!("{} {entries} could not be read: ", tally.count());
    for (index, unreadable) in tally.first().iter().take(NAMED).enumerate() {
        if index > 0 {
            text.push_str("; ");
        }
        text.push_str(&unreadable.to_string());
    }
    if tally.count() > NAMED as u64 {
        text.push_str("; …");
    }
    text
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn counts_all_keeps_some_and_names_ten() {
        let mut tally = Tally::default();
        for number in 0..2500 {
            tally.add(Unreadable {
                path: format!("file-{number}").into(),
                errno: Errno::ACCESS,
            });
        }
        assert_eq!(tally.count(), 2500);
        assert_eq!(tally.first().len(), 1000);
        let text = describe_unreadable(&tally);
        assert!(
            text.starts_with("2500 entries could not be read: file-0: "),
            "{text}"
        );
        assert!(
            text.contains("file-9:") && !text.contains("file-10:"),
            "{text}"
        );
    }
}
