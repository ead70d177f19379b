//! How archives are compressed.

use serde::{Deserialize, Serialize};

/// Compressors that SquashFS archives may use here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CompressionFormat {
    /// Fastest; needs about 1.5 times the room of zstd.
    Lz4,
    /// The default: near lz4 in speed when reading, far smaller.
    #[default]
    Zstd,
    /// For readers that know nothing else.
    Gzip,
}

impl CompressionFormat {
    /// The name in JSON and on command lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
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

/// How to compress an archive.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Compression {
    /// The compressor.
    #[serde(default)]
    pub format: CompressionFormat,
    /// Within [`CompressionFormat::levels`]; the format's own default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<u32>,
    /// Compressing threads, 1 to 256; as many as there are cores when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    /// Bytes of a data block: a power of two from 4096 to 1048576, 131072 when
    /// absent. Larger blocks compress better and make small reads slower.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_size: Option<u32>,
}
