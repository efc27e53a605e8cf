//! Reads a message as the archive will, to tell what is odd in it without keeping it, and picks what a person should know of.

use mail::{JournalReport, JournalScanner, Oddities, TakeApart, TransferEncoding};
use std::convert::Infallible;
use std::io::{self, Write};
use std::ops::Range;
use store::Body;

/// Longest part of a message that is read for its meaning, in bytes, as the archive has it.
const READING_BYTES_MAX: usize = 16 << 20;

/// Bytes that the scanner for journal reports is given at once: most headers are shorter, and then it wants no more.
const CHUNK_BYTES: usize = 8 << 10;

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

/// Names what is worth a line, if anything is; `names` are those that the archive gave beside.
pub(super) fn worth_listing(oddities: Oddities, names: &[String]) -> Option<String> {
    let listed = WORTH_LISTING
        .iter()
        .flat_map(|oddity| oddity.names().map(|name| (*oddity, name)));
    let found = listed.filter(|(oddity, name)| {
        oddities.contains(*oddity) || names.iter().any(|known| known == name)
    });
    let found: Vec<_> = found.map(|(_, name)| name).collect();
    (!found.is_empty()).then(|| found.join(", "))
}

/// Tells what is odd in a message, or in the journal report that it is.
///
/// # Errors
/// Those of reading the spool.
pub(super) fn scan(body: &Body, unwrap_journal: bool) -> io::Result<Oddities> {
    let (report, oddities) = find_report(body, unwrap_journal)?;
    let in_message = match report {
        Some(report) => scan_message(body, report.message, report.transfer_encoding),
        None => scan_message(body, 0..body.length_bytes(), TransferEncoding::Identity),
    };
    Ok(oddities.union(in_message?))
}

/// Tells what is odd in a journal report beside the message in it; of other mail only the header is read.
///
/// # Errors
/// Those of reading the spool.
pub(super) fn scan_report(body: &Body, unwrap_journal: bool) -> io::Result<Oddities> {
    Ok(find_report(body, unwrap_journal)?.1)
}

/// Finds the report that the archive will unwrap, and what is odd about it or about not unwrapping it.
fn find_report(body: &Body, unwrap_journal: bool) -> io::Result<(Option<JournalReport>, Oddities)> {
    let mut report = Report(JournalScanner::new());
    body.write_to(&mut report)?;
    let is_marked = report.0.is_marked();
    let report = report
        .0
        .finish()
        .filter(|report| report.is_marked && unwrap_journal);
    let oddities = match &report {
        Some(report) => report.oddities,
        None if !is_marked => Oddities::NONE,
        None if unwrap_journal => Oddities::JOURNAL_UNPARSED,
        None => Oddities::JOURNAL_UNTRUSTED,
    };
    Ok((report, oddities))
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
        // Of a message in memory all bytes come at once.
        let mut chunks = bytes.chunks(CHUNK_BYTES);
        while self.0.wants_more()
            && let Some(chunk) = chunks.next()
        {
            self.0.push(chunk);
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
            worth_listing(oddities, &[]).as_deref(),
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
    fn names_of_the_archive_are_listed_too() {
        let names = ["no-date", "bare-lf", "new-in-a-later-version"].map(str::to_owned);
        assert_eq!(
            worth_listing(Oddities::NUL, &names).as_deref(),
            Some("nul, no-date")
        );
        assert_eq!(worth_listing(Oddities::BARE_LF, &names[1..]), None);
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
