//! Journal reports: found the same however the bytes are cut, and an original in a lawful report is found to the byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mail::{JournalReport, JournalScanner, TransferEncoding};

/// A boundary that stands in no input: the target looks.
const BOUNDARY: &str = "=_coffer_fuzz_7f3a";

fn scan(bytes: &[u8], piece_bytes: usize) -> Option<JournalReport> {
    let mut scanner = JournalScanner::new();
    bytes
        .chunks(piece_bytes)
        .for_each(|piece| scanner.push(piece));
    scanner.finish()
}

/// What was found lies inside, begins with a line and is followed by one.
fn check_found(bytes: &[u8], report: &JournalReport) {
    let (start, end) = (report.message.start as usize, report.message.end as usize);
    let (before, rest) = bytes.split_at(start);
    let (original, after) = rest.split_at(end - start);
    assert!(
        before.ends_with(b"\n") || before.ends_with(b"\r"),
        "begins with a line"
    );
    assert!(
        after.is_empty()
            || after.starts_with(b"\n")
            || after.starts_with(b"\r")
            || after.starts_with(b"--")
    );
    assert!(report.envelope.recipients.len() <= mail::JOURNAL_RECIPIENTS_MAX);
    let decode = |piece_bytes: usize| {
        let mut decoded = Vec::new();
        let mut decoder = report.transfer_encoding.decoder();
        original
            .chunks(piece_bytes)
            .for_each(|piece| decoder.push(piece, &mut decoded));
        decoder.finish(&mut decoded);
        decoded
    };
    let decoded = decode(usize::MAX);
    assert_eq!(decoded, decode(3));
    if report.transfer_encoding == TransferEncoding::Identity {
        assert_eq!(decoded, original);
    }
}

/// Puts an original into a report as Exchange writes it.
fn wrapped(original: &[u8]) -> (Vec<u8>, usize) {
    let head = format!(
        "From: journal@x.example\r\nX-MS-Journal-Report:\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=\"{BOUNDARY}\"\r\n\r\n--{BOUNDARY}\r\n\
         Content-Type: text/plain; charset=\"utf-8\"\r\n\r\nSender: a@x.example\r\nSubject: s\r\n\
         Message-Id: <m@x.example>\r\nRecipient: b@x.example\r\n\r\n--{BOUNDARY}\r\n\
         Content-Type: message/rfc822\r\n\r\n"
    );
    let tail = format!("\r\n--{BOUNDARY}--\r\n");
    (
        [head.as_bytes(), original, tail.as_bytes()].concat(),
        head.len(),
    )
}

fuzz_target!(|bytes: &[u8]| {
    let piece_bytes = 1 + bytes.first().copied().unwrap_or(0) as usize;
    let found = scan(bytes, usize::MAX);
    assert_eq!(
        found,
        scan(bytes, piece_bytes),
        "cut into pieces of {piece_bytes}"
    );
    if let Some(report) = &found {
        check_found(bytes, report);
    }
    if !bytes
        .windows(BOUNDARY.len())
        .any(|window| window == BOUNDARY.as_bytes())
    {
        let (report, start) = wrapped(bytes);
        let found = scan(&report, piece_bytes).expect("a lawful report");
        assert_eq!(found.message, start as u64..(start + bytes.len()) as u64);
        assert_eq!(found.envelope.recipients[0].address, "b@x.example");
    }
});
