//! What the Worker and the agent agree on: the public types, the rules that
//! decide whether input is acceptable, the error codes, and the protocol
//! between the two.
//!
//! Both sides run the same validation, so a request that the Worker lets
//! through is never refused by the agent for its form, and an agent that is
//! reached some other way is no weaker than the Worker.
#![forbid(unsafe_code)]

pub mod backup;
pub mod error;
pub mod files;
pub mod protocol;
pub mod rules;

pub use backup::{
    ArchiveChecksum, BackupId, BackupMetadata, BackupOptions, Compression, CompressionFormat,
    DirectoryBackup, EntryCounts, RestoreBackupResult, RestoreRequest, Strategy, Ttl,
};
pub use error::{ErrorCode, Result, SandboxError};
