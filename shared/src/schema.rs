//! What JSON Schema says of text and numbers that have rules of their own. These
//! types exist for their schemas only.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::path::MAX_PATH_BYTES;

/// Declares types without values that stand for a schema.
macro_rules! schemas {
    ($($(#[doc = $doc:literal])* $name:ident $schema:tt)*) => {$(
        $(#[doc = $doc])*
        pub(crate) enum $name {}

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

schemas! {
    /// A moment as RFC 3339 writes it.
    Moment { "type": "string", "format": "date-time" }

    /// A pattern of `excludes`.
    Pattern {
        "type": "string",
        "maxLength": MAX_PATH_BYTES,
        "pattern": r"^[^\u0000\r\n]*[^\s\u0000][^\u0000\r\n]*$",
    }

    /// Text that the operating system takes.
    NoNul { "type": "string", "pattern": r"^[^\u0000]*$" }

    /// Variables of an environment.
    Environment {
        "type": "object",
        "additionalProperties": { "type": "string", "pattern": r"^[^\u0000]*$" },
        "propertyNames": { "pattern": r"^[^=\u0000]+$" },
    }

    /// An encoding, by any name that is accepted.
    AcceptedEncoding { "type": "string", "enum": ["utf-8", "utf8", "base64"] }

    /// Bytes of a data block of an archive.
    BlockSize {
        "type": "integer",
        "enum": [4096, 8192, 16384, 32768, 65536, 131_072, 262_144, 524_288, 1_048_576],
    }

    /// The method of an operation that is journaled.
    JournaledKind { "type": "string", "enum": ["createBackup", "restoreBackup"] }
}
