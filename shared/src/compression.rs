//! How archives are compressed.

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

#[cfg(feature = "cli")]
use crate::cli;
use crate::{
    error::{Result, SandboxError},
    schema,
};

/// Most compressing threads one may ask for.
pub const MAX_THREADS: u32 = 256;
/// Bytes of a data block that Linux's squashfs driver accepts.
pub const BLOCK_SIZES: RangeInclusive<u32> = 4096..=1 << 20;

/// A compressor of SquashFS archives.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
    IntoStaticStr,
    VariantArray,
)]
#[strum(serialize_all = "lowercase")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum CompressionFormat {
    /// Fastest; archives are about 1.5 times as large as with zstd.
    Lz4,
    /// The default: nearly as fast as lz4 when reading, and far smaller.
    #[default]
    Zstd,
    /// For readers that know nothing else.
    Gzip,
}

impl CompressionFormat {
    /// The name in JSON and on command lines.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The levels the format knows; lz4 has none.
    pub const fn levels(self) -> Option<RangeInclusive<u32>> {
        match self {
            Self::Lz4 => None,
            Self::Zstd => Some(1..=22),
            Self::Gzip => Some(1..=9),
        }
    }
}

/// How the archive of a backup is compressed.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(rename_all = "camelCase")]
pub struct Compression {
    /// The compressor.
    #[serde(default)]
    #[cfg_attr(feature = "cli", arg(long, default_value = "zstd"))]
    pub format: CompressionFormat,
    /// 1 to 22 for zstd, 1 to 9 for gzip; lz4 has none. The format's own default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 22))]
    #[cfg_attr(feature = "cli", arg(long))]
    pub level: Option<u32>,
    /// Compressing threads, 1 to 256; as many as there are cores when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_THREADS))]
    #[cfg_attr(feature = "cli", arg(long))]
    pub threads: Option<u32>,
    /// Bytes of a data block: a power of two from 4096 to 1048576, 131072 when
    /// absent. Larger blocks compress better and make small reads slower.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::BlockSize>", extend("default" = 131_072))]
    #[cfg_attr(feature = "cli", arg(long, value_name = "SIZE", value_parser = cli::block_size, help = cli::BLOCK_SIZE_HELP))]
    pub block_size: Option<u32>,
}

impl Compression {
    /// Checks level, thread count and block size, which depend on each other.
    ///
    /// # Errors
    /// `INVALID_BACKUP_CONFIG`, with what is wrong
    pub fn check(&self) -> Result<()> {
        let format = self.format;
        if let Some(level) = self.level {
            match format.levels() {
                Some(levels) if levels.contains(&level) => {}
                Some(levels) => {
                    return Err(SandboxError::invalid_config(format!(
                        "compression.level for {} must be {} to {}",
                        format.as_str(),
                        levels.start(),
                        levels.end()
                    )));
                }
                None => {
                    return Err(SandboxError::invalid_config(format!(
                        "compression.level does not apply to {}",
                        format.as_str()
                    )));
                }
            }
        }
        if self
            .threads
            .is_some_and(|threads| !(1..=MAX_THREADS).contains(&threads))
        {
            return Err(SandboxError::invalid_config(format!(
                "compression.threads must be 1 to {MAX_THREADS}"
            )));
        }
        if self
            .block_size
            .is_some_and(|size| !size.is_power_of_two() || !BLOCK_SIZES.contains(&size))
        {
            return Err(SandboxError::invalid_config(format!(
                "compression.blockSize must be a power of two from {} to {}",
                BLOCK_SIZES.start(),
                BLOCK_SIZES.end()
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_belong_to_formats() {
        let with = |format, level| Compression {
            format,
            level,
            ..Compression::default()
        };
        assert!(with(CompressionFormat::Zstd, Some(22)).check().is_ok());
        assert!(with(CompressionFormat::Zstd, Some(23)).check().is_err());
        assert!(with(CompressionFormat::Gzip, Some(0)).check().is_err());
        assert!(with(CompressionFormat::Lz4, Some(1)).check().is_err());
        assert!(with(CompressionFormat::Lz4, None).check().is_ok());
    }

    #[test]
    fn block_sizes_are_powers_of_two() {
        let with = |size| Compression {
            block_size: Some(size),
            ..Compression::default()
        };
        for good in [4096, 131_072, 1 << 20] {
            assert!(with(good).check().is_ok(), "{good}");
        }
        for bad in [0, 2048, 5000, 1 << 21] {
            let error = with(bad).check().unwrap_err();
            assert!(error.message.contains("compression.blockSize"), "{error}");
        }
    }
}
