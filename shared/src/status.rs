//! How a sandbox is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

use crate::{
    error::SandboxError, handle::DirectoryBackup, progress::Operation, protocol::MountStatus,
    strategy::Strategy,
};

/// What `status` returns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SandboxStatus {
    /// The container.
    pub container: ContainerStatus,
    /// Restored directories.
    pub mounts: Vec<MountStatus>,
    /// What is restored when the container starts again.
    pub auto_restore: Vec<AutoRestoreStatus>,
    /// The operation under way; `null` if there is none.
    pub operation: Option<Operation>,
}

/// How a container is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContainerStatus {
    /// Whether it runs.
    pub state: ContainerState,
    /// How restored directories can be served in it, best first; empty while
    /// it is stopped.
    pub strategies: Vec<Strategy>,
}

/// Whether a container runs.
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
#[strum(serialize_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum ContainerState {
    /// It does.
    Running,
    /// It does not, and starts with the first call that needs it.
    Stopped,
}

impl ContainerState {
    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A directory that is restored when the container starts again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AutoRestore {
    /// What, and where to.
    #[serde(flatten)]
    pub backup: DirectoryBackup,
    /// The strategy that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
}

/// A directory that is restored when the container starts again, and how that went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AutoRestoreStatus {
    /// Which, and with what.
    #[serde(flatten)]
    pub entry: AutoRestore,
    /// Why it could not be restored, when that was last tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<SandboxError>,
}
