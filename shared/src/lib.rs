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
#[cfg(feature = "cli")]
pub mod cli;
pub mod compression;
pub mod error;
pub mod files;
pub mod handle;
pub mod log;
pub mod metadata;
pub mod methods;
pub mod name;
pub mod number;
pub mod operation;
pub mod path;
pub mod progress;
pub mod protocol;
pub mod report;
pub mod request;
mod schema;
pub mod selection;
pub mod status;
pub mod strategy;
pub mod verification;

pub use backup::{BackupOptions, RestoreBackupResult, RestoreRequest};
pub use compression::{Compression, CompressionFormat};
pub use error::{ErrorCode, Result, SandboxError};
pub use handle::{BackupId, DirectoryBackup, Ttl};
pub use metadata::{ArchiveChecksum, BackupMetadata, EntryCounts};
pub use name::{BackupName, SandboxName};
pub use path::{AbsolutePath, AllowedDir, AllowedRoots};
pub use selection::{OnUnreadable, Selection};
pub use strategy::Strategy;

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
