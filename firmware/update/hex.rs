//! Hexadecimal digits, as TUF writes digests, keys and signatures. Deliberately takes both cases, and writes the lower one.

/// Writes bytes as lower-case digits.
pub(crate) fn encode(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads digits; nothing when one is missing or is none.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
    rest.is_empty()
        .then(|| pairs.iter().map(byte).collect())
        .flatten()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read_and_written() {
        for (text, bytes) in [
            ("", Some(vec![])),
            ("00ff7a", Some(vec![0, 255, 0x7a])),
            ("0", None),
            ("0g", None),
            ("+1", None),
            ("ä", None),
        ] {
            assert_eq!(decode(text), bytes, "{text}");
            if let Some(bytes) = bytes {
                assert_eq!(encode(&bytes), text);
            }
        }
        assert_eq!(decode("FF"), Some(vec![255]));
    }
}
