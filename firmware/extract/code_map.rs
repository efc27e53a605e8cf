//! ToUnicode maps (ISO 32000-1 §9.10.3): what the codes of a font stand for, in UTF-16.
//!
//! Only the sections that map are read, wherever they stand: programs leave out or misspell all that is around them, and a map that is refused for that
//! would cost the whole text.

use std::collections::HashMap;

/// 65,536 codes are mapped, as many as two bytes can tell.
const CODES_MAX: usize = 1 << 16;

/// A map from codes.
#[derive(Default)]
pub(crate) struct CodeMap(HashMap<u32, String>);

/// A word of a map.
enum Token {
    /// Bytes between `<` and `>`.
    Bytes(Vec<u8>),
    Open,
    Close,
    Word(String),
}

impl CodeMap {
    /// Reads a map; what does not hold is left out.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let mut map = Self::default();
        let mut tokens = Tokens(bytes);
        while let Some(token) = tokens.next() {
            match token {
                Token::Word(word) if word == "beginbfchar" => map.characters(&mut tokens),
                Token::Word(word) if word == "beginbfrange" => map.ranges(&mut tokens),
                _ => {}
            }
        }
        map
    }

    /// What a code stands for.
    pub(crate) fn text(&self, code: u32) -> Option<&str> {
        self.0.get(&code).map(String::as_str)
    }

    /// Pairs of a code and what it stands for.
    fn characters(&mut self, tokens: &mut Tokens) {
        while let Some(Token::Bytes(code)) = tokens.next() {
            let Some(Token::Bytes(text)) = tokens.next() else {
                return;
            };
            self.put(number(&code), &units(&text));
        }
    }

    /// First and last code, and what the first stands for, or each of them.
    fn ranges(&mut self, tokens: &mut Tokens) {
        while let Some(Token::Bytes(first)) = tokens.next() {
            let Some(Token::Bytes(last)) = tokens.next() else {
                return;
            };
            let codes = number(&first)..=number(&last);
            match tokens.next() {
                Some(Token::Bytes(text)) => {
                    let mut text = units(&text);
                    for code in codes.take(CODES_MAX) {
                        self.put(code, &text);
                        if let Some(unit) = text.last_mut() {
                            *unit = unit.wrapping_add(1);
                        }
                    }
                }
                Some(Token::Open) => {
                    let mut codes = codes;
                    while let Some(Token::Bytes(text)) = tokens.next() {
                        if let Some(code) = codes.next() {
                            self.put(code, &units(&text));
                        }
                    }
                }
                _ => return,
            }
        }
    }

    fn put(&mut self, code: u32, units: &[u16]) {
        if self.0.len() < CODES_MAX {
            self.0.insert(code, String::from_utf16_lossy(units));
        }
    }
}

/// The number that the last four bytes of a code are.
fn number(code: &[u8]) -> u32 {
    code.iter()
        .fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// UTF-16 as it is written; a single byte is a character, too.
fn units(text: &[u8]) -> Vec<u16> {
    match text {
        [one] => vec![u16::from(*one)],
        text => text
            .as_chunks::<2>()
            .0
            .iter()
            .map(|pair| u16::from_be_bytes(*pair))
            .collect(),
    }
}

/// What is left of a map.
struct Tokens<'m>(&'m [u8]);

impl Tokens<'_> {
    fn next(&mut self) -> Option<Token> {
        self.skip();
        let (first, rest) = self.0.split_first()?;
        match first {
            b'<' => {
                let end = rest
                    .iter()
                    .position(|byte| *byte == b'>')
                    .unwrap_or(rest.len());
                let digits = rest[..end]
                    .iter()
                    .filter_map(|byte| char::from(*byte).to_digit(16));
                let digits: Vec<u8> = digits.map(|digit| digit as u8).collect();
                self.0 = rest.get(end + 1..).unwrap_or_default();
                Some(Token::Bytes(
                    digits
                        .chunks(2)
                        .map(|two| two.iter().fold(0, |byte, digit| byte << 4 | digit))
                        .collect(),
                ))
            }
            b'[' | b']' => {
                self.0 = rest;
                Some(if *first == b'[' {
                    Token::Open
                } else {
                    Token::Close
                })
            }
            _ => {
                let is_end = |byte: &u8| byte.is_ascii_whitespace() || b"<>[]%".contains(byte);
                let end = rest
                    .iter()
                    .position(is_end)
                    .map_or(self.0.len(), |end| end + 1);
                let word = String::from_utf8_lossy(&self.0[..end]).into_owned();
                self.0 = &self.0[end..];
                Some(Token::Word(word))
            }
        }
    }

    /// Passes white space and comments.
    fn skip(&mut self) {
        self.0 = self.0.trim_ascii_start();
        while let Some(comment) = self.0.strip_prefix(b"%") {
            let end = comment
                .iter()
                .position(|byte| matches!(byte, b'\r' | b'\n'));
            self.0 = comment[end.unwrap_or(comment.len())..].trim_ascii_start();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sections_are_found_wherever_they_stand() {
        let map = CodeMap::read(
            b"/CIDInit /ProcSet findresource begin % a comment <01>\n12 dict begin begincmap\n\
              1 begincodespacerange<00><FF>endcodespacerange\n2 beginbfchar<01><00DC>\n<0002> <0066 0069>endbfchar\n\
              3 beginbfrange <10> <12> <0061>\n<20><21>[<0078> <D83DDE00>]\n<30> <31> <79> endbfrange endcmap",
        );
        for (code, text) in [
            (1, Some("Ü")),
            (2, Some("fi")),
            (0x10, Some("a")),
            (0x12, Some("c")),
            (0x20, Some("x")),
            (0x21, Some("😀")),
            (0x31, Some("z")),
            (0, None),
            (0x13, None),
        ] {
            assert_eq!(map.text(code), text, "{code:x}");
        }
    }

    #[test]
    fn a_range_without_end_ends() {
        let map = CodeMap::read(b"beginbfrange <00000000> <FFFFFFFF> <0041> <0> <FFFFFFFF> [");
        assert_eq!(map.0.len(), CODES_MAX);
    }

    proptest! {
        #[test]
        fn any_words_end(text in "(beginbfchar|beginbfrange|<|>|[0-9A-F]{1,4}|\\[|\\]|%|\n| ){0,60}") {
            CodeMap::read(text.as_bytes());
        }
    }
}
