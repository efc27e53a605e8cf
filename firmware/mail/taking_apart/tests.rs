//! Taking apart and putting together, hand in hand: every message comes back to the byte, however it is fed.

use std::convert::Infallible;
use std::io::{self, Write};

use super::base64::LineEncoder;
use super::*;
use proptest::prelude::*;

/// A message taken apart, in memory: both ends of the trip.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) skeleton: Vec<u8>,
    pub(super) contents: Vec<Vec<u8>>,
    pub(super) recipe: Recipe,
    pub(super) oddities: Oddities,
    is_in_content: bool,
}

impl Sink for Taken {
    type Error = Infallible;

    fn skeleton(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        assert!(!self.is_in_content && !bytes.is_empty());
        self.skeleton.extend_from_slice(bytes);
        Ok(())
    }

    fn content_begins(&mut self) -> Result<(), Infallible> {
        assert!(!self.is_in_content);
        self.is_in_content = true;
        self.contents.push(Vec::new());
        Ok(())
    }

    fn content(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        assert!(self.is_in_content && !bytes.is_empty());
        self.contents
            .last_mut()
            .expect("a content has begun")
            .extend_from_slice(bytes);
        Ok(())
    }

    fn content_ends(&mut self) -> Result<(), Infallible> {
        assert!(self.is_in_content);
        self.is_in_content = false;
        Ok(())
    }
}

/// Gives skeleton and contents back, and remembers how far the skeleton was read.
struct Given<'a> {
    skeleton: &'a [u8],
    contents: &'a [Vec<u8>],
}

impl Source for Given<'_> {
    fn skeleton(&mut self, length_bytes: u64, out: &mut dyn Write) -> io::Result<()> {
        let length = usize::try_from(length_bytes)
            .unwrap_or(usize::MAX)
            .min(self.skeleton.len());
        let (now, later) = self.skeleton.split_at(length);
        self.skeleton = later;
        out.write_all(now)
    }

    fn content(&mut self, ordinal: usize, out: &mut dyn Write) -> io::Result<()> {
        // Uneven pieces, as they come from blocks of a disk.
        self.contents[ordinal]
            .chunks(1000)
            .try_for_each(|piece| out.write_all(piece))
    }
}

impl Taken {
    pub(super) fn apart(pieces: &[&[u8]]) -> Self {
        let mut scan = TakeApart::new(Self::default());
        for piece in pieces {
            let Ok(()) = scan.push(piece);
        }
        let Ok((taken, recipe, oddities)) = scan.finish();
        assert!(!taken.is_in_content);
        Self {
            recipe,
            oddities,
            ..taken
        }
    }

    pub(super) fn together(&self) -> io::Result<Vec<u8>> {
        let mut message = Vec::new();
        let mut given = Given {
            skeleton: &self.skeleton,
            contents: &self.contents,
        };
        put_together(&self.recipe, &mut given, &mut message)?;
        assert!(
            given.skeleton.is_empty(),
            "the recipe uses all of the skeleton"
        );
        Ok(message)
    }

    pub(super) fn reading_copy(&self) -> io::Result<Vec<u8>> {
        let mut message = Vec::new();
        let mut given = Given {
            skeleton: &self.skeleton,
            contents: &self.contents,
        };
        reading_copy(&self.recipe, &mut given, &mut message)?;
        self.check_one_pass(&message)?;
        Ok(message)
    }

    /// Message and reading copy written in one pass are what each is alone.
    fn check_one_pass(&self, reading_copy: &[u8]) -> io::Result<()> {
        let (mut whole, mut copy) = (Vec::new(), Vec::new());
        let mut given = Given {
            skeleton: &self.skeleton,
            contents: &self.contents,
        };
        put_together_with_copy(&self.recipe, &mut given, &mut whole, &mut copy)?;
        assert!(whole == self.together()?);
        assert!(copy == reading_copy);
        Ok(())
    }

    /// Holds the recipe against its own rules.
    pub(super) fn check_recipe(&self) {
        let pieces = &self.recipe.pieces;
        let lengths: Vec<u64> = pieces
            .iter()
            .filter_map(|piece| content_bytes(*piece))
            .collect();
        let given: Vec<u64> = self
            .contents
            .iter()
            .map(|content| content.len() as u64)
            .collect();
        assert_eq!(lengths, given);
        assert!(
            lengths
                .iter()
                .all(|&length| length >= MIN_CONTENT_BYTES as u64)
        );
        let is_skeleton = |piece: &Piece| content_bytes(*piece).is_none();
        assert!(!pieces.windows(2).any(|pair| pair.iter().all(is_skeleton)));
    }
}

pub(super) fn content_bytes(piece: Piece) -> Option<u64> {
    match piece {
        Piece::Skeleton { .. } => None,
        Piece::Base64 { content_bytes, .. } => Some(content_bytes),
    }
}

/// Takes the message apart, fed in many ways, checks that it comes back, and gives what was found.
fn round_trip(message: &[u8]) -> Taken {
    let taken = Taken::apart(&[message]);
    taken.check_recipe();
    assert_eq!(taken.recipe.message_bytes(), Some(message.len() as u64));
    let together = taken.together().expect("memory can be read");
    assert!(
        together == message,
        "not the same: {}",
        String::from_utf8_lossy(message)
    );
    let bytes: Vec<&[u8]> = message.chunks(1).collect();
    assert_eq!(Taken::apart(&bytes), taken, "fed one byte at a time");
    taken
}

/// Bytes without a pattern that base64 could hide.
fn bytes(count: usize) -> Vec<u8> {
    (0..count as u32)
        .map(|number| (number.wrapping_mul(2_654_435_761) >> 11) as u8)
        .collect()
}

fn base64(count: usize, line_chars: u16, line_end: LineEnd, last_line_end: bool) -> String {
    let mut lines = Vec::new();
    let mut encoder = LineEncoder::new(&mut lines, line_chars, line_end);
    encoder
        .write_all(&bytes(count))
        .expect("a vector takes all");
    encoder.finish(last_line_end).expect("a vector takes all");
    String::from_utf8(lines).expect("base64 is ASCII")
}

/// 1,200 bytes, so two more than enough lines; each line is closed by a line feed.
fn lines() -> String {
    base64(1200, 76, LineEnd::Lf, true)
}

const ENCODED: &str = "Content-Type: image/png\nContent-Transfer-Encoding: base64\n\n";

/// What a body, as the whole of a message, is taken out as: content length, line length, whether the last line is closed.
type Expected = Option<(u64, u16, bool)>;

fn check_body(name: &str, body: &str, expected: Expected) {
    for line_end in [LineEnd::Lf, LineEnd::Crlf] {
        let message = format!("{ENCODED}{body}");
        let message = match line_end {
            LineEnd::Lf => message,
            LineEnd::Crlf => message.replace('\n', "\r\n"),
        };
        let taken = round_trip(message.as_bytes());
        let pieces: Vec<Piece> = taken
            .recipe
            .pieces
            .into_iter()
            .filter(|piece| content_bytes(*piece).is_some())
            .collect();
        let expected: Vec<Piece> = expected
            .map(|(content_bytes, line_chars, last_line_end)| Piece::Base64 {
                content_bytes,
                line_chars,
                line_end,
                last_line_end,
                is_text: false,
            })
            .into_iter()
            .collect();
        assert_eq!(pieces, expected, "{name}");
    }
}

#[test]
fn sound_bodies_are_taken_out_whole() {
    let body = |count, line_chars| base64(count, line_chars, LineEnd::Lf, true);
    check_body(
        "full and short lines",
        &body(1200, 76),
        Some((1200, 76, true)),
    );
    check_body(
        "one byte in the last quad",
        &body(1201, 76),
        Some((1201, 76, true)),
    );
    check_body(
        "two bytes in the last quad",
        &body(1202, 76),
        Some((1202, 76, true)),
    );
    check_body(
        "only full lines",
        &body(57 * 20, 76),
        Some((57 * 20, 76, true)),
    );
    check_body(
        "the last line is full and padded",
        &body(57 * 20 - 1, 76),
        Some((57 * 20 - 1, 76, true)),
    );
    check_body("lines of 64", &body(1200, 64), Some((1200, 64, true)));
    check_body("lines of four", &body(1025, 4), Some((1025, 4, true)));
    check_body("just long enough", &body(1024, 76), Some((1024, 76, true)));
    check_body("one byte too short", &body(1023, 76), None);
    check_body("no body", "", None);
    check_body(
        "blank lines before",
        &format!("\n\n{}", lines()),
        Some((1200, 76, true)),
    );
    check_body("one line", &body(1200, 4000), Some((1200, 1600, true)));
}

#[test]
fn a_body_without_last_line_end() {
    let open = lines().trim_end().to_owned();
    check_body("last line short", &open, Some((1200, 76, false)));
    let message = format!("{ENCODED}{}", base64(1500, 4000, LineEnd::Crlf, false));
    let taken = round_trip(message.as_bytes());
    let expected = Piece::Base64 {
        content_bytes: 1500,
        line_chars: 2000,
        line_end: LineEnd::Crlf,
        last_line_end: false,
        is_text: false,
    };
    assert_eq!(taken.recipe.pieces[1], expected, "one line without any end");
    let full = base64(57 * 20, 76, LineEnd::Lf, false);
    check_body("last line full", &full, Some((57 * 20, 76, false)));
}

#[test]
fn at_the_first_doubt_the_rest_stays() {
    // 20 full lines are 1,140 bytes, enough to be taken out before the doubt.
    let full = base64(57 * 20, 76, LineEnd::Lf, true);
    let more = base64(570, 76, LineEnd::Lf, true);
    let taken = Some((57 * 20, 76, true));
    let check =
        |name, line: &str, expected| check_body(name, &format!("{full}{line}{more}"), expected);
    check("a blank line", "\n", taken);
    check("a footer", "_______\nlist mailing list\n", taken);
    check(
        "a line longer than the others",
        &format!("{}\n", "A".repeat(80)),
        taken,
    );
    check(
        "a short line in the middle",
        "AAAA\n",
        Some((57 * 20 + 3, 76, true)),
    );
    check(
        "a padded line in the middle",
        "AAA=\n",
        Some((57 * 20 + 2, 76, true)),
    );
    check("a line that is no whole number of quads", "AAAAAA\n", taken);
    check("missing padding", "AA\n", taken);
    check("wrong padding", "AA=\n", taken);
    check("padding alone", "====\n", taken);
    check("padding in the middle of a line", "AA==AAAA\n", taken);
    check("an equals sign within a quad", "A=AA\n", taken);
    check("pad bits that are set, one byte", "AB==\n", taken);
    check("pad bits that are set, two bytes", "AAB=\n", taken);
    check(
        "a blank at the end",
        &format!("{} \n", "A".repeat(76)),
        taken,
    );
    check(
        "a blank at the start",
        &format!(" {}\n", "A".repeat(76)),
        taken,
    );
    check("a blank in between", "AAAA AAA\n", taken);
    check("a tab", "AAAA\t\n", taken);
    check("base64url", "AA-_\n", taken);
    check("a NUL", "AA\0A\n", taken);
    check("an octet above 127", "AA\u{e9}\n", taken);
}

#[test]
fn it_does_not_matter_where_a_message_is_split() {
    let top = "Content-Type: multipart/mixed; boundary=ab\r\n\r\n";
    let part = |body: &str| format!("--ab\r\n{}{body}", ENCODED.replace('\n', "\r\n"));
    let sound = part(&base64(1100, 200, LineEnd::Crlf, true));
    let mixed = part(&base64(1200, 400, LineEnd::Lf, true));
    let doubtful = part(&format!(
        "{}\rAA==\r\nAA==\n",
        base64(1050, 100, LineEnd::Crlf, false)
    ));
    let message = format!("{top}{sound}\r\n{doubtful}--ab \r\n{mixed}--ab--\r");
    let taken = round_trip(message.as_bytes());
    assert_eq!(taken.contents.len(), 2);
    for split in 0..message.len() {
        let (begin, end) = message.as_bytes().split_at(split);
        assert_eq!(Taken::apart(&[begin, end]), taken, "split at {split}");
    }
}

/// What comes out of a whole message: length of each content, line end, whether the last line is closed.
fn check_contents(name: &str, message: &str, expected: &[(u64, LineEnd, bool)]) {
    let taken = round_trip(message.as_bytes());
    let found: Vec<_> = taken
        .recipe
        .pieces
        .iter()
        .filter_map(|piece| match *piece {
            Piece::Skeleton { .. } => None,
            Piece::Base64 {
                content_bytes,
                line_end,
                last_line_end,
                ..
            } => Some((content_bytes, line_end, last_line_end)),
        })
        .collect();
    assert_eq!(found, expected, "{name}");
}

#[test]
fn mixed_line_ends_are_a_doubt() {
    let lf = base64(57 * 20, 76, LineEnd::Lf, true);
    let crlf = base64(57 * 20, 76, LineEnd::Crlf, true);
    let check = |name, body: String, expected| {
        check_contents(name, &format!("{ENCODED}{body}"), &[expected])
    };
    check(
        "one line ends in CRLF",
        format!("{lf}AAAA\r\n{lf}"),
        (57 * 20 + 3, LineEnd::Lf, false),
    );
    check(
        "one line ends in LF",
        format!("{crlf}AAAA\n{crlf}"),
        (57 * 20 + 3, LineEnd::Crlf, false),
    );
    check(
        "from CRLF to LF",
        format!("{crlf}{lf}"),
        (57 * 21, LineEnd::Crlf, false),
    );
    check(
        "two carriage returns",
        format!("{crlf}AAAA\r\r\n{crlf}"),
        (57 * 20, LineEnd::Crlf, true),
    );
    check(
        "a bare carriage return",
        format!("{crlf}AAAA\rAAAA\r\n"),
        (57 * 20, LineEnd::Crlf, true),
    );
    check(
        "the last line ends in CR",
        format!("{crlf}AAAA\r"),
        (57 * 20, LineEnd::Crlf, true),
    );
    check(
        "CRLF body below a LF header",
        crlf.clone(),
        (57 * 20, LineEnd::Crlf, true),
    );
}

#[test]
fn multiparts() {
    let top = "Subject: x\nContent-Type: multipart/mixed; boundary=ab\n\n";
    let (part, lines) = (format!("--ab\n{ENCODED}{}", lines()), lines());
    let one = (1200, LineEnd::Lf, true);
    let check =
        |name, message: &str, count: usize| check_contents(name, message, &vec![one; count]);
    check("two parts", &format!("{top}{part}{part}--ab--\n"), 2);
    check(
        "preamble and epilogue",
        &format!("{top}{lines}{part}--ab--\n{lines}"),
        1,
    );
    check(
        "a blank line before the delimiter",
        &format!("{top}{part}\n--ab--\n"),
        1,
    );
    check("no closing delimiter", &format!("{top}{part}"), 1);
    check(
        "a closing delimiter without end",
        &format!("{top}{part}--ab--"),
        1,
    );
    check(
        "the boundary begins another one",
        &format!("{top}{part}--abc\n{ENCODED}{lines}--ab--\n"),
        1,
    );
    check(
        "a header without a body",
        &format!("{top}--ab\n{}\n{part}--ab--\n", ENCODED.trim_end()),
        1,
    );
    // The delimiter is a line that is no field; the header and the body are the message's own.
    check(
        "a file that begins with a boundary",
        &format!("{part}--ab--\n"),
        1,
    );
    let inner = "--ab\nContent-Type: multipart/related; boundary=abc\n\n";
    let inner_part = format!("--abc\n{ENCODED}{lines}");
    check(
        "nested",
        &format!("{top}{inner}{inner_part}--abc--\n{part}--ab--\n"),
        2,
    );
    check(
        "nested and unclosed",
        &format!("{top}{inner}{inner_part}{part}--ab--\n"),
        2,
    );
    let message = format!("--ab\nContent-Type: message/rfc822\n\n{ENCODED}{lines}");
    check(
        "a message inside",
        &format!("{top}{message}{part}--ab--\n"),
        2,
    );
    check(
        "a message with parts inside",
        &format!(
            "{top}--ab\nContent-Type: message/rfc822\n\n{}{part}--ab--\n",
            top.replace("ab", "cd")
        ),
        1,
    );
}

#[test]
fn oddities_are_told() {
    let check = |message: &str, expected: &[&str]| {
        let names: Vec<_> = round_trip(message.as_bytes()).oddities.names().collect();
        assert_eq!(names, expected, "{message:?}");
    };
    check("A: b\r\n\r\nbody\r\n", &[]);
    check("A: b\n\nbody\n", &[]);
    check("A: b\r\n\r\nbody\n", &["bare-lf"]);
    check("A: b\r\n\r\nbo\rdy\r\n", &["bare-cr"]);
    check("A: b\r\n\r\nbody\r", &["bare-cr"]);
    check("A: b\r\n\r\nbody\r\r\n", &["bare-cr"]);
    check("A: b\n\nbo\0dy\n", &["nul"]);
    check("\0", &["nul", "no-header"]);
    check("", &["no-header"]);
    check("A: \u{e9}\n\n", &["eight-bit-header"]);
    check(&format!("A: b\r\n\r\n{}\r\n", "x".repeat(998)), &[]);
    check(
        &format!("A: b\r\n\r\n{}\r\n", "x".repeat(999)),
        &["overlong-line"],
    );
    check(
        &format!("A: b\r\n\r\n{}", "x".repeat(200_000)),
        &["overlong-line"],
    );
    check(
        "Content-Type: multipart/mixed; boundary=a\n\n--a\n",
        &["unclosed-multipart"],
    );
}

#[test]
fn lines_too_long_to_be_held_are_passed_on() {
    let count = |message: &str| round_trip(message.as_bytes()).contents.len();
    let line = |chars: usize| base64(chars / 4 * 3, u16::MAX - 3, LineEnd::Crlf, true);
    assert_eq!(count(&format!("{ENCODED}{}", line(LINE_MAX_BYTES - 3))), 1);
    assert_eq!(
        count(&format!(
            "{ENCODED}{}{}",
            "A".repeat(LINE_MAX_BYTES + 1),
            lines()
        )),
        0
    );
    assert_eq!(
        count(&format!(
            "X: {}\n{ENCODED}{}",
            "x".repeat(LINE_MAX_BYTES),
            lines()
        )),
        0
    );
    let part = format!("--ab\n{ENCODED}{}", lines());
    let long = "x".repeat(3 * LINE_MAX_BYTES);
    let top = "Content-Type: multipart/mixed; boundary=ab\n\n";
    assert_eq!(
        count(&format!(
            "{top}{long}\n{part}{long}\n--ab\n{long}\n{part}--ab{long}--"
        )),
        2
    );
    for length in LINE_MAX_BYTES - 3..LINE_MAX_BYTES + 3 {
        round_trip(format!("{ENCODED}{}{}\r\n{}", lines(), "A".repeat(length), lines()).as_bytes());
    }
}

#[test]
fn a_header_too_long_is_left_as_it_is() {
    let header = "X: 0123456789\n".repeat(part_header::HEADER_MAX_BYTES / 14 + 1);
    let taken = round_trip(format!("{header}{ENCODED}{}", lines()).as_bytes());
    assert_eq!((taken.contents.len(), taken.oddities), (0, Oddities::NONE));
}

#[test]
fn a_recipe_names_a_bounded_number_of_contents() {
    let top = "Content-Type: multipart/mixed; boundary=ab\n\n";
    let part = format!("--ab\n{ENCODED}{}", base64(1024, 76, LineEnd::Lf, true));
    let taken = round_trip(format!("{top}{}--ab--\n", part.repeat(CONTENTS_MAX + 2)).as_bytes());
    assert_eq!(taken.contents.len(), CONTENTS_MAX);
}

#[test]
fn a_reading_copy_has_text_and_empty_attachments() {
    let top = "Content-Type: multipart/mixed; boundary=ab\n\n";
    let text = format!("--ab\nContent-Transfer-Encoding: base64\n\n{}", lines());
    let message = format!("{top}--ab\n{ENCODED}{}{text}--ab--\n", lines());
    let copy = round_trip(message.as_bytes())
        .reading_copy()
        .expect("memory can be read");
    assert_eq!(
        String::from_utf8_lossy(&copy),
        format!("{top}--ab\n{ENCODED}\n{text}--ab--\n")
    );
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let taken = Taken::apart(&[format!("{ENCODED}{}", lines()).as_bytes()]);
    let check = |change: fn(&mut Taken), expected: PutTogetherError| {
        let mut changed = taken.clone();
        change(&mut changed);
        let error = changed.together().expect_err("the damage is seen");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let found = error
            .get_ref()
            .and_then(|error| error.downcast_ref::<PutTogetherError>());
        assert_eq!(found, Some(&expected));
    };
    let length = |piece, wanted_bytes, given_bytes| PutTogetherError::Length {
        piece,
        wanted_bytes,
        given_bytes,
    };
    check(
        |taken| taken.skeleton.truncate(taken.skeleton.len() - 1),
        length(0, ENCODED.len() as u64, ENCODED.len() as u64 - 1),
    );
    check(
        |taken| taken.contents[0].truncate(1199),
        length(1, 1200, 1199),
    );
    check(|taken| taken.contents[0].push(0), length(1, 1200, 1201));
    for impossible in [0, 3, 77] {
        let mut changed = taken.clone();
        let Piece::Base64 { line_chars, .. } = &mut changed.recipe.pieces[1] else {
            panic!("it is the content")
        };
        *line_chars = impossible;
        assert!(changed.together().is_err());
        assert_eq!(changed.recipe.message_bytes(), None);
    }
    let piece = Piece::Skeleton {
        length_bytes: u64::MAX,
    };
    assert_eq!(
        Recipe {
            pieces: vec![piece, piece]
        }
        .message_bytes(),
        None
    );
}

#[test]
fn an_error_of_the_sink_is_handed_through() {
    struct Full;
    impl Sink for Full {
        type Error = &'static str;
        fn skeleton(&mut self, _: &[u8]) -> Result<(), Self::Error> {
            Err("full")
        }
        fn content_begins(&mut self) -> Result<(), Self::Error> {
            Err("full")
        }
        fn content(&mut self, _: &[u8]) -> Result<(), Self::Error> {
            Err("full")
        }
        fn content_ends(&mut self) -> Result<(), Self::Error> {
            Err("full")
        }
    }
    let mut scan = TakeApart::new(Full);
    assert_eq!(
        scan.push(format!("{ENCODED}{}", lines()).as_bytes()),
        Err("full")
    );
    let mut scan = TakeApart::new(Full);
    assert_eq!(scan.push(b"A: b\n"), Ok(()));
    assert_eq!(scan.finish().err(), Some("full"));
}

/// A piece of a message, sound or not.
fn message_piece() -> impl Strategy<Value = String> {
    let line_end = prop_oneof![Just(LineEnd::Crlf), Just(LineEnd::Lf)];
    let line_chars = prop_oneof![5 => Just(76_u16), 1 => Just(64), 1 => (1_u16..1000).prop_map(|quads| quads * 4)];
    prop_oneof![
        4 => (0_usize..5000, line_chars, line_end, any::<bool>())
            .prop_map(|(count, chars, end, closed)| base64(count, chars, end, closed)),
        3 => Just(ENCODED.to_owned()),
        2 => Just("--ab\r\n".to_owned()),
        2 => Just("\n--ab\n".to_owned()),
        1 => Just("--ab--\n".to_owned()),
        1 => Just("--abc\r\n".to_owned()),
        1 => Just("--abc--\r\n".to_owned()),
        1 => Just("Content-Type: multipart/mixed; boundary=abc\r\n\r\n".to_owned()),
        1 => Just("Content-Type: message/rfc822\n\n".to_owned()),
        1 => "[ -~\r\n]{0,200}",
    ]
}

/// Something that happens to a message on its way; the numbers are parts of its length in 65,536ths.
#[derive(Clone, Debug)]
enum Mutation {
    Flip(u16, u8),
    Insert(u16, u8),
    Remove(u16, u16),
    RemoveLine(u16),
    Splice(u16, u16, u16),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let octet = prop_oneof![
        any::<u8>(),
        Just(b'\r'),
        Just(b'\n'),
        Just(b'='),
        Just(b'-'),
        Just(b' ')
    ];
    prop_oneof![
        (any::<u16>(), octet.clone()).prop_map(|(at, octet)| Mutation::Flip(at, octet)),
        (any::<u16>(), octet).prop_map(|(at, octet)| Mutation::Insert(at, octet)),
        (any::<u16>(), any::<u16>()).prop_map(|(at, count)| Mutation::Remove(at, count / 16)),
        any::<u16>().prop_map(Mutation::RemoveLine),
        (any::<u16>(), any::<u16>(), any::<u16>())
            .prop_map(|(from, count, to)| Mutation::Splice(from, count, to)),
    ]
}

impl Mutation {
    fn happen(&self, message: &mut Vec<u8>) {
        let length = message.len();
        let place = |part: u16| length * usize::from(part) / 65_536;
        match *self {
            Self::Flip(at, octet) => message
                .iter_mut()
                .skip(place(at))
                .take(1)
                .for_each(|byte| *byte = octet),
            Self::Insert(at, octet) => message.insert(place(at), octet),
            Self::Remove(at, count) => {
                drop(message.drain(place(at)..(place(at) + place(count)).min(length)))
            }
            Self::RemoveLine(at) => {
                let count = message[place(at)..]
                    .iter()
                    .position(|&byte| byte == b'\n')
                    .map_or(0, |index| index + 1);
                message.drain(place(at)..place(at) + count);
            }
            Self::Splice(from, count, to) => {
                let piece = message[place(from)..(place(from) + place(count)).min(length)].to_vec();
                message.splice(place(to)..place(to), piece);
            }
        }
    }
}

proptest! {
    #[test]
    fn a_mutated_message_comes_back_to_the_byte(
        pieces in proptest::collection::vec(message_piece(), 0..12),
        mutations in proptest::collection::vec(mutation(), 0..6),
        step in 1_usize..3000,
    ) {
        let top = "Content-Type: multipart/mixed; boundary=ab\r\n\r\n";
        let mut message = format!("{top}--ab\n{ENCODED}{}", pieces.concat()).into_bytes();
        mutations.iter().for_each(|mutation| mutation.happen(&mut message));
        let taken = round_trip(&message);
        let steps: Vec<&[u8]> = message.chunks(step).collect();
        prop_assert_eq!(Taken::apart(&steps), taken);
    }

    #[test]
    fn any_bytes_come_back(message in proptest::collection::vec(any::<u8>(), 0..2000)) {
        round_trip(&message);
    }
}
