//! How restored directories are served.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// How a restored directory is served. Tried in this order.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    IntoStaticStr,
    EnumString,
    VariantArray,
    Display,
)]
#[strum(serialize_all = "lowercase")]
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
    /// Of a newer agent: see [`or_unknown`]. Never asked for.
    #[serde(skip_deserializing)]
    #[schemars(skip)]
    #[cfg_attr(feature = "cli", value(skip))]
    Unknown,
}

impl Strategy {
    /// All that are known, best first.
    pub const ALL: [Self; 4] = [Self::Kernel, Self::Overlay, Self::Fuse, Self::Extract];

    /// The name in JSON and on command lines.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Reads what an agent says, which may be newer.
///
/// # Errors
/// What is not text
pub fn or_unknown<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Strategy, D::Error> {
    let name = Cow::<str>::deserialize(deserializer)?;
    Ok(name.parse().unwrap_or(Strategy::Unknown))
}
