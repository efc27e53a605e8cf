//! The header section of a message or part: its fields, found line by line (RFC 5322 §2.2, §2.2.3).
//!
//! Only finds fields and gives their values as text; what an address or a date means stands in the files named so.
//! Lines that are no field are kept, so that no word of a broken message is lost.

use std::borrow::Cow;

use mail_parser::parsers::MessageStream;
use mail_parser::{ContentType, HeaderValue};

use crate::text;

/// Longest header field that is read, in octets: 10,000 addresses of 100; the rest of a longer field is not read.
const FIELD_MAX_BYTES: usize = 1 << 20;

/// Most fields, and most lines that are none, read of one header section: real ones have a few hundred. Each costs
/// some dozen octets of memory, so that without a bound a header of empty fields takes ten times its size.
const FIELDS_MAX: usize = 20_000;

/// Longest structured field (Content-Type and the like) that is read, in octets: its parameters are compared pairwise,
/// so that the time grows with the square.
const STRUCTURED_FIELD_MAX_BYTES: usize = 16 << 10;

/// Longest encoded-word that is read, in octets. RFC 2047 §2 allows 75, senders write up to some hundred; without a
/// bound a header of opened and never closed words takes time with the square of its length.
const ENCODED_WORD_MAX_BYTES: usize = 2 << 10;

/// One header field: its name, and its value with the line ends of the folding still in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'a> {
    pub(crate) name: &'a [u8],
    value: &'a [u8],
}

/// A header section, and what follows it.
#[derive(Debug, Default)]
pub(crate) struct HeaderSection<'a> {
    pub(crate) fields: Vec<Field<'a>>,
    /// Lines among the fields that are none.
    pub(crate) strays: Vec<&'a [u8]>,
    pub(crate) body: &'a [u8],
}

impl<'a> HeaderSection<'a> {
    /// Splits a message or part at its first empty line (RFC 5322 §2.1). Without a field before it all is body.
    pub(crate) fn split(bytes: &'a [u8]) -> Self {
        let mut section = Self::default();
        let mut offset = 0;
        let mut field: Option<(&[u8], usize)> = None;
        while let Some(line) = next_line(&bytes[offset..]) {
            let start = offset;
            offset += line.len();
            let is_folded =
                matches!(line.first(), Some(b' ' | b'\t')) && !(field.is_none() && is_empty(line));
            if is_folded && field.is_some() {
                continue;
            }
            if let Some((name, value_start)) = field.take()
                && section.fields.len() < FIELDS_MAX
            {
                section.fields.push(Field {
                    name,
                    value: &bytes[value_start..start],
                });
            }
            if is_empty(line) {
                section.body = &bytes[offset..];
                break;
            }
            match field_name(line) {
                Some((name, value_offset)) => field = Some((name, start + value_offset)),
                // An mbox separator that an export left in place is no word of the message.
                None if start == 0
                    && (line.starts_with(b"From ") || line.starts_with(b">From ")) => {}
                None if section.strays.len() < FIELDS_MAX => section.strays.push(line),
                None => {}
            }
        }
        if let Some((name, value_start)) = field {
            section.fields.push(Field {
                name,
                value: &bytes[value_start..offset],
            });
        }
        if section.fields.is_empty() && !section.strays.is_empty() {
            return Self {
                body: bytes,
                ..Self::default()
            };
        }
        section
    }

    /// Gives every field of that name (compared without case), in order.
    pub(crate) fn all(&self, name: &'static str) -> impl Iterator<Item = Field<'a>> + '_ {
        self.fields
            .iter()
            .copied()
            .filter(move |field| field.name.eq_ignore_ascii_case(name.as_bytes()))
    }

    /// Gives the first field of that name that is not empty.
    pub(crate) fn first(&self, name: &'static str) -> Option<Field<'a>> {
        self.all(name).find(|field| !field.raw().is_empty())
    }

    /// Gives the text of the first field of that name, or the empty text.
    pub(crate) fn text(&self, name: &'static str) -> String {
        self.first(name).map(Field::text).unwrap_or_default()
    }

    /// Gives the media type with its parameters, if it can be read.
    pub(crate) fn content_type(&self) -> Option<ContentType<'static>> {
        self.first("Content-Type").and_then(Field::parameters)
    }
}

impl<'a> Field<'a> {
    /// Gives the value as it came, without white space around it.
    pub(crate) fn raw(self) -> &'a [u8] {
        self.value.trim_ascii()
    }

    /// Reads the value as free text: unfolded, encoded-words decoded (RFC 2047).
    pub(crate) fn text(self) -> String {
        let value = self.prepared(FIELD_MAX_BYTES);
        match MessageStream::new(&value).parse_unstructured() {
            HeaderValue::Text(text) => text.trim().to_owned(),
            _ => String::new(),
        }
    }

    /// Reads the value as a media type or disposition with parameters (RFC 2045 §5.1, RFC 2231).
    pub(crate) fn parameters(self) -> Option<ContentType<'static>> {
        let value = self.prepared(STRUCTURED_FIELD_MAX_BYTES);
        match MessageStream::new(&value).parse_content_type().into_owned() {
            HeaderValue::ContentType(content_type) => Some(content_type),
            _ => None,
        }
    }

    /// Gives the value as UTF-8 that a parser of fields reads in linear time, closed by a line feed.
    pub(crate) fn prepared(self, size_max_bytes: usize) -> Vec<u8> {
        let value = &self.value[..self.value.len().min(size_max_bytes)];
        let mut prepared = match text::guess(value) {
            Cow::Borrowed(text) => text.as_bytes().to_vec(),
            Cow::Owned(text) => text.into_bytes(),
        };
        prepared.truncate(prepared.trim_ascii_end().len());
        prepared.push(b'\n');
        break_open_words(&mut prepared);
        prepared
    }

    /// Gives the value prepared for a list, whatever its length.
    pub(crate) fn prepared_list(self) -> Vec<u8> {
        self.prepared(FIELD_MAX_BYTES)
    }
}

/// Makes "=?" harmless where no "?=" follows within the length of an encoded-word.
fn break_open_words(value: &mut [u8]) {
    let mut close = usize::MAX;
    for index in (0..value.len().saturating_sub(1)).rev() {
        match &value[index..index + 2] {
            b"?=" => close = index,
            b"=?" if close.saturating_sub(index) > ENCODED_WORD_MAX_BYTES => value[index] = b' ',
            _ => {}
        }
    }
}

/// Gives the first line with its line end.
pub(crate) fn next_line(bytes: &[u8]) -> Option<&[u8]> {
    if bytes.is_empty() {
        return None;
    }
    let end = bytes
        .iter()
        .position(|b| *b == b'\n')
        .map_or(bytes.len(), |at| at + 1);
    Some(&bytes[..end])
}

/// Tells whether a line holds nothing but its end.
pub(crate) fn is_empty(line: &[u8]) -> bool {
    matches!(line, b"" | b"\n" | b"\r\n")
}

/// Splits a line into field name and offset of the value: printable US-ASCII before a colon (RFC 5322 §3.6.8), white
/// space before the colon allowed (§4.5).
pub(crate) fn field_name(line: &[u8]) -> Option<(&[u8], usize)> {
    let colon = line.iter().position(|b| *b == b':')?;
    let name = line[..colon].trim_ascii_end();
    let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    is_name.then_some((name, colon + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &str, fields: &[(&str, &str)], strays: usize, body: &str) {
        for bytes in [bytes.to_owned(), bytes.replace('\n', "\r\n")] {
            let section = HeaderSection::split(bytes.as_bytes());
            let found: Vec<_> = section
                .fields
                .iter()
                .map(|f| (String::from_utf8_lossy(f.name).into_owned(), f.text()))
                .collect();
            let expected: Vec<_> = fields
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect();
            assert_eq!(found, expected, "{bytes:?}");
            assert_eq!(section.strays.len(), strays, "{bytes:?}");
            assert_eq!(
                String::from_utf8_lossy(section.body).replace("\r\n", "\n"),
                body
            );
        }
    }

    #[test]
    fn splits_at_the_first_empty_line() {
        check("A: b\n\nbody\n", &[("A", "b")], 0, "body\n");
        check(
            "A: b\n c\n\td\nE:\n\n\nbody",
            &[("A", "b c d"), ("E", "")],
            0,
            "\nbody",
        );
        check("A: b", &[("A", "b")], 0, "");
        check(
            "A : b\nstray line\nC:d\n\nx",
            &[("A", "b"), ("C", "d")],
            1,
            "x",
        );
        check(
            "From a@b Mon Jan  1 00:00:00 2024\nA: b\n\nx",
            &[("A", "b")],
            0,
            "x",
        );
        check(
            "no header at all\nreally\n\nnone",
            &[],
            0,
            "no header at all\nreally\n\nnone",
        );
        check("\nbody", &[], 0, "body");
        check("", &[], 0, "");
        check("A: b\n \n c\n\nx", &[("A", "b c")], 0, "x");
    }

    #[test]
    fn fields_beyond_the_limit_are_not_read() {
        let header = format!(
            "{}Subject: late\n\nbody",
            "A: b\nstray\n".repeat(FIELDS_MAX)
        );
        let section = HeaderSection::split(header.as_bytes());
        assert_eq!(
            (section.fields.len(), section.strays.len()),
            (FIELDS_MAX, FIELDS_MAX)
        );
        assert_eq!(section.body, b"body");
    }

    #[test]
    fn texts_are_decoded() {
        for (value, expected) in [
            (
                "=?utf-8?q?Gr=C3=BC=C3=9Fe?= aus =?iso-8859-1?B?S/ZsbiE=?=",
                "Grüße aus Köln!",
            ),
            ("=?utf-8?Q?a?= =?utf-8?Q?b?=", "ab"),
            ("=?utf-8?Q?never closed", "?utf-8?Q?never closed"),
            ("=?utf-8?Q?with space inside?=", "with space inside"),
            ("=?nonsense?Q?plain?=", "plain"),
        ] {
            let header = format!("Subject: {value}\r\n");
            assert_eq!(
                HeaderSection::split(header.as_bytes()).text("subject"),
                expected
            );
        }
        assert_eq!(
            HeaderSection::split(b"Subject: Gr\xFC\xDFe\n\n").text("Subject"),
            "Grüße"
        );
    }

    #[test]
    fn open_encoded_words_take_linear_time() {
        let mut header = b"Subject: ".to_vec();
        header.extend(b"=?aa?q?".repeat(100_000));
        header.extend(b"xx ".repeat(1_000));
        assert!(!HeaderSection::split(&header).text("Subject").is_empty());
        let long = [b"Subject: ".to_vec(), b"=?aa?q?a".repeat(120_000)].concat();
        assert!(!HeaderSection::split(&long).text("Subject").is_empty());
    }
}
