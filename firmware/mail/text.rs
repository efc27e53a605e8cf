//! Texts out of octets: character sets, guessed where they are missing or wrong, and the words of what is no text.
//!
//! Knows nothing of parts and fields. The tables of character sets are mail-parser's.

use std::borrow::Cow;
use std::collections::HashSet;

use mail_parser::decoders::charsets::map::charset_decoder;

/// Shortest run of printable characters that counts as a word of unreadable octets: shorter ones are mostly chance.
const RUN_MIN_CHARS: usize = 3;

/// Decodes a text of the character set that somebody names, or of one that fits.
pub fn decoded(bytes: &[u8], charset: Option<&str>) -> String {
    decode(bytes, charset).0
}

/// Decodes a text of the character set that its part names; the flag says whether name and octets agree.
pub(crate) fn decode(bytes: &[u8], charset: Option<&str>) -> (String, bool) {
    let label = charset
        .unwrap_or_default()
        .trim_matches(|c: char| c.is_whitespace() || c == '"' || c == '\'');
    let label = label.to_ascii_lowercase();
    let (text, is_sound) = match label.as_str() {
        "" | "utf-8" | "utf8" | "us-ascii" | "ascii" => (
            guess(bytes).into_owned(),
            std::str::from_utf8(bytes).is_ok(),
        ),
        "iso-8859-1" | "latin1" | "windows-1252"
            if !bytes.is_ascii() && std::str::from_utf8(bytes).is_ok() =>
        {
            (guess(bytes).into_owned(), false)
        }
        _ => decode_labelled(bytes, &label),
    };
    (
        text.strip_prefix('\u{feff}')
            .map(str::to_owned)
            .unwrap_or(text),
        is_sound,
    )
}

fn decode_labelled(bytes: &[u8], label: &str) -> (String, bool) {
    match charset_decoder(label.as_bytes()).map(|decoder| decoder(bytes)) {
        // A lone replacement character stands for a set that is known but not decoded.
        Some(text) if text != "\u{fffd}" => {
            let is_sound = !text.contains(char::REPLACEMENT_CHARACTER);
            (text, is_sound)
        }
        _ => (guess(bytes).into_owned(), false),
    }
}

/// Reads octets as UTF-8, or else as windows-1252, which covers what Western senders write without saying so.
pub(crate) fn guess(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => match charset_decoder(b"windows-1252") {
            Some(decoder) => Cow::Owned(decoder(bytes)),
            None => String::from_utf8_lossy(bytes),
        },
    }
}

/// Gives the printable runs of octets that cannot be read otherwise, each on its own line.
pub(crate) fn printable_runs(bytes: &[u8]) -> String {
    let mut runs = String::new();
    let mut run = String::new();
    for chunk in bytes.utf8_chunks() {
        chunk
            .valid()
            .chars()
            .for_each(|c| push_to_run(c, &mut run, &mut runs));
        for byte in chunk.invalid() {
            // The letters of windows-1252 lie from 0xC0 on; what is below is mostly binary.
            let letter = if *byte >= 0xC0 {
                char::from(*byte)
            } else {
                '\n'
            };
            push_to_run(letter, &mut run, &mut runs);
        }
    }
    push_to_run('\n', &mut run, &mut runs);
    runs
}

fn push_to_run(c: char, run: &mut String, runs: &mut String) {
    match c {
        // UTF-16 of Latin letters becomes readable without its NULs.
        '\0' => {}
        c if c.is_control() => {
            if run.chars().filter(|c| !c.is_whitespace()).count() >= RUN_MIN_CHARS {
                runs.push_str(run);
                runs.push('\n');
            }
            run.clear();
        }
        c => run.push(c),
    }
}

/// Words seen so far, for telling whether another text says more.
#[derive(Debug, Default)]
pub(crate) struct Words(HashSet<String>);

impl Words {
    /// Adds the words of a text and tells whether there was a new one among them.
    pub(crate) fn add(&mut self, text: &str) -> bool {
        let mut has_new = false;
        for word in text
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
        {
            has_new |= self.0.insert(word.to_lowercase());
        }
        has_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], charset: Option<&str>, expected: &str, expected_sound: bool) {
        assert_eq!(
            decode(bytes, charset),
            (expected.to_owned(), expected_sound),
            "{charset:?}"
        );
    }

    #[test]
    fn charsets() {
        check("Grüße".as_bytes(), None, "Grüße", true);
        check("Grüße".as_bytes(), Some("UTF-8"), "Grüße", true);
        check(b"Gr\xFC\xDFe", Some("ISO-8859-1"), "Grüße", true);
        check("Grüße".as_bytes(), Some("iso-8859-1"), "Grüße", false);
        check(b"Gr\xFC\xDFe", Some("utf-8"), "Grüße", false);
        check(b"Gr\xFC\xDFe", None, "Grüße", false);
        check(b"Gr\xFC\xDFe", Some("no-such-set"), "Grüße", false);
        check(b"\xA4", Some("\"iso-8859-15\""), "€", true);
        check(b"\xCF\xF0\xE8", Some("windows-1251"), "При", true);
        check(b"\xEF\xBB\xBFx", Some("utf-8"), "x", true);
        check(b"plain", Some("iso-2022-kr"), "plain", false);
        check(b"", Some("utf-16"), "", true);
    }

    #[test]
    fn runs_are_the_words_of_binary_octets() {
        assert_eq!(
            printable_runs(b"\x01\x02Rechnung 4711\x00\xFF\x90ab\x03"),
            "Rechnung 4711ÿ\n"
        );
        assert_eq!(printable_runs(b"G\0r\0u\0\xDF\0\x01\0"), "Gruß\n");
        assert_eq!(printable_runs(b""), "");
    }

    #[test]
    fn words_tell_what_is_new() {
        let mut words = Words::default();
        assert!(words.add("Guten Tag, Welt"));
        assert!(!words.add("welt: GUTEN tag!"));
        assert!(words.add("Guten Abend"));
        assert!(!words.add(" -- "));
    }
}
