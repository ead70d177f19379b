//! `cargo xtask lifecycle`: the rules by which R2 itself removes backups that
//! nobody can restore any more, and uploads that were never finished.
//!
//! The commands are printed, not run: they change a bucket for good.

use std::{fs, num::NonZeroU64};

use anyhow::{Context, Result};

use sandbox_toolbox::project;

/// The binding of the bucket in `wrangler.toml`.
const BINDING: &str = "BACKUP_BUCKET";
/// Where all backups are in it.
const PREFIX: &str = "backups/";
const SECONDS_OF_A_DAY: u64 = 86_400;
/// R2's own default is 7. A backup takes minutes, and never more than a day.
const ABORT_AFTER_DAYS: u64 = 1;

/// The commands for the bucket of this project's `wrangler.toml` and backups
/// whose TTL is at most `ttl` seconds.
pub fn commands(ttl: NonZeroU64) -> Result<[String; 2]> {
    let path = project::root().join("wrangler.toml");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    commands_for(&text, ttl).with_context(|| path.display().to_string())
}

fn commands_for(configuration: &str, ttl: NonZeroU64) -> Result<[String; 2]> {
    let configuration: toml::Table = configuration.parse()?;
    let buckets = configuration.get("r2_buckets").and_then(|b| b.as_array());
    let bucket = buckets
        .into_iter()
        .flatten()
        .find(|bucket| bucket.get("binding").and_then(|b| b.as_str()) == Some(BINDING))
        .with_context(|| format!("no [[r2_buckets]] has binding = \"{BINDING}\""))?;
    let word = |key: &str| bucket.get(key).and_then(|value| value.as_str());
    let name = word("bucket_name").context("the bucket has no bucket_name")?;
    let jurisdiction = word("jurisdiction")
        .map(|jurisdiction| format!(" --jurisdiction {jurisdiction}"))
        .unwrap_or_default();
    let rule = |rule: &str, condition: &str, days: u64| {
        format!(
            "npx wrangler r2 bucket lifecycle add {name} {rule} {PREFIX} --{condition} {days}{jurisdiction}"
        )
    };
    // Whole days, counted from the upload, which ends after the TTL has begun.
    let days = ttl.get().div_ceil(SECONDS_OF_A_DAY);
    Ok([
        rule("expire-backups", "expire-days", days),
        rule("abort-uploads", "abort-multipart-days", ABORT_AFTER_DAYS),
    ])
}

/// Prints them, and what they do.
pub fn print(ttl: NonZeroU64) -> Result<()> {
    let [expire, abort] = commands(ttl)?;
    let days = ttl.get().div_ceil(SECONDS_OF_A_DAY);
    println!(
        "# A TTL deletes nothing: it is checked when a backup is restored. With these rules R2 removes\n\
         # backups {days} days after they were stored; that must not be less than the longest ttl in use."
    );
    println!("{expire}");
    println!("# Uploads that a crash has left unfinished:");
    println!("{abort}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(configuration: &str, ttl: u64) -> Result<[String; 2]> {
        commands_for(configuration, NonZeroU64::new(ttl).unwrap())
    }

    #[test]
    fn rules_are_for_the_bucket_of_the_binding_and_never_too_early() {
        let configuration = "
            [[r2_buckets]]
            binding = \"OTHER\"
            bucket_name = \"other\"
            [[r2_buckets]]
            binding = \"BACKUP_BUCKET\"
            bucket_name = \"mine\"
            jurisdiction = \"eu\"";
        let [expire, abort] = commands(configuration, 259_201).unwrap();
        assert_eq!(
            expire,
            "npx wrangler r2 bucket lifecycle add mine expire-backups backups/ --expire-days 4 --jurisdiction eu"
        );
        assert_eq!(
            abort,
            "npx wrangler r2 bucket lifecycle add mine abort-uploads backups/ --abort-multipart-days 1 --jurisdiction eu"
        );
        let [expire, _] = commands(configuration, 259_200).unwrap();
        assert!(expire.contains("--expire-days 3 "), "{expire}");
        assert!(commands("", 1).is_err());
    }
}
