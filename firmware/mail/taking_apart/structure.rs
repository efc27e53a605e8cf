//! Where in a message a line stands: in a header, in a body, or on the delimiter between two parts.
//!
//! It follows multiparts and messages inside of messages, line by line, and keeps only the boundaries that are open.
//! Source: RFC 2046 §5.1.1 and §5.2.1.

use super::part_header::{BodyForm, PartHeader};
use super::split_line_end;
use crate::Oddities;

/// Multiparts inside of multiparts are followed this deep; real mail stays below ten.
const DEPTH_MAX: usize = 32;

/// The place in the message, moved on by each line.
#[derive(Default)]
pub(super) struct Structure {
    /// The multiparts that are open, the outermost first; at most [`DEPTH_MAX`].
    open: Vec<Multipart>,
    place: Place,
    header: PartHeader,
    is_first_header_over: bool,
    oddities: Oddities,
}

struct Multipart {
    boundary: Vec<u8>,
    is_digest: bool,
}

#[derive(Default, PartialEq, Eq)]
enum Place {
    #[default]
    Header,
    Body,
}

/// What begins with the next line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing that could be taken out.
    Other,
    /// The body of a base64 part; `is_text` as in [`super::Piece::Base64`].
    Base64 { is_text: bool },
}

impl Structure {
    /// Takes one line with its line end, if it has one.
    pub(super) fn line(&mut self, line: &[u8]) -> Next {
        if line.starts_with(b"--") && self.crosses_delimiter(split_line_end(line).0) {
            return Next::Other;
        }
        match self.place {
            Place::Body => Next::Other,
            Place::Header => self.header_line(line),
        }
    }

    /// Takes note of a line too long to be held; a header with such a line is given up.
    pub(super) fn overlong_line(&mut self) {
        self.is_first_header_over = true;
        self.place = Place::Body;
    }

    /// Ends the message and tells what was odd about its structure.
    pub(super) fn finish(mut self) -> Oddities {
        self.end_header();
        if !self.open.is_empty() {
            self.oddities.insert(Oddities::UNCLOSED_MULTIPART);
        }
        self.oddities
    }

    fn header_line(&mut self, line: &[u8]) -> Next {
        if !line.is_ascii() {
            self.oddities.insert(Oddities::EIGHT_BIT_HEADER);
        }
        let text = split_line_end(line).0;
        if text.is_empty() {
            return self.begin_body();
        }
        if !self.header.line(text) {
            self.overlong_line();
        }
        Next::Other
    }

    fn begin_body(&mut self) -> Next {
        let in_digest = self
            .open
            .last()
            .is_some_and(|multipart| multipart.is_digest);
        let form = self.header.body_form(in_digest);
        self.end_header();
        match form {
            BodyForm::Plain => self.place = Place::Body,
            BodyForm::Message => self.begin_header(),
            BodyForm::Multipart {
                boundary,
                is_digest,
            } => self.open(Multipart {
                boundary,
                is_digest,
            }),
            BodyForm::Base64 { is_text } => {
                self.place = Place::Body;
                return Next::Base64 { is_text };
            }
        }
        Next::Other
    }

    fn open(&mut self, multipart: Multipart) {
        self.place = Place::Body;
        if self.open.len() < DEPTH_MAX {
            self.open.push(multipart);
        } else {
            self.oddities.insert(Oddities::DEEP_NESTING);
        }
    }

    fn begin_header(&mut self) {
        self.header = PartHeader::default();
        self.place = Place::Header;
    }

    fn end_header(&mut self) {
        if !self.is_first_header_over && self.header.is_empty() {
            self.oddities.insert(Oddities::NO_HEADER);
        }
        self.is_first_header_over = true;
    }

    /// Goes to the next part, or behind the multipart, if the line is a delimiter of one that is open.
    ///
    /// The delimiter of an outer multipart ends the inner ones, too (RFC 2046 §5.1.2).
    fn crosses_delimiter(&mut self, line: &[u8]) -> bool {
        let found = self
            .open
            .iter()
            .enumerate()
            .rev()
            .find_map(|(level, multipart)| {
                let behind = line[2..].strip_prefix(multipart.boundary.as_slice())?;
                Some((level, delimiter_kind(behind)?))
            });
        let Some((level, kind)) = found else {
            return false;
        };
        if self.open.len() > level + 1 {
            self.oddities.insert(Oddities::UNCLOSED_MULTIPART);
        }
        match kind {
            Delimiter::Between => {
                self.open.truncate(level + 1);
                self.begin_header();
            }
            Delimiter::Closing => {
                self.open.truncate(level);
                self.place = Place::Body;
            }
        }
        true
    }
}

enum Delimiter {
    Between,
    Closing,
}

/// Tells what kind of delimiter it is from what follows the boundary; blanks may follow (RFC 2046, transport-padding).
///
/// Anything else makes it a common line, else a boundary that begins another one would be mistaken for it.
fn delimiter_kind(behind_boundary: &[u8]) -> Option<Delimiter> {
    match behind_boundary.trim_ascii_end() {
        b"" => Some(Delimiter::Between),
        b"--" => Some(Delimiter::Closing),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the lines and gives the numbers (from 0) of those behind which a base64 body begins, and the oddities.
    fn bodies(message: &str) -> (Vec<usize>, Oddities) {
        let mut structure = Structure::default();
        let found = message
            .split_inclusive('\n')
            .enumerate()
            .filter(|(_, line)| structure.line(line.as_bytes()) != Next::Other)
            .map(|(number, _)| number)
            .collect();
        (found, structure.finish())
    }

    fn check(message: &str, expected: &[usize], oddities: Oddities) {
        assert_eq!(bodies(message), (expected.to_vec(), oddities), "{message}");
        let crlf = message.replace('\n', "\r\n");
        assert_eq!(bodies(&crlf), (expected.to_vec(), oddities), "{crlf}");
    }

    const TOP: &str = "Content-Type: multipart/mixed; boundary=ab\n\n";
    const ENCODED: &str = "Content-Transfer-Encoding: base64\n\n";

    #[test]
    fn delimiters() {
        check(
            &format!("{TOP}--ab\n{ENCODED}--ab--\n"),
            &[4],
            Oddities::NONE,
        );
        check(
            &format!("{TOP}preamble\n--ab \t\n{ENCODED}--ab-- \n--ab\n{ENCODED}"),
            &[5],
            Oddities::NONE,
        );
        check(&format!("{TOP}--abc\n{ENCODED}--ab--"), &[], Oddities::NONE);
        check(
            &format!("{TOP}--ab--c\n{ENCODED}--ab--"),
            &[],
            Oddities::NONE,
        );
        check(&format!("{TOP}--a\n{ENCODED}--ab--"), &[], Oddities::NONE);
        check(&format!("{TOP} --ab\n{ENCODED}--ab--"), &[], Oddities::NONE);
        check(&format!("{TOP}--AB\n{ENCODED}--ab--"), &[], Oddities::NONE);
        check(
            &format!("{TOP}--ab\n{ENCODED}"),
            &[4],
            Oddities::UNCLOSED_MULTIPART,
        );
        check(
            &format!("{TOP}--ab\nX: header only\n--ab\n{ENCODED}--ab--"),
            &[6],
            Oddities::NONE,
        );
        check(
            &format!("{TOP}--ab\n\nX: body\n--ab\n{ENCODED}--ab--"),
            &[7],
            Oddities::NONE,
        );
        check(&format!("{TOP}--ab--\n{ENCODED}"), &[], Oddities::NONE);
    }

    #[test]
    fn nested_multiparts() {
        let inner = "Content-Type: multipart/related; boundary=abc\n\n";
        check(
            &format!("{TOP}--ab\n{inner}--abc\n{ENCODED}--abc--\n--ab\n{ENCODED}--ab--"),
            &[7, 11],
            Oddities::NONE,
        );
        check(
            &format!("{TOP}--ab\n{inner}--abc\n{ENCODED}--ab\n{ENCODED}--ab--"),
            &[7, 10],
            Oddities::UNCLOSED_MULTIPART,
        );
        check(
            &format!("{TOP}--ab\n{inner}--abc\n--ab--\n--abc\n{ENCODED}"),
            &[],
            Oddities::UNCLOSED_MULTIPART,
        );
    }

    #[test]
    fn messages_inside() {
        let message = "Content-Type: message/rfc822\n\n";
        check(
            &format!("{message}Subject: x\n{ENCODED}"),
            &[4],
            Oddities::NONE,
        );
        check(
            &format!("{TOP}--ab\n{message}{message}{ENCODED}--ab\n{ENCODED}--ab--"),
            &[8, 11],
            Oddities::NONE,
        );
        let digest = "Content-Type: multipart/digest; boundary=d\n\n";
        check(
            &format!("{digest}--d\n\nSubject: x\n{ENCODED}--d--"),
            &[6],
            Oddities::NONE,
        );
    }

    #[test]
    fn top_level_and_missing_headers() {
        check(ENCODED, &[1], Oddities::NONE);
        check("", &[], Oddities::NO_HEADER);
        check("\n", &[], Oddities::NO_HEADER);
        check("words only\nmore\n\nX: y\n", &[], Oddities::NO_HEADER);
        check("--ab\nwords\n", &[], Oddities::NO_HEADER);
        check("From me Mon\nX: y\n", &[], Oddities::NONE);
        check("X: caf\u{e9}\n\nbody\n", &[], Oddities::EIGHT_BIT_HEADER);
        check("X: y\n\ncaf\u{e9}\n", &[], Oddities::NONE);
    }

    #[test]
    fn nesting_is_followed_to_the_limit_only() {
        let nested = |depth: usize| -> String {
            (0..depth)
                .map(|level| {
                    format!("Content-Type: multipart/mixed; boundary={level}x\n\n--{level}x\n")
                })
                .collect()
        };
        check(
            &format!("{}{ENCODED}", nested(DEPTH_MAX)),
            &[DEPTH_MAX * 3 + 1],
            Oddities::UNCLOSED_MULTIPART,
        );
        let oddities = Oddities::UNCLOSED_MULTIPART.union(Oddities::DEEP_NESTING);
        check(
            &format!("{}{ENCODED}", nested(DEPTH_MAX + 1)),
            &[],
            oddities,
        );
    }
}
