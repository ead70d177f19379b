//! Integers that JavaScript tells apart.

use serde::{Deserialize, Deserializer, de};

/// JavaScript's `Number.MAX_SAFE_INTEGER`: above it, integers are not told apart.
pub const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// Reads an optional integer, at most [`MAX_SAFE_INTEGER`].
pub(crate) fn safe_integer<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<u64>, D::Error> {
    let number = Option::deserialize(deserializer)?;
    match number.filter(|number| *number > MAX_SAFE_INTEGER) {
        Some(number) => Err(de::Error::invalid_value(
            de::Unexpected::Unsigned(number),
            &"an integer of at most 2^53 - 1",
        )),
        None => Ok(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_those_that_javascript_tells_apart() {
        use crate::{backup::BackupOptions, files::ExecRequest};
        let timeout = |text: &str| {
            serde_json::from_str::<ExecRequest>(&format!(r#"{{"command": "", "timeout": {text}}}"#))
                .map(|options| options.timeout)
        };
        assert_eq!(timeout("null").unwrap(), None);
        assert_eq!(timeout("9007199254740991").unwrap(), Some(MAX_SAFE_INTEGER));
        let refused = timeout("9007199254740992").unwrap_err().to_string();
        assert!(refused.contains("at most 2^53 - 1"), "{refused}");
        let options = r#"{"dir": "/app", "excludeLargerThan": 9007199254740992}"#;
        assert!(serde_json::from_str::<BackupOptions>(options).is_err());
    }
}
