//! Journal reports of Exchange and of servers that write like it: an envelope part, and the original as it was.
//!
//! Finds out of a stream of bytes where the original begins and ends, to the byte, and reads the envelope; keeps a few
//! hundred octets of each line and the headers, never the original. Says what is there, not whether to believe it:
//! anybody can write such a mail, and which peers are trusted is the caller's knowledge. A report inside the original
//! is part of the original; a report inside a bounce (the alternate journaling mailbox gets those) is found.

use std::ops::Range;

use crate::header::{Field, HeaderSection, is_empty};
use crate::journal_envelope::JournalEnvelope;
use crate::message::Delimiter;
use crate::oddities::Oddities;
use crate::transfer_encoding::TransferEncoding;
use crate::{html, text};

/// Longest header section of the report or of a part that is read, in octets; a report whose header is longer is taken
/// for an ordinary message.
pub const JOURNAL_HEADER_MAX_BYTES: usize = 1 << 20;

/// Longest envelope part that is read, in octets, still encoded: 40,000 recipients of 100; the rest is flagged as cut.
pub const JOURNAL_ENVELOPE_MAX_BYTES: usize = 4 << 20;

/// How much of a line is kept, in octets, for telling whether it is a delimiter: a boundary has at most 70 (RFC 2046
/// §5.1.1), and we bear with longer ones.
const LINE_KEPT_BYTES: usize = 512;

/// Deepest nesting of multiparts that is followed: bounce, report, and the alternatives of Exchange 2003.
const DEPTH_MAX: usize = 4;

/// A journal report: what its envelope says, and where in its bytes the original stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalReport {
    /// The envelope part.
    pub envelope: JournalEnvelope,
    /// The original's place in the bytes of the report, in octets from its start, still in its transfer encoding.
    pub message: Range<u64>,
    /// How the original is encoded; [`TransferEncoding::decoder`] gives its bytes.
    pub transfer_encoding: TransferEncoding,
    /// Whether the header says that this is a report; if not, it only looks like one.
    pub is_marked: bool,
    /// What was odd about the report.
    pub oddities: Oddities,
}

/// Tells whether a header section says that the message is a journal report, with whatever value.
pub fn is_marked(header: &[u8]) -> bool {
    is_section_marked(&HeaderSection::split(header))
}

fn is_section_marked(header: &HeaderSection<'_>) -> bool {
    // The first is Exchange's, mostly with an empty value; the second that of another server, which Piler accepts, too.
    ["X-MS-Journal-Report", "X-WM-Journal-Report"]
        .iter()
        .any(|name| header.all(name).next().is_some())
}

/// Finds a journal report in bytes that come in pieces of any size.
#[derive(Debug)]
pub struct JournalScanner {
    state: State,
    /// The boundaries of the multiparts we are in, the outermost first.
    boundaries: Vec<Vec<u8>>,
    /// What is read as a whole: the current header section or envelope part, up to its limit.
    kept: Vec<u8>,
    /// How much was kept before the current line.
    kept_before_line: usize,
    /// The beginning of the current line.
    line: Vec<u8>,
    line_start: u64,
    /// The length of the line end before the current line: 0 at the start, 1 or 2.
    line_end_bytes: u64,
    offset: u64,
    last_byte: u8,
    is_marked: bool,
    envelope: Option<JournalEnvelope>,
    oddities: Oddities,
}

#[derive(Debug)]
enum State {
    /// In the header section of what may be a report, or of a bounce.
    Header,
    /// In a part that does not matter, or before the first.
    Between { is_bounce: bool },
    /// In the header section of a part.
    PartHeader { is_bounce: bool },
    /// In a text that may be the envelope part.
    Envelope {
        encoding: TransferEncoding,
        charset: Option<String>,
        is_html: bool,
    },
    /// In the original.
    Original {
        start: u64,
        encoding: TransferEncoding,
    },
    /// After the original.
    After {
        message: Range<u64>,
        encoding: TransferEncoding,
    },
    /// It is no report, or none that we understand.
    NoReport,
}

impl Default for JournalScanner {
    fn default() -> Self {
        Self::new()
    }
}

impl JournalScanner {
    /// Makes a scanner that waits for the first byte of a message.
    pub fn new() -> Self {
        Self {
            state: State::Header,
            boundaries: Vec::new(),
            kept: Vec::new(),
            kept_before_line: 0,
            line: Vec::with_capacity(LINE_KEPT_BYTES),
            line_start: 0,
            line_end_bytes: 0,
            offset: 0,
            last_byte: 0,
            is_marked: false,
            envelope: None,
            oddities: Oddities::NONE,
        }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() && !matches!(self.state, State::NoReport | State::After { .. }) {
            let end = rest
                .iter()
                .position(|b| *b == b'\n')
                .map_or(rest.len(), |at| at + 1);
            let (piece, after) = rest.split_at(end);
            self.push_piece(piece);
            rest = after;
        }
        self.offset += rest.len() as u64;
    }

    /// Tells whether the header, if it has come, says that this is a report. A marked message in which no report is
    /// found is for the caller to flag.
    pub fn is_marked(&self) -> bool {
        self.is_marked
    }

    /// Tells whether further bytes can change what [`finish`](Self::finish) will give.
    pub fn wants_more(&self) -> bool {
        !matches!(self.state, State::NoReport | State::After { .. })
    }

    /// Gives the report, or nothing if the message is none.
    pub fn finish(mut self) -> Option<JournalReport> {
        if !self.line.is_empty() {
            self.end_line(0);
        }
        let (message, transfer_encoding) = match self.state {
            State::After { message, encoding } => (message, encoding),
            State::Original { start, encoding } => {
                self.oddities.insert(Oddities::JOURNAL_TRUNCATED);
                (start..self.offset, encoding)
            }
            _ => return None,
        };
        let envelope = self.envelope.unwrap_or_default();
        let mut oddities = self.oddities.union(envelope.oddities);
        if !envelope.is_complete() {
            oddities.insert(Oddities::JOURNAL_UNPARSED);
        }
        Some(JournalReport {
            envelope,
            message,
            transfer_encoding,
            is_marked: self.is_marked,
            oddities,
        })
    }

    /// Takes a line or a piece of one.
    fn push_piece(&mut self, piece: &[u8]) {
        self.keep(piece);
        let room = LINE_KEPT_BYTES - self.line.len();
        self.line.extend_from_slice(&piece[..piece.len().min(room)]);
        self.offset += piece.len() as u64;
        let before_last = if let [.., before, _] = piece {
            *before
        } else {
            self.last_byte
        };
        self.last_byte = piece.last().copied().unwrap_or(self.last_byte);
        if self.last_byte == b'\n' {
            self.end_line(if before_last == b'\r' { 2 } else { 1 });
        }
    }

    /// Keeps a piece of what is read as a whole.
    fn keep(&mut self, piece: &[u8]) {
        let size_max_bytes = match self.state {
            State::Header | State::PartHeader { .. } => JOURNAL_HEADER_MAX_BYTES,
            State::Envelope { .. } => JOURNAL_ENVELOPE_MAX_BYTES,
            _ => return,
        };
        let room = size_max_bytes - self.kept.len();
        self.kept.extend_from_slice(&piece[..piece.len().min(room)]);
        if piece.len() > room {
            match self.state {
                State::Envelope { .. } => self.oddities.insert(Oddities::LIST_CUT),
                _ => self.state = State::NoReport,
            }
        }
    }

    fn end_line(&mut self, line_end_bytes: u64) {
        let line = std::mem::take(&mut self.line);
        // The innermost boundary first; an outer one ends the inner multipart, too (RFC 2046 §5.1.2).
        let read = |boundary: &Vec<u8>| Delimiter::read(&line, boundary);
        let is_whole = line.len() < LINE_KEPT_BYTES && !matches!(self.state, State::NoReport);
        let found = self
            .boundaries
            .iter()
            .enumerate()
            .rev()
            .find_map(|(level, b)| Some((level, read(b)?)));
        match found {
            Some((level, delimiter)) if is_whole => self.end_part(level, delimiter),
            None if is_empty(&line) => self.end_header(),
            _ => {}
        }
        self.line = line;
        self.line.clear();
        self.line_start = self.offset;
        self.line_end_bytes = line_end_bytes;
        self.kept_before_line = self.kept.len();
    }

    /// Ends the current part at a delimiter.
    fn end_part(&mut self, level: usize, delimiter: Delimiter) {
        let mut is_bounce = matches!(
            self.state,
            State::Between { is_bounce: true } | State::PartHeader { is_bounce: true }
        );
        match std::mem::replace(&mut self.state, State::NoReport) {
            State::Original { start, encoding } => {
                // The line end before a delimiter belongs to the delimiter (RFC 2046 §5.1.1).
                let end = self.line_start - self.line_end_bytes;
                // A delimiter of an outer multipart means that the report's own is missing.
                if level + 1 < self.boundaries.len() {
                    self.oddities.insert(Oddities::JOURNAL_TRUNCATED);
                }
                self.state = State::After {
                    message: start..end.max(start),
                    encoding,
                };
                return;
            }
            State::Envelope {
                encoding,
                charset,
                is_html,
            } => self.read_envelope(encoding, charset.as_deref(), is_html),
            // A bounced report ended before its parts began.
            State::Header => is_bounce = true,
            _ => {}
        }
        self.kept.clear();
        self.boundaries.truncate(level + 1);
        self.state = match delimiter {
            Delimiter::Open => State::PartHeader { is_bounce },
            Delimiter::Close => {
                self.boundaries.pop();
                if self.boundaries.is_empty() {
                    State::NoReport
                } else {
                    State::Between { is_bounce }
                }
            }
        };
    }

    fn end_header(&mut self) {
        match self.state {
            State::Header => self.end_report_header(),
            State::PartHeader { is_bounce } => self.end_part_header(is_bounce),
            _ => return,
        }
        self.kept.clear();
    }

    fn end_report_header(&mut self) {
        let kept = std::mem::take(&mut self.kept);
        let header = HeaderSection::split(&kept);
        self.is_marked = is_section_marked(&header);
        let is_outer = self.boundaries.is_empty();
        self.state = match boundary(&header) {
            Some(("report", boundary)) if is_outer && !self.is_marked => {
                self.boundaries.push(boundary);
                State::Between { is_bounce: true }
            }
            // Inside a bounce only a marked report counts.
            Some((_, boundary)) if self.is_marked || is_outer => {
                self.boundaries.push(boundary);
                State::Between { is_bounce: false }
            }
            _ => State::NoReport,
        };
    }

    fn end_part_header(&mut self, is_bounce: bool) {
        let kept = std::mem::take(&mut self.kept);
        let header = HeaderSection::split(&kept);
        let content_type = header.content_type();
        let main = content_type.as_ref().map_or("text", |t| t.ctype());
        let sub = content_type
            .as_ref()
            .and_then(|t| t.subtype())
            .unwrap_or("plain");
        let encoding = header
            .first("Content-Transfer-Encoding")
            .map(Field::raw)
            .map(TransferEncoding::from_field);
        let encoding = encoding.unwrap_or_default();
        let is_envelope_known = self
            .envelope
            .as_ref()
            .is_some_and(JournalEnvelope::is_complete);
        self.state = match (main, sub) {
            ("message", "rfc822" | "global") if is_bounce => State::Header,
            _ if is_bounce => State::Between { is_bounce },
            ("message", "rfc822" | "global") => self.begin_original(encoding),
            ("text", "plain" | "html") if !is_envelope_known => {
                let charset = content_type
                    .as_ref()
                    .and_then(|t| t.attribute("charset"))
                    .map(str::to_owned);
                State::Envelope {
                    encoding,
                    charset,
                    is_html: sub == "html",
                }
            }
            _ => match boundary(&header) {
                Some((_, boundary)) if !is_envelope_known && self.boundaries.len() < DEPTH_MAX => {
                    self.oddities.insert(Oddities::JOURNAL_LEGACY);
                    self.boundaries.push(boundary);
                    State::Between { is_bounce: false }
                }
                _ => State::Between { is_bounce: false },
            },
        };
    }

    /// Begins the original, unless neither mark nor envelope speak for a report.
    fn begin_original(&self, encoding: TransferEncoding) -> State {
        let is_report = self.is_marked
            || self
                .envelope
                .as_ref()
                .is_some_and(JournalEnvelope::is_strict);
        if is_report {
            State::Original {
                start: self.offset,
                encoding,
            }
        } else {
            State::NoReport
        }
    }

    /// Reads the text kept as an envelope; of two texts the one that is an envelope counts.
    fn read_envelope(&mut self, encoding: TransferEncoding, charset: Option<&str>, is_html: bool) {
        let content = encoding.decode(&self.kept[..self.kept_before_line]);
        let (mut text, _) = text::decode(&content, charset);
        if is_html {
            text = html::to_text(&text);
        }
        let envelope = JournalEnvelope::read(&text);
        if self.envelope.is_none() || envelope.is_complete() {
            self.envelope = Some(envelope);
        }
    }
}

/// Gives subtype and boundary of a multipart.
fn boundary(header: &HeaderSection<'_>) -> Option<(&'static str, Vec<u8>)> {
    let content_type = header.content_type().filter(|t| t.ctype() == "multipart")?;
    let boundary = content_type.attribute("boundary")?.trim_end();
    let subtype = if content_type.subtype() == Some("report") {
        "report"
    } else {
        "other"
    };
    (!boundary.is_empty()).then(|| (subtype, boundary.as_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal_envelope::{JournalRecipient, RecipientKind, Redirect};
    use proptest::prelude::*;

    /// A report around `original`, with lines ended by CRLF.
    fn report(fields: &str, envelope: &str, original_fields: &str, original: &str) -> Vec<u8> {
        let text = format!(
            "{fields}MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"_b_\"\n\n--_b_\n\
             Content-Type: text/plain; charset=\"utf-8\"\n\n{envelope}\n--_b_\nContent-Type: message/rfc822\n{original_fields}\n"
        );
        [
            text.replace('\n', "\r\n").as_bytes(),
            original.as_bytes(),
            b"\r\n--_b_--\r\n",
        ]
        .concat()
    }

    const MARK: &str = "X-MS-Journal-Report:\n";
    const ENVELOPE: &str =
        "Sender: a@x.example\nMessage-Id: <1@x.example>\nRecipient: b@x.example\n";
    const ORIGINAL: &str = "From: a@x.example\r\nMessage-ID: <1@x.example>\r\n\r\nGuten Tag\r\n";

    fn scan(bytes: &[u8], piece_bytes: usize) -> Option<JournalReport> {
        let mut scanner = JournalScanner::new();
        bytes
            .chunks(piece_bytes.max(1))
            .for_each(|piece| scanner.push(piece));
        scanner.finish()
    }

    /// Scans the bytes whole, byte by byte and cut in two at every position, and demands the same each time.
    #[track_caller]
    fn scan_every_way(bytes: &[u8]) -> Option<JournalReport> {
        let whole = scan(bytes, bytes.len());
        assert_eq!(scan(bytes, 1), whole, "byte by byte");
        for cut in 0..bytes.len() {
            let mut scanner = JournalScanner::new();
            scanner.push(&bytes[..cut]);
            scanner.push(&bytes[cut..]);
            assert_eq!(scanner.finish(), whole, "cut at {cut}");
        }
        whole
    }

    fn original<'a>(bytes: &'a [u8], report: &JournalReport) -> &'a [u8] {
        &bytes[report.message.start as usize..report.message.end as usize]
    }

    #[track_caller]
    fn check(bytes: &[u8], expected_original: &str, expected_oddities: Oddities) -> JournalReport {
        let report = scan_every_way(bytes).expect("a report");
        assert_eq!(
            String::from_utf8_lossy(original(bytes, &report)),
            expected_original
        );
        assert_eq!(report.oddities, expected_oddities);
        report
    }

    fn recipient(
        kind: RecipientKind,
        address: &str,
        redirect: Option<Redirect>,
    ) -> JournalRecipient {
        JournalRecipient {
            kind,
            address: address.to_owned(),
            redirect,
        }
    }

    const FIXTURE_A: &str = r#"X-MS-Journal-Report:
Sender: <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@kanzlei.example>
From: Lieferant GmbH <rechnung@lieferant.example>
To: buero@kanzlei.example
Subject: Rechnung 4711
Message-ID: <0f8fad5b-d9cb-469f-a165-70867728950e@journal.report.generator>
X-MS-Exchange-Generated-Message-Source: Journal Agent
Auto-Submitted: auto-generated
Date: Mon, 3 Mar 2025 08:15:02 +0000
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="_0f8fad5b-d9cb-469f-a165-70867728950e_"

--_0f8fad5b-d9cb-469f-a165-70867728950e_
Content-Type: text/plain; charset="us-ascii"
Content-Transfer-Encoding: 7bit

Sender: rechnung@lieferant.example
Subject: Rechnung 4711
Message-Id: <r4711@lieferant.example>
Recipient: buero@kanzlei.example
Recipient: chef@kanzlei.example, Expanded: alle@kanzlei.example
Recipient: urlaub@kanzlei.example, Forwarded: meier@kanzlei.example

--_0f8fad5b-d9cb-469f-a165-70867728950e_
Content-Type: message/rfc822

"#;

    const FIXTURE_A_ORIGINAL: &str = r#"Received: from mx.lieferant.example by mail.kanzlei.example; Mon, 3 Mar 2025 08:15:00 +0000
From: Lieferant GmbH <rechnung@lieferant.example>
To: buero@kanzlei.example, alle@kanzlei.example
Subject: Rechnung 4711
Message-ID: <r4711@lieferant.example>
Date: Mon, 3 Mar 2025 09:14:58 +0100
MIME-Version: 1.0
Content-Type: text/plain; charset="utf-8"
Content-Transfer-Encoding: 8bit

Guten Tag, anbei unsere Rechnung.
"#;

    #[test]
    fn fixture_a_with_both_line_ends() {
        let text = format!(
            "{FIXTURE_A}{FIXTURE_A_ORIGINAL}\n--_0f8fad5b-d9cb-469f-a165-70867728950e_--\n"
        );
        for (text, original) in [
            (text.clone(), FIXTURE_A_ORIGINAL.to_owned()),
            (
                text.replace('\n', "\r\n"),
                FIXTURE_A_ORIGINAL.replace('\n', "\r\n"),
            ),
        ] {
            let report = check(text.as_bytes(), &original, Oddities::NONE);
            assert!(report.is_marked);
            assert_eq!(
                report.envelope.sender.as_deref(),
                Some("rechnung@lieferant.example")
            );
            assert_eq!(report.envelope.subject.as_deref(), Some("Rechnung 4711"));
            assert_eq!(
                report.envelope.message_id.as_deref(),
                Some("r4711@lieferant.example")
            );
            let expanded = Redirect::Expanded("alle@kanzlei.example".into());
            let forwarded = Redirect::Forwarded("meier@kanzlei.example".into());
            assert_eq!(
                report.envelope.recipients,
                [
                    recipient(RecipientKind::Recipient, "buero@kanzlei.example", None),
                    recipient(
                        RecipientKind::Recipient,
                        "chef@kanzlei.example",
                        Some(expanded)
                    ),
                    recipient(
                        RecipientKind::Recipient,
                        "urlaub@kanzlei.example",
                        Some(forwarded)
                    ),
                ]
            );
        }
    }

    #[test]
    fn fixture_b_with_a_base64_envelope() {
        let original = "From: anna@kanzlei.example\nTo: bernd@kanzlei.example\nSubject: Angebot\n\
            Message-ID: <a1@kanzlei.example>\nDate: Mon, 3 Mar 2025 11:00:00 +0100\nMIME-Version: 1.0\n\
            Content-Type: text/plain; charset=\"us-ascii\"\n\nText.\n";
        let text = format!(
            "X-MS-Journal-Report:\nFrom: anna@kanzlei.example\nTo: bernd@kanzlei.example\nSubject: Angebot\n\
             Message-ID: <7c9e6679-7425-40de-944b-e07fc1f90ae7@journal.report.generator>\n\
             Date: Mon, 3 Mar 2025 10:00:00 +0000\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"_b_\"\n\n\
             --_b_\nContent-Type: text/plain; charset=\"utf-8\"\nContent-Transfer-Encoding: base64\n\n\
             U2VuZGVyOiBhbm5hQGthbnpsZWkuZXhhbXBsZQ0KT24tQmVoYWxmLU9mOiBjaGVmQGthbnpsZWku\n\
             ZXhhbXBsZQ0KTWVzc2FnZS1JRDogPGExQGthbnpsZWkuZXhhbXBsZT4NClN1YmplY3Q6IEFuZ2Vi\n\
             b3QNClRvOiBiZXJuZEBrYW56bGVpLmV4YW1wbGUNCkJjYzogc3RldWVyQGJlcmF0ZXIuZXhhbXBs\n\
             ZQ0KU2VudFV0YzogMy8zLzIwMjUgMTA6MDA6MDAgQU0NClJlY2VpdmVkVXRjOiAzLzMvMjAyNSAx\n\
             MDowMDowMSBBTQ0K\n--_b_\nContent-Type: message/rfc822\n\n{original}\n--_b_--\n"
        );
        let report = check(text.as_bytes(), original, Oddities::NONE);
        let envelope = report.envelope;
        assert_eq!(envelope.sender.as_deref(), Some("anna@kanzlei.example"));
        assert_eq!(
            envelope.on_behalf_of.as_deref(),
            Some("chef@kanzlei.example")
        );
        assert_eq!(envelope.message_id.as_deref(), Some("a1@kanzlei.example"));
        assert_eq!(envelope.sent_utc.as_deref(), Some("3/3/2025 10:00:00 AM"));
        assert_eq!(
            envelope.received_utc.as_deref(),
            Some("3/3/2025 10:00:01 AM")
        );
        assert_eq!(
            envelope.recipients,
            [
                recipient(RecipientKind::To, "bernd@kanzlei.example", None),
                recipient(RecipientKind::Bcc, "steuer@berater.example", None),
            ]
        );
    }

    #[test]
    fn marks() {
        for (header, expected) in [
            ("X-MS-Journal-Report:\r\n\r\n", true),
            ("x-ms-journal-report: yes\r\n\r\n", true),
            ("X-WM-Journal-Report: journal\r\n\r\n", true),
            (
                "Subject: X-MS-Journal-Report:\r\n\r\nX-MS-Journal-Report:\r\n",
                false,
            ),
        ] {
            assert_eq!(is_marked(header.as_bytes()), expected, "{header:?}");
        }
    }

    #[test]
    fn without_a_mark_the_structure_must_be_exact() {
        assert!(
            !check(
                &report("", ENVELOPE, "", ORIGINAL),
                ORIGINAL,
                Oddities::NONE
            )
            .is_marked
        );
        for envelope in [
            "Hello,\nsee below.\n",
            "Sender: a@x\nTo: b@x\n",
            &format!("{ENVELOPE}and more\n"),
        ] {
            assert_eq!(scan_every_way(&report("", envelope, "", ORIGINAL)), None);
        }
        assert_eq!(scan_every_way(b"Subject: plain\r\n\r\nmail\r\n"), None);
        assert_eq!(scan_every_way(b""), None);
        let mut scanner = JournalScanner::new();
        scanner.push(b"X-MS-Journal-Report:\r\n\r\nno multipart\r\n");
        assert!(scanner.is_marked());
        assert_eq!(scanner.finish(), None);
    }

    #[test]
    fn a_mark_counts_even_if_the_envelope_is_unreadable() {
        check(
            &report(MARK, "nothing known\n", "", ORIGINAL),
            ORIGINAL,
            Oddities::JOURNAL_UNPARSED,
        );
        let no_sender = report(MARK, "Message-Id: <1@x>\nTo: b@x\n", "", ORIGINAL);
        assert_eq!(
            check(&no_sender, ORIGINAL, Oddities::NONE).envelope.sender,
            None
        );
        let null_sender = report(MARK, "Sender: <>\nTo: b@x\n", "", ORIGINAL);
        assert_eq!(
            check(&null_sender, ORIGINAL, Oddities::NONE)
                .envelope
                .sender
                .as_deref(),
            Some("")
        );
    }

    #[test]
    fn the_original_is_exact() {
        for original in [
            "",
            "A: b\r\n\r\n",
            "A: b\r\n\r\nno line end",
            "A: b\r\n\r\nblank lines\r\n\r\n\r\n",
            "A: b\n\nbare\rreturns\nand feeds\n",
            "A: b\r\n\r\n--_b_ with text\r\n --_b_--\r\n--_b_-\r\nx--_b_--\r\n--_b\r\n-- \r\n",
            "A: ü\r\n\r\n\0\u{1}\r\n",
        ] {
            check(
                &report(MARK, ENVELOPE, "", original),
                original,
                Oddities::NONE,
            );
        }
        let binary = report(
            MARK,
            ENVELOPE,
            "Content-Transfer-Encoding: binary\n",
            ORIGINAL,
        );
        check(&binary, ORIGINAL, Oddities::NONE);
    }

    #[test]
    fn encoded_originals_are_decoded() {
        let encoded = "RnJvbTogYUB4DQoNCkd1dGVu\r\nIFRhZw0K";
        let bytes = report(
            MARK,
            ENVELOPE,
            "Content-Transfer-Encoding: base64\n",
            encoded,
        );
        let found = check(&bytes, encoded, Oddities::NONE);
        assert_eq!(
            found.transfer_encoding.decode(original(&bytes, &found)),
            b"From: a@x\r\n\r\nGuten Tag\r\n"
        );
        let encoded = "From: a@x\r\n\r\nGr=C3=BC=\r\n=C3=9Fe\r\n";
        let bytes = report(
            MARK,
            ENVELOPE,
            "Content-Transfer-Encoding: Quoted-Printable\n",
            encoded,
        );
        let found = check(&bytes, encoded, Oddities::NONE);
        let decoded = found.transfer_encoding.decode(original(&bytes, &found));
        assert_eq!(decoded, "From: a@x\r\n\r\nGrüße\r\n".as_bytes());
    }

    #[test]
    fn a_quoted_printable_envelope_with_a_soft_break_in_an_address() {
        let text = String::from_utf8(report(MARK, "@@", "", ORIGINAL)).expect("text");
        let text = text.replace(
            "\"utf-8\"\r\n",
            "\"utf-8\"\r\nContent-Transfer-Encoding: quoted-printable\r\n",
        );
        let envelope = "Sender: a@x\r\nMessage-Id: <1@x>\r\nTo: j=C3=B6rg.lange=\r\nr.name@b=C3=BCro.example\r\n";
        let found = check(
            text.replace("@@", envelope).as_bytes(),
            ORIGINAL,
            Oddities::NONE,
        );
        assert_eq!(
            found.envelope.recipients[0].address,
            "jörg.langer.name@büro.example"
        );
    }

    #[test]
    fn only_one_level_is_unwrapped() {
        let inner = String::from_utf8(report(MARK, "Sender: inner@x\nTo: c@x\n", "", ORIGINAL))
            .expect("text");
        let inner = inner.replace("_b_", "_inner_");
        let bytes = report(MARK, ENVELOPE, "", &inner);
        let found = check(&bytes, &inner, Oddities::NONE);
        assert_eq!(found.envelope.sender.as_deref(), Some("a@x.example"));
    }

    #[test]
    fn exchange_2003_writes_the_envelope_twice() {
        let bytes = String::from_utf8(report(MARK, "@@", "", ORIGINAL)).expect("text");
        let alternative = "Content-Type: multipart/alternative; boundary=alt\r\n\r\n--alt\r\nContent-Type: text/plain\r\n\r\n\
            Sender: a@x\r\nMessage ID: <1@x>\r\nRecipients: b@x, c@x\r\n\r\n--alt\r\nContent-Type: text/html\r\n\r\n\
            <p>Sender: a@x</p>\r\n--alt--\r\n";
        let bytes = bytes.replace(
            "Content-Type: text/plain; charset=\"utf-8\"\r\n\r\n@@\r\n",
            alternative,
        );
        let found = check(bytes.as_bytes(), ORIGINAL, Oddities::JOURNAL_LEGACY);
        assert_eq!(found.envelope.recipients.len(), 2);
        let html = "Content-Type: multipart/alternative; boundary=alt\r\n\r\n--alt\r\nContent-Type: text/html\r\n\r\n\
            <p>Sender: a@x</p><p>Message-ID: &lt;1@x&gt;</p><p>To: b@x</p>\r\n--alt--\r\n";
        let found = check(
            bytes.replace(alternative, html).as_bytes(),
            ORIGINAL,
            Oddities::JOURNAL_LEGACY,
        );
        assert_eq!(found.envelope.message_id.as_deref(), Some("1@x"));
    }

    #[test]
    fn a_bounced_report_is_found() {
        let inner = String::from_utf8(report(MARK, ENVELOPE, "", ORIGINAL)).expect("text");
        let bounce = |inner: &str, end: &str| {
            format!(
                "From: <>\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=ndr\r\n\r\n\
                 --ndr\r\nContent-Type: text/plain\r\n\r\nSorry.\r\n--ndr\r\nContent-Type: message/delivery-status\r\n\r\n\
                 Reporting-MTA: dns; x\r\n\r\nAction: failed\r\n--ndr\r\nContent-Type: message/rfc822\r\n\r\n{inner}{end}"
            )
        };
        let found = check(
            bounce(&inner, "\r\n--ndr--\r\n").as_bytes(),
            ORIGINAL,
            Oddities::NONE,
        );
        assert_eq!(found.envelope.recipients.len(), 1);
        let cut = inner.replace("\r\n--_b_--\r\n", "");
        check(
            bounce(&cut, "\r\n--ndr--\r\n").as_bytes(),
            ORIGINAL,
            Oddities::JOURNAL_TRUNCATED,
        );
        let unmarked = inner.replace("X-MS-Journal-Report:\r\n", "");
        assert_eq!(
            scan_every_way(bounce(&unmarked, "\r\n--ndr--\r\n").as_bytes()),
            None
        );
        assert_eq!(
            scan_every_way(bounce(ORIGINAL, "\r\n--ndr--\r\n").as_bytes()),
            None
        );
    }

    #[test]
    fn a_truncated_original_goes_to_the_end() {
        let whole = report(MARK, ENVELOPE, "", ORIGINAL);
        let cut = &whole[..whole.len() - "g\r\n\r\n--_b_--\r\n".len()];
        check(
            cut,
            "From: a@x.example\r\nMessage-ID: <1@x.example>\r\n\r\nGuten Ta",
            Oddities::JOURNAL_TRUNCATED,
        );
        let without_last_line_end = &whole[..whole.len() - 2];
        check(without_last_line_end, ORIGINAL, Oddities::NONE);
        // Without its last octets the closing delimiter is one that opens a part.
        check(&whole[..whole.len() - 4], ORIGINAL, Oddities::NONE);
        let in_delimiter = &whole[..whole.len() - 5];
        check(
            in_delimiter,
            &format!("{ORIGINAL}\r\n--_b"),
            Oddities::JOURNAL_TRUNCATED,
        );
    }

    #[test]
    fn five_hundred_recipients_and_a_part_after_the_original() {
        let lines: String = (0..500)
            .map(|n| format!("Recipient: user{n}@x.example\n"))
            .collect();
        let mut bytes = report(MARK, &format!("Sender: a@x\n{lines}"), "", ORIGINAL);
        bytes.truncate(bytes.len() - 4);
        bytes.extend_from_slice(
            b"\r\nContent-Type: message/rfc822\r\n\r\ndecrypted copy\r\n--_b_--\r\n",
        );
        let found = scan(&bytes, 7).expect("a report");
        assert_eq!(found, scan(&bytes, bytes.len()).expect("a report"));
        assert_eq!(found.envelope.recipients.len(), 500);
        assert_eq!(original(&bytes, &found), ORIGINAL.as_bytes());
    }

    #[test]
    fn memory_stays_bounded() {
        let mut scanner = JournalScanner::new();
        let whole = report(MARK, ENVELOPE, "", "A: b\r\n\r\n");
        let (begin, end) = whole.split_at(whole.len() - "\r\n--_b_--\r\n".len());
        scanner.push(begin);
        let lines = b"0123456789".repeat(6_400);
        for _ in 0..1_000 {
            scanner.push(&lines);
        }
        assert!(scanner.line.capacity() <= LINE_KEPT_BYTES && scanner.kept.capacity() < 1 << 16);
        scanner.push(end);
        let found = scanner.finish().expect("a report");
        assert_eq!(found.message.end - found.message.start, 8 + 64_000_000);

        let endless = "x".repeat(JOURNAL_HEADER_MAX_BYTES + 1);
        let mut scanner = JournalScanner::new();
        scanner.push(format!("{MARK}Subject: ").as_bytes());
        scanner.push(endless.as_bytes());
        scanner.push(&report(MARK, ENVELOPE, "", ORIGINAL));
        assert_eq!(scanner.finish(), None);
    }

    /// Scans the report in pieces and gives it with the digest of its original, in lower-case hexadecimal digits.
    fn scan_and_digest(bytes: &[u8], piece_bytes: usize) -> (JournalReport, String) {
        let report = scan(bytes, piece_bytes).expect("a report");
        let mut message = Vec::new();
        let mut decoder = report.transfer_encoding.decoder();
        original(bytes, &report)
            .chunks(piece_bytes)
            .for_each(|piece| decoder.push(piece, &mut message));
        decoder.finish(&mut message);
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &message);
        (
            report,
            digest
                .as_ref()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        )
    }

    /// Gives a recipient as the truth has it: kind, address, redirect, source.
    fn as_truth(recipient: &JournalRecipient) -> [String; 4] {
        let (redirect, via) = match &recipient.redirect {
            Some(Redirect::Expanded(via)) => ("Expanded", via.as_str()),
            Some(Redirect::Forwarded(via)) => ("Forwarded", via.as_str()),
            None => ("", ""),
        };
        [
            format!("{:?}", recipient.kind),
            recipient.address.clone(),
            redirect.to_owned(),
            via.to_owned(),
        ]
    }

    #[test]
    fn the_sample_reports_are_read_as_their_truth_says() {
        let Some(files) = crate::corpus::read("journal-reports") else {
            return;
        };
        let truth = files
            .iter()
            .find(|(name, _)| name.ends_with("truth.jsonl"))
            .expect("truth.jsonl");
        let mut count = 0;
        for line in truth
            .1
            .split(|b| *b == b'\n')
            .filter(|line| !line.is_empty())
        {
            let truth: serde_json::Value =
                serde_json::from_slice(line).expect("a line of the truth");
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            let name = text(&truth["file"]);
            let (_, bytes) = files
                .iter()
                .find(|(file, _)| file.ends_with(&name))
                .expect("the report");
            for piece_bytes in [bytes.len(), 1, 7, 4096] {
                let (report, digest) = scan_and_digest(bytes, piece_bytes);
                assert_eq!(digest, text(&truth["inner_sha256"]), "{name}");
                assert_eq!(
                    report.envelope.sender,
                    Some(text(&truth["sender"])),
                    "{name}"
                );
                let id = report.envelope.message_id.unwrap_or_default();
                assert_eq!(format!("<{id}>"), text(&truth["message_id"]), "{name}");
                let expected: Vec<[String; 4]> = truth["recipients"]
                    .as_array()
                    .expect("recipients")
                    .iter()
                    .map(|r| ["type", "addr", "redirect", "via"].map(|key| text(&r[key])))
                    .collect();
                let found: Vec<_> = report.envelope.recipients.iter().map(as_truth).collect();
                assert_eq!(found, expected, "{name}");
                assert_eq!(
                    (
                        report.is_marked,
                        report.oddities,
                        report.envelope.unknown_lines
                    ),
                    (true, Oddities::NONE, 0),
                    "{name}"
                );
            }
            count += 1;
        }
        assert!(count > 200, "only {count} reports");
    }

    proptest! {
        #[test]
        fn any_original_is_found_exactly(lines in proptest::collection::vec("[ -~ü]{0,20}(\r\n|\n|\r)", 0..20), piece in 1usize..50) {
            let lines: String = lines.concat();
            prop_assume!(!lines.contains("--_b_"));
            let bytes = report(MARK, ENVELOPE, "", &lines);
            let found = scan(&bytes, piece).expect("a report");
            prop_assert_eq!(original(&bytes, &found), lines.as_bytes());
        }

        #[test]
        fn any_bytes_are_scanned(text in "(X-MS-Journal-Report:|Content-Type: |multipart/(mixed|report)|; boundary=b|message/rfc822|--b|--|\r|\n|\n\n|To: a@x){0,40}", piece in 1usize..9) {
            prop_assert_eq!(scan(text.as_bytes(), piece), scan(text.as_bytes(), text.len()));
        }
    }
}
