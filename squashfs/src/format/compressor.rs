//! Compressors: their numbers and names.

/// The compressors that the format knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compressor {
    /// Deflate in zlib's format (RFC 1950).
    Gzip,
    /// LZMA in the `.lzma` format, which Linux's driver never read.
    Lzma,
    /// LZO1X.
    Lzo,
    /// LZMA2 in the `.xz` format.
    Xz,
    /// LZ4 blocks.
    Lz4,
    /// Zstandard (RFC 8878).
    Zstd,
}

impl Compressor {
    /// By its number in the superblock.
    pub const fn from_id(id: u16) -> Option<Self> {
        Some(match id {
            1 => Self::Gzip,
            2 => Self::Lzma,
            3 => Self::Lzo,
            4 => Self::Xz,
            5 => Self::Lz4,
            6 => Self::Zstd,
            _ => return None,
        })
    }

    /// Its number in the superblock.
    pub const fn id(self) -> u16 {
        match self {
            Self::Gzip => 1,
            Self::Lzma => 2,
            Self::Lzo => 3,
            Self::Xz => 4,
            Self::Lz4 => 5,
            Self::Zstd => 6,
        }
    }

    /// By the name that `mksquashfs -comp` has for it.
    pub fn from_name(name: &str) -> Option<Self> {
        (1..=6)
            .filter_map(Self::from_id)
            .find(|it| it.name() == name)
    }

    /// As `mksquashfs -comp` calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Lzma => "lzma",
            Self::Lzo => "lzo",
            Self::Xz => "xz",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}
