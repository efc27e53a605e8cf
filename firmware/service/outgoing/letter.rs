//! A mail of Coffer's own as bytes (RFC 5322, 2045, 2047): plain text, and nothing of the archive's mail.

use archive::calendar::Date;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use std::fmt::Write as _;

/// 76 characters of base64 a line (RFC 2045 §6.8).
const LINE_CHARS: usize = 76;

/// 45 bytes a piece of a subject: with the marks around it 72 of the 75 characters of an encoded word (RFC 2047 §2).
const SUBJECT_PIECE_BYTES: usize = 45;

/// A mail to one address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Letter<'a> {
    /// The address that it comes from.
    pub(super) from: &'a str,
    /// Where it goes.
    pub(super) to: &'a str,
    /// What it is about, on one line.
    pub(super) subject: &'a str,
    /// What it says; its lines end in LF.
    pub(super) text: &'a str,
    /// What this host calls itself.
    pub(super) hostname: &'a str,
    /// Now, Unix seconds.
    pub(super) now_s: i64,
}

impl Letter<'_> {
    /// Writes it. Every line of the text is base64, so that no dot needs doubling and no server breaks a letter.
    pub(super) fn message(&self) -> String {
        let Self {
            from, to, hostname, ..
        } = self;
        let mut message = format!(
            "From: Coffer <{from}>\r\nTo: <{to}>\r\nSubject: {}\r\nDate: {}\r\nMessage-ID: <{}@{hostname}>\r\n\
             Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n",
            encoded_words(self.subject),
            date(self.now_s),
            store::hex(&store::random::<16>()),
        );
        let encoded = BASE64_STANDARD.encode(self.text.replace('\n', "\r\n"));
        for line in encoded.as_bytes().chunks(LINE_CHARS) {
            let _ = write!(message, "{}\r\n", String::from_utf8_lossy(line));
        }
        message
    }
}

/// Writes a subject: as it is if it is plain, else as encoded words (RFC 2047).
fn encoded_words(text: &str) -> String {
    if text.len() <= LINE_CHARS && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return text.to_owned();
    }
    let mut pieces = vec![String::new()];
    for c in text.chars() {
        let last = pieces.last_mut().expect("there is always one");
        if last.len() + c.len_utf8() > SUBJECT_PIECE_BYTES {
            pieces.push(c.to_string());
        } else {
            last.push(c);
        }
    }
    let word = |piece: &String| format!("=?utf-8?B?{}?=", BASE64_STANDARD.encode(piece));
    let words: Vec<String> = pieces.iter().map(word).collect();
    words.join("\r\n ")
}

/// Writes a date as a Date field has it (RFC 5322 §3.3), in UTC.
fn date(unix_s: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let day = Date::of_unix(unix_s);
    let weekday = DAYS[unix_s.div_euclid(86_400).rem_euclid(7) as usize];
    let month = MONTHS[usize::from(day.month()) - 1];
    let second = unix_s.rem_euclid(86_400);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!(
        "{weekday}, {:02} {month} {:04} {hour:02}:{minute:02}:{:02} +0000",
        day.day(),
        day.year(),
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_a_message_that_others_read() {
        let subject =
            "Zustand: Die Festplatte ist fast voll, und für größere Mails reicht der Platz nicht";
        let letter = Letter {
            from: "coffer@x.example",
            to: "it@x.example",
            subject,
            text: ".\nGrüße\n",
            hostname: "box.example",
            now_s: 1_750_000_000,
        };
        let message = letter.message();
        assert!(
            message
                .split("\r\n")
                .all(|line| line.len() <= LINE_CHARS + 40)
        );
        assert!(!message.replace("\r\n", "").contains(['\r', '\n']));
        assert!(!message.contains("\r\n."));
        let reading = mail::read(message.as_bytes());
        assert_eq!(reading.subject, subject);
    }

    #[test]
    fn a_plain_subject_stays_as_it_is() {
        assert_eq!(encoded_words("Coffer: all is well"), "Coffer: all is well");
        assert_eq!(encoded_words("Größe"), "=?utf-8?B?R3LDtsOfZQ==?=");
        let broken = encoded_words("a\r\nBcc: b@x.example");
        assert!(broken.starts_with("=?utf-8?B?"), "{broken}");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "Thu, 01 Jan 1970 00:00:00 +0000");
        assert_eq!(date(1_750_000_000), "Sun, 15 Jun 2025 15:06:40 +0000");
    }
}
