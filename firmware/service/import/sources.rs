//! What a file of the input is, told from its name, its place and its first bytes, and what its name says of the message.

use super::walk::Place;
use std::path::Path;

/// First bytes of a file that are looked at: some headers begin with many trace fields.
pub(super) const HEAD_BYTES: usize = 16 << 10;

/// Fields that hardly anything but mail begins with (RFC 5322 §3.6, RFC 2045 §3).
const TELLING_FIELDS: [&str; 10] = [
    "received",
    "return-path",
    "message-id",
    "mime-version",
    "delivered-to",
    "resent-from",
    "dkim-signature",
    "x-mailer",
    "content-type",
    "content-transfer-encoding",
];

/// Fields of mail that other texts have, too; two of them make a mail.
const COMMON_FIELDS: [&str; 7] = ["from", "to", "cc", "date", "subject", "sender", "reply-to"];

/// Files that hold no mail that we can read, by their first bytes.
const MAGICS: [(&[u8], &str); 6] = [
    (
        b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1",
        "an Outlook message or another OLE file; save it as .eml",
    ),
    (
        b"!BDN",
        "an Outlook PST or OST file; export its mail as .eml or mbox",
    ),
    (b"PK\x03\x04", "a zip archive; unpack it"),
    (b"\x1F\x8B", "a gzip archive; unpack it"),
    (b"\x28\xB5\x2F\xFD", "a zstd archive; unpack it"),
    (b"%PDF-", "a PDF file"),
];

/// What a file is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    /// One message, exactly as it is.
    Message,
    /// Messages, one after the other.
    Mbox,
    /// Something else, with the reason why.
    NotMail(String),
}

/// Tells whether the name or the place of a file alone says that it is one message, whatever it holds.
pub(super) fn is_message_by_name(path: &Path, place: Place) -> bool {
    let is_eml = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("eml"));
    is_eml || place == Place::MaildirMessages
}

/// Tells from its first bytes what any other file is.
pub(super) fn kind_of(head: &[u8]) -> FileKind {
    let not_mail = |what: &str| FileKind::NotMail(format!("not a mail: {what}"));
    if head.is_empty() {
        return not_mail("an empty file");
    }
    if mail::looks_like_mbox(head) {
        return FileKind::Mbox;
    }
    if let Some((_, what)) = MAGICS.iter().find(|(magic, _)| head.starts_with(magic)) {
        return not_mail(what);
    }
    if begins_with_header(head) {
        FileKind::Message
    } else {
        not_mail("no header of a mail at its beginning")
    }
}

/// Tells whether bytes begin with lines that are header fields, and enough of them those of mail.
fn begins_with_header(head: &[u8]) -> bool {
    let mut points = 0;
    let mut lines = head.split(|byte| *byte == b'\n').peekable();
    // What is left of an mbox's From_ line in a message of its own.
    lines.next_if(|line| line.starts_with(b"From "));
    for line in lines {
        let is_continued = matches!(line.first(), Some(b' ' | b'\t'));
        match field_name(line) {
            Some(name) => points += points_of(name),
            None if is_continued => {}
            None => break,
        }
    }
    points >= 2
}

fn points_of(name: &[u8]) -> u32 {
    let is_in = |fields: &[&str]| {
        fields
            .iter()
            .any(|field| name.eq_ignore_ascii_case(field.as_bytes()))
    };
    if is_in(&TELLING_FIELDS) {
        2
    } else {
        u32::from(is_in(&COMMON_FIELDS))
    }
}

/// Gives the name of a header field (RFC 5322 §2.2, with the white space before the colon of §4.5).
fn field_name(line: &[u8]) -> Option<&[u8]> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = line[..colon].trim_ascii_end();
    (!name.is_empty() && name.iter().all(u8::is_ascii_graphic)).then_some(name)
}

/// What the name of a file in a Maildir says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct MaildirName {
    /// When it was delivered, Unix seconds.
    pub(super) delivered_at: Option<i64>,
    /// The letters after `:2,`.
    pub(super) flags: Vec<String>,
}

/// Reads a name such as `1741000000.M1P2.host,S=100:2,FS`.
pub(super) fn read_maildir_name(name: &str) -> MaildirName {
    let (unique, flags) = name.rsplit_once(":2,").unwrap_or((name, ""));
    let seconds = unique.split('.').next().unwrap_or_default();
    // Names of other programs may begin with any number; 8 digits are 1973, 10 last until 2286.
    let is_time =
        matches!(seconds.len(), 8..=10) && seconds.bytes().all(|digit| digit.is_ascii_digit());
    MaildirName {
        delivered_at: seconds.parse().ok().filter(|_| is_time),
        flags: flags.chars().map(String::from).collect(),
    }
}

/// Reads the date in the "From " line of an mbox, behind the address; Unix seconds.
pub(super) fn from_line_date(line: &[u8]) -> Option<i64> {
    let line = String::from_utf8_lossy(line);
    let (_, date) = line.strip_prefix("From ")?.trim_start().split_once(' ')?;
    mail::read_date(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(head: &[u8], expected: FileKind) {
        assert_eq!(kind_of(head), expected, "{}", String::from_utf8_lossy(head));
    }

    #[test]
    fn mail_is_told_from_other_files() {
        for mail in [
            "Received: from a\n by b\nSubject: x\n\nbody",
            "From: a@x.example\r\nTo: b@x.example\r\n\r\nbody",
            "X-Other: 1\nmessage-id : <1@x>\n\n",
            "Subject: a\nDate: b\nlost words\n",
        ] {
            check(mail.as_bytes(), FileKind::Message);
        }
        check(
            b"From a@x.example Mon Mar  3 10:00:00 2025\nA: b\n",
            FileKind::Mbox,
        );
        for other in [
            "text\nFrom: a\nTo: b\n",
            "Subject: only one\n\nFrom: a\n",
            "http://x.example/\n",
            "\nFrom: a\nTo: b",
            ": x\n",
        ] {
            check(
                other.as_bytes(),
                FileKind::NotMail("not a mail: no header of a mail at its beginning".to_owned()),
            );
        }
        check(
            b"",
            FileKind::NotMail("not a mail: an empty file".to_owned()),
        );
        check(
            b"PK\x03\x04x",
            FileKind::NotMail("not a mail: a zip archive; unpack it".to_owned()),
        );
    }

    #[test]
    fn names_and_places_say_enough() {
        for (path, place, expected) in [
            ("/a/b.eml", Place::Loose, true),
            ("/a/b.EML", Place::MaildirRoot, true),
            ("/a/cur/b", Place::MaildirMessages, true),
            ("/a/b.txt", Place::Loose, false),
            ("/a/eml", Place::Loose, false),
        ] {
            assert_eq!(
                is_message_by_name(Path::new(path), place),
                expected,
                "{path}"
            );
        }
    }

    #[test]
    fn maildir_names() {
        for (name, delivered_at, flags) in [
            (
                "1741000000.M1P2.host,S=100:2,FS",
                Some(1_741_000_000),
                vec!["F", "S"],
            ),
            ("1741000000.1.host", Some(1_741_000_000), vec![]),
            ("1741000000.1.host:2,", Some(1_741_000_000), vec![]),
            ("12.host:2,Sab", None, vec!["S", "a", "b"]),
            ("174100000012345.host", None, vec![]),
            ("-174100000.host", None, vec![]),
            ("msg", None, vec![]),
        ] {
            let flags = flags.into_iter().map(str::to_owned).collect();
            assert_eq!(
                read_maildir_name(name),
                MaildirName {
                    delivered_at,
                    flags
                },
                "{name}"
            );
        }
    }

    #[test]
    fn dates_of_from_lines() {
        for (line, expected) in [
            (
                "From a@x.example Mon Mar  3 08:15:02 2025",
                Some(1_740_989_702),
            ),
            (
                "From 1@xxx Mon Mar 03 08:15:02 +0000 2025",
                Some(1_740_989_702),
            ),
            ("From -", None),
            ("From a@x.example", None),
            ("", None),
        ] {
            assert_eq!(from_line_date(line.as_bytes()), expected, "{line}");
        }
    }
}
