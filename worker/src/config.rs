//! Everything the Worker is configured with, read in one place.

use std::{ops::RangeInclusive, time::Duration};

use sandbox_shared::{AllowedRoots, Result, SandboxError};
use worker::{AnalyticsEngineDataset, Bucket, Env};

/// The R2 binding that holds the backups.
pub const BUCKET_BINDING: &str = "BACKUP_BUCKET";
/// The Durable Object binding of the Worker itself.
pub const SANDBOX_BINDING: &str = "Sandbox";
/// The Workers Analytics Engine dataset for metrics, if there is one.
pub const METRICS_BINDING: &str = "BACKUP_METRICS";
/// The secret that guards the HTTP routes.
pub const API_TOKEN: &str = "SANDBOX_API_TOKEN";

/// Idle time after which a container is stopped, when nothing else is configured.
const DEFAULT_SLEEP_AFTER: Duration = Duration::from_secs(600);

/// How long an archive may be read by one URL, when nothing else is configured.
const ARCHIVE_EXPIRY: Duration = Duration::from_secs(3600);

/// How long R2 lets a presigned URL be good, in seconds (R2, "Presigned URLs").
const URL_SECONDS: RangeInclusive<u64> = 1..=604_800;

/// The settings of one Worker. Empty settings count as absent.
pub struct Config {
    env: Env,
    /// Where archives travel.
    pub transfer: TransferSettings,
    /// Where the local container host is, if this is development without Docker.
    pub local_host: Option<LocalHostSettings>,
    /// `SLEEP_AFTER_SECONDS`; none when it is 0.
    pub sleep_after: Option<Duration>,
    /// `BACKUP_ALLOWED_ROOTS`, unread.
    pub extra_roots: String,
    /// `BACKUP_METRICS`
    pub metrics: Option<AnalyticsEngineDataset>,
}

/// The settings that decide where archives travel, each named as in the
/// Worker's configuration. An empty one counts as absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransferSettings {
    /// `R2_ACCESS_KEY_ID`
    pub access_key_id: Option<String>,
    /// `R2_SECRET_ACCESS_KEY`
    pub secret_access_key: Option<String>,
    /// `CLOUDFLARE_ACCOUNT_ID`
    pub account_id: Option<String>,
    /// `BACKUP_BUCKET_NAME`
    pub bucket_name: Option<String>,
    /// `BACKUP_BUCKET_ENDPOINT`
    pub endpoint: Option<String>,
    /// `GATEWAY_URL`
    pub gateway_url: Option<String>,
    /// `GATEWAY_SECRET`
    pub gateway_secret: Option<String>,
    /// `ARCHIVE_URL_SECONDS`
    pub archive_expiry: Option<Duration>,
}

impl TransferSettings {
    /// How long an archive may be read by one URL.
    pub fn archive_expiry(&self) -> Duration {
        self.archive_expiry.unwrap_or(ARCHIVE_EXPIRY)
    }
}

/// How to reach the local container host.
#[derive(Clone, Debug)]
pub struct LocalHostSettings {
    /// `LOCAL_CONTAINER_HOST`: an origin.
    pub origin: String,
    /// `LOCAL_CONTAINER_HOST_TOKEN`
    pub token: String,
}

impl Config {
    /// Reads the settings.
    pub fn from_env(env: Env) -> Self {
        let get = |name: &str| {
            env.var(name)
                .ok()
                .map(|value| value.to_string())
                .filter(|value| !value.is_empty())
        };
        Self {
            transfer: TransferSettings {
                access_key_id: get("R2_ACCESS_KEY_ID"),
                secret_access_key: get("R2_SECRET_ACCESS_KEY"),
                account_id: get("CLOUDFLARE_ACCOUNT_ID"),
                bucket_name: get("BACKUP_BUCKET_NAME"),
                endpoint: get("BACKUP_BUCKET_ENDPOINT"),
                gateway_url: get("GATEWAY_URL"),
                gateway_secret: get("GATEWAY_SECRET"),
                archive_expiry: get("ARCHIVE_URL_SECONDS")
                    .and_then(|text| text.parse().ok())
                    .filter(|seconds| URL_SECONDS.contains(seconds))
                    .map(Duration::from_secs),
            },
            local_host: get("LOCAL_CONTAINER_HOST").map(|origin| LocalHostSettings {
                origin: origin.trim_end_matches('/').to_owned(),
                token: get("LOCAL_CONTAINER_HOST_TOKEN").unwrap_or_default(),
            }),
            sleep_after: match get("SLEEP_AFTER_SECONDS").and_then(|text| text.parse().ok()) {
                Some(0) => None,
                Some(seconds) => Some(Duration::from_secs(seconds)),
                None => Some(DEFAULT_SLEEP_AFTER),
            },
            extra_roots: get("BACKUP_ALLOWED_ROOTS").unwrap_or_default(),
            metrics: env.analytics_engine(METRICS_BINDING).ok(),
            env,
        }
    }

    /// The bucket that holds the backups.
    pub fn bucket(&self) -> Result<Bucket> {
        self.env.bucket(BUCKET_BINDING).map_err(|_| {
            SandboxError::invalid_config(format!(
                "the R2 binding {BUCKET_BINDING} is missing: add an [[r2_buckets]] entry with \
                 binding = \"{BUCKET_BINDING}\" to the Wrangler configuration"
            ))
            .with("missing", vec![BUCKET_BINDING])
        })
    }

    /// The directories that may be backed up and restored to.
    pub fn allowed_roots(&self) -> Result<AllowedRoots> {
        AllowedRoots::with_extra(&self.extra_roots)
    }

    /// The secret that guards the HTTP routes.
    pub fn api_token(&self) -> Option<String> {
        self.env
            .var(API_TOKEN)
            .ok()
            .map(|token| token.to_string())
            .filter(|token| !token.is_empty())
    }
}
