//! Which store the agent's URLs point to, and the URLs themselves.

use std::time::Duration;

use sandbox_shared::{BackupId, Result, SandboxError, protocol::PartUrl};
use time::OffsetDateTime;
use url::{Host, Url};

use super::{
    keys,
    sigv4::{self, Credentials, Request},
};
use crate::config::TransferSettings;

/// R2 knows one region.
pub const REGION: &str = "auto";

/// The access key id in URLs that the gateway answers. It is no secret.
const GATEWAY_KEY_ID: &str = "gateway";

/// How long a part may wait for its turn; the agent asks again when it is over.
const PART_EXPIRY: Duration = Duration::from_secs(3600);
/// Bytes per second at which an archive is read at the least.
const SLOWEST_READER: u64 = 1_000_000;

/// Makes the agent's URLs: straight to the store, or to this Worker's gateway.
#[derive(Clone, Debug)]
pub struct Presigner {
    credentials: Credentials,
    origin: String,
    /// What stands before an object's key: the bucket, or the gateway's route.
    base_path: String,
    archive_expiry: Duration,
}

impl Presigner {
    /// The store's own endpoint if all credentials are there, else the
    /// gateway. An error names every setting that is missing.
    pub fn from_settings(settings: &TransferSettings) -> Result<Self> {
        let account = settings.endpoint.as_ref().or(settings.account_id.as_ref());
        let missing_credentials = missing(&[
            ("R2_ACCESS_KEY_ID", settings.access_key_id.as_ref()),
            ("R2_SECRET_ACCESS_KEY", settings.secret_access_key.as_ref()),
            ("CLOUDFLARE_ACCOUNT_ID", account),
            ("BACKUP_BUCKET_NAME", settings.bucket_name.as_ref()),
        ]);
        if missing_credentials.is_empty() {
            return Self::to_store(settings);
        }
        let missing_gateway = missing(&[
            ("GATEWAY_URL", settings.gateway_url.as_ref()),
            ("GATEWAY_SECRET", settings.gateway_secret.as_ref()),
        ]);
        if missing_gateway.is_empty() {
            return Self::to_gateway(settings);
        }
        let message = format!(
            "no way to move archives is configured: set {} to go straight to R2, or {} to go \
             through this Worker",
            missing_credentials.join(", "),
            missing_gateway.join(" and "),
        );
        let names: Vec<_> = [missing_credentials, missing_gateway].concat();
        Err(SandboxError::invalid_config(message).with("missing", names))
    }

    fn to_store(settings: &TransferSettings) -> Result<Self> {
        let origin = match &settings.endpoint {
            Some(endpoint) => endpoint_origin(endpoint)?,
            None => format!(
                "https://{}.r2.cloudflarestorage.com",
                given(&settings.account_id)
            ),
        };
        Ok(Self {
            credentials: Credentials::new(
                given(&settings.access_key_id),
                given(&settings.secret_access_key),
            ),
            origin,
            base_path: format!("/{}/", given(&settings.bucket_name)),
            archive_expiry: settings.archive_expiry(),
        })
    }

    /// A presigner, and verifier, for the gateway.
    pub fn to_gateway(settings: &TransferSettings) -> Result<Self> {
        let url = Url::parse(given(&settings.gateway_url))
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.query().is_none())
            .ok_or_else(|| {
                SandboxError::invalid_config(
                    "GATEWAY_URL must be the http or https address of this Worker's /gateway route",
                )
            })?;
        Ok(Self {
            credentials: Credentials::new(GATEWAY_KEY_ID, given(&settings.gateway_secret)),
            origin: url.origin().ascii_serialization(),
            base_path: format!("{}/", url.path().trim_end_matches('/')),
            archive_expiry: settings.archive_expiry(),
        })
    }

    /// A URL for one `PUT` of one part of an upload.
    pub fn upload_part(
        &self,
        id: &BackupId,
        upload_id: &str,
        number: u32,
        now: OffsetDateTime,
    ) -> PartUrl {
        let part_number = number.to_string();
        let query = [
            ("partNumber", part_number.as_str()),
            ("uploadId", upload_id),
        ];
        PartUrl {
            number,
            url: self.sign("PUT", &keys::archive(id), &query, now, PART_EXPIRY),
        }
    }

    /// A URL for reading the archive, whole or by ranges, and when it expires.
    pub fn read_archive(&self, id: &BackupId, now: OffsetDateTime) -> (String, OffsetDateTime) {
        self.read_archive_for(self.archive_expiry, id, now)
    }

    /// One that is good for as long as it takes to read all of `size_bytes`, for
    /// a reader that cannot be given another.
    pub fn read_all_of_archive(
        &self,
        id: &BackupId,
        size_bytes: u64,
        now: OffsetDateTime,
    ) -> (String, OffsetDateTime) {
        let reading = Duration::from_secs(size_bytes / SLOWEST_READER);
        self.read_archive_for(self.archive_expiry + reading, id, now)
    }

    fn read_archive_for(
        &self,
        expiry: Duration,
        id: &BackupId,
        now: OffsetDateTime,
    ) -> (String, OffsetDateTime) {
        let expiry = expiry.min(sigv4::MAX_EXPIRY);
        let url = self.sign("GET", &keys::archive(id), &[], now, expiry);
        (url, now + expiry)
    }

    fn sign(
        &self,
        method: &str,
        key: &str,
        query: &[(&str, &str)],
        now: OffsetDateTime,
        expiry: Duration,
    ) -> String {
        let request = Request {
            method,
            origin: &self.origin,
            path: &format!("{}{key}", self.base_path),
            query,
        };
        sigv4::presign(&self.credentials, REGION, &request, now, expiry)
    }

    /// Checks a URL that came back to the gateway. `key` and `query` are as
    /// they stand in it. The address is the configured one: what the request
    /// says of its host may be a proxy's.
    pub fn verify(
        &self,
        method: &str,
        key: &str,
        query: &str,
        now: OffsetDateTime,
    ) -> std::result::Result<(), sigv4::Refusal> {
        let path = format!("{}{key}", self.base_path);
        sigv4::verify(
            &self.credentials,
            REGION,
            method,
            &self.origin,
            &path,
            query,
            now,
        )
    }
}

/// The names of the settings that are not there.
fn missing(settings: &[(&'static str, Option<&String>)]) -> Vec<&'static str> {
    settings
        .iter()
        .filter(|(_, value)| value.is_none())
        .map(|(name, _)| *name)
        .collect()
}

fn given(setting: &Option<String>) -> &str {
    setting.as_deref().unwrap_or_default()
}

/// The origin that `BACKUP_BUCKET_ENDPOINT` names: https, or http for a
/// loopback host, and nothing after the port.
fn endpoint_origin(endpoint: &str) -> Result<String> {
    let problem = match Url::parse(endpoint) {
        Err(_) => "is not a URL",
        Ok(url) if !matches!(url.path(), "" | "/") || url.query().is_some() => {
            "must be an origin, without path or query"
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            "must not hold credentials"
        }
        Ok(url) if url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url)) => {
            return Ok(url.origin().ascii_serialization());
        }
        Ok(_) => "must be https (http is for a loopback host only)",
    };
    Err(SandboxError::invalid_config(format!(
        "BACKUP_BUCKET_ENDPOINT {problem}, for instance https://ACCOUNT.eu.r2.cloudflarestorage.com"
    )))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use sandbox_shared::ErrorCode;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-03-01 12:00:00 UTC);

    fn text(value: &str) -> Option<String> {
        Some(value.to_owned())
    }

    fn production() -> TransferSettings {
        TransferSettings {
            access_key_id: text("id"),
            secret_access_key: text("secret"),
            account_id: text("abc123"),
            bucket_name: text("my-backup-bucket"),
            ..TransferSettings::default()
        }
    }

    fn development() -> TransferSettings {
        TransferSettings {
            gateway_url: text("http://127.0.0.1:8787/gateway/"),
            gateway_secret: text("dev"),
            ..TransferSettings::default()
        }
    }

    fn archive_url(settings: &TransferSettings) -> String {
        let id = BackupId::from_random([1; 16]);
        Presigner::from_settings(settings)
            .unwrap()
            .read_archive(&id, NOW)
            .0
    }

    #[test]
    fn credentials_win_over_the_gateway() {
        let both = TransferSettings {
            gateway_url: development().gateway_url,
            gateway_secret: development().gateway_secret,
            ..production()
        };
        assert!(archive_url(&both).starts_with(
            "https://abc123.r2.cloudflarestorage.com/my-backup-bucket/backups/01010101-"
        ));
        assert!(
            archive_url(&development()).starts_with("http://127.0.0.1:8787/gateway/backups/0101")
        );
    }

    #[test]
    fn an_endpoint_stands_in_for_the_account() {
        let settings = TransferSettings {
            account_id: None,
            endpoint: text("https://abc.eu.r2.cloudflarestorage.com"),
            ..production()
        };
        assert!(archive_url(&settings).starts_with("https://abc.eu.r2.cloudflarestorage.com/my-"));
    }

    #[test]
    fn who_reads_all_of_an_archive_has_the_time() {
        let presigner = Presigner::from_settings(&production()).unwrap();
        let seconds = |size_bytes| {
            let id = BackupId::from_random([1; 16]);
            let (url, expires_at) = presigner.read_all_of_archive(&id, size_bytes, NOW);
            let seconds = (expires_at - NOW).whole_seconds();
            assert!(url.contains(&format!("X-Amz-Expires={seconds}&")), "{url}");
            seconds
        };
        assert_eq!(seconds(0), 3600);
        assert_eq!(seconds(50_000_000_000), 3600 + 50_000);
        assert_eq!(seconds(u64::MAX), 604_800, "the longest that SigV4 has");
    }

    #[test]
    fn every_missing_setting_is_named() {
        let some = TransferSettings {
            account_id: text("abc123"),
            ..TransferSettings::default()
        };
        let error = Presigner::from_settings(&some).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidBackupConfig);
        assert_eq!(
            error.context["missing"],
            serde_json::json!([
                "R2_ACCESS_KEY_ID",
                "R2_SECRET_ACCESS_KEY",
                "BACKUP_BUCKET_NAME",
                "GATEWAY_URL",
                "GATEWAY_SECRET"
            ])
        );
    }

    #[test]
    fn endpoints_are_origins() {
        for good in [
            "https://s3.example.com",
            "https://s3.example.com:9000/",
            "http://127.0.0.1:9000",
            "http://localhost:9000",
            "http://[::1]:9000",
        ] {
            assert!(endpoint_origin(good).is_ok(), "{good}");
        }
        for bad in [
            "s3.example.com",
            "http://s3.example.com",
            "https://s3.example.com/bucket",
            "https://s3.example.com?x",
            "https://user:pass@s3.example.com",
            "ftp://127.0.0.1",
        ] {
            assert!(endpoint_origin(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_gateway_takes_back_what_it_signed() {
        let presigner = Presigner::from_settings(&development()).unwrap();
        let id = BackupId::from_random([1; 16]);
        let part = presigner.upload_part(&id, "upload/1", 7, NOW);
        let (path, query) = part.url.split_once('?').unwrap();
        let key = path.split_once("/gateway/").unwrap().1;
        assert_eq!(presigner.verify("PUT", key, query, NOW), Ok(()));
        assert!(presigner.verify("GET", key, query, NOW).is_err());
        let other = TransferSettings {
            gateway_secret: text("other"),
            ..development()
        };
        let stranger = Presigner::from_settings(&other).unwrap();
        assert!(stranger.verify("PUT", key, query, NOW).is_err());
    }
}
