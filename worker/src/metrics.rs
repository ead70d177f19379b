//! One data point an operation, in Workers Analytics Engine, where a dataset is
//! bound as `BACKUP_METRICS`. docs/operations.md says how to ask for them.

use worker::{AnalyticsEngineDataPointBuilder, AnalyticsEngineDataset};

/// What is told of an operation that has ended. The order of its columns is
/// part of what users' queries rely on.
#[derive(Clone, Debug, PartialEq)]
pub struct DataPoint<'a> {
    /// The id of the Durable Object; the index, by which points are sampled.
    pub sandbox: &'a str,
    /// `createBackup`, `restoreBackup` or `verifyBackup`.
    pub operation: &'a str,
    /// The code of the error, if it failed.
    pub code: Option<&'a str>,
    /// How a directory was restored.
    pub strategy: Option<&'a str>,
    /// Of files (backup) or of the archive (otherwise).
    pub bytes: u64,
    /// Regular files, if their number is known.
    pub files: u64,
    /// From its beginning to its end.
    pub milliseconds: u64,
}

impl DataPoint<'_> {
    /// `blob1` to `blob4`: operation, outcome, strategy, code.
    fn blobs(&self) -> [&str; 4] {
        let outcome = if self.code.is_none() { "ok" } else { "failed" };
        [
            self.operation,
            outcome,
            self.strategy.unwrap_or_default(),
            self.code.unwrap_or_default(),
        ]
    }

    /// `double1` to `double3`: bytes, files, milliseconds.
    fn doubles(&self) -> [f64; 3] {
        [
            self.bytes as f64,
            self.files as f64,
            self.milliseconds as f64,
        ]
    }

    /// Hands it over; nothing is waited for.
    pub fn write(&self, dataset: &AnalyticsEngineDataset) -> worker::Result<()> {
        AnalyticsEngineDataPointBuilder::new()
            .indexes([self.sandbox])
            .blobs(self.blobs())
            .doubles(self.doubles())
            .write_to(dataset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_have_their_places() {
        let mut point = DataPoint {
            sandbox: "0123",
            operation: "restoreBackup",
            code: None,
            strategy: Some("kernel"),
            bytes: 4096,
            files: 3,
            milliseconds: 250,
        };
        assert_eq!(point.blobs(), ["restoreBackup", "ok", "kernel", ""]);
        assert_eq!(point.doubles(), [4096.0, 3.0, 250.0]);
        point.code = Some("BACKUP_EXPIRED");
        point.strategy = None;
        assert_eq!(
            point.blobs(),
            ["restoreBackup", "failed", "", "BACKUP_EXPIRED"]
        );
    }
}
