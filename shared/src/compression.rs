//! How archives are compressed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

#[cfg(feature = "cli")]
use crate::cli;
use crate::schema;

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
    pub const fn levels(self) -> Option<std::ops::RangeInclusive<u32>> {
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
    /// The compressor; zstd when absent.
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
    #[schemars(range(min = 1, max = 256))]
    #[cfg_attr(feature = "cli", arg(long))]
    pub threads: Option<u32>,
    /// Bytes of a data block: a power of two from 4096 to 1048576, 131072 when
    /// absent. Larger blocks compress better and make small reads slower.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::BlockSize>")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "SIZE", value_parser = cli::block_size))]
    pub block_size: Option<u32>,
}
