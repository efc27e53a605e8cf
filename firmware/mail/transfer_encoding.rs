//! Content-Transfer-Encoding: how a part's content was made fit for lines of text (RFC 2045 §6).
//!
//! The decoder reads whatever comes and keeps what it cannot decode; it is for reading and for originals inside
//! encoded journal reports, not for taking messages apart, which has to be reversible.

/// The encodings a content can have; everything that is not base64 or quoted-printable stands as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransferEncoding {
    /// The content stands as it is: 7bit, 8bit, binary, none or an unknown name.
    #[default]
    Identity,
    /// Base64 (RFC 2045 §6.8).
    Base64,
    /// Quoted-printable (RFC 2045 §6.7).
    QuotedPrintable,
}

impl TransferEncoding {
    /// Reads the value of a Content-Transfer-Encoding field.
    pub fn from_field(value: &[u8]) -> Self {
        let word: Vec<u8> = value
            .trim_ascii()
            .iter()
            .copied()
            .take_while(|b| b.is_ascii_alphanumeric() || *b == b'-')
            .collect();
        match word.to_ascii_lowercase().as_slice() {
            b"base64" => Self::Base64,
            b"quoted-printable" => Self::QuotedPrintable,
            _ => Self::Identity,
        }
    }

    /// Makes a streaming decoder for contents of this encoding.
    pub fn decoder(self) -> Decoder {
        Decoder(match self {
            Self::Identity => State::Identity,
            Self::Base64 => State::Base64(Base64::default()),
            Self::QuotedPrintable => State::QuotedPrintable(QuotedPrintable::default()),
        })
    }

    /// Decodes a content that is in memory as a whole.
    pub fn decode(self, content: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(content.len());
        let mut decoder = self.decoder();
        decoder.push(content, &mut out);
        decoder.finish(&mut out);
        out
    }
}

/// Decodes a content that comes in pieces.
///
/// Bytes outside the base64 alphabet are skipped; an escape of quoted-printable that is none is kept as it came.
#[derive(Debug)]
pub struct Decoder(State);

#[derive(Debug)]
enum State {
    Identity,
    Base64(Base64),
    QuotedPrintable(QuotedPrintable),
}

impl Decoder {
    /// Decodes the next piece and appends the result to `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        match &mut self.0 {
            State::Identity => out.extend_from_slice(bytes),
            State::Base64(base64) => bytes.iter().for_each(|byte| base64.push(*byte, out)),
            State::QuotedPrintable(quoted) => quoted.push_all(bytes, out),
        }
    }

    /// Appends what the end of the content completes.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        match &mut self.0 {
            State::Identity => {}
            State::Base64(base64) => base64.flush(out),
            State::QuotedPrintable(quoted) => quoted.flush(out),
        }
    }
}

/// Up to four characters of base64, gathered six bits each.
#[derive(Debug, Default)]
struct Base64 {
    bits: u32,
    chars: u8,
}

impl Base64 {
    fn push(&mut self, byte: u8, out: &mut Vec<u8>) {
        let value = BASE64_VALUES[usize::from(byte)];
        if value < 64 {
            self.bits = self.bits << 6 | u32::from(value);
            self.chars += 1;
            if self.chars == 4 {
                out.extend_from_slice(&self.bits.to_be_bytes()[1..]);
                *self = Self::default();
            }
        } else if byte == b'=' {
            self.flush(out);
        }
    }

    /// Writes the whole octets of an unfinished group of four, as padding or the end demands.
    fn flush(&mut self, out: &mut Vec<u8>) {
        match self.chars {
            2 => out.push((self.bits >> 4) as u8),
            3 => out.extend_from_slice(&((self.bits >> 2) as u16).to_be_bytes()),
            _ => {}
        }
        *self = Self::default();
    }
}

/// The value of each character of base64; 255 for every other octet.
const BASE64_VALUES: [u8; 256] = {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut values = [255; 256];
    let mut value = 0;
    while value < alphabet.len() {
        values[alphabet[value] as usize] = value as u8;
        value += 1;
    }
    values
};

/// Longest run of white space or unfinished escape held back, in octets: lawful lines have 76 (RFC 2045 §6.7 rule 5);
/// a longer run is content.
const HELD_MAX_BYTES: usize = 998;

/// What may still turn out to be a soft line break, an escape or white space at the end of a line.
#[derive(Debug, Default)]
struct QuotedPrintable {
    held: Vec<u8>,
}

impl QuotedPrintable {
    fn push_all(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let Some((first, rest)) = bytes.split_first() {
            let plain = match self.held.is_empty() {
                true => plain_run(bytes),
                false => 0,
            };
            out.extend_from_slice(&bytes[..plain]);
            bytes = &bytes[plain..];
            if plain == 0 {
                self.push(*first, out);
                bytes = rest;
            }
        }
    }

    fn push(&mut self, byte: u8, out: &mut Vec<u8>) {
        if self.held.is_empty() {
            let is_held = matches!(byte, b'=' | b' ' | b'\t' | b'\r');
            if is_held {
                self.held.push(byte)
            } else {
                out.push(byte)
            }
            return;
        }
        if self.held.first() == Some(&b'=') {
            self.push_escape(byte, out);
        } else {
            self.push_space(byte, out);
        }
        if self.held.len() > HELD_MAX_BYTES {
            self.flush(out);
        }
    }

    /// Continues after "=": two hexadecimal digits, or white space and a line end (a soft line break).
    fn push_escape(&mut self, byte: u8, out: &mut Vec<u8>) {
        let is_first = self.held.len() == 1;
        match (byte, self.held.as_slice()) {
            (b'\n', [_, rest @ ..]) if rest.iter().all(u8::is_ascii_whitespace) => {
                self.held.clear()
            }
            (b' ' | b'\t' | b'\r', [_, rest @ ..])
                if rest.iter().all(|b| matches!(b, b' ' | b'\t')) =>
            {
                self.held.push(byte);
            }
            _ if is_first && byte.is_ascii_hexdigit() => self.held.push(byte),
            (_, [_, high]) if high.is_ascii_hexdigit() && byte.is_ascii_hexdigit() => {
                out.push(hex(*high) << 4 | hex(byte));
                self.held.clear();
            }
            _ => {
                self.flush(out);
                self.push(byte, out);
            }
        }
    }

    /// Holds white space back: at the end of a line it was added on the way (RFC 2045 §6.7 rule 3).
    fn push_space(&mut self, byte: u8, out: &mut Vec<u8>) {
        let has_return = self.held.last() == Some(&b'\r');
        match byte {
            b'\n' => {
                self.held.clear();
                out.extend_from_slice(if has_return { b"\r\n" } else { b"\n" });
            }
            b' ' | b'\t' | b'\r' if !has_return => self.held.push(byte),
            _ => {
                self.flush(out);
                self.push(byte, out);
            }
        }
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.held);
    }
}

/// Counts the octets at the start that stand for themselves: no escape, and no space but between words.
fn plain_run(bytes: &[u8]) -> usize {
    let mut count = 0;
    while let Some(byte) = bytes.get(count) {
        let is_plain = match byte {
            b'=' | b'\t' | b'\r' => false,
            b' ' => bytes
                .get(count + 1)
                .is_some_and(|next| !next.is_ascii_whitespace()),
            _ => true,
        };
        if !is_plain {
            break;
        }
        count += 1;
    }
    count
}

/// Gives the value of a hexadecimal digit.
fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'A'..=b'F' => digit - b'A' + 10,
        _ => digit - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(encoding: TransferEncoding, encoded: &str, expected: &str) {
        assert_eq!(
            String::from_utf8_lossy(&encoding.decode(encoded.as_bytes())),
            expected,
            "whole: {encoded:?}"
        );
        let mut out = Vec::new();
        let mut decoder = encoding.decoder();
        encoded
            .bytes()
            .for_each(|byte| decoder.push(&[byte], &mut out));
        decoder.finish(&mut out);
        assert_eq!(
            String::from_utf8_lossy(&out),
            expected,
            "byte by byte: {encoded:?}"
        );
    }

    #[test]
    fn base64() {
        for (encoded, expected) in [
            ("", ""),
            ("aGFsbG8=", "hallo"),
            ("aGFs\r\nbG8=\r\n", "hallo"),
            ("aGFsbG8", "hallo"),
            ("aGFsbA==aGFsbA==", "hallhall"),
            ("!aG*Fs bG8", "hallo"),
            ("a", ""),
        ] {
            check(TransferEncoding::Base64, encoded, expected);
        }
    }

    #[test]
    fn quoted_printable() {
        for (encoded, expected) in [
            ("a=3Db=3db", "a=b=b"),
            ("soft=\r\nbreak=\nhere= \t\r\n!", "softbreakhere!"),
            (
                "trailing \t\r\nspace \nkept  inside",
                "trailing\r\nspace\nkept  inside",
            ),
            ("bad =XY =4 =", "bad =XY =4 ="),
            ("bare\rreturn", "bare\rreturn"),
            ("= x", "= x"),
            ("==41", "=A"),
            ("=\r=41", "=\rA"),
            ("end ", "end "),
        ] {
            check(TransferEncoding::QuotedPrintable, encoded, expected);
        }
    }

    #[test]
    fn names_are_read_leniently() {
        for (value, expected) in [
            (&b" BASE64 (why not)\r\n"[..], TransferEncoding::Base64),
            (b"Quoted-Printable;", TransferEncoding::QuotedPrintable),
            (b"binary", TransferEncoding::Identity),
            (b"", TransferEncoding::Identity),
        ] {
            assert_eq!(TransferEncoding::from_field(value), expected);
        }
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(bytes in proptest::collection::vec(prop_oneof![Just(b'='), Just(b' '), Just(b'\r'), Just(b'\n'), any::<u8>()], 0..200), cut in 0usize..200) {
            for encoding in [TransferEncoding::Base64, TransferEncoding::QuotedPrintable, TransferEncoding::Identity] {
                let cut = cut.min(bytes.len());
                let mut out = Vec::new();
                let mut decoder = encoding.decoder();
                decoder.push(&bytes[..cut], &mut out);
                decoder.push(&bytes[cut..], &mut out);
                decoder.finish(&mut out);
                prop_assert_eq!(out, encoding.decode(&bytes));
            }
        }
    }
}
