//! What the Worker and the agent agree on: the public types, the rules that
//! decide whether input is acceptable, the error codes, and the protocol
//! between the two.
//!
//! Both sides run the same validation, so a request that the Worker lets
//! through is never refused by the agent for its form, and an agent that is
//! reached some other way is no weaker than the Worker.
#![forbid(unsafe_code)]

pub mod backup;
pub mod catalogue;
pub mod error;
pub mod files;
pub mod log;
pub mod methods;
pub mod operation;
pub mod progress;
pub mod protocol;
pub mod report;
pub mod request;
pub mod rules;
pub mod status;
pub mod verification;

pub use backup::{
    ArchiveChecksum, BackupId, BackupMetadata, BackupOptions, Compression, CompressionFormat,
    DirectoryBackup, EntryCounts, OnUnreadable, RestoreBackupResult, RestoreRequest, Selection,
    Strategy, Ttl,
};
pub use error::{ErrorCode, Failure, Result, SandboxError, Verb};

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
