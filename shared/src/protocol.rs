//! The protocol between the Durable Object and the agent: HTTP/1.1 with JSON
//! bodies, `Authorization: Bearer {token}` on every request.
//!
//! Long operations answer 200 at once and then stream events, one JSON object
//! a line (`application/x-ndjson`). The last event is always a terminal one:
//! a stream that ends without it was cut off. When the reader of the stream
//! goes away, the agent cancels the operation and removes what it made.
//!
//! Either side may be newer than the other: a deployment changes the Worker while
//! containers run, and an image may be older. So unknown fields are ignored, and
//! events, states and codes that are not known are read as such (`Unknown`) and passed
//! over. What the agent speaks is in [`AgentStatus::protocol`].
//!
//! A request that fails before it begins is answered with the error's status
//! and a [`SandboxError`] as its body.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{
    compression::Compression,
    error::SandboxError,
    handle::BackupId,
    metadata::{ArchiveChecksum, EntryCounts},
    path::AbsolutePath,
    report::{BackupPreview, BackupReport},
    selection::Selection,
    strategy::{self, Strategy},
    verification::ArchiveVerification,
};

mod status;

pub use status::{AgentStatus, MountState, MountStatus};

/// The version of this protocol. Agents from before it had one say none: 0.
pub const VERSION: u32 = 1;

/// The port the agent listens on inside a container.
pub const AGENT_PORT: u16 = 8080;

/// The most parts a multipart upload may have (R2, "Multipart upload limits").
pub const MAX_PARTS: u32 = 10_000;

/// The media type of event streams.
pub const EVENT_STREAM_TYPE: &str = "application/x-ndjson";

/// Environment variables that the agent is started with.
pub mod env {
    /// The bearer token that every request must carry, at most 4096 bytes, or `-`
    /// when it is on standard input. Required.
    pub const TOKEN: &str = "SANDBOX_AGENT_TOKEN";
    /// `address:port` to listen on; all addresses and [`super::AGENT_PORT`] when absent.
    pub const LISTEN: &str = "SANDBOX_AGENT_LISTEN";
    /// Directory for caches, upper layers and mount records;
    /// `/var/lib/sandbox-agent` when absent.
    pub const STATE_DIR: &str = "SANDBOX_AGENT_STATE_DIR";
    /// Bytes of an archive that each restored directory may keep on disk; all
    /// of it when absent.
    pub const CACHE_BYTES: &str = "SANDBOX_AGENT_CACHE_BYTES";
    /// Seconds that the store may take for nothing: without an answer, without
    /// 256 KiB of one, or without taking any bytes; 30 when absent.
    pub const STORE_TIMEOUT: &str = "SANDBOX_AGENT_STORE_TIMEOUT";
    /// Extra allowed roots, as [`crate::path::AllowedRoots::with_extra`] reads them.
    pub const ALLOWED_ROOTS: &str = "BACKUP_ALLOWED_ROOTS";
}

/// Paths of the agent's HTTP API.
pub mod paths {
    /// `GET` → [`super::AgentStatus`]. Answers as soon as the agent is ready.
    pub const STATUS: &str = "/v1/status";
    /// `POST` [`super::CreateBackup`] → stream of [`super::CreateEvent`].
    pub const BACKUPS: &str = "/v1/backups";
    /// `POST` [`super::PreviewBackup`] → stream of [`super::PreviewEvent`].
    pub const PREVIEW: &str = "/v1/preview";
    /// `POST` [`super::PartUrls`] → [`super::Done`]: answers [`super::CreateEvent::PartsNeeded`].
    pub const BACKUP_PARTS: &str = "/v1/backups/{id}/parts";
    /// `POST` [`super::RestoreBackup`] → stream of [`super::RestoreEvent`].
    pub const RESTORES: &str = "/v1/restores";
    /// `POST` [`super::VerifyBackup`] → stream of [`super::VerifyEvent`].
    pub const VERIFY: &str = "/v1/verify";
    /// `POST` [`super::RenewUrl`] → [`super::Done`]: a fresh URL for an archive that is not
    /// whole yet.
    pub const MOUNT_URL: &str = "/v1/mounts/url";
    /// `POST` [`super::UnmountBackup`] → [`super::UnmountResult`].
    pub const UNMOUNT: &str = "/v1/unmount";
    /// `POST` [`crate::files::ExecRequest`] → stream of [`crate::files::ExecEvent`].
    pub const EXEC: &str = "/v1/exec";
    /// With `?path=`: `GET` → the bytes; `PUT` bytes → [`super::Done`]; `DELETE` → the same.
    pub const FILES: &str = "/v1/files";
    /// `GET ?path=&recursive=&includeHidden=` → [`crate::files::ListFilesResult`].
    pub const LIST: &str = "/v1/list";
    /// `POST ?path=&recursive=` → [`super::Done`].
    pub const MKDIR: &str = "/v1/mkdir";
    /// `GET ?path=` → [`crate::files::ExistsResult`].
    pub const EXISTS: &str = "/v1/exists";
}

/// What succeeds and has nothing to tell: `{}`. An answer without a body is
/// nothing that can be read to its end, and where the platform uses connections
/// to a container again, such a one breaks under the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {}

/// Query of the file routes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileQuery {
    /// Absolute path.
    pub path: String,
    /// For `list` and `mkdir`.
    #[serde(default)]
    pub recursive: bool,
    /// For `list`.
    #[serde(default)]
    pub include_hidden: bool,
}

/// Asks for an archive of a directory, uploaded in parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateBackup {
    /// Names the operation.
    pub id: BackupId,
    /// Already checked, and checked again.
    pub dir: String,
    /// What of it is wanted.
    pub selection: Selection,
    /// Format, level, threads, block size.
    pub compression: Compression,
}

/// What the agent says while it makes a backup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum CreateEvent {
    /// The tree has been walked.
    #[serde(rename_all = "camelCase")]
    Scanned {
        /// What the archive will hold.
        counts: EntryCounts,
    },
    /// The agent wants URLs for the parts `first..first + count`. The first
    /// such event is the moment to create the multipart upload. A number may
    /// be asked for again, when its URL has expired.
    #[serde(rename_all = "camelCase")]
    PartsNeeded {
        /// From 1.
        first: u32,
        /// At least 1; `first + count - 1` is at most [`MAX_PARTS`].
        count: u32,
    },
    /// How far it is. Sent when something changed, a few times a second at most.
    Progress(CreateProgress),
    /// Terminal: every part is in the store, and the upload may be completed.
    Uploaded(Box<UploadedArchive>),
    /// Terminal: nothing of it is left in the container. The upload is to be aborted.
    Failed(SandboxError),
    /// Of a newer agent. Never sent.
    #[serde(other)]
    Unknown,
}

/// How far a backup is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateProgress {
    /// Of a backup: entries found so far.
    pub entries_scanned: u64,
    /// Of a backup: bytes of the files found so far.
    pub bytes_scanned: u64,
    /// Of a backup: files whose content is in the archive.
    pub files_read: u64,
    /// Of a backup: bytes of file content that were read.
    pub bytes_read: u64,
    /// Of a backup: bytes of archive that were made of them.
    pub bytes_compressed: u64,
    /// Of a backup: bytes of archive that R2 has taken.
    pub bytes_uploaded: u64,
}

/// An archive whose parts the store has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UploadedArchive {
    /// Bytes of the whole archive.
    pub size_bytes: u64,
    /// Of the whole archive.
    #[serde(flatten)]
    pub checksum: ArchiveChecksum,
    /// What the store's ETag for it must be, if it is of the usual form: the
    /// MD5 of the MD5s of the parts, `-`, the number of parts (R2, "Multipart
    /// upload ETags").
    pub etag: String,
    /// In order of their numbers, without a gap. All but the last have the same size.
    pub parts: Vec<Part>,
    /// What the archive holds.
    pub counts: EntryCounts,
    /// What was met.
    #[serde(default)]
    pub report: BackupReport,
}

/// Asks what a backup would hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewBackup {
    /// Already checked, and checked again.
    pub dir: String,
    /// What of it is wanted.
    pub selection: Selection,
}

/// What the agent says while it looks at a directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum PreviewEvent {
    /// How far it is. Sent when something changed, a few times a second at most.
    #[serde(rename_all = "camelCase")]
    Progress {
        /// Entries found so far.
        entries_scanned: u64,
    },
    /// Terminal.
    Previewed(Box<BackupPreview>),
    /// Terminal.
    Failed(SandboxError),
    /// Of a newer agent. Never sent.
    #[serde(other)]
    Unknown,
}

/// A part that the store has taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// From 1.
    pub number: u32,
    /// As the store answered it, without the quotes.
    pub etag: String,
}

/// Presigned `PUT` URLs, one for each part asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartUrls {
    /// In order, from the part that was asked for first.
    pub urls: Vec<PartUrl>,
}

/// Where one part goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartUrl {
    /// From 1.
    pub number: u32,
    /// Good for one `PUT` of that part, for a limited time.
    pub url: String,
}

/// Asks for an archive to be mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreBackup {
    /// Which backup.
    pub id: BackupId,
    /// Where to. Made if it does not exist.
    pub dir: String,
    /// Where the archive is.
    pub source: ArchiveSource,
    /// Forces one strategy.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "strategy::known_if_any"
    )]
    pub strategy: Option<Strategy>,
    /// Takes an older restore away under the processes that use it.
    #[serde(default)]
    pub force: bool,
}

/// Where an archive can be read, and what it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArchiveSource {
    /// Presigned for `GET`, ranges included.
    pub url: String,
    /// When the URL stops to work, if that is known.
    #[serde(
        default,
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub url_expires_at: Option<OffsetDateTime>,
    /// Bytes.
    pub size_bytes: u64,
    /// Backups by other writers have none.
    #[serde(flatten)]
    pub checksum: Option<ArchiveChecksum>,
}

/// What the agent says while it restores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum RestoreEvent {
    /// How far the download is.
    #[serde(rename_all = "camelCase")]
    Progress {
        /// Bytes of archive that are here.
        bytes_downloaded: u64,
        /// Bytes of the whole archive.
        bytes_total: u64,
    },
    /// Terminal: the directory has been read through the mount.
    Mounted(MountStatus),
    /// Terminal: the directory is as it was.
    Failed(SandboxError),
    /// Of a newer agent. Never sent.
    #[serde(other)]
    Unknown,
}

/// Asks whether an archive is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyBackup {
    /// Where the archive is.
    pub source: ArchiveSource,
}

/// What the agent says while it reads an archive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum VerifyEvent {
    /// How far it is. Sent when something changed, a few times a second at most.
    #[serde(rename_all = "camelCase")]
    Progress {
        /// Bytes of archive whose content has been read.
        bytes_checked: u64,
        /// Bytes of the whole archive.
        bytes_total: u64,
    },
    /// Terminal, whatever was found.
    Verified(ArchiveVerification),
    /// Terminal: the archive could not be read.
    Failed(SandboxError),
    /// Of a newer agent. Never sent.
    #[serde(other)]
    Unknown,
}

/// What `unmountBackup` takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct UnmountBackup {
    /// Absolute path of the directory that was restored to.
    #[schemars(with = "AbsolutePath")]
    pub dir: String,
    /// Also while processes use it.
    #[serde(default)]
    #[cfg_attr(feature = "cli", arg(long))]
    pub force: bool,
}

/// A fresh URL for the archive of a restored directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RenewUrl {
    /// Which backup: another one may have been restored there meanwhile.
    pub id: BackupId,
    /// The directory that was restored to.
    pub dir: String,
    /// Presigned for `GET`, ranges included.
    pub url: String,
    /// When the URL stops to work.
    #[serde(with = "time::serde::rfc3339")]
    pub url_expires_at: OffsetDateTime,
}

/// What `unmountBackup` returns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnmountResult {
    /// Always true; a failure is an error.
    #[schemars(extend("const" = true))]
    pub success: bool,
    /// The directory, as it was before the restore.
    pub dir: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    #[test]
    fn events_are_flat_objects_with_a_type() {
        let event = CreateEvent::PartsNeeded { first: 1, count: 4 };
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            r#"{"type":"partsNeeded","first":1,"count":4}"#
        );
        let failed =
            RestoreEvent::Failed(SandboxError::new(ErrorCode::BackupRestoreFailed, "no room"));
        let text = serde_json::to_string(&failed).unwrap();
        assert_eq!(
            text,
            r#"{"type":"failed","code":"BACKUP_RESTORE_FAILED","message":"no room"}"#
        );
        assert_eq!(serde_json::from_str::<RestoreEvent>(&text).unwrap(), failed);
    }
}
