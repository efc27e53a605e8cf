//! Shows where a message's text holds what was sought: a short piece of it, with the sought words marked.
//!
//! It works on the text itself, which the index does not keep, and marks single words: those of phrases, too, each
//! wherever it stands. Words that must not be there are not marked. What the snippet holds is text, never HTML.

use std::ops::Range;

use archive::query::{Field, Match, Query, Text};
use archive::words::{Word, words};

/// A piece of a text with words to mark.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snippet {
    /// The piece; white space is a single space each.
    pub text: String,
    /// The words to mark, as byte ranges of `text`, in order.
    pub marks: Vec<Range<usize>>,
}

/// Cuts the piece of `text` with most sought words, of `max_chars` characters at most.
pub fn snippet(query: &Query, text: &str, max_chars: usize) -> Snippet {
    let mut sought = Vec::new();
    collect(query, &mut sought);
    let text = single_spaced(text);
    let found = occurrences(&sought, &text);
    let piece = best_piece(&text, &found, max_chars);
    let marks = found
        .iter()
        .filter(|mark| piece.start <= mark.start && mark.end <= piece.end);
    Snippet {
        marks: marks
            .map(|mark| mark.start - piece.start..mark.end - piece.start)
            .collect(),
        text: text[piece].to_owned(),
    }
}

/// A word to mark.
struct SoughtWord {
    forms: Vec<String>,
    may_go_on: bool,
}

impl SoughtWord {
    fn is(&self, word: &Word<'_>) -> bool {
        [Some(word.text), word.second]
            .into_iter()
            .flatten()
            .any(|found| {
                self.forms
                    .iter()
                    .any(|form| found == form || self.may_go_on && found.starts_with(form.as_str()))
            })
    }
}

/// Collects the words that make a text match: those of the body, and of no place in particular.
fn collect(query: &Query, sought: &mut Vec<SoughtWord>) {
    match query {
        Query::And(all) | Query::Or(all) => all.iter().for_each(|one| collect(one, sought)),
        Query::Text(text) if matches!(text.field, Field::Any | Field::Body) => {
            collect_words(text, sought)
        }
        _ => {}
    }
}

fn collect_words(text: &Text, sought: &mut Vec<SoughtWord>) {
    words(&text.text, |word| {
        let forms = [Some(word.text), word.second]
            .into_iter()
            .flatten()
            .map(str::to_owned)
            .collect();
        sought.push(SoughtWord {
            forms,
            may_go_on: false,
        });
    });
    if let Some(last) = sought.last_mut() {
        last.may_go_on |= text.matching == Match::Prefix;
    }
}

fn single_spaced(text: &str) -> String {
    let mut single = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !single.is_empty() {
            single.push(' ');
        }
        single.push_str(word);
    }
    single
}

/// Finds the sought words of a text, in order.
fn occurrences(sought: &[SoughtWord], text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut scanner = archive::words::WordScanner::new(text);
    while let Some(word) = scanner.next_word() {
        if sought.iter().any(|sought| sought.is(&word)) {
            found.push(word.offset);
        }
    }
    found
}

/// Chooses among the beginning and the pieces around each occurrence the one that holds most; the first of equals.
fn best_piece(text: &str, found: &[Range<usize>], max_chars: usize) -> Range<usize> {
    let mut best = piece_from(text, 0, max_chars);
    let mut held_max = held(found, &best);
    for mark in found {
        let start = word_start(text, back(text, mark.start, max_chars / 4)).min(mark.start);
        let piece = piece_from(text, start, max_chars);
        let held = held(found, &piece);
        if held > held_max {
            (best, held_max) = (piece, held);
        }
    }
    best
}

/// Counts the occurrences inside a piece; they are in order.
fn held(found: &[Range<usize>], piece: &Range<usize>) -> usize {
    let first = found.partition_point(|mark| mark.start < piece.start);
    found[first..].partition_point(|mark| mark.end <= piece.end)
}

/// Gives the piece of so many characters from a place on, cut back to the end of a word where it can be.
fn piece_from(text: &str, start: usize, max_chars: usize) -> Range<usize> {
    let rest = &text[start..];
    let Some((end, _)) = rest.char_indices().nth(max_chars) else {
        return start..text.len();
    };
    if rest[end..].starts_with(' ') {
        return start..start + end;
    }
    let end = rest[..end].rfind(' ').filter(|end| *end > 0).unwrap_or(end);
    start..start + end
}

/// Goes so many characters back from a place.
fn back(text: &str, from: usize, chars: usize) -> usize {
    text[..from]
        .char_indices()
        .rev()
        .take(chars)
        .last()
        .map_or(from, |(at, _)| at)
}

/// Gives the start of the next word that begins at a place or behind it, but not behind a whole word.
fn word_start(text: &str, at: usize) -> usize {
    if at == 0 || text[..at].ends_with(' ') {
        return at;
    }
    text[at..].find(' ').map_or(at, |space| at + space + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Marks words by brackets.
    fn marked(query: &str, text: &str, max_chars: usize) -> String {
        let query = archive::query::parse(query, 0).expect("a query").query;
        let Snippet { text, marks } = snippet(&query, text, max_chars);
        let mut shown = text.clone();
        for mark in marks.iter().rev() {
            shown.insert(mark.end, ']');
            shown.insert(mark.start, '[');
        }
        shown
    }

    #[test]
    fn sought_words_are_marked_in_the_best_piece() {
        let text = "Sehr geehrte Frau Müller,\r\n\r\nanbei die Rechnung 4711 für März.\n\nMit freundlichen Grüßen";
        for (query, max_chars, expected) in [
            ("", 30, "Sehr geehrte Frau Müller,"),
            ("mueller", 30, "Sehr geehrte Frau [Müller],"),
            ("fehlt", 12, "Sehr geehrte"),
            ("rechnung", 30, "die [Rechnung] 4711 für März."),
            ("rechn* maerz", 30, "die [Rechnung] 4711 für [März]."),
            ("\"rechnung 4711\"", 30, "die [Rechnung] [4711] für März."),
            ("-rechnung", 12, "Sehr geehrte"),
            ("subject:rechnung", 12, "Sehr geehrte"),
            (
                "grüssen",
                200,
                "Sehr geehrte Frau Müller, anbei die Rechnung 4711 für März. Mit freundlichen [Grüßen]",
            ),
            ("grüssen", 0, ""),
        ] {
            assert_eq!(
                marked(query, text, max_chars),
                expected,
                "{query} in {max_chars}"
            );
        }
    }

    #[test]
    fn every_length_of_odd_text_gives_a_piece_of_it() {
        let text = "ä\u{308}ö\u{a0}東京 ﬁ\u{200b}x  \u{1f600}Müller mueller MÜLLER";
        for max_chars in 0..40 {
            for query in ["müller", "東", "x*", "a"] {
                let query = archive::query::parse(query, 0).expect("a query").query;
                let Snippet { text, marks } = snippet(&query, text, max_chars);
                assert!(text.chars().count() <= max_chars);
                assert!(marks.iter().all(|mark| text.get(mark.clone()).is_some()));
            }
        }
    }
}
