//! The header of a message or part, as far as it tells how the body is built: three fields, nothing else.
//!
//! Reads folded lines as they come and forgives what senders get wrong, for a wrong guess here only means that a part
//! stays as it came. Source: RFC 2045 §5 and §6, RFC 2183, RFC 5322 §2.2.3 and §3.2.2.

/// A header that grows beyond this many bytes is not looked at further; what follows it stays as it came.
///
/// Long lists of recipients and traces stay below 100 KB.
pub(super) const HEADER_MAX_BYTES: usize = 256 * 1024;

/// A boundary may have 70 characters (RFC 2046 §5.1.1); longer ones are seen, this long ones never.
const BOUNDARY_MAX_CHARS: usize = 250;

/// The header of one message or part while it is read.
#[derive(Default)]
pub(super) struct PartHeader {
    /// Length of what was read, in bytes.
    length_bytes: usize,
    field_count: u32,
    /// The values of the fields, with their folds.
    values: [Option<Vec<u8>>; 3],
    /// The field that a continuation line belongs to.
    current: Option<Field>,
    /// Whether a field came twice, so that other readers may believe the other one.
    is_ambiguous: bool,
}

/// A field that tells how the body is built; its number is its place in [`PartHeader::values`].
#[derive(Clone, Copy)]
enum Field {
    ContentType = 0,
    TransferEncoding = 1,
    Disposition = 2,
}

/// How the body of a message or part is built.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BodyForm {
    /// Parts between delimiters.
    Multipart { boundary: Vec<u8>, is_digest: bool },
    /// A message with a header of its own.
    Message,
    /// Base64 lines; `is_text` as in [`super::Piece::Base64`].
    Base64 { is_text: bool },
    /// Anything else: it stays as it came.
    Plain,
}

impl PartHeader {
    /// Takes one line, without its line end, that is neither empty nor a delimiter.
    ///
    /// Returns false when the header has become too long to be looked at.
    pub(super) fn line(&mut self, line: &[u8]) -> bool {
        self.length_bytes += line.len() + 1;
        if self.length_bytes > HEADER_MAX_BYTES {
            return false;
        }
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            self.continue_field(line);
        } else {
            self.begin_field(line);
        }
        true
    }

    /// Tells whether not a single field was seen.
    pub(super) fn is_empty(&self) -> bool {
        self.field_count == 0
    }

    /// Tells how the body is built; a part without a type is a message in a digest, else text (RFC 2046 §5.1.5).
    pub(super) fn body_form(&self, in_digest: bool) -> BodyForm {
        let default: &[u8] = if in_digest {
            b"message/rfc822"
        } else {
            b"text/plain"
        };
        let content_type = self.value(Field::ContentType).unwrap_or(default);
        let media_type = first_word(content_type);
        let encoding = self
            .value(Field::TransferEncoding)
            .map(first_word)
            .unwrap_or_default();
        // A transfer encoding on a multipart is forbidden (RFC 2045 §6.4), written often and never carried out.
        if media_type.starts_with("multipart/")
            && let Some(boundary) = boundary(content_type)
        {
            return BodyForm::Multipart {
                boundary,
                is_digest: media_type == "multipart/digest",
            };
        }
        match (encoding.as_str(), media_type.as_str()) {
            ("base64", _) => BodyForm::Base64 {
                is_text: self.is_for_reading(&media_type),
            },
            ("quoted-printable", _) => BodyForm::Plain,
            (_, "message/rfc822" | "message/global") => BodyForm::Message,
            _ => BodyForm::Plain,
        }
    }

    /// Tells whether the body has to be there when the message is read: text, messages and all doubtful types.
    fn is_for_reading(&self, media_type: &str) -> bool {
        let disposition = self
            .value(Field::Disposition)
            .map(first_word)
            .unwrap_or_default();
        let is_other = [
            "application/",
            "image/",
            "audio/",
            "video/",
            "font/",
            "model/",
        ]
        .iter()
        .any(|kind| media_type.starts_with(kind));
        self.is_ambiguous || (!is_other && disposition != "attachment")
    }

    fn begin_field(&mut self, line: &[u8]) {
        self.current = None;
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            return;
        };
        // Blanks before the colon are obsolete, but seen (RFC 5322 §4.5).
        let name = line[..colon].trim_ascii_end();
        if name.is_empty() || name.iter().any(|byte| !byte.is_ascii_graphic()) {
            return;
        }
        self.field_count = self.field_count.saturating_add(1);
        let Some(field) = Field::named(name) else {
            return;
        };
        let value = &mut self.values[field as usize];
        if value.is_some() {
            self.is_ambiguous = true;
            return;
        }
        *value = Some(line[colon + 1..].to_vec());
        self.current = Some(field);
    }

    fn continue_field(&mut self, line: &[u8]) {
        if let Some(field) = self.current
            && let Some(value) = &mut self.values[field as usize]
        {
            value.extend_from_slice(line);
        }
    }

    fn value(&self, field: Field) -> Option<&[u8]> {
        self.values[field as usize].as_deref()
    }
}

impl Field {
    fn named(name: &[u8]) -> Option<Self> {
        match name {
            _ if name.eq_ignore_ascii_case(b"content-type") => Some(Self::ContentType),
            _ if name.eq_ignore_ascii_case(b"content-transfer-encoding") => {
                Some(Self::TransferEncoding)
            }
            _ if name.eq_ignore_ascii_case(b"content-disposition") => Some(Self::Disposition),
            _ => None,
        }
    }
}

/// Gives the first word of a field's value in small letters: a media type, an encoding, a disposition.
fn first_word(value: &[u8]) -> String {
    let value = skip_blanks_and_comments(value);
    let length = value
        .iter()
        .position(|&byte| ends_word(byte))
        .unwrap_or(value.len());
    let word = value[..length].trim_ascii();
    let word = word.strip_prefix(b"\"").unwrap_or(word);
    let word = word.strip_suffix(b"\"").unwrap_or(word);
    String::from_utf8_lossy(word).to_ascii_lowercase()
}

fn ends_word(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == b';' || byte == b'('
}

/// Finds the boundary parameter of a Content-Type value (RFC 2045 §5.1).
fn boundary(content_type: &[u8]) -> Option<Vec<u8>> {
    let mut rest = content_type;
    loop {
        rest = behind_semicolon(rest)?;
        let name_length = rest
            .iter()
            .position(|&byte| ends_word(byte) || byte == b'=')?;
        let is_boundary = rest[..name_length].eq_ignore_ascii_case(b"boundary");
        let behind_name = skip_blanks_and_comments(&rest[name_length..]);
        if is_boundary && let Some(value) = behind_name.strip_prefix(b"=") {
            let boundary = parameter_value(skip_blanks_and_comments(value));
            let is_usable = !boundary.is_empty() && boundary.len() <= BOUNDARY_MAX_CHARS;
            return is_usable.then_some(boundary);
        }
    }
}

/// Gives what follows the next semicolon that stands outside of quotes and comments.
fn behind_semicolon(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        rest = match rest.first()? {
            b';' => return Some(skip_blanks_and_comments(&rest[1..])),
            b'"' => quoted(rest).1,
            b'(' => skip_blanks_and_comments(rest),
            _ => &rest[1..],
        };
    }
}

/// Reads a quoted or bare value; a bare one may hold characters that should have been quoted.
fn parameter_value(value: &[u8]) -> Vec<u8> {
    let mut value = if value.starts_with(b"\"") {
        quoted(value).0
    } else {
        let ends = |byte: &u8| byte.is_ascii_whitespace() || *byte == b';';
        value.split(ends).next().unwrap_or_default().to_vec()
    };
    // A boundary never ends in a blank (RFC 2046 §5.1.1).
    value.truncate(value.trim_ascii_end().len());
    value
}

/// Reads the quoted string that `text` begins with and gives it with what follows; an open one ends with the text.
fn quoted(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut string = Vec::new();
    let mut bytes = text.iter().enumerate().skip(1);
    while let Some((index, &byte)) = bytes.next() {
        match byte {
            b'"' => return (string, &text[index + 1..]),
            b'\\' => string.extend(bytes.next().map(|(_, &escaped)| escaped)),
            b'\r' | b'\n' => {}
            _ => string.push(byte),
        }
    }
    (string, &[])
}

/// Skips blanks, folds and comments, which may be nested (RFC 5322 §3.2.2); an open comment ends with the text.
fn skip_blanks_and_comments(text: &[u8]) -> &[u8] {
    let mut depth = 0_usize;
    let mut bytes = text.iter().enumerate();
    while let Some((index, &byte)) = bytes.next() {
        match byte {
            b'(' => depth += 1,
            b')' if depth > 0 => depth -= 1,
            b'\\' if depth > 0 => drop(bytes.next()),
            _ if depth > 0 || byte.is_ascii_whitespace() => {}
            _ => return &text[index..],
        }
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(header: &str) -> BodyForm {
        let mut part_header = PartHeader::default();
        for line in header.lines() {
            assert!(part_header.line(line.as_bytes()));
        }
        part_header.body_form(false)
    }

    fn check_boundary(content_type: &str, expected: Option<&str>) {
        let found = boundary(content_type.as_bytes());
        assert_eq!(
            found.as_deref(),
            expected.map(str::as_bytes),
            "{content_type}"
        );
    }

    #[test]
    fn boundaries() {
        check_boundary("multipart/mixed; boundary=abc", Some("abc"));
        check_boundary("multipart/mixed;boundary=\"a b;c\"", Some("a b;c"));
        check_boundary("multipart/mixed; BOUNDARY = \"a\\\"b\" ; x=y", Some("a\"b"));
        check_boundary(
            "multipart/mixed; charset=\"x; boundary=no\"; boundary=yes",
            Some("yes"),
        );
        check_boundary(
            "multipart/mixed (; boundary=no (nested)\\)); boundary=yes",
            Some("yes"),
        );
        check_boundary(
            "multipart/mixed; boundary=----=_Part(1)/2:3; type=x",
            Some("----=_Part(1)/2:3"),
        );
        check_boundary("multipart/mixed; boundary=abc (comment)", Some("abc"));
        check_boundary("multipart/mixed; boundary=\"open", Some("open"));
        check_boundary("multipart/mixed; boundary=\"blank  \"", Some("blank"));
        check_boundary("multipart/mixed; boundary=\"\"", None);
        check_boundary("multipart/mixed; boundary", None);
        check_boundary("multipart/mixed; xboundary=abc", None);
        check_boundary("multipart/mixed", None);
        check_boundary("multipart/mixed; a=b; ; boundary=\tabc", Some("abc"));
        check_boundary(
            &format!("multipart/mixed; boundary={}", "b".repeat(251)),
            None,
        );
    }

    #[test]
    fn body_forms() {
        let base64 = |is_text| BodyForm::Base64 { is_text };
        let pdf = "Content-Type: application/pdf\n";
        assert_eq!(form(""), BodyForm::Plain);
        assert_eq!(form("Content-Transfer-Encoding: base64"), base64(true));
        assert_eq!(
            form(&format!("{pdf}Content-Transfer-Encoding: BASE64")),
            base64(false)
        );
        assert_eq!(
            form(&format!(
                "{pdf}content-transfer-encoding : (odd) Base64 (case)"
            )),
            base64(false)
        );
        assert_eq!(
            form(&format!("{pdf}Content-Transfer-Encoding:\n \"base64\"; x")),
            base64(false)
        );
        assert_eq!(
            form(&format!("{pdf}Content-Transfer-Encoding:base64")),
            base64(false)
        );
        assert_eq!(
            form(&format!("{pdf}Content-Transfer-Encoding: x-base64")),
            BodyForm::Plain
        );
        assert_eq!(
            form(&format!("{pdf}Content-Transfer-Encoding: base 64")),
            BodyForm::Plain
        );
        let text = "Content-Type: TEXT/html\nContent-Transfer-Encoding: base64\n";
        assert_eq!(form(text), base64(true));
        assert_eq!(
            form(&format!("{text}Content-Disposition: inline; filename=a")),
            base64(true)
        );
        assert_eq!(
            form(&format!(
                "{text}Content-Disposition: ATTACHMENT;\n filename=a"
            )),
            base64(false)
        );
    }

    #[test]
    fn messages_and_multiparts() {
        assert_eq!(form("Content-Type: message/rfc822"), BodyForm::Message);
        let encoded = "Content-Type: message/rfc822\nContent-Transfer-Encoding: ";
        assert_eq!(form(&format!("{encoded}binary")), BodyForm::Message);
        assert_eq!(form(&format!("{encoded}quoted-printable")), BodyForm::Plain);
        assert_eq!(
            form(&format!("{encoded}base64")),
            BodyForm::Base64 { is_text: true }
        );
        let multipart = |is_digest| BodyForm::Multipart {
            boundary: b"x".to_vec(),
            is_digest,
        };
        let encoding = "Content-Transfer-Encoding: base64\n";
        assert_eq!(
            form(&format!(
                "{encoding}Content-Type: Multipart/Mixed;\n\tboundary=x"
            )),
            multipart(false)
        );
        assert_eq!(
            form("Content-Type: multipart/digest; boundary=x"),
            multipart(true)
        );
        assert_eq!(PartHeader::default().body_form(true), BodyForm::Message);
        assert_eq!(form("Content-Type: multipart/mixed"), BodyForm::Plain);
    }

    #[test]
    fn the_first_of_two_fields_counts_and_the_doubt_makes_it_readable() {
        let header = "Content-Type: application/pdf\nContent-Type: text/plain\nContent-Transfer-Encoding: base64";
        assert_eq!(form(header), BodyForm::Base64 { is_text: true });
        let header = "Content-Transfer-Encoding: 8bit\nContent-Transfer-Encoding: base64";
        assert_eq!(form(header), BodyForm::Plain);
    }

    #[test]
    fn lines_that_are_no_fields_are_passed_over() {
        assert_eq!(
            form(" base64\nFrom x\nno field\n: empty\nContent-Transfer-Encoding: base64"),
            form("Content-Transfer-Encoding: base64")
        );
        let mut header = PartHeader::default();
        for line in [" folded", "From me  Mon", "a b: no", ": no", "http//"] {
            header.line(line.as_bytes());
        }
        assert!(header.is_empty());
        header.line(b"X:");
        assert!(!header.is_empty());
    }

    #[test]
    fn a_header_beyond_the_limit_is_given_up() {
        let mut header = PartHeader::default();
        let line = [b'x'; 1023];
        for _ in 0..HEADER_MAX_BYTES / 1024 {
            assert!(header.line(&line));
        }
        assert!(!header.line(b"x"));
    }
}
