//! Commands and files in a sandbox, in the shapes of `@cloudflare/sandbox`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[cfg(feature = "cli")]
use crate::cli;
use crate::{
    error::{Result, SandboxError},
    number,
    path::AbsolutePath,
    schema,
};

/// What `exec` takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct ExecRequest {
    /// A command line for `/bin/sh -c`.
    #[schemars(with = "schema::NoNul")]
    #[cfg_attr(feature = "cli", arg(skip))]
    pub command: String,
    /// Absolute path of the working directory; `/workspace` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_parser = cli::path))]
    #[schemars(extend("default" = "/workspace"))]
    pub cwd: Option<AbsolutePath>,
    /// Variables added to the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::Environment>")]
    #[cfg_attr(feature = "cli", arg(skip))]
    pub env: Option<BTreeMap<String, String>>,
    /// Milliseconds after which the whole process group is killed; no limit when absent.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "number::safe_integer"
    )]
    #[schemars(range(max = number::MAX_SAFE_INTEGER))]
    #[cfg_attr(feature = "cli", arg(long, value_name = "DURATION", value_parser = cli::milliseconds, help = cli::TIMEOUT_HELP))]
    pub timeout: Option<u64>,
    /// Text that the command reads on its standard input; empty when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(skip))]
    pub stdin: Option<String>,
}

impl From<&str> for ExecRequest {
    /// A command line with everything else at its default.
    fn from(command: &str) -> Self {
        Self {
            command: command.to_owned(),
            ..Self::default()
        }
    }
}

/// What `exec` returns. A command that fails is a result, not an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// Present and true when an output was longer than 8 MiB and only its beginning is here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

/// Bytes of standard output, and of standard error, that an [`ExecResult`]
/// keeps. The streaming form has no limit.
pub const MAX_COLLECTED_OUTPUT: usize = 8 << 20;

/// What a command that runs does, as one server-sent event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
        /// Whole characters; bytes that are not UTF-8 become U+FFFD.
        data: String,
    },
    /// It has ended. Always the last event.
    #[serde(rename_all = "camelCase")]
    Exit {
        /// As a shell reports it: 128 + n after signal n, 124 after the timeout.
        exit_code: i32,
        /// Whether the timeout ended it.
        timed_out: bool,
        /// Milliseconds from start to exit.
        duration: u64,
    },
    /// Of a newer agent. Never sent.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// How file content travels as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// Permission bits in octal, such as `"0644"`.
    pub mode: String,
    /// ISO 8601, UTC.
    #[schemars(extend("format" = "date-time"))]
    pub modified_at: String,
}

/// What `listFiles` takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(rename_all = "camelCase")]
pub struct ListFiles {
    /// Absolute path of a directory.
    #[cfg_attr(feature = "cli", arg(value_name = "DIR", default_value = "/workspace", value_parser = cli::path))]
    pub path: AbsolutePath,
    /// Also what is in subdirectories.
    #[serde(default)]
    #[cfg_attr(feature = "cli", arg(long, short))]
    pub recursive: bool,
    /// Also names that begin with a dot.
    #[serde(default = "include_hidden")]
    #[cfg_attr(feature = "cli", arg(skip = include_hidden()))]
    pub include_hidden: bool,
}

const fn include_hidden() -> bool {
    true
}

impl TryFrom<&str> for ListFiles {
    type Error = SandboxError;

    /// A directory with everything else at its default.
    fn try_from(path: &str) -> Result<Self> {
        Ok(Self {
            path: path.parse()?,
            recursive: false,
            include_hidden: include_hidden(),
        })
    }
}

/// What `listFiles` returns, sorted by relative path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListFilesResult {
    /// Always true; a failure is an error.
    #[schemars(extend("const" = true))]
    pub success: bool,
    /// The directory.
    pub path: String,
    /// Its entries.
    pub files: Vec<FileInfo>,
    /// How many.
    pub count: usize,
}

/// What `readFile` returns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReadFileResult {
    /// Always true; a failure is an error.
    #[schemars(extend("const" = true))]
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

/// What `writeFile`, `deleteFile` and `mkdir` return.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileOperationResult {
    /// Always true; a failure is an error.
    #[schemars(extend("const" = true))]
    pub success: bool,
    /// What was operated on.
    pub path: String,
}

/// What `exists` returns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExistsResult {
    /// Always true; a failure is an error.
    #[schemars(extend("const" = true))]
    pub success: bool,
    /// What was asked about.
    pub path: String,
    /// Whether something is there, a dangling symbolic link included.
    pub exists: bool,
}

/// What `mkdir` takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MakeDirectory {
    /// Absolute path of a directory.
    pub path: AbsolutePath,
    /// Make parents as needed, and accept a directory that exists.
    #[serde(default)]
    pub recursive: bool,
}

impl TryFrom<&str> for MakeDirectory {
    type Error = SandboxError;

    /// A directory with everything else at its default.
    fn try_from(path: &str) -> Result<Self> {
        Ok(Self {
            path: path.parse()?,
            recursive: false,
        })
    }
}

/// What methods take that take a path only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FilePath {
    /// Absolute path.
    pub path: AbsolutePath,
}

impl TryFrom<&str> for FilePath {
    type Error = SandboxError;

    fn try_from(path: &str) -> Result<Self> {
        Ok(Self {
            path: path.parse()?,
        })
    }
}

/// What `readFile` takes, and `writeFile` beside the content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileContent {
    /// Absolute path.
    pub path: AbsolutePath,
    /// How the content travels as text; `utf-8`, which is also called `utf8`, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::AcceptedEncoding>")]
    pub encoding: Option<Encoding>,
}
