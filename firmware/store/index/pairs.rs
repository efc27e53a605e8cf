//! Pairs of neighbours that begin with a frequent word: which messages hold them, without the places.
//!
//! A phrase of words like "of the" stands in a third of all mail, and to find it by places means to read those of
//! most messages. So a field of its own names, once for each message, every frequent word together with the word behind
//! it: with all of it if it is frequent, too (`of the`), else with its first letter (`of m*`). Two frequent words in a
//! row are then found without any place, and so is a frequent word before a word of which one letter was typed.
//! In other rows pairs rule out most messages before places are read.
//!
//! The list below is part of the schema: index and query must agree on it, so another list is another schema number.

use archive::words::WordScanner;
use tantivy::tokenizer::{Token, TokenStream, Tokenizer};

/// The most frequent words of English and German mail, folded, in order; a second form of an umlaut stands beside the first.
///
/// Together they cost some 0.006 of the mail in the index; a word that is left out costs only the speed of its phrases.
const FREQUENT: [&str; 68] = [
    "a", "all", "am", "an", "and", "are", "as", "at", "auf", "aus", "be", "bei", "but", "by",
    "can", "das", "dem", "den", "der", "des", "die", "ein", "eine", "es", "for", "from", "fuer",
    "fur", "have", "i", "ich", "if", "ihnen", "im", "in", "is", "ist", "it", "mit", "nach",
    "nicht", "no", "not", "of", "on", "or", "sie", "sind", "so", "that", "the", "this", "to", "um",
    "und", "uns", "von", "we", "werden", "wie", "will", "wir", "with", "you", "your", "zu", "zum",
    "zur",
];

/// Length in bytes of the longest of them: nothing longer is looked up.
const FREQUENT_LEN_MAX: usize = 6;

/// What a pair can end with: a frequent word, or the first letter, of ASCII, of another one.
const ENDS: usize = FREQUENT.len() + 26;

/// Pairs that there can be.
const PAIRS: usize = FREQUENT.len() * ENDS;

/// Gives the place of a word in the list.
fn frequent(word: &str) -> Option<usize> {
    if word.len() > FREQUENT_LEN_MAX {
        return None;
    }
    FREQUENT.binary_search(&word).ok()
}

/// Gives the end of a pair that stands for all other words with the same first letter.
fn beginning(word: &str) -> Option<usize> {
    let letter = word.bytes().next().filter(u8::is_ascii_lowercase)?;
    Some(FREQUENT.len() + usize::from(letter - b'a'))
}

/// Writes the term of a pair.
fn write_term(first: usize, end: usize, term: &mut String) {
    term.push_str(FREQUENT[first]);
    term.push(' ');
    match end.checked_sub(FREQUENT.len()) {
        None => term.push_str(FREQUENT[end]),
        Some(letter) => {
            term.push(char::from(b'a' + letter as u8));
            term.push('*');
        }
    }
}

/// What pairs tell about words in a row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Told {
    /// Terms by pair: where the row stands, there is one term of each.
    pub(super) pairs: Vec<Vec<String>>,
    /// Whether the row stands wherever there is one of each.
    pub(super) is_all: bool,
}

/// Says what pairs tell about words in a row, each in its forms; the last one may go on if it is a prefix.
pub(super) fn told(row: &[Vec<String>], prefix: bool) -> Told {
    let mut told = Told::default();
    for (two, behind) in row.windows(2).zip(2..) {
        let may_go_on = prefix && behind == row.len();
        let Some((pair, is_exact)) = pair(&two[0], &two[1], may_go_on) else {
            continue;
        };
        told.pairs.push(pair);
        told.is_all = is_exact && row.len() == 2;
    }
    told
}

/// Gives the terms of two words in a row, and whether nothing else has them.
fn pair(first: &[String], second: &[String], may_go_on: bool) -> Option<(Vec<String>, bool)> {
    let firsts: Vec<usize> = first
        .iter()
        .map(|form| frequent(form))
        .collect::<Option<_>>()?;
    let ends: Vec<Vec<usize>> = second
        .iter()
        .map(|form| ends(form, may_go_on))
        .collect::<Option<_>>()?;
    let is_exact = |form: &String| match may_go_on {
        true => form.len() == 1,
        false => frequent(form).is_some(),
    };
    let mut terms = Vec::new();
    for first in firsts {
        for end in ends.iter().flatten() {
            let mut term = String::new();
            write_term(first, *end, &mut term);
            terms.push(term);
        }
    }
    terms.sort();
    terms.dedup();
    Some((terms, second.iter().all(is_exact)))
}

/// Gives the ends of all pairs whose second word may be this one.
fn ends(word: &str, may_go_on: bool) -> Option<Vec<usize>> {
    if !may_go_on && let Some(end) = frequent(word) {
        return Some(vec![end]);
    }
    let mut ends = vec![beginning(word)?];
    if may_go_on {
        let goes_on = |end: &usize| FREQUENT[*end].starts_with(word);
        ends.extend((0..FREQUENT.len()).filter(goes_on));
    }
    Some(ends)
}

/// Makes the pairs of a text, each once.
#[derive(Clone)]
pub(super) struct Pairs;

impl Tokenizer for Pairs {
    type TokenStream<'a> = PairStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> PairStream<'a> {
        PairStream {
            scanner: WordScanner::new(text),
            before: [None; 2],
            given: [0; PAIRS.div_ceil(64)],
            waiting: Vec::new(),
            token: Token {
                // The default is none that tantivy could count on from.
                position: 0,
                ..Token::default()
            },
        }
    }
}

/// The pairs of one text.
pub(super) struct PairStream<'a> {
    scanner: WordScanner<'a>,
    /// The forms of the last word that are frequent.
    before: [Option<usize>; 2],
    /// A bit for each pair that was found.
    given: [u64; PAIRS.div_ceil(64)],
    /// First word and end of pairs that were found and not given yet: those of one word.
    waiting: Vec<(usize, usize)>,
    token: Token,
}

impl PairStream<'_> {
    /// Finds the pairs that end with the next word; tells whether there was one.
    fn find(&mut self) -> bool {
        let Some(word) = self.scanner.next_word() else {
            return false;
        };
        let forms = [Some(word.text), word.second];
        let words = forms.map(|form| form.and_then(frequent));
        let before = std::mem::replace(&mut self.before, words);
        if before != [None; 2] {
            let ends = forms.map(|form| form.and_then(|form| frequent(form).or(beginning(form))));
            for first in before.into_iter().flatten() {
                ends.into_iter()
                    .flatten()
                    .for_each(|end| self.note(first, end));
            }
        }
        true
    }

    fn note(&mut self, first: usize, end: usize) {
        let pair = first * ENDS + end;
        let (bits, bit) = (&mut self.given[pair / 64], 1 << (pair % 64));
        if *bits & bit == 0 {
            *bits |= bit;
            self.waiting.push((first, end));
        }
    }
}

impl TokenStream for PairStream<'_> {
    fn advance(&mut self) -> bool {
        loop {
            if let Some((first, end)) = self.waiting.pop() {
                self.token.text.clear();
                write_term(first, end, &mut self.token.text);
                return true;
            }
            if !self.find() {
                return false;
            }
        }
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pairs of a text, sorted.
    fn pairs(text: &str) -> Vec<String> {
        let mut tokenizer = Pairs;
        let mut stream = tokenizer.token_stream(text);
        let mut pairs = Vec::new();
        while stream.advance() {
            pairs.push(stream.token().text.clone());
        }
        pairs.sort();
        pairs
    }

    fn row(text: &str) -> Vec<Vec<String>> {
        let mut row = Vec::new();
        archive::words::words(text, |word| {
            let forms = [Some(word.text), word.second];
            row.push(forms.into_iter().flatten().map(str::to_owned).collect());
        });
        row
    }

    #[test]
    fn the_list_is_in_order_and_folded() {
        assert!(FREQUENT.is_sorted_by(|one, next| one < next));
        for word in FREQUENT {
            assert_eq!(row(word), [[word]]);
            assert!(word.len() <= FREQUENT_LEN_MAX);
        }
    }

    #[test]
    fn a_text_has_each_pair_once() {
        for (text, expected) in [
            ("", &[][..]),
            ("the", &[]),
            ("one of many", &["of m*"]),
            ("of the cat, OF THE CATS", &["of the", "the c*"]),
            ("für die", &["fuer die", "fur die"]),
            ("die Ärzte", &["die a*"]),
            ("in 東京", &[]),
            ("in 2024", &[]),
        ] {
            assert_eq!(pairs(text), expected, "{text}");
        }
    }

    #[test]
    fn rows_are_told_by_the_pairs_in_them() {
        for (text, prefix, expected, is_all) in [
            ("of the", false, &["of the"][..], true),
            ("für die", false, &["fuer die|fur die"], true),
            ("of many", false, &["of m*"], false),
            ("of the many", false, &["of the", "the m*"], false),
            ("of the", true, &["of t*|of the"], false),
            ("of t", true, &["of t*|of that|of the|of this|of to"], true),
            ("of n", true, &["of n*|of nach|of nicht|of no|of not"], true),
            ("die ü", true, &["die u*|die um|die und|die uns"], false),
            ("many of", false, &[], false),
            ("in 東", false, &[], false),
        ] {
            let told = told(&row(text), prefix);
            let pairs: Vec<String> = told.pairs.iter().map(|pair| pair.join("|")).collect();
            assert_eq!(pairs, expected, "{text}");
            assert_eq!(told.is_all, is_all, "{text}");
        }
    }
}
