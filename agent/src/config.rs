//! What the agent is told by its environment.

use std::{
    net::{Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use sandbox_shared::{
    AllowedRoots, ErrorCode, Result, SandboxError,
    protocol::{AGENT_PORT, env},
};

use crate::token;

/// Where caches, upper layers and mount records go unless told otherwise.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/sandbox-agent";

/// How long the store may take for nothing unless told otherwise.
const DEFAULT_STORE_TIMEOUT: Duration = Duration::from_secs(30);

/// What `serve` needs to know.
#[derive(Clone)]
pub struct Config {
    /// The bearer token of every request.
    pub token: String,
    /// Where to listen.
    pub listen: SocketAddr,
    /// For caches, upper layers and mount records.
    pub state_dir: PathBuf,
    /// Bytes of an archive that each restored directory may keep on disk.
    pub cache_bytes: Option<u64>,
    /// How long the store may take for nothing.
    pub store_timeout: Duration,
    /// Directories below which backups may be taken and restored.
    pub roots: AllowedRoots,
}

impl Config {
    /// Reads the variables of [`sandbox_shared::protocol::env`], and the token as
    /// [`token`] has left it.
    pub fn from_env() -> Result<Self> {
        let token = token::given().map_err(|error| {
            SandboxError::new(
                ErrorCode::NotConfigured,
                format!("cannot read the token: {error}"),
            )
        })?;
        if token.is_empty() {
            return Err(SandboxError::new(
                ErrorCode::NotConfigured,
                format!(
                    "{} is not set: without it anybody could use this agent",
                    env::TOKEN
                ),
            ));
        }
        let listen = match std::env::var(env::LISTEN) {
            Ok(text) => text.parse().map_err(|_| {
                SandboxError::new(
                    ErrorCode::NotConfigured,
                    format!("{} must be address:port", env::LISTEN),
                )
            })?,
            Err(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, AGENT_PORT)),
        };
        let roots = std::env::var(env::ALLOWED_ROOTS).unwrap_or_default();
        Ok(Self {
            token,
            listen,
            state_dir: state_dir_from_env(),
            cache_bytes: cache_bytes_from_env()?,
            store_timeout: store_timeout_from_env()?,
            roots: AllowedRoots::with_extra(&roots)?,
        })
    }
}

/// How much each restored directory may keep on disk, in bytes.
pub fn cache_bytes_from_env() -> Result<Option<u64>> {
    let text = std::env::var(env::CACHE_BYTES).unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        SandboxError::new(
            ErrorCode::NotConfigured,
            format!("{} must be a number of bytes", env::CACHE_BYTES),
        )
    })
}

/// How long the store may take for nothing.
pub fn store_timeout_from_env() -> Result<Duration> {
    let text = std::env::var(env::STORE_TIMEOUT).unwrap_or_default();
    if text.is_empty() {
        return Ok(DEFAULT_STORE_TIMEOUT);
    }
    let seconds = text.parse::<u32>().ok().filter(|seconds| *seconds > 0);
    seconds
        .map(|seconds| Duration::from_secs(seconds.into()))
        .ok_or_else(|| {
            SandboxError::new(
                ErrorCode::NotConfigured,
                format!(
                    "{} must be a positive number of seconds",
                    env::STORE_TIMEOUT
                ),
            )
        })
}

/// The state directory of this machine.
pub fn state_dir_from_env() -> PathBuf {
    std::env::var_os(env::STATE_DIR).map_or_else(|| DEFAULT_STATE_DIR.into(), PathBuf::from)
}
