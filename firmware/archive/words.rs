//! How text becomes the words of the index: used by the index and by the query alike, so that they always agree.
//!
//! A word is a run of letters, digits and marks; everything else parts words. So an apostrophe, a dot, an underscore
//! or an at sign parts them too: an e-mail address or a host name yields its parts, and a query written the same way
//! finds them as words in a row. Letters of Chinese and Japanese are each a word, since nothing parts words there.
//!
//! Words are folded: lower case, accents removed (é is e), ß is ss. An umlaut has two readings, and the word then has
//! a second form at the same place: "Müller" is `muller` and `mueller`. A query is folded in the same way and asks for
//! either form, so "Müller", "Muller" and "Mueller" each find "Müller", and "Müller" finds all three. Only "Muller"
//! does not find "Mueller", and the other way round: reading every ue as ü would mix up "neue" and "nue", "Steuer" and
//! "Stuer".
//!
//! It deliberately knows no stems, no compound words and no stop words; the index adds those. Which characters are
//! letters is Unicode's Alphabetic property and the numbers (UAX #44); the folding tables are made from its canonical
//! decompositions (UAX #15), so that composed and decomposed text gives the same words.

use std::ops::Range;

/// The most bytes that a folded word keeps.
///
/// 255 bytes: longer than any word of a language, also a German one, and than a file name may be (255 bytes on Linux).
/// What is longer keeps its first 255 bytes, in the index and in the query, so that base64 taken for text stays small.
pub const WORD_LEN_MAX: usize = 255;

/// One word of a text, folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    /// The folded word; an umlaut is its base letter.
    pub text: &'a str,
    /// The second form, where an umlaut is the base letter and an e; none if it would be the same.
    pub second: Option<&'a str>,
    /// Where the word stands in the text that was given, in bytes.
    pub offset: Range<usize>,
}

/// Calls `each` with every word of a text, in order.
pub fn words(text: &str, mut each: impl FnMut(Word<'_>)) {
    let mut scanner = WordScanner::new(text);
    while let Some(word) = scanner.next_word() {
        each(word);
    }
}

/// A walk over the words of a text; what is already lower-case ASCII is lent from the text itself.
#[derive(Clone, Debug)]
pub struct WordScanner<'t> {
    text: &'t str,
    at: usize,
    first: Folded,
    second: Folded,
}

impl<'t> WordScanner<'t> {
    /// Starts at the beginning of a text.
    pub fn new(text: &'t str) -> Self {
        Self {
            text,
            at: 0,
            first: Folded::default(),
            second: Folded::default(),
        }
    }

    /// Gives the next word, or none at the end.
    pub fn next_word(&mut self) -> Option<Word<'_>> {
        let bytes = self.text.as_bytes();
        loop {
            while bytes
                .get(self.at)
                .is_some_and(|&byte| BYTES[usize::from(byte)] == Byte::Gap)
            {
                self.at += 1;
            }
            match BYTES[usize::from(*bytes.get(self.at)?)] {
                Byte::Beyond => {
                    let letter = char_at(self.text, self.at)?;
                    match class(letter) {
                        Class::Letter | Class::Alone => return Some(self.unicode_word()),
                        Class::Mark | Class::Gap => self.at += letter.len_utf8(),
                    }
                }
                _ => return Some(self.ascii_word()),
            }
        }
    }

    /// Reads a word that starts with an ASCII letter or digit.
    fn ascii_word(&mut self) -> Word<'_> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut end = start;
        let mut has_upper = false;
        while let Some(&byte) = bytes.get(end) {
            match BYTES[usize::from(byte)] {
                Byte::Lower => {}
                Byte::Upper => has_upper = true,
                Byte::Gap => break,
                Byte::Beyond => match char_at(self.text, end).map(class) {
                    Some(Class::Letter | Class::Mark) => return self.unicode_word(),
                    _ => break,
                },
            }
            end += 1;
        }
        self.at = end;
        let kept = &self.text[start..end.min(start + WORD_LEN_MAX)];
        let text = if has_upper {
            self.first.set_ascii_lower(kept)
        } else {
            kept
        };
        Word {
            text,
            second: None,
            offset: start..end,
        }
    }

    /// Reads a word letter by letter; the scanner stands on a letter.
    fn unicode_word(&mut self) -> Word<'_> {
        let start = self.at;
        self.first.clear();
        self.second.clear();
        let mut differs = false;
        for letter in self.text[start..].chars() {
            match class(letter) {
                Class::Letter => {}
                Class::Mark if self.at > start => {}
                Class::Alone if self.at == start => {
                    self.at += letter.len_utf8();
                    self.first.push(letter);
                    break;
                }
                _ => break,
            }
            self.at += letter.len_utf8();
            for lower in letter.to_lowercase() {
                differs |= self.push_folded(lower);
            }
        }
        let differs = differs && self.first.text != self.second.text;
        Word {
            text: &self.first.text,
            second: differs.then_some(self.second.text.as_str()),
            offset: start..self.at,
        }
    }

    /// Adds a lower-case letter or mark to both forms, and tells whether they part here.
    fn push_folded(&mut self, letter: char) -> bool {
        let forms = if matches!(letter, DIAERESIS | RING) {
            match (letter, self.first.text.as_bytes().last()) {
                (DIAERESIS, Some(b'a' | b'o' | b'u')) => Some(("", "e")),
                (RING, Some(b'a')) => Some(("", "a")),
                _ => None,
            }
        } else {
            umlaut(letter)
        };
        let Some((first, second)) = forms else {
            self.push_single(letter);
            return false;
        };
        self.first.push_str(first);
        self.second.push_str(second);
        true
    }

    /// Adds a letter that has but one reading.
    fn push_single(&mut self, letter: char) {
        if let Some(several) = letters_of(letter) {
            self.first.push_str(several);
            self.second.push_str(several);
        } else if let Some(base) = base_of(letter) {
            self.first.push(base);
            self.second.push(base);
        }
    }
}

/// Tells whether a word can start with this character.
pub(crate) fn starts_word(letter: char) -> bool {
    matches!(class(letter), Class::Letter | Class::Alone)
}

/// Tells whether this character can stand inside a word, or at its end.
pub(crate) fn continues_word(letter: char) -> bool {
    class(letter) != Class::Gap
}

/// A folded form being written: never longer than [`WORD_LEN_MAX`], never continued after its first cut.
#[derive(Clone, Debug, Default)]
struct Folded {
    text: String,
    full: bool,
}

impl Folded {
    fn clear(&mut self) {
        self.text.clear();
        self.full = false;
    }

    fn push(&mut self, letter: char) {
        self.full |= self.text.len() + letter.len_utf8() > WORD_LEN_MAX;
        if !self.full {
            self.text.push(letter);
        }
    }

    fn push_str(&mut self, letters: &str) {
        letters.chars().for_each(|letter| self.push(letter));
    }

    fn set_ascii_lower(&mut self, text: &str) -> &str {
        self.clear();
        self.text.push_str(text);
        self.text.make_ascii_lowercase();
        &self.text
    }
}

/// What a byte is at the start of a character.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Byte {
    Gap,
    /// A lower-case ASCII letter or a digit: it stays as it is.
    Lower,
    Upper,
    /// The start of a character beyond ASCII.
    Beyond,
}

/// The kind of every byte: one look-up a byte keeps ASCII fast.
const BYTES: [Byte; 256] = {
    let mut kinds = [Byte::Gap; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = match byte as u8 {
            b'a'..=b'z' | b'0'..=b'9' => Byte::Lower,
            b'A'..=b'Z' => Byte::Upper,
            0x80.. => Byte::Beyond,
            _ => Byte::Gap,
        };
        byte += 1;
    }
    kinds
};

/// What a character does to a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// It starts or continues a word.
    Letter,
    /// It is a word of its own.
    Alone,
    /// It continues a word and starts none.
    Mark,
    /// It parts words.
    Gap,
}

fn char_at(text: &str, at: usize) -> Option<char> {
    text.get(at..).and_then(|rest| rest.chars().next())
}

fn class(letter: char) -> Class {
    // The letters of European languages come first, for speed.
    if matches!(letter, 'a'..='z' | 'A'..='Z' | '0'..='9' | 'À'..='Ö' | 'Ø'..='ö' | 'ø'..='ɏ' | 'А'..='я')
    {
        Class::Letter
    } else if is_dropped(letter) || is_kept_mark(letter) {
        Class::Mark
    } else if !letter.is_alphanumeric() {
        Class::Gap
    } else if is_unparted(letter) {
        Class::Alone
    } else {
        Class::Letter
    }
}

/// Tells whether a character vanishes inside a word: accents that combine, soft hyphens, joiners, variants.
fn is_dropped(letter: char) -> bool {
    matches!(letter, '\u{ad}' | '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{200c}' | '\u{200d}' | '\u{2060}' | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{fe20}'..='\u{fe2f}' | '\u{feff}')
}

/// Tells whether a character is a mark that is no letter to Unicode, yet part of the spelling: vowel killers and the
/// like, from the Hebrew to the Khmer block.
fn is_kept_mark(letter: char) -> bool {
    let code = u32::from(letter);
    match code {
        0x483..=0x489 | 0x591..=0x5bd | 0x5bf | 0x5c1..=0x5c2 | 0x5c4..=0x5c5 | 0x5c7 => true,
        0x610..=0x61a
        | 0x64b..=0x65f
        | 0x670
        | 0x6d6..=0x6dc
        | 0x6df..=0x6e4
        | 0x6e7..=0x6e8
        | 0x6ea..=0x6ed => true,
        // The Indian blocks are built alike: nukta, virama and tone marks at the same places of each 128.
        0x900..=0xd7f => matches!(code & 0x7f, 0x3c | 0x4d | 0x51..=0x54),
        0xdca | 0xe47..=0xe4e | 0xec8..=0xecd | 0x1037 | 0x1039..=0x103a | 0x17c9..=0x17d3 => true,
        _ => false,
    }
}

/// Tells whether a letter is of a script that puts nothing between words: Chinese signs and Japanese syllables.
fn is_unparted(letter: char) -> bool {
    matches!(letter, '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

const DIAERESIS: char = '\u{308}';
const RING: char = '\u{30a}';

/// Gives both readings of a letter that has two: the German umlauts, and their Nordic kin.
fn umlaut(letter: char) -> Option<(&'static str, &'static str)> {
    match letter {
        'ä' => Some(("a", "ae")),
        'ö' | 'ø' => Some(("o", "oe")),
        'ü' => Some(("u", "ue")),
        'å' => Some(("a", "aa")),
        _ => None,
    }
}

/// Gives the letters for which one sign stands; the ligatures are frequent in text from PDF files.
fn letters_of(letter: char) -> Option<&'static str> {
    Some(match letter {
        'ß' => "ss",
        'æ' | 'ǽ' | 'ǣ' => "ae",
        'œ' => "oe",
        'þ' => "th",
        'ĳ' => "ij",
        'ǆ' | 'ǳ' => "dz",
        'ǉ' => "lj",
        'ǌ' => "nj",
        'ﬀ' => "ff",
        'ﬁ' => "fi",
        'ﬂ' => "fl",
        'ﬃ' => "ffi",
        'ﬄ' => "ffl",
        'ﬅ' | 'ﬆ' => "st",
        _ => return None,
    })
}

/// Gives a lower-case letter without its accent, or none if the character is a mark that vanishes.
fn base_of(letter: char) -> Option<char> {
    let from_table = |table: &'static str, first: u32| {
        let base = char::from(table.as_bytes()[(u32::from(letter) - first) as usize]);
        if base == '.' { letter } else { base }
    };
    Some(match letter {
        '\0'..='\x7f' => letter,
        '\u{c0}'..='\u{24f}' => from_table(LATIN, 0xc0),
        '\u{1e00}'..='\u{1eff}' => from_table(LATIN_ADDITIONAL, 0x1e00),
        'ά' => 'α',
        'έ' => 'ε',
        'ή' => 'η',
        'ί' | 'ϊ' | 'ΐ' => 'ι',
        'ό' => 'ο',
        'ύ' | 'ϋ' | 'ΰ' => 'υ',
        'ώ' => 'ω',
        'ς' => 'σ',
        'ё' | 'ѐ' => 'е',
        'й' | 'ѝ' => 'и',
        'ї' => 'і',
        'ў' => 'у',
        'ѓ' => 'г',
        'ќ' => 'к',
        // Full-width forms of ASCII stand as far from it as the first of them.
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(letter) - 0xfee0)?,
        _ if is_dropped(letter) => return None,
        _ => letter,
    })
}

/// The base letters of U+00C0 to U+024F, Latin-1 to Latin Extended-B; a dot where the letter stays as it is.
const LATIN: &str = "\
    aaaaaa.ceeeeiiiidnooooo.ouuuuy..aaaaaa.ceeeeiiiidnooooo.ouuuuy.y\
    aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiii..jjkkklllllll\
    lllnnnnnnnnnoooooo..rrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs\
    bb.....ccdddd.e..ffg...ikkl..nnooo..pp.....ttttuu.vyyzz.........\
    .............aaiioouuuuuuuuuueaaaa..ggggkkoooo..j...gg..nnaa..oo\
    aaaaeeeeiiiioooorrrruuuusstt..hhnd..zzaaeeooooooooyylntj..acclts\
    z..bu.eejjqqrryy";

/// The base letters of U+1E00 to U+1EFF, Latin Extended Additional; a dot where the letter stays as it is.
const LATIN_ADDITIONAL: &str = "\
    aabbbbbbccddddddddddeeeeeeeeeeffgghhhhhhhhhhiiiikkkkkkllllllllmm\
    mmmmnnnnnnnnoooooooopppprrrrrrrrssssssssssttttttttuuuuuuuuuuvvvv\
    wwwwwwwwwwxxxxyyzzzzzzhtwyasss..aaaaaaaaaaaaaaaaaaaaaaaaeeeeeeee\
    eeeeeeeeiiiioooooooooooooooooooooooouuuuuuuuuuuuuuyyyyyyyy....yy";

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of a text, each as its forms joined by a stroke.
    fn forms(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        words(text, |word| {
            let second = word
                .second
                .map(|second| format!("|{second}"))
                .unwrap_or_default();
            found.push(format!("{}{second}", word.text));
        });
        found
    }

    fn check(text: &str, expected: &str) {
        assert_eq!(forms(text).join(" "), expected, "{text:?}");
    }

    #[test]
    fn text_is_parted_into_folded_words() {
        for (text, expected) in [
            ("", ""),
            (" .,;-_ ", ""),
            ("Rechnung 4711", "rechnung 4711"),
            ("R4711/2025-03", "r4711 2025 03"),
            ("anna.meier@kanzlei.example", "anna meier kanzlei example"),
            (
                "https://www.example.de/a_b?c=d",
                "https www example de a b c d",
            ),
            ("rechnung_2024 (1).PDF", "rechnung 2024 1 pdf"),
            ("l'Avion d’été", "l avion d ete"),
            ("1.234,56 €", "1 234 56"),
            ("Müller", "muller|mueller"),
            ("Mueller Muller", "mueller muller"),
            ("ÄÖÜ", "aou|aeoeue"),
            ("Straße STRASSE STRAẞE", "strasse strasse strasse"),
            ("Größe", "grosse|groesse"),
            ("Søren Åse", "soren|soeren ase|aase"),
            ("élève Noël naïve Łódź Đorđe", "eleve noel naive lodz dorde"),
            ("Nguyễn Việt", "nguyen viet"),
            ("İstanbul ılık", "istanbul ilik"),
            ("Œuvre ﬁnden Büro", "oeuvre finden buro|buero"),
            ("Donau\u{ad}dampf\u{ad}schiff", "donaudampfschiff"),
            ("ＡＢＣ１２", "abc12"),
            ("ΣΊΣΥΦΟΣ σίσυφος", "σισυφοσ σισυφοσ"),
            ("Ёлка Йод", "елка иод"),
            ("東京タワー", "東 京 タ ワ ー"),
            ("東京Tower", "東 京 tower"),
            ("Tower東京", "tower 東 京"),
            ("हिन्दी", "हिन्दी"),
            ("m²", "m²"),
            ("a\u{200b}b 😀c", "a b c"),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn decomposed_text_gives_the_words_of_composed_text() {
        for (composed, decomposed) in [
            ("Müller", "Mu\u{308}ller"),
            ("ÄÖÜ", "A\u{308}O\u{308}U\u{308}"),
            ("Åse", "A\u{30a}se"),
            ("élève", "e\u{301}le\u{300}ve"),
            ("Noël", "Noe\u{308}l"),
            ("Việt", "Vie\u{323}\u{302}t"),
            ("ΐ", "ι\u{308}\u{301}"),
            ("йод", "и\u{306}од"),
        ] {
            assert_eq!(forms(composed), forms(decomposed), "{composed:?}");
        }
    }

    #[test]
    fn every_spelling_of_an_umlaut_finds_it() {
        let finds = |query: &str, text: &str| {
            let all = |of: &str| -> Vec<String> {
                forms(of)
                    .iter()
                    .flat_map(|word| word.split('|'))
                    .map(str::to_owned)
                    .collect()
            };
            all(query).iter().any(|form| all(text).contains(form))
        };
        for (query, text, expected) in [
            ("mueller", "Müller", true),
            ("müller", "Müller", true),
            ("muller", "Müller", true),
            ("müller", "MUELLER", true),
            ("müller", "Muller", true),
            ("muller", "Mueller", false),
            ("strasse", "Straße", true),
            ("straße", "Strasse", true),
        ] {
            assert_eq!(finds(query, text), expected, "{query} in {text}");
        }
    }

    #[test]
    fn long_words_are_whole_up_to_the_limit() {
        let just_fits = "x".repeat(WORD_LEN_MAX);
        check(&just_fits, &just_fits);
        check(&format!("{just_fits}y z"), &format!("{just_fits} z"));
        check(&format!("{}Y", just_fits.to_uppercase()), &just_fits);
        let cut = "x".repeat(WORD_LEN_MAX - 1);
        check(&format!("{cut}яяx"), &cut);
        check(
            &format!("ü{}", "x".repeat(300)),
            &format!("u{cut}|ue{}", "x".repeat(WORD_LEN_MAX - 2)),
        );
        check(&format!("{just_fits}ü"), &just_fits);
    }

    #[test]
    fn offsets_point_into_the_text() {
        let text = "Zwei «Müller»: e\u{301}te\u{301}, ok";
        let mut found = Vec::new();
        words(text, |word| found.push(&text[word.offset]));
        assert_eq!(found, ["Zwei", "Müller", "e\u{301}te\u{301}", "ok"]);
    }

    #[test]
    fn every_character_is_walked_over_and_folds_to_something() {
        for letter in '\0'..=char::MAX {
            let text = format!("a{letter}b {letter}");
            let mut end = 0;
            words(&text, |word| {
                assert!(!word.text.is_empty(), "{letter:?}");
                assert!(
                    word.offset.start >= end && word.offset.end > word.offset.start,
                    "{letter:?}"
                );
                end = word.offset.end;
            });
            let alone = forms(&letter.to_string());
            assert_eq!(alone.len(), usize::from(starts_word(letter)), "{letter:?}");
            // What is folded stays as it is when it is folded again, or else a shown word would not find itself.
            for form in alone.iter().flat_map(|word| word.split('|')) {
                assert_eq!(forms(form), [form], "{letter:?}");
            }
        }
    }
}
