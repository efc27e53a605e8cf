//! Rich Text Format 1.9.1: groups, control words and text in the character set that the document names.
//!
//! Fonts with character sets of their own are not looked at.

use crate::text::Lines;

/// 200 groups one within the other; programs nest a tenth of that.
const DEPTH_MAX: usize = 200;

/// 32 characters of a control word, as the format has it.
const WORD_BYTES_MAX: usize = 32;

/// Groups whose content is no text.
const UNSEEN: [&str; 24] = [
    "fonttbl",
    "colortbl",
    "stylesheet",
    "info",
    "pict",
    "object",
    "listtable",
    "listoverridetable",
    "rsidtbl",
    "generator",
    "themedata",
    "colorschememapping",
    "datastore",
    "latentstyles",
    "xmlnstbl",
    "filetbl",
    "revtbl",
    "fldinst",
    "bkmkstart",
    "bkmkend",
    "nonshppict",
    "datafield",
    "pgptbl",
    "mmathPr",
];

/// What holds within a group.
#[derive(Clone, Copy)]
struct Group {
    is_unseen: bool,
    /// Characters that follow a `\u` for programs without Unicode (§ Unicode RTF).
    replacement_chars: usize,
}

struct Reading<'d, 'l> {
    rest: &'d [u8],
    lines: &'l mut Lines,
    groups: Vec<Group>,
    group: Group,
    charset: String,
    /// Bytes of the document's character set that are not decoded yet.
    waiting: Vec<u8>,
    /// Replacement characters that are still to be passed over.
    passed_over: usize,
    /// The first half of a character beyond the basic plane.
    high_surrogate: Option<u16>,
}

/// Reads a document; what does not hold ends the text.
pub(crate) fn read(document: &[u8], lines: &mut Lines) {
    let group = Group {
        is_unseen: false,
        replacement_chars: 1,
    };
    let mut reading = Reading {
        rest: document,
        lines,
        groups: Vec::new(),
        group,
        charset: "windows-1252".to_owned(),
        waiting: Vec::new(),
        passed_over: 0,
        high_surrogate: None,
    };
    while reading.step() && !reading.lines.is_full() {}
    reading.decode_waiting();
}

impl Reading<'_, '_> {
    /// Reads the next sign; tells whether there was one.
    fn step(&mut self) -> bool {
        let Some((first, rest)) = self.rest.split_first() else {
            return false;
        };
        self.rest = rest;
        match first {
            b'{' => {
                self.decode_waiting();
                if self.groups.len() >= DEPTH_MAX {
                    return false;
                }
                self.groups.push(self.group);
            }
            b'}' => {
                self.decode_waiting();
                match self.groups.pop() {
                    Some(group) => self.group = group,
                    None => return false,
                }
                // What follows the last group is none of the document's.
                return !self.groups.is_empty();
            }
            b'\\' => self.control(),
            b'\r' | b'\n' => {}
            byte => self.byte(*byte),
        }
        true
    }

    /// Reads what follows a backslash.
    fn control(&mut self) {
        let letters = count(self.rest, u8::is_ascii_alphabetic).min(WORD_BYTES_MAX);
        if letters == 0 {
            return self.symbol();
        }
        let (word, rest) = self.rest.split_at(letters);
        let sign = usize::from(rest.first() == Some(&b'-'));
        let digits = sign + count(&rest[sign..], u8::is_ascii_digit).min(10);
        let (number, rest) = rest.split_at(if digits > sign { digits } else { 0 });
        self.rest = rest.strip_prefix(b" ").unwrap_or(rest);
        let word = String::from_utf8_lossy(word);
        let number = std::str::from_utf8(number)
            .ok()
            .and_then(|n| n.parse().ok());
        self.word(&word, number);
    }

    /// A control symbol: a backslash and one character.
    fn symbol(&mut self) {
        let Some((first, rest)) = self.rest.split_first() else {
            return;
        };
        self.rest = rest;
        match first {
            b'\'' => {
                let digits = rest.get(..2).and_then(|two| std::str::from_utf8(two).ok());
                if let Some(byte) = digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
                    self.rest = &rest[2..];
                    self.byte(byte);
                }
            }
            b'*' => self.group.is_unseen = true,
            b'~' => self.push(" "),
            b'_' => self.push("-"),
            b'\r' | b'\n' => self.end_line(),
            byte @ (b'\\' | b'{' | b'}') => self.byte(*byte),
            _ => {}
        }
    }

    fn word(&mut self, word: &str, number: Option<i32>) {
        match word {
            "par" | "line" | "sect" | "page" | "row" => self.end_line(),
            "tab" | "cell" => self.push("\t"),
            "u" => self.unicode(number.unwrap_or_default() as u16),
            "uc" => self.group.replacement_chars = number.unwrap_or(1).clamp(0, 8) as usize,
            "bin" => {
                let length = usize::try_from(number.unwrap_or_default()).unwrap_or(0);
                self.rest = self.rest.get(length..).unwrap_or_default();
            }
            "ansicpg" => {
                self.charset = match number {
                    Some(65001) => "utf-8".to_owned(),
                    Some(page @ (437 | 850 | 852 | 866)) => format!("ibm{page}"),
                    Some(page) => format!("windows-{page}"),
                    None => return,
                };
            }
            "mac" => self.charset = "macintosh".to_owned(),
            _ => match character(word) {
                Some(character) => self.push(character),
                None if UNSEEN.contains(&word) => self.group.is_unseen = true,
                None => {}
            },
        }
    }

    /// A character by its number in UTF-16.
    fn unicode(&mut self, unit: u16) {
        self.decode_waiting();
        let halves = self.high_surrogate.take().into_iter().chain([unit]);
        match char::decode_utf16(halves).last() {
            Some(Ok(character)) => self.push(character.encode_utf8(&mut [0; 4])),
            _ => self.high_surrogate = Some(unit),
        }
        self.passed_over = self.group.replacement_chars;
    }

    /// A byte in the document's character set.
    fn byte(&mut self, byte: u8) {
        if self.passed_over > 0 {
            self.passed_over -= 1;
        } else if !self.group.is_unseen {
            self.waiting.push(byte);
        }
    }

    fn push(&mut self, text: &str) {
        self.decode_waiting();
        if !self.group.is_unseen {
            self.lines.push(text);
        }
    }

    fn end_line(&mut self) {
        self.decode_waiting();
        if !self.group.is_unseen {
            self.lines.end_line();
        }
    }

    /// Bytes are decoded together, for a character may have two.
    fn decode_waiting(&mut self) {
        self.passed_over = 0;
        if !self.waiting.is_empty() {
            let text = mail::decoded_text(&self.waiting, Some(&self.charset));
            self.lines.push(&text);
            self.waiting.clear();
        }
    }
}

fn count(bytes: &[u8], is_one: fn(&u8) -> bool) -> usize {
    bytes.iter().take_while(|byte| is_one(byte)).count()
}

/// Characters that have words.
fn character(word: &str) -> Option<&'static str> {
    Some(match word {
        "emdash" => "—",
        "endash" => "–",
        "lquote" => "‘",
        "rquote" => "’",
        "ldblquote" => "“",
        "rdblquote" => "”",
        "bullet" => "•",
        "emspace" | "enspace" | "qmspace" => " ",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(document: &str, expected: &str) {
        let mut lines = Lines::default();
        read(document.as_bytes(), &mut lines);
        let text = lines.finish().map(|text| text.text);
        assert_eq!(text.unwrap_or_default(), expected, "{document}");
    }

    #[test]
    fn documents() {
        check(
            "{\\rtf1\\ansi Hello {\\b world}.\\par Next\\tab x}",
            "Hello world.\nNext\tx",
        );
        check("{\\rtf1\\ansi\\ansicpg1252 Gr\\'fc\\'dfe}", "Grüße");
        check("{\\rtf1\\ansi\\ansicpg1251 \\'cf\\'f0}", "Пр");
        check("{\\rtf1 \\u252?ber \\u8364\\'80 \\uc0\\u228x}", "über € äx");
        check("{\\rtf1 \\u-10179?\\u-8704?}", "");
        check("{\\rtf1 a\\u-10179?\\u-8704?}", "a😀");
        check(
            "{\\rtf1{\\fonttbl{\\f0 Arial;}}{\\*\\generator X;}{\\info{\\title T}}text}",
            "text",
        );
        check("{\\rtf1 a\\bin3 }}}b}", "ab");
        check(
            "{\\rtf1 \\{a\\}\\\\ \\rquote s\\emdash x}rest",
            "{a}\\ ’s—x",
        );
        check("{\\rtf1 line\\\nline}", "line\nline");
        check("{\\rtf1 open", "open");
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            read(&bytes, &mut Lines::default());
        }

        #[test]
        fn any_signs_end(text in "([{}\\\\'a-z0-9 -]|\\\\u|\\\\bin){0,80}") {
            read(text.as_bytes(), &mut Lines::default());
        }
    }
}
