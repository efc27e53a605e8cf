//! Reads a message as the archive will, to tell what is odd in it without keeping it, and picks what a person should know of.

use mail::{JournalScanner, Oddities, TakeApart, TransferEncoding};
use std::convert::Infallible;
use std::io::{self, Write};
use std::ops::Range;
use store::Body;

/// Longest part of a message that is read for its meaning, in bytes, as the archive has it.
const READING_BYTES_MAX: usize = 16 << 20;

/// What is worth a line in the list: the message may be cut, hidden from a search, or not what it was taken for. Bare line
/// feeds are how Unix keeps mail, and overlong lines, 8-bit headers and the like lose nothing.
const WORTH_LISTING: [Oddities; 14] = [
    Oddities::NUL,
    Oddities::NO_HEADER,
    Oddities::UNCLOSED_MULTIPART,
    Oddities::DEEP_NESTING,
    Oddities::BAD_DATE,
    Oddities::NO_DATE,
    Oddities::BAD_CHARSET,
    Oddities::UNREADABLE,
    Oddities::BODY_CUT,
    Oddities::LIST_CUT,
    Oddities::JOURNAL_UNTRUSTED,
    Oddities::JOURNAL_TRUNCATED,
    Oddities::JOURNAL_UNPARSED,
    Oddities::MBOX_ODD,
];

/// Names what is worth a line, if anything is.
pub(super) fn worth_listing(oddities: Oddities) -> Option<String> {
    let listed = WORTH_LISTING
        .iter()
        .filter(|oddity| oddities.contains(**oddity));
    let names: Vec<_> = listed.flat_map(|oddity| oddity.names()).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// Tells what is odd in a message, or in the journal report that it is.
///
/// # Errors
/// Those of reading the spool.
pub(super) fn scan(body: &Body, unwrap_journal: bool) -> io::Result<Oddities> {
    let mut report = Report(JournalScanner::new());
    body.write_to(&mut report)?;
    let is_marked = report.0.is_marked();
    let report = report
        .0
        .finish()
        .filter(|report| report.is_marked && unwrap_journal);
    if let Some(report) = report {
        let oddities = scan_message(body, report.message, report.transfer_encoding)?;
        return Ok(oddities.union(report.oddities));
    }
    let mut oddities = scan_message(body, 0..body.length_bytes(), TransferEncoding::Identity)?;
    if is_marked {
        let why = if unwrap_journal {
            Oddities::JOURNAL_UNPARSED
        } else {
            Oddities::JOURNAL_UNTRUSTED
        };
        oddities.insert(why);
    }
    Ok(oddities)
}

fn scan_message(
    body: &Body,
    range: Range<u64>,
    encoding: TransferEncoding,
) -> io::Result<Oddities> {
    let mut original = Original {
        skip_bytes: range.start,
        left_bytes: range.end - range.start,
        decoder: encoding.decoder(),
        decoded: Vec::new(),
        look: Look {
            taking_apart: TakeApart::new(Nowhere),
            read: Vec::new(),
        },
    };
    body.write_to(&mut original)?;
    let Original {
        decoder, mut look, ..
    } = original;
    let mut rest = Vec::new();
    decoder.finish(&mut rest);
    look.at(&rest);
    Ok(look.finish())
}

struct Report(JournalScanner);

impl Write for Report {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.wants_more() {
            self.0.push(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes a body and hands on the message in a range of it, decoded.
struct Original {
    skip_bytes: u64,
    left_bytes: u64,
    decoder: mail::Decoder,
    decoded: Vec<u8>,
    look: Look,
}

impl Write for Original {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let skipped = self.skip_bytes.min(bytes.len() as u64);
        self.skip_bytes -= skipped;
        let wanted = &bytes[skipped as usize..];
        let wanted = &wanted[..self.left_bytes.min(wanted.len() as u64) as usize];
        self.left_bytes -= wanted.len() as u64;
        self.decoder.push(wanted, &mut self.decoded);
        self.look.at(&self.decoded);
        self.decoded.clear();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Looks at a message as the archive does: at how it is built, and at what it means.
struct Look {
    taking_apart: TakeApart<Nowhere>,
    read: Vec<u8>,
}

impl Look {
    fn at(&mut self, bytes: &[u8]) {
        let Ok(()) = self.taking_apart.push(bytes);
        let room = READING_BYTES_MAX - self.read.len();
        self.read.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn finish(self) -> Oddities {
        let Ok((_, _, oddities)) = self.taking_apart.finish();
        oddities.union(mail::read(&self.read).oddities)
    }
}

/// Takes the pieces of a message and forgets them.
struct Nowhere;

impl mail::Sink for Nowhere {
    type Error = Infallible;

    fn skeleton(&mut self, _: &[u8]) -> Result<(), Infallible> {
        Ok(())
    }

    fn content_begins(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn content(&mut self, _: &[u8]) -> Result<(), Infallible> {
        Ok(())
    }

    fn content_ends(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(message: &str, unwrap_journal: bool, expected: Option<&str>) {
        let body = Body::Memory(message.as_bytes().to_vec());
        let oddities = scan(&body, unwrap_journal).expect("reading from memory");
        assert_eq!(
            worth_listing(oddities).as_deref(),
            expected,
            "{oddities:?}: {message}"
        );
    }

    const FIELDS: &str =
        "From: a@x.example\nTo: b@x.example\nDate: Mon, 3 Mar 2025 08:15:02 +0000\n";

    #[test]
    fn what_loses_nothing_is_not_listed() {
        check(&format!("{FIELDS}Subject: \u{fc}\n\nbody\n"), false, None);
        check(
            &format!("{FIELDS}Subject: x\r\n\nbo\rdy\n{}", "x".repeat(2000)),
            false,
            None,
        );
    }

    #[test]
    fn what_a_person_should_know_is_listed() {
        check("just words", false, Some("no-header, no-date, unreadable"));
        check(&format!("{FIELDS}\nbo\0dy"), false, Some("nul"));
        let cut = "Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext";
        check(&format!("{FIELDS}{cut}"), false, Some("unclosed-multipart"));
    }

    #[test]
    fn journal_reports_are_looked_into_when_asked_for() {
        let parts = |inner: &str| {
            format!(
                "X-MS-Journal-Report:\n{FIELDS}Content-Type: multipart/mixed; boundary=b\n\n--b\n\n\
                 Sender: a@x.example\nMessage-ID: <1@x.example>\nRecipient: b@x.example\n\n--b\n\
                 Content-Type: message/rfc822\n\n{inner}\n--b--\n"
            )
        };
        let sound = parts(&format!("{FIELDS}\ntext"));
        check(&sound, true, None);
        check(&sound, false, Some("journal-untrusted"));
        check(&parts(&format!("{FIELDS}\nte\0xt")), true, Some("nul"));
        check(
            &format!("X-MS-Journal-Report:\n{FIELDS}\nno parts"),
            true,
            Some("journal-unparsed"),
        );
    }
}
