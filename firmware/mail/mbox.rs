//! mbox files: messages one after the other, each behind a line that begins with "From " (RFC 4155, and the page mbox(5)).
//!
//! Reads the mboxrd and mboxo forms, and the broken ones seen in the wild: a "From " line parts messages only after a
//! blank line (Mozilla's without one, too) and only if it looks like one, since many writers do not quote. Content-Length is not believed: files in
//! which it is wrong are as common as those in which it is right, and would lose messages. Constant memory.

use std::io::{self, BufRead, Read, Write};

use crate::header::{field_name, is_empty, next_line};
use crate::oddities::Oddities;

/// Longest piece of a line held in memory, in octets; a longer line passes in pieces, of which only the first is looked
/// at.
const LINE_KEPT_BYTES: u64 = 64 << 10;

/// Octets that some programs put before UTF-8 files.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// What is known of one message of an mbox file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MboxEntry {
    /// The place of its "From " line, in octets from the start of the file.
    pub offset: u64,
    /// The "From " line without its line end; empty if the file begins without one.
    pub from_line: Vec<u8>,
    /// The length of the message as written out, in octets; 0 for an entry without a message.
    pub length_bytes: u64,
    /// [`Oddities::MBOX_ODD`], if the file broke the rules here.
    pub oddities: Oddities,
}

/// Reads the messages of an mbox file one by one.
#[derive(Debug)]
pub struct MboxReader<R> {
    source: R,
    offset: u64,
    /// Whether the last piece read ended its line.
    is_line_start: bool,
    /// A piece read ahead.
    ahead: Option<Piece>,
    /// The "From " line of the next message.
    next_from: Option<Piece>,
    is_begun: bool,
}

/// A line, or a piece of a long one.
#[derive(Debug)]
struct Piece {
    bytes: Vec<u8>,
    offset: u64,
    is_line_start: bool,
}

impl<R: BufRead> MboxReader<R> {
    /// Makes a reader that begins at the start of a file.
    pub fn new(source: R) -> Self {
        Self {
            source,
            offset: 0,
            is_line_start: true,
            ahead: None,
            next_from: None,
            is_begun: false,
        }
    }

    /// Writes the next message to `out`, its quoting undone, and tells about it; nothing at the end of the file.
    ///
    /// # Errors
    /// What reading the file or writing to `out` gives; the reader is then of no further use.
    pub fn next_message(&mut self, out: &mut dyn Write) -> io::Result<Option<MboxEntry>> {
        let Some(mut entry) = self.begin_entry()? else {
            return Ok(None);
        };
        // A blank line before a "From " line or at the end belongs to the file, not to the message.
        let mut blank: Option<Piece> = None;
        while let Some(piece) = self.read_piece()? {
            let is_blank = piece.is_line_start && is_empty(&piece.bytes);
            if piece.is_line_start && piece.bytes.starts_with(b"From ") {
                let is_after_blank = blank.is_some();
                let is_separator = self.is_separator(&piece, is_after_blank)?;
                if is_separator != is_after_blank {
                    entry.oddities.insert(Oddities::MBOX_ODD);
                }
                if is_separator {
                    self.next_from = Some(piece);
                    break;
                }
            }
            if let Some(blank) = blank.take() {
                entry.write(&blank.bytes, out)?;
            }
            if is_blank {
                blank = Some(piece);
            } else {
                entry.write(unquoted(&piece), out)?;
            }
        }
        Ok(Some(entry))
    }

    /// Begins an entry at the "From " line found before, or at the start of the file.
    fn begin_entry(&mut self) -> io::Result<Option<MboxEntry>> {
        if !self.is_begun {
            self.is_begun = true;
            self.begin_file()?;
            if self.next_from.is_none() && self.ahead.is_some() {
                return Ok(Some(MboxEntry {
                    oddities: Oddities::MBOX_ODD,
                    ..MboxEntry::default()
                }));
            }
        }
        Ok(self.next_from.take().map(|from| MboxEntry {
            offset: from.offset,
            from_line: without_line_end(&from.bytes).to_vec(),
            ..MboxEntry::default()
        }))
    }

    /// Passes blank lines at the start and takes the first line, which parts nothing and needs only begin with "From ".
    fn begin_file(&mut self) -> io::Result<()> {
        while let Some(mut piece) = self.read_piece()? {
            if piece.bytes.starts_with(BYTE_ORDER_MARK) {
                piece.bytes.drain(..BYTE_ORDER_MARK.len());
                piece.offset += BYTE_ORDER_MARK.len() as u64;
            }
            if piece.bytes.starts_with(b"From ") {
                self.next_from = Some(piece);
                break;
            }
            if !is_empty(&piece.bytes) {
                self.ahead = Some(piece);
                break;
            }
        }
        Ok(())
    }

    fn is_separator(&mut self, line: &Piece, is_after_blank: bool) -> io::Result<bool> {
        self.ahead = self.read_piece()?;
        let next = self.ahead.as_ref().map(|next| next.bytes.as_slice());
        Ok(is_separator(&line.bytes, next)
            && (is_after_blank || quirk_mozilla_without_blank(&line.bytes, next)))
    }

    fn read_piece(&mut self) -> io::Result<Option<Piece>> {
        if let Some(piece) = self.ahead.take() {
            return Ok(Some(piece));
        }
        let mut bytes = Vec::new();
        (&mut self.source)
            .take(LINE_KEPT_BYTES)
            .read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let piece = Piece {
            offset: self.offset,
            is_line_start: self.is_line_start,
            bytes,
        };
        self.offset += piece.bytes.len() as u64;
        self.is_line_start = piece.bytes.ends_with(b"\n");
        Ok(Some(piece))
    }
}

impl MboxEntry {
    fn write(&mut self, bytes: &[u8], out: &mut dyn Write) -> io::Result<()> {
        self.length_bytes += bytes.len() as u64;
        out.write_all(bytes)
    }
}

/// Tells from the first octets of a file (some kilobytes) whether it is an mbox file. A single message that was
/// exported with its "From " line is one, too.
pub fn looks_like_mbox(head: &[u8]) -> bool {
    let head = head
        .strip_prefix(BYTE_ORDER_MARK)
        .unwrap_or(head)
        .trim_ascii_start();
    let Some(line) = next_line(head).filter(|line| line.starts_with(b"From ")) else {
        return false;
    };
    is_separator(line, next_line(&head[line.len()..]))
}

/// Tells whether a line that begins with "From " parts messages: it has a time and a header, an empty message or nothing
/// follows, or it has but one word and a header follows ("From -" of Mozilla, "From 123@xxx" of Google).
fn is_separator(line: &[u8], next: Option<&[u8]>) -> bool {
    let words: Vec<&[u8]> = line[b"From ".len()..]
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .collect();
    let is_header_next = is_header(next);
    match words.as_slice() {
        [] => false,
        [word] => is_header_next && !word.ends_with(b":"),
        words => {
            words.iter().any(|word| is_time(word)) && (is_header_next || next.is_none_or(is_empty))
        }
    }
}

/// Tells whether this is a "From - " line of Netscape and Mozilla with a header after it: they left out the blank line
/// before it where a message did not end in one, but quoted every such line inside a message.
fn quirk_mozilla_without_blank(line: &[u8], next: Option<&[u8]>) -> bool {
    line.trim_ascii_end().starts_with(b"From -") && is_header(next)
}

fn is_header(next: Option<&[u8]>) -> bool {
    next.is_some_and(|next| field_name(next).is_some() || next.starts_with(b">From "))
}

/// Tells whether a word is a time such as "9:05" or "17:06:23".
fn is_time(word: &[u8]) -> bool {
    let numbers: Vec<&[u8]> = word.split(|b| *b == b':').collect();
    matches!(numbers.len(), 2 | 3)
        && numbers
            .iter()
            .all(|n| matches!(n.len(), 1 | 2) && n.iter().all(u8::is_ascii_digit))
}

/// Takes one ">" off a quoted "From " line, as mboxrd has it.
fn unquoted(piece: &Piece) -> &[u8] {
    let bytes = piece.bytes.as_slice();
    let quotes = bytes.iter().take_while(|b| **b == b'>').count();
    let is_quoted = piece.is_line_start && quotes > 0 && bytes[quotes..].starts_with(b"From ");
    if is_quoted { &bytes[1..] } else { bytes }
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::BufReader;

    /// Reads all entries with their messages.
    fn read_all(mbox: &[u8], buffer_bytes: usize) -> Vec<(MboxEntry, Vec<u8>)> {
        let mut reader = MboxReader::new(BufReader::with_capacity(buffer_bytes, mbox));
        let mut entries = Vec::new();
        loop {
            let mut message = Vec::new();
            let Some(entry) = reader
                .next_message(&mut message)
                .expect("reading from memory")
            else {
                return entries;
            };
            assert_eq!(entry.length_bytes, message.len() as u64);
            entries.push((entry, message));
        }
    }

    #[track_caller]
    fn check(mbox: &str, expected: &[&str], expected_odd: bool) {
        for (mbox, crlf) in [(mbox.to_owned(), false), (mbox.replace('\n', "\r\n"), true)] {
            let whole = read_all(mbox.as_bytes(), 8192);
            assert_eq!(read_all(mbox.as_bytes(), 1), whole, "byte by byte");
            let found: Vec<_> = whole
                .iter()
                .map(|(_, m)| String::from_utf8_lossy(m).into_owned())
                .collect();
            let expected: Vec<_> = expected
                .iter()
                .map(|m| {
                    if crlf {
                        m.replace('\n', "\r\n")
                    } else {
                        (*m).to_owned()
                    }
                })
                .collect();
            assert_eq!(found, expected, "{mbox:?}");
            let is_odd = whole
                .iter()
                .any(|(entry, _)| entry.oddities.contains(Oddities::MBOX_ODD));
            assert_eq!(is_odd, expected_odd, "{mbox:?}");
        }
    }

    const FROM: &str = "From a@x.example Mon Mar  3 10:00:00 2025\n";

    #[test]
    fn messages_are_parted() {
        check("", &[], false);
        check(
            &format!("{FROM}A: b\n\nbody\n\n{FROM}C: d\n\nmore\n\n"),
            &["A: b\n\nbody\n", "C: d\n\nmore\n"],
            false,
        );
        check(&format!("{FROM}A: b\n\nbody\n"), &["A: b\n\nbody\n"], false);
        check(
            &format!("{FROM}A: b\n\nno line end"),
            &["A: b\n\nno line end"],
            false,
        );
        check(
            &format!("{FROM}A: b\n\nbody\n\n\n\n"),
            &["A: b\n\nbody\n\n\n"],
            false,
        );
        check(&format!("\n\n{FROM}A: b\n"), &["A: b\n"], false);
        check(&format!("{FROM}\n{FROM}\n"), &["", ""], false);
        check(
            "From -\nA: b\n\nx\n\nFrom - \nC: d\n\ny\n",
            &["A: b\n\nx\n", "C: d\n\ny\n"],
            false,
        );
        check(
            "From 1@xxx\nA: b\n\nx\n\nFrom 2@xxx\nC: d\n",
            &["A: b\n\nx\n", "C: d\n"],
            false,
        );
    }

    #[test]
    fn quoting_is_undone() {
        let mbox = format!("{FROM}A: b\n\n>From here\n>>From there\n> From\n>Fromm\nx >From\n");
        check(
            &mbox,
            &["A: b\n\nFrom here\n>From there\n> From\n>Fromm\nx >From\n"],
            false,
        );
    }

    #[test]
    fn what_is_not_quoted_stays_in_its_message() {
        for body in [
            "x\n\nFrom Russia with love\nYear: 1963\n",
            "x\n\nFrom Bob:\nNote: this\n",
            "x\n\nFrom now on at 10:00\nwe meet\n",
            "x\n\nFrom \nA: b\n",
        ] {
            check(
                &format!("{FROM}A: b\n\n{body}\n{FROM}C: d\n"),
                &[&format!("A: b\n\n{body}"), "C: d\n"],
                true,
            );
        }
        check(
            &format!("{FROM}A: b\n\nx\n{FROM}C: d\n"),
            &[&format!("A: b\n\nx\n{FROM}C: d\n")],
            false,
        );
        check(
            &format!("no mbox\n\n{FROM}A: b\n"),
            &["no mbox\n", "A: b\n"],
            true,
        );
    }

    #[test]
    fn entries_tell_where_they_stand() {
        let mbox = format!("{FROM}A: b\n\n{FROM}C: d\n");
        let entries = read_all(mbox.as_bytes(), 5);
        assert_eq!(
            (entries[0].0.offset, entries[1].0.offset),
            (0, (FROM.len() + 6) as u64)
        );
        assert_eq!(entries[1].0.from_line, FROM.trim_end().as_bytes());
        let marked = [BYTE_ORDER_MARK, mbox.as_bytes()].concat();
        assert_eq!(read_all(&marked, 5)[0].0.offset, 3);
    }

    #[test]
    fn heads() {
        for (head, expected) in [
            (format!("{FROM}A: b\n"), true),
            (format!("\u{feff}{FROM}"), true),
            ("From -\r\nA: b\r\n".to_owned(), true),
            ("From: a@x\n".to_owned(), false),
            ("From Russia with love\n".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(looks_like_mbox(head.as_bytes()), expected, "{head:?}");
        }
    }

    #[test]
    fn long_lines_pass_in_pieces() {
        let long = ">From ".repeat(100_000);
        let mbox = format!("{FROM}A: b\n\n{long}\n\n{FROM}C: d\n");
        let entries = read_all(mbox.as_bytes(), 4096);
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].1, format!("A: b\n\n{}\n", &long[1..]).as_bytes());
    }

    #[test]
    fn sample_files() {
        let Some(files) = crate::corpus::read("containers") else {
            return;
        };
        for (name, expected) in [
            ("samba-technical-600.mbox", 600),
            ("content-length.mbox.txt", 29),
            ("issue1189.mbox.txt", 4),
            ("simple.mbox.txt", 3),
            ("unmunged.mbox.txt", 2),
            ("tests__default.mbox", 6),
        ] {
            let (_, bytes) = files
                .iter()
                .find(|(file, _)| file.ends_with(name))
                .expect(name);
            assert!(looks_like_mbox(bytes), "{name}");
            let entries = read_all(bytes, 8192);
            assert_eq!(entries.len(), expected, "{name}");
            for (_, message) in &entries {
                let reading = crate::message::read(message);
                assert!(!reading.oddities.contains(Oddities::UNREADABLE), "{name}");
            }
        }
        for (name, bytes) in &files {
            let total: u64 = read_all(bytes, 64)
                .iter()
                .map(|(entry, _)| entry.length_bytes)
                .sum();
            assert!(total <= bytes.len() as u64, "{name}");
        }
    }

    /// Writes messages as mboxrd.
    fn write_mboxrd(messages: &[String]) -> String {
        let quoted = |line: &str| line.trim_start_matches('>').starts_with("From ");
        let quote = |line: &str| {
            if quoted(line) {
                format!(">{line}")
            } else {
                line.to_owned()
            }
        };
        let text = |m: &String| m.split_inclusive('\n').map(quote).collect::<String>();
        messages
            .iter()
            .map(|m| format!("{FROM}{}\n", text(m)))
            .collect()
    }

    proptest! {
        #[test]
        fn what_was_written_as_mboxrd_comes_back(bodies in proptest::collection::vec("((>{0,2}From |[a-z: ]{0,8}|\r)\n){0,8}", 0..5)) {
            let messages: Vec<String> = bodies.iter().map(|body| format!("A: b\n{body}")).collect();
            let found: Vec<_> = read_all(write_mboxrd(&messages).as_bytes(), 16);
            let found: Vec<_> = found.into_iter().map(|(_, m)| String::from_utf8(m).expect("text")).collect();
            prop_assert_eq!(found, messages);
        }

        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'F'), any::<u8>()], 0..200), text in "(From |>|10:00|A: b|\n|\r| ){0,40}") {
            prop_assert_eq!(read_all(&bytes, 1), read_all(&bytes, 64));
            prop_assert_eq!(read_all(text.as_bytes(), 1), read_all(text.as_bytes(), 64));
        }
    }
}
