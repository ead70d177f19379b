//! Commands and files in a sandbox, in the shapes of `@cloudflare/sandbox`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::rules;

/// What `exec` takes beside the command.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExecOptions {
    /// Absolute path of the working directory; `/workspace` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Variables added to the agent's own environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<BTreeMap<String, String>>,
    /// Milliseconds after which the whole process group is killed; no limit when
    /// absent. At most [`MAX_SAFE_INTEGER`](crate::rules::MAX_SAFE_INTEGER).
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "rules::safe_integer"
    )]
    pub timeout: Option<u64>,
    /// Text that the command reads on its standard input; empty when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
}

/// What `exec` takes: the command line, and [`ExecOptions`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ExecRequest {
    /// For `/bin/sh -c`.
    pub command: String,
    /// [`ExecOptions::cwd`]
    #[serde(default)]
    pub cwd: Option<String>,
    /// [`ExecOptions::env`]
    #[serde(default)]
    pub env: Option<BTreeMap<String, String>>,
    /// [`ExecOptions::timeout`]
    #[serde(default, deserialize_with = "rules::safe_integer")]
    pub timeout: Option<u64>,
    /// [`ExecOptions::stdin`]
    #[serde(default)]
    pub stdin: Option<String>,
}

/// What `exec` gives. A command that fails is a result, not an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecResult {
    /// Whether the exit code is 0.
    pub success: bool,
    /// As a shell reports it: 128 + n after signal n, 124 after the timeout.
    pub exit_code: i32,
    /// Standard output; bytes that are not UTF-8 become U+FFFD.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
    /// Milliseconds from start to exit.
    pub duration: u64,
    /// Present and true when the timeout ended the command.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub timed_out: bool,
    /// Present and true when a stream was longer than [`MAX_COLLECTED_OUTPUT`]
    /// and only its beginning is here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

/// Bytes of standard output, and of standard error, that an [`ExecResult`]
/// keeps. The streaming form has no limit.
pub const MAX_COLLECTED_OUTPUT: usize = 8 << 20;

/// One line of the agent's answer to `exec`, and one server-sent event of the
/// streaming HTTP route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum ExecEvent {
    /// The command runs.
    #[serde(rename_all = "camelCase")]
    Start {
        /// Its process id, which is also its process group.
        pid: u32,
    },
    /// It wrote to standard output.
    Stdout {
        /// Whole characters; bytes that are not UTF-8 become U+FFFD.
        data: String,
    },
    /// It wrote to standard error.
    Stderr {
        /// As for `Stdout`.
        data: String,
    },
    /// It is over. Always the last event.
    #[serde(rename_all = "camelCase")]
    Exit {
        /// As in [`ExecResult`].
        exit_code: i32,
        /// As in [`ExecResult`].
        timed_out: bool,
        /// Milliseconds from start to exit.
        duration: u64,
    },
    /// Of a newer agent. Never sent.
    #[serde(other)]
    Unknown,
}

/// How file content travels as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Encoding {
    /// As it is.
    #[default]
    #[serde(rename = "utf-8", alias = "utf8")]
    Utf8,
    /// RFC 4648, with padding.
    #[serde(rename = "base64")]
    Base64,
}

/// What kind of thing a directory entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileType {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, which is not followed.
    Symlink,
    /// A FIFO, socket or device node.
    Other,
}

/// One entry of `listFiles`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileInfo {
    /// Last component; bytes that are not UTF-8 become U+FFFD.
    pub name: String,
    /// From the root of the file system.
    pub absolute_path: String,
    /// From the directory that was listed.
    pub relative_path: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: FileType,
    /// Bytes.
    pub size: u64,
    /// Permission bits, as `stat` gives them, in octal: `"0644"`.
    pub mode: String,
    /// ISO 8601, UTC.
    pub modified_at: String,
}

/// What `listFiles` takes beside the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListFilesOptions {
    /// Also what is in subdirectories.
    pub recursive: bool,
    /// Also names that begin with a dot.
    pub include_hidden: bool,
}

impl Default for ListFilesOptions {
    fn default() -> Self {
        Self {
            recursive: false,
            include_hidden: true,
        }
    }
}

/// What `listFiles` takes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListFiles {
    /// A directory.
    pub path: String,
    /// [`ListFilesOptions::recursive`]
    #[serde(default)]
    pub recursive: bool,
    /// [`ListFilesOptions::include_hidden`]
    #[serde(default = "include_hidden")]
    pub include_hidden: bool,
}

fn include_hidden() -> bool {
    ListFilesOptions::default().include_hidden
}

/// What `listFiles` gives, sorted by relative path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListFilesResult {
    /// Always true; failures are errors.
    pub success: bool,
    /// The directory.
    pub path: String,
    /// Its entries.
    pub files: Vec<FileInfo>,
    /// How many.
    pub count: usize,
}

/// What `readFile` gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadFileResult {
    /// Always true; failures are errors.
    pub success: bool,
    /// The file.
    pub path: String,
    /// Its content, in `encoding`.
    pub content: String,
    /// `base64` when asked for, or when the content is not UTF-8.
    pub encoding: Encoding,
    /// Bytes of the file.
    pub size: u64,
}

/// What `writeFile`, `deleteFile` and `mkdir` give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileOperationResult {
    /// Always true; failures are errors.
    pub success: bool,
    /// What was operated on.
    pub path: String,
}

/// What `exists` gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExistsResult {
    /// Always true; failures are errors.
    pub success: bool,
    /// What was asked about.
    pub path: String,
    /// Whether something is there, a dangling symbolic link included.
    pub exists: bool,
}

/// What `mkdir` takes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct MakeDirectory {
    /// A directory.
    pub path: String,
    /// [`MkdirOptions::recursive`]
    #[serde(default)]
    pub recursive: bool,
}

/// What `mkdir` takes beside the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
pub struct MkdirOptions {
    /// Make parents as needed, and accept a directory that exists.
    pub recursive: bool,
}

/// What `exists` and `deleteFile` take.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct FilePath {
    /// Absolute.
    pub path: String,
}

/// What `readFile` takes, and `writeFile` beside the content.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct FileContent {
    /// Absolute.
    pub path: String,
    /// [`FileOptions::encoding`]
    #[serde(default)]
    pub encoding: Option<Encoding>,
}

/// What `readFile` and `writeFile` take beside the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
pub struct FileOptions {
    /// How `content` is to be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
}
