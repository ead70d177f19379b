//! How restored directories are served.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};
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
    /// Of a newer agent. Never asked for.
    #[serde(other)]
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

/// Reads a strategy that is known, as one must be that is asked for or recorded.
///
/// # Errors
/// Any other name
pub fn known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Strategy, D::Error> {
    let name = Cow::<str>::deserialize(deserializer)?;
    let known = name.parse().ok().filter(|it| *it != Strategy::Unknown);
    known.ok_or_else(|| de::Error::unknown_variant(&name, &NAMES))
}

/// The same where none need be given.
///
/// # Errors
/// As [`known`]
pub fn known_if_any<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Strategy>, D::Error> {
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Known(#[serde(deserialize_with = "known")] Strategy);
    Ok(Option::<Known>::deserialize(deserializer)?.map(|Known(strategy)| strategy))
}

const NAMES: [&str; 4] = ["kernel", "overlay", "fuse", "extract"];
