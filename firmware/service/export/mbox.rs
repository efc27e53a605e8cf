//! Export into one mbox file, quoted as mboxrd has it (mbox(5), RFC 4155): each line of a message that is "From " behind any number
//! of ">" gets one more ">", so that the message can be read back to the byte.
//!
//! Two things an mbox cannot hold: a message that does not end with a line end gets one, and a message that does not begin with a
//! header field may not be parted from the one before it by programs that look for one. The eml and zip forms keep both.

use super::MessageWriter;
use super::target::Target;
use crate::keeper::messages::Entry;
use archive::calendar::{DAY_S, Date};
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// The name in "From " lines when no sender is known, as delivery programs write it.
const UNKNOWN_SENDER: &str = "MAILER-DAEMON";

/// An mbox file being written.
pub(super) struct MboxFile {
    target: Target,
    quoting: Quoting<BufWriter<File>>,
    /// Where the current entry begins.
    begins_at: u64,
}

impl MboxFile {
    /// Begins in an empty file.
    pub(super) fn new(target: Target, file: File) -> Self {
        Self {
            target,
            quoting: Quoting::new(BufWriter::new(file)),
            begins_at: 0,
        }
    }

    /// Brings everything to the disk and gives the file its name.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.quoting.out.flush()?;
        self.target.finish(self.quoting.out.get_ref())
    }
}

impl MessageWriter for MboxFile {
    fn begin(&mut self, entry: &Entry) -> io::Result<&mut dyn Write> {
        self.begins_at = self.quoting.out.stream_position()?;
        self.quoting.out.write_all(from_line(entry).as_bytes())?;
        Ok(&mut self.quoting)
    }

    fn end(&mut self, _: &Entry) -> io::Result<()> {
        self.quoting.end_message()
    }

    fn abort(&mut self) -> io::Result<()> {
        self.quoting.out.seek(SeekFrom::Start(self.begins_at))?;
        self.quoting.out.get_ref().set_len(self.begins_at)?;
        self.quoting.line = Line::Start {
            quotes: 0,
            matched: 0,
        };
        Ok(())
    }
}

/// Makes the line that parts messages: sender, and the time of arrival in UTC as `asctime` writes it.
fn from_line(entry: &Entry) -> String {
    let unix_s = entry.received_at_us.div_euclid(1_000_000);
    let (date, second) = (Date::of_unix(unix_s), unix_s.rem_euclid(DAY_S));
    let (day_name, month) = (
        DAYS[unix_s.div_euclid(DAY_S).rem_euclid(7) as usize],
        MONTHS[usize::from(date.month()) - 1],
    );
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let (day, year) = (date.day(), date.year());
    format!(
        "From {} {day_name} {month} {day:2} {hour:02}:{minute:02}:{second:02} {year}\n",
        sender(&entry.from)
    )
}

/// Finds the address in an author as shown: `Name <address>` or the address alone.
fn sender(from: &str) -> &str {
    let address = from
        .rsplit_once('<')
        .map_or(from, |(_, rest)| rest.trim_end_matches('>'));
    let is_address = address.contains('@') && address.chars().all(|c| c.is_ascii_graphic());
    if is_address { address } else { UNKNOWN_SENDER }
}

/// Quotes the lines of messages on their way out.
struct Quoting<W> {
    out: W,
    line: Line,
}

/// What is known of the current line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// So many ">", then so many letters of "From "; none of them is written yet.
    Start { quotes: usize, matched: usize },
    /// Past its beginning.
    Rest,
}

const FROM: &[u8] = b"From ";

impl<W: Write> Quoting<W> {
    fn new(out: W) -> Self {
        Self {
            out,
            line: Line::Start {
                quotes: 0,
                matched: 0,
            },
        }
    }

    /// Ends the message, and its last line if it has no end.
    fn end_message(&mut self) -> io::Result<()> {
        let is_ended = self.line
            == Line::Start {
                quotes: 0,
                matched: 0,
            };
        self.decide(false)?;
        self.line = Line::Start {
            quotes: 0,
            matched: 0,
        };
        self.out.write_all(if is_ended { b"\n" } else { b"\n\n" })
    }

    /// Takes a piece of a line that holds no line end but at its end.
    fn piece(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while let (Line::Start { quotes, matched }, [first, rest @ ..]) = (self.line, bytes) {
            if matched == 0 && *first == b'>' {
                self.line = Line::Start {
                    quotes: quotes + 1,
                    matched,
                };
            } else if *first == FROM[matched] {
                self.line = Line::Start {
                    quotes,
                    matched: matched + 1,
                };
            } else {
                self.decide(false)?;
                break;
            }
            bytes = rest;
            if matched + 1 == FROM.len() && *first == FROM[matched] {
                self.decide(true)?;
            }
        }
        self.out.write_all(bytes)?;
        if bytes.ends_with(b"\n") {
            self.line = Line::Start {
                quotes: 0,
                matched: 0,
            };
        }
        Ok(())
    }

    /// Writes what was held back of the beginning of a line.
    fn decide(&mut self, is_from_line: bool) -> io::Result<()> {
        if let Line::Start { quotes, matched } = self.line {
            for _ in 0..quotes + usize::from(is_from_line) {
                self.out.write_all(b">")?;
            }
            self.out.write_all(&FROM[..matched])?;
            self.line = Line::Rest;
        }
        Ok(())
    }
}

impl<W: Write> Write for Quoting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        bytes
            .split_inclusive(|byte| *byte == b'\n')
            .try_for_each(|piece| self.piece(piece))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(messages: &[&[u8]], piece_bytes: usize) -> Vec<u8> {
        let mut quoting = Quoting::new(Vec::new());
        for message in messages {
            quoting
                .out
                .extend_from_slice(from_line(&Entry::default()).as_bytes());
            for piece in message.chunks(piece_bytes) {
                quoting.write_all(piece).expect("into memory");
            }
            quoting.end_message().expect("into memory");
        }
        quoting.out
    }

    #[track_caller]
    fn check(message: &str, expected: &str) {
        for piece_bytes in 1..=message.len().max(1) {
            let mbox = quoted(&[message.as_bytes()], piece_bytes);
            let text = String::from_utf8(mbox).expect("UTF-8");
            let (_, body) = text.split_once('\n').expect("a From line");
            assert_eq!(body, expected, "{message:?} in pieces of {piece_bytes}");
        }
    }

    #[test]
    fn lines_are_quoted() {
        check(
            "A: b\n\nFrom here\n>From there\n",
            "A: b\n\n>From here\n>>From there\n\n",
        );
        check("From \n", ">From \n\n");
        check(
            "Fro\n>>Fro\n From \nx From \n>x\nFrom:\n",
            "Fro\n>>Fro\n From \nx From \n>x\nFrom:\n\n",
        );
        check("A: b\n\nno end", "A: b\n\nno end\n\n");
        check("A: b\n\n>>", "A: b\n\n>>\n\n");
        check("A: b\n\n>From", "A: b\n\n>From\n\n");
        check("A: b\n\nFrom ", "A: b\n\n>From \n\n");
        check("A: b\r\n\r\nFrom x\r\n", "A: b\r\n\r\n>From x\r\n\n");
        check("", "\n");
    }

    #[test]
    fn from_lines_tell_sender_and_time() {
        let line = |from: &str, received_at_us| {
            from_line(&Entry {
                from: from.to_owned(),
                received_at_us,
                ..Entry::default()
            })
        };
        assert_eq!(
            line("Anna <a@x.example>", 1_740_989_702_999_999),
            "From a@x.example Mon Mar  3 08:15:02 2025\n"
        );
        assert_eq!(
            line("a@x.example", -1),
            "From a@x.example Wed Dec 31 23:59:59 1969\n"
        );
        assert_eq!(
            line("Anna", 0),
            "From MAILER-DAEMON Thu Jan  1 00:00:00 1970\n"
        );
        assert_eq!(
            line("<a b@x>", 0),
            "From MAILER-DAEMON Thu Jan  1 00:00:00 1970\n"
        );
    }

    #[test]
    fn what_is_written_is_read_back() {
        let messages: [&[u8]; 6] = [
            b"A: b\n\nbody\n",
            b"A: b\r\n\r\nFrom here\r\n>>From there\r\n\r\n\r\n",
            b"From a@x.example Mon Mar  3 10:00:00 2025\nA: b\n\n\nFrom a@x.example Mon Mar  3 10:00:00 2025\nA: b\n",
            b"A: b\n\n\n",
            b"A: \xff\0\r\n\r\n\xfe\r\r\n",
            b"A: b\n",
        ];
        for piece_bytes in [1, 2, 7, 1000] {
            let mbox = quoted(&messages, piece_bytes);
            let mut reader = mail::MboxReader::new(mbox.as_slice());
            for message in messages {
                let mut read = Vec::new();
                assert!(
                    reader
                        .next_message(&mut read)
                        .expect("reading from memory")
                        .is_some()
                );
                assert_eq!(read, message, "{}", String::from_utf8_lossy(message));
            }
            assert_eq!(
                reader
                    .next_message(&mut Vec::new())
                    .expect("reading from memory"),
                None
            );
        }
    }
}
