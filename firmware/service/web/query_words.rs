//! A query in words: how a line of the search language was understood, in the language of the page.
//!
//! For somebody who found nothing, or something else than he meant. It searches nothing.

use super::words::Words;
use archive::query::{Field, Match, Note, Query, QueryError, Text};
use fluent_bundle::FluentValue;

/// 20 parts of a query are told; whoever wrote more knows what he wrote.
const PARTS_MAX: usize = 20;

/// 100 characters of a part are told.
const PART_CHARS_MAX: usize = 100;

/// Says what a message must be to be found: all of these, each with the query for it alone.
pub(super) fn parts(words: &Words, query: &Query) -> Vec<(String, String)> {
    let all = match query {
        Query::And(members) => members.as_slice(),
        one => std::slice::from_ref(one),
    };
    let told = all.iter().take(PARTS_MAX);
    told.map(|one| (part(words, one), one.canonical(0)))
        .collect()
}

fn part(words: &Words, query: &Query) -> String {
    let filled = |key: &str, value: FluentValue<'static>| words.filled(key, &[("value", value)]);
    let listed = |members: &[Query], joint: &str| {
        let parts = members.iter().take(PARTS_MAX);
        let parts: Vec<String> = parts.map(|one| part(words, one)).collect();
        parts.join(&format!(" {} ", words.text(joint)))
    };
    match query {
        Query::Everything => words.text("query-everything"),
        Query::Nothing => words.text("query-nothing"),
        Query::Text(text) => text_part(words, text),
        Query::Before(unix_s) => filled("query-before", words.day(*unix_s).into()),
        Query::After(unix_s) => filled("query-after", words.day(*unix_s).into()),
        Query::LargerThan(bytes) => filled("query-larger", words.size(*bytes).into()),
        Query::SmallerThan(bytes) => filled("query-smaller", words.size(*bytes).into()),
        Query::HasAttachment => words.text("query-attachment"),
        Query::MessageId(id) => filled("query-id", cut(id)),
        Query::Number(number) => filled("query-number", words.number(*number).into()),
        Query::And(members) => listed(members, "query-and"),
        Query::Or(members) => listed(members, "query-or"),
        Query::Not(inner) => filled("query-not", part(words, inner).into()),
    }
}

fn text_part(words: &Words, text: &Text) -> String {
    let key = match text.matching {
        Match::Words => "query-words",
        Match::Phrase => "query-phrase",
        Match::Prefix => "query-prefix",
    };
    let what = words.filled(key, &[("value", cut(&text.text))]);
    let place = match text.field {
        Field::Any => return what,
        Field::From => "query-in-from",
        Field::To => "query-in-to",
        Field::Cc => "query-in-cc",
        Field::Bcc => "query-in-bcc",
        Field::Subject => "query-in-subject",
        Field::Body => "query-in-body",
        Field::FileName => "query-in-filename",
    };
    words.filled(place, &[("value", what.into())])
}

/// Says what was understood otherwise than it may have been meant.
pub(super) fn note(words: &Words, note: &Note) -> String {
    let (key, value) = match note {
        Note::UnknownField(text) => ("note-unknown-field", text.as_str()),
        Note::EmptyField(text) => ("note-empty-field", text.as_str()),
        Note::NotADate(text) => ("note-no-date", text.as_str()),
        Note::NotASize(text) => ("note-no-size", text.as_str()),
        Note::NotANumber(text) => ("note-no-number", text.as_str()),
        Note::UnknownFeature(text) => ("note-unknown-feature", text.as_str()),
        Note::NothingToSearch(text) => ("note-nothing", text.as_str()),
        Note::StarInside(text) => ("note-star", text.as_str()),
        Note::LoneOperator(text) => ("note-lone-operator", text.as_str()),
        Note::OrBindsLast => ("note-or", ""),
        Note::OpenQuote => ("note-quote", ""),
        Note::OpenParenthesis => ("note-parenthesis", ""),
        Note::StrayParenthesis => ("note-stray-parenthesis", ""),
    };
    words.filled(key, &[("value", cut(value))])
}

/// Says why a query cannot be searched, and at which character of it.
pub(super) fn error(words: &Words, error: &QueryError) -> String {
    let (key, at) = match error {
        QueryError::TooLong { .. } => return words.text("query-long"),
        QueryError::TooManyTerms { at } => ("query-many", *at),
        QueryError::TooDeep { at } => ("query-deep", *at),
    };
    words.filled(key, &[("at", words.number(at as u64).into())])
}

fn cut(text: &str) -> FluentValue<'static> {
    let cut: String = text.chars().take(PART_CHARS_MAX).collect();
    cut.into()
}

#[cfg(test)]
mod tests {
    use super::super::words::{Catalogues, Language};
    use super::*;
    use archive::query::{NESTING_MAX, TERMS_MAX, parse};

    #[test]
    fn queries_are_told_in_words() {
        let catalogues = Catalogues::new();
        let (german, english) = (
            catalogues.of(Language::German),
            catalogues.of(Language::English),
        );
        for (query, in_english, in_german) in [
            ("", "any message", "jede Nachricht"),
            (
                "!?",
                "nothing that can be searched",
                "nichts, wonach gesucht werden kann",
            ),
            ("rechnung", "“rechnung”", "„rechnung“"),
            ("from:kim", "from “kim”", "von „kim“"),
            (
                "subject:\"a b\"",
                "“a b”, exactly so, in the subject",
                "„a b“, genau so, im Betreff",
            ),
            (
                "rechn*",
                "words that begin with “rechn”",
                "Wörter, die mit „rechn“ beginnen",
            ),
            ("-entwurf", "not “entwurf”", "nicht „entwurf“"),
            ("a OR b", "“a” or “b”", "„a“ oder „b“"),
            (
                "before:2024-03",
                "before 1 March 2024",
                "vor dem 1. März 2024",
            ),
            (
                "larger:1k",
                "larger than 1.0\u{a0}kB",
                "größer als 1,0\u{a0}kB",
            ),
            ("number:17", "record 17", "Eintrag 17"),
        ] {
            let parsed = parse(query, 0).expect("short");
            assert_eq!(parts(english, &parsed.query)[0].0, in_english);
            assert_eq!(parts(german, &parsed.query)[0].0, in_german);
        }
        let two = parse("from:kim \"a b\"", 0).expect("short");
        let alone: Vec<_> = parts(english, &two.query)
            .into_iter()
            .map(|one| one.1)
            .collect();
        assert_eq!(alone, ["from:kim", "\"a b\""]);
    }

    #[test]
    fn notes_and_errors_are_told_in_both_languages() {
        let catalogues = Catalogues::new();
        for language in Language::ALL {
            let words = catalogues.of(language);
            for (query, value) in [
                ("frm:kim", "frm"),
                ("from:", "from:"),
                ("before:soon", "soon"),
                ("larger:much", "much"),
                ("number:one", "one"),
                ("has:fun", "fun"),
                ("a !?", "!?"),
                ("a*b", "a*b"),
                ("OR", "OR"),
                ("a b OR c", ""),
                ("\"a", ""),
                ("(a", ""),
                ("a)", ""),
            ] {
                let parsed = parse(query, 0).expect("short");
                let said: Vec<String> = parsed.notes.iter().map(|one| note(words, one)).collect();
                assert!(
                    said.iter().any(|said| said.contains(value)),
                    "{query}: {said:?}"
                );
                assert!(
                    !said.iter().any(|said| said.starts_with("note-")),
                    "{said:?}"
                );
            }
            for (query, at) in [
                ("a ".repeat(TERMS_MAX + 1), (2 * TERMS_MAX + 1).to_string()),
                ("(".repeat(NESTING_MAX + 1), (NESTING_MAX + 1).to_string()),
            ] {
                let wrong = parse(&query, 0).expect_err("too large");
                let said = error(words, &wrong);
                assert!(said.contains(&at), "{said} {wrong}");
            }
        }
    }
}
