//! Base64 to the byte: decodes a line only if encoding it again gives the same line, and encodes in lines.
//!
//! It forgives nothing: no blanks, no missing padding, no pad bits that are set. Source: RFC 4648 §4, RFC 2045 §6.8.

use std::io::{self, Write};

use super::LineEnd;

/// The base64 alphabet (RFC 4648 §4, table 1).
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Stands in [`SEXTETS`] for a character outside the alphabet; no sextet has its upper bits.
const OUTSIDE: u8 = 0xff;

/// The six bits that each character stands for.
const SEXTETS: [u8; 256] = sextets();

/// Output is handed on in pieces of this many bytes: large enough to make calls rare, small enough for the cache.
const OUTPUT_BYTES: usize = 32 * 1024;

const fn sextets() -> [u8; 256] {
    let mut table = [OUTSIDE; 256];
    let mut sextet = 0;
    while sextet < ALPHABET.len() {
        table[ALPHABET[sextet] as usize] = sextet as u8;
        sextet += 1;
    }
    table
}

/// Decodes one line, without its line end, behind what `decoded` holds already.
///
/// Returns false, and leaves `decoded` as it was, for an empty line and for every line that is not what an encoder
/// writes for some bytes (RFC 4648 §3.5 on pad bits).
pub(super) fn decode_line(line: &[u8], decoded: &mut Vec<u8>) -> bool {
    let (quads, []) = line.as_chunks::<4>() else {
        return false;
    };
    let Some((last, full)) = quads.split_last() else {
        return false;
    };
    let start = decoded.len();
    decoded.resize(start + full.len() * 3, 0);
    let sound = decode_full(full, &mut decoded[start..]) && decode_last(*last, decoded);
    if !sound {
        decoded.truncate(start);
    }
    sound
}

fn decode_full(quads: &[[u8; 4]], decoded: &mut [u8]) -> bool {
    let mut seen = 0;
    let (triples, _) = decoded.as_chunks_mut::<3>();
    for (quad, triple) in quads.iter().zip(triples) {
        let [a, b, c, d] = quad.map(|character| SEXTETS[usize::from(character)]);
        seen |= a | b | c | d;
        *triple = [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d];
    }
    seen < 64
}

/// Decodes the quad that may hold padding.
fn decode_last(quad: [u8; 4], decoded: &mut Vec<u8>) -> bool {
    let padding = quad
        .iter()
        .rev()
        .take_while(|&&character| character == b'=')
        .count();
    if padding > 2 {
        return false;
    }
    let mut bits = [0; 4];
    for (bits, &character) in bits.iter_mut().zip(&quad[..4 - padding]) {
        *bits = SEXTETS[usize::from(character)];
    }
    let [a, b, c, d] = bits;
    let triple = [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d];
    let (kept, pad_bits) = triple.split_at(3 - padding);
    if a | b | c | d >= 64 || pad_bits.iter().any(|&byte| byte != 0) {
        return false;
    }
    decoded.extend_from_slice(kept);
    true
}

/// Writes what is written to it as base64 lines to another writer; [`LineEncoder::finish`] must be called at the end.
pub(super) struct LineEncoder<'a> {
    out: &'a mut dyn Write,
    line_bytes: usize,
    line_end: LineEnd,
    /// Bytes that do not fill a line yet; always fewer than or as many as `line_bytes`.
    held: Vec<u8>,
    encoded: Vec<u8>,
    line_count: u64,
    taken_bytes: u64,
}

impl<'a> LineEncoder<'a> {
    /// Begins a content; `line_chars` must be a positive multiple of 4.
    pub(super) fn new(out: &'a mut dyn Write, line_chars: u16, line_end: LineEnd) -> Self {
        Self {
            out,
            line_bytes: usize::from(line_chars) / 4 * 3,
            line_end,
            held: Vec::new(),
            encoded: Vec::new(),
            line_count: 0,
            taken_bytes: 0,
        }
    }

    /// Writes the last line and tells how many bytes of content were taken.
    pub(super) fn finish(mut self, last_line_end: bool) -> io::Result<u64> {
        if !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            self.line(&held);
        }
        if last_line_end {
            self.encoded.extend_from_slice(self.line_end.bytes());
        }
        self.out.write_all(&self.encoded)?;
        Ok(self.taken_bytes)
    }

    /// Encodes one line; its line end is written only when it is known what follows.
    fn line(&mut self, bytes: &[u8]) {
        if self.line_count > 0 {
            self.encoded.extend_from_slice(self.line_end.bytes());
        }
        self.line_count += 1;
        encode(bytes, &mut self.encoded);
    }

    fn hand_on(&mut self) -> io::Result<()> {
        if self.encoded.len() >= OUTPUT_BYTES {
            self.out.write_all(&self.encoded)?;
            self.encoded.clear();
        }
        Ok(())
    }
}

impl Write for LineEncoder<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        if !self.held.is_empty() {
            let missing = (self.line_bytes - self.held.len()).min(rest.len());
            self.held.extend_from_slice(&rest[..missing]);
            rest = &rest[missing..];
            if self.held.len() == self.line_bytes {
                let mut held = std::mem::take(&mut self.held);
                self.line(&held);
                held.clear();
                self.held = held;
            }
        }
        let lines = rest.chunks_exact(self.line_bytes);
        let remainder = lines.remainder();
        for line in lines {
            self.line(line);
            self.hand_on()?;
        }
        self.held.extend_from_slice(remainder);
        self.hand_on()?;
        self.taken_bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn encode(bytes: &[u8], encoded: &mut Vec<u8>) {
    let (triples, rest) = bytes.as_chunks::<3>();
    let start = encoded.len();
    encoded.resize(start + triples.len() * 4, 0);
    let (quads, _) = encoded[start..].as_chunks_mut::<4>();
    for (triple, quad) in triples.iter().zip(quads) {
        *quad = encode_triple(*triple);
    }
    if !rest.is_empty() {
        let mut triple = [0; 3];
        triple[..rest.len()].copy_from_slice(rest);
        let mut quad = encode_triple(triple);
        quad[rest.len() + 1..].fill(b'=');
        encoded.extend_from_slice(&quad);
    }
}

fn encode_triple([a, b, c]: [u8; 3]) -> [u8; 4] {
    [a >> 2, a << 4 | b >> 4, b << 2 | c >> 6, c].map(|sextet| ALPHABET[usize::from(sextet & 63)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(line: &[u8], expected: Option<&[u8]>) {
        let mut decoded = b"before".to_vec();
        let sound = decode_line(line, &mut decoded);
        let name = String::from_utf8_lossy(line);
        assert_eq!(sound, expected.is_some(), "{name}");
        assert_eq!(&decoded[6..], expected.unwrap_or_default(), "{name}");
    }

    #[test]
    fn only_what_an_encoder_writes_is_decoded() {
        // RFC 4648 §10.
        check(b"Zg==", Some(b"f"));
        check(b"Zm8=", Some(b"fo"));
        check(b"Zm9v", Some(b"foo"));
        check(b"Zm9vYg==", Some(b"foob"));
        check(b"Zm9vYmE=", Some(b"fooba"));
        check(b"Zm9vYmFy", Some(b"foobar"));
        check(b"+/+/", Some(b"\xfb\xff\xbf"));
        // Every doubt.
        check(b"", None);
        check(b"Zm9", None);
        check(b"Zm9vY", None);
        check(b"Zg=", None);
        check(b"Zg", None);
        check(b"Z===", None);
        check(b"====", None);
        check(b"Zh==", None);
        check(b"Zm9=", None);
        check(b"Zg==Zm9v", None);
        check(b"Z=9v", None);
        check(b"Zg=v", None);
        check(b"=m9v", None);
        check(b"Zm9v ", None);
        check(b" Zm9", None);
        check(b"Zm-_", None);
        check(b"Zm9\r", None);
        check(b"Zm9\xff", None);
        check(b"Zm9\xffZm9v", None);
    }

    #[test]
    fn every_character_outside_the_alphabet_is_a_doubt() {
        for byte in 0..=255_u8 {
            for place in 0..4 {
                let mut line = *b"AAAAAAAA";
                line[place] = byte;
                let sound = decode_line(&line, &mut Vec::new());
                assert_eq!(sound, ALPHABET.contains(&byte), "{byte} at {place}");
            }
        }
    }

    fn encode_lines(content: &[u8], step: usize, line_chars: u16, last_line_end: bool) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = LineEncoder::new(&mut out, line_chars, LineEnd::Crlf);
        for piece in content.chunks(step) {
            encoder.write_all(piece).expect("a vector takes all");
        }
        let taken = encoder.finish(last_line_end).expect("a vector takes all");
        assert_eq!(taken, content.len() as u64);
        out
    }

    #[test]
    fn lines_are_closed_between_and_only_on_demand_at_the_end() {
        let check = |content: &[u8], last_line_end, expected: &str| {
            for step in 1..=content.len().max(1) {
                let lines = encode_lines(content, step, 8, last_line_end);
                assert_eq!(String::from_utf8_lossy(&lines), expected);
            }
        };
        check(b"foobar", false, "Zm9vYmFy");
        check(b"foobar", true, "Zm9vYmFy\r\n");
        check(b"foobarf", false, "Zm9vYmFy\r\nZg==");
        check(b"foobarfo", true, "Zm9vYmFy\r\nZm8=\r\n");
        check(b"foobarfoobar", true, "Zm9vYmFy\r\nZm9vYmFy\r\n");
    }

    proptest! {
        #[test]
        fn encoded_lines_decode_to_the_same(
            content in proptest::collection::vec(any::<u8>(), 1..400),
            quads in 1_u16..30,
            step in 1_usize..50,
        ) {
            let lines = encode_lines(&content, step, quads * 4, true);
            let mut decoded = Vec::new();
            for line in lines.split_inclusive(|&byte| byte == b'\n') {
                prop_assert!(decode_line(&line[..line.len() - 2], &mut decoded));
                prop_assert!(line.len() - 2 <= usize::from(quads) * 4);
            }
            prop_assert_eq!(decoded, content);
        }

        #[test]
        fn what_decodes_is_encoded_to_the_same(line in "[A-Za-z0-9+/=]{0,24}") {
            let mut decoded = Vec::new();
            if decode_line(line.as_bytes(), &mut decoded) {
                let mut encoded = Vec::new();
                encode(&decoded, &mut encoded);
                prop_assert_eq!(encoded, line.as_bytes());
            }
        }
    }
}
