//! What a backup, or the preview of one, tells about the directory.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

use crate::{handle::DirectoryBackup, metadata::EntryCounts};

/// How many there were, and the first of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Listed<T> {
    /// How many there were.
    pub count: u64,
    /// The first of them, in the order they were met.
    pub first: Vec<T>,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self {
            count: 0,
            first: Vec::new(),
        }
    }
}

impl<T> Listed<T> {
    /// Whether there were none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// For people: how many there are and, below, the first of them; nothing for
    /// none.
    pub fn describe(&self, title: &str, line: impl Fn(&T) -> String) -> String {
        if self.is_empty() {
            return String::new();
        }
        let mut text = format!("{} {title}:\n", self.count);
        for item in &self.first {
            text += &format!("  {}\n", line(item));
        }
        if self.count > self.first.len() as u64 {
            text += "  …\n";
        }
        text
    }
}

/// What a backup met that its user should know of, at most the first 100 of each kind.
///
/// Paths are relative to the directory; bytes in them that are not UTF-8 became U+FFFD.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BackupReport {
    /// Entries that are not in the archive because they could not be read (`onUnreadable: "skip"`).
    pub unreadable: Listed<UnreadableEntry>,
    /// Entries that changed while they were read: `vanished` and `retyped` ones are not in the
    /// archive; of the others, it has what was read.
    pub changed: Listed<ChangedEntry>,
    /// Directories that were kept empty because they are other file systems.
    pub other_file_systems: Listed<String>,
    /// Repositories whose index could not be read, so that it is not known which of their files are
    /// tracked: `gitignore` left nothing of them out. Empty text for the one that `dir` itself is in.
    pub unread_indexes: Listed<String>,
    /// Extended attributes outside `user.`, `trusted.`, `security.` and POSIX ACLs, which no archive
    /// can hold.
    pub dropped_xattrs: Listed<DroppedXattr>,
}

impl BackupReport {
    /// For people: what was met, where anything was, each line as `printable`
    /// makes it.
    pub fn describe(&self, printable: impl Fn(&str) -> String) -> String {
        let unreadable = self.unreadable.describe("could not be read", |entry| {
            printable(&format!("{}: {}", entry.path, entry.error))
        });
        let changed = self.changed.describe("changed meanwhile", |entry| {
            let change = format!("{:?}", entry.change).to_lowercase();
            printable(&format!("{}: {change}", entry.path))
        });
        let other_file_systems = self
            .other_file_systems
            .describe("on other file systems, kept empty", |path| printable(path));
        let unread_indexes = self.unread_indexes.describe(
            "repositories of which nothing was left out, as their index could not be read",
            |path| printable(if path.is_empty() { "." } else { path }),
        );
        let dropped_xattrs = self
            .dropped_xattrs
            .describe("extended attributes that no archive can hold", |entry| {
                printable(&format!("{}: {}", entry.path, entry.name))
            });
        unreadable + &changed + &other_file_systems + &unread_indexes + &dropped_xattrs
    }
}

/// An entry that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnreadableEntry {
    /// Which entry; empty for the directory itself.
    pub path: String,
    /// What the operating system said.
    pub error: String,
}

/// An entry that changed between the moment it was found and the end of reading it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangedEntry {
    /// Which entry.
    pub path: String,
    /// What became of it.
    pub change: ChangeKind,
}

/// In what way an entry changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
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
    /// Of a newer agent.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// An extended attribute outside `user.`, `trusted.`, `security.` and POSIX ACLs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DroppedXattr {
    /// Which entry.
    pub path: String,
    /// The attribute's name.
    pub name: String,
}

/// Something of an entry that could not be restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeftOutEntry {
    /// Which entry, relative to the directory; empty for the directory itself.
    pub path: String,
    /// `owner`, `device`, or an extended attribute by its name.
    pub what: String,
}

/// What `createBackup` returns: the handle, and what became of the directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedBackup {
    /// The handle.
    #[serde(flatten)]
    pub backup: DirectoryBackup,
    /// Bytes of the archive.
    pub size_bytes: u64,
    /// What went into it and what was left out.
    pub counts: EntryCounts,
    /// What was met that you should know of.
    pub report: BackupReport,
}

/// What `previewBackup` returns: what a backup with the same options would hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackupPreview {
    /// The directory.
    pub dir: String,
    /// What would be in the archive and what would be left out.
    pub counts: EntryCounts,
    /// Paths that would be in the archive, relative to the directory; at most the first 10,000.
    pub included: Listed<String>,
    /// What rules leave out, with everything below it; at most the first 10,000.
    pub excluded: Listed<ExcludedEntry>,
    /// What else was met.
    pub report: BackupReport,
}

/// An entry that a rule leaves out, with everything below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExcludedEntry {
    /// Which entry, relative to the directory.
    pub path: String,
    /// The option that leaves it out.
    pub rule: Exclusion,
}

/// Why an entry was left out.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    JsonSchema,
    IntoStaticStr,
    VariantArray,
)]
#[strum(serialize_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub enum Exclusion {
    /// A pattern of `excludes`.
    Excludes,
    /// git ignores it.
    Gitignore,
    /// It is in a directory with a `CACHEDIR.TAG`.
    ExcludeCaches,
    /// It is larger than `excludeLargerThan`.
    ExcludeLargerThan,
    /// Of a newer agent.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

impl Exclusion {
    /// The name of the option in JSON.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
