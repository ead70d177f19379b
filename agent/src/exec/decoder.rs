//! Bytes that arrive in pieces, as text.

/// Decodes UTF-8 piece by piece: a character that is split between two pieces
/// stays whole, and every maximal invalid sequence becomes one U+FFFD, as
/// [`String::from_utf8_lossy`] would have it for the whole.
#[derive(Debug, Default)]
pub(super) struct Utf8Decoder {
    /// The beginning of a character, at most three bytes.
    pending: Vec<u8>,
}

impl Utf8Decoder {
    /// The characters that are complete with `bytes`.
    pub(super) fn push(&mut self, bytes: &[u8]) -> String {
        let mut input = std::mem::take(&mut self.pending);
        input.extend_from_slice(bytes);
        let mut text = String::with_capacity(input.len());
        let mut rest = input.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    return text;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(valid));
                    let Some(invalid) = error.error_len() else {
                        self.pending = after.to_vec();
                        return text;
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = &after[invalid..];
                }
            }
        }
    }

    /// What is left when nothing more comes: U+FFFD for a character cut short.
    pub(super) fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_split_gives_what_the_whole_gives() {
        let whole =
            b"a\xc3\xa9\xe2\x82\xac\xf0\x9f\x9a\x80\xff\xe2\x82x\xf0\x9f\x80\xc0\xafz\xe2\x82";
        let expected = String::from_utf8_lossy(whole);
        for first in 0..=whole.len() {
            for second in first..=whole.len() {
                let mut decoder = Utf8Decoder::default();
                let mut text = decoder.push(&whole[..first]);
                text += &decoder.push(&whole[first..second]);
                text += &decoder.push(&whole[second..]);
                text += &decoder.finish();
                assert_eq!(text, expected, "split at {first} and {second}");
            }
        }
    }
}
