//! How restored directories are served.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a restored directory is served. Tried in this order.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// Linux's own squashfs, overlayfs on top.
    Kernel,
    /// A FUSE view of the archive, overlayfs on top.
    Overlay,
    /// A copy-on-write file system in user space (FUSE).
    Fuse,
    /// A plain unpacked copy.
    Extract,
}

impl Strategy {
    /// All strategies, best first.
    pub const ALL: [Self; 4] = [Self::Kernel, Self::Overlay, Self::Fuse, Self::Extract];

    /// The name in JSON and on command lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Overlay => "overlay",
            Self::Fuse => "fuse",
            Self::Extract => "extract",
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
