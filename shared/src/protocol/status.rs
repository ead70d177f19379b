//! How an agent and what it has restored are.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use time::OffsetDateTime;

use crate::{
    handle::BackupId,
    report::{LeftOutEntry, Listed},
    schema,
    strategy::Strategy,
};

/// One restored directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MountStatus {
    /// Which backup.
    pub id: BackupId,
    /// Where.
    pub dir: String,
    /// How it is served.
    pub strategy: Strategy,
    /// Whether it can be read.
    pub state: MountState,
    /// Bytes of the archive.
    #[serde(default)]
    pub size_bytes: u64,
    /// Bytes of the archive that are in the container; the rest is fetched on demand and in the
    /// background.
    #[serde(default)]
    pub cached_bytes: u64,
    /// Whether all of the archive was found to be what was stored.
    #[serde(default)]
    pub verified: bool,
    /// When the URL that the rest is fetched from expires: it is renewed before.
    #[serde(
        default,
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<schema::Moment>")]
    pub url_expires_at: Option<OffsetDateTime>,
    /// Why bytes that are missing could not be fetched when that was last tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// With the strategy `extract`, what could not be unpacked.
    #[serde(default, skip_serializing_if = "Listed::is_empty")]
    pub left_out: Listed<LeftOutEntry>,
}

impl MountStatus {
    /// Whether bytes are still to be fetched.
    pub fn is_partial(&self) -> bool {
        self.cached_bytes < self.size_bytes
    }
}

/// Whether a restored directory can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MountState {
    /// It can.
    Active,
    /// The archive is not what was stored: what is not in memory yet cannot be read any more.
    /// Restore another backup.
    Damaged,
    /// What served it ended: restore again.
    Lost,
    /// Of a newer agent. Never sent.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// How the agent is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentStatus {
    /// Of the agent.
    pub version: String,
    /// [`super::VERSION`] of the protocol that it speaks.
    #[serde(default)]
    pub protocol: u32,
    /// Strategies that work in this container, best first; those of a newer agent
    /// that are not known are passed over.
    #[serde(deserialize_with = "known_strategies")]
    pub strategies: Vec<Strategy>,
    /// Restored directories.
    pub mounts: Vec<MountStatus>,
}

fn known_strategies<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Strategy>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let known = |name: String| Strategy::ALL.into_iter().find(|it| it.as_str() == name);
    Ok(names.into_iter().filter_map(known).collect())
}
