//! From a line that a person typed to the query that it stands for.
//!
//! Every line has a meaning except one that is too large. Where a part cannot be what it looks like, it is searched as
//! words or left out, and a note says so. Quotes are the straight ones and the typographic ones of German, English and
//! French; what a straight quote opened, a straight quote closes.

use super::fields::{Name, means_attachment};
use super::values::{Period, parse_size};
use super::{Field, Match, NESTING_MAX, Note, QUERY_LEN_MAX, Query, QueryError, TERMS_MAX, Text};
use crate::words::{continues_word, starts_word};

/// A query as it was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// What is to be found.
    pub query: Query,
    /// What may have been meant otherwise, in the order of the text.
    pub notes: Vec<Note>,
}

/// Reads a query; its dates begin where they do `utc_offset_s` seconds east of UTC.
///
/// # Errors
///
/// Only for a query beyond [`QUERY_LEN_MAX`], [`TERMS_MAX`] or [`NESTING_MAX`].
pub fn parse(text: &str, utc_offset_s: i32) -> Result<Parsed, QueryError> {
    if text.len() > QUERY_LEN_MAX {
        return Err(QueryError::TooLong { len: text.len() });
    }
    let mut parser = Parser {
        text,
        at: 0,
        utc_offset_s,
        depth: 0,
        terms: 0,
        notes: Vec::new(),
    };
    let found = parser.alternatives(Field::Any)?;
    let otherwise = if text.trim().is_empty() {
        Query::Everything
    } else {
        Query::Nothing
    };
    Ok(Parsed {
        query: found.unwrap_or(otherwise),
        notes: parser.notes,
    })
}

/// A word in capitals that joins others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    And,
    Or,
    Not,
}

impl Operator {
    fn find(word: &str) -> Option<Self> {
        Some(match word {
            "AND" | "UND" => Self::And,
            "OR" | "ODER" => Self::Or,
            "NOT" | "NICHT" => Self::Not,
            _ => return None,
        })
    }
}

/// A text to search for, before its ends are cut to words.
#[derive(Clone, Copy)]
struct Value<'q> {
    text: &'q str,
    quoted: bool,
    /// A star follows the closing quote.
    star: bool,
}

impl<'q> Value<'q> {
    fn bare(text: &'q str) -> Self {
        Self {
            text,
            quoted: false,
            star: false,
        }
    }
}

/// The place in the text, and what was counted and noted up to there.
///
/// Each step gives none where nothing is left to search for. A field that comes in is where words are looked for.
struct Parser<'q> {
    text: &'q str,
    at: usize,
    utc_offset_s: i32,
    depth: usize,
    terms: usize,
    notes: Vec<Note>,
}

impl<'q> Parser<'q> {
    /// Reads `a b OR c`, up to the end or a closing parenthesis.
    fn alternatives(&mut self, field: Field) -> Result<Option<Query>, QueryError> {
        let mut all = Vec::new();
        let mut or = None;
        let mut is_mixed = false;
        loop {
            let terms = self.conjunction(field)?;
            let next_or = self.take_operator(Operator::Or);
            if terms.is_empty()
                && let Some(lone) = or.or(next_or)
            {
                self.notes.push(Note::LoneOperator(lone.to_owned()));
            }
            is_mixed |= terms.len() > 1;
            all.extend(Query::all_of(terms));
            if next_or.is_none() {
                break;
            }
            or = next_or;
        }
        if is_mixed && all.len() > 1 {
            self.notes.push(Note::OrBindsLast);
        }
        Ok(Query::any_of(all))
    }

    /// Reads `a b c`, up to the end, an `OR` or a closing parenthesis.
    fn conjunction(&mut self, field: Field) -> Result<Vec<Query>, QueryError> {
        let mut terms = Vec::new();
        loop {
            self.skip_blanks();
            match self.peek() {
                None => break,
                Some(')') if self.depth > 0 => break,
                Some(')') => {
                    self.at += 1;
                    self.notes.push(Note::StrayParenthesis);
                    continue;
                }
                Some(_) => {}
            }
            match Operator::find(self.peek_bare()) {
                Some(Operator::Or) => break,
                Some(Operator::And) => {
                    let and = self.take_bare();
                    if terms.is_empty() {
                        self.notes.push(Note::LoneOperator(and.to_owned()));
                    }
                }
                Some(Operator::Not) | None => terms.extend(self.negation(field)?),
            }
        }
        Ok(terms)
    }

    /// Reads a term with the dashes and `NOT`s before it; a run of dashes counts once.
    fn negation(&mut self, field: Field) -> Result<Option<Query>, QueryError> {
        let mut is_negated = false;
        loop {
            if let Some(not) = self.take_operator(Operator::Not) {
                self.skip_blanks();
                let is_lone = matches!(self.peek(), None | Some(')'))
                    || matches!(
                        Operator::find(self.peek_bare()),
                        Some(Operator::And | Operator::Or)
                    );
                if is_lone {
                    self.notes.push(Note::LoneOperator(not.to_owned()));
                    return Ok(None);
                }
            } else if !self.take_dashes() {
                break;
            }
            is_negated = !is_negated;
        }
        let term = self.term(field)?;
        Ok(if is_negated {
            term.map(Query::negated)
        } else {
            term
        })
    }

    /// Reads a group, a quoted text or a word; the parser stands on its first character.
    fn term(&mut self, field: Field) -> Result<Option<Query>, QueryError> {
        match self.peek() {
            Some('(') => self.group(field),
            Some(quote) if is_quote(quote) => {
                let value = self.take_quoted();
                self.text(field, value)
            }
            _ => self.word(field),
        }
    }

    fn group(&mut self, field: Field) -> Result<Option<Query>, QueryError> {
        if self.depth == NESTING_MAX {
            return Err(QueryError::TooDeep {
                at: self.position() + 1,
            });
        }
        let start = self.at;
        self.at += 1;
        self.depth += 1;
        let found = self.alternatives(field)?;
        self.depth -= 1;
        if self.peek() == Some(')') {
            self.at += 1;
        } else {
            self.notes.push(Note::OpenParenthesis);
        }
        if found.is_none() {
            self.notes
                .push(Note::NothingToSearch(self.text[start..self.at].to_owned()));
        }
        Ok(found)
    }

    /// Reads what stands up to the next blank, quote or parenthesis: a word, or a field with its value.
    fn word(&mut self, field: Field) -> Result<Option<Query>, QueryError> {
        let token = self.take_bare();
        let Some((name, value)) = trim_start(token).split_once(':') else {
            return self.text(field, Value::bare(token));
        };
        if let Some(known) = Name::find(name) {
            return self.field(field, known, token, value);
        }
        if looks_like_field(name, value) {
            self.notes.push(Note::UnknownField(name.to_owned()));
        }
        self.text(field, Value::bare(token))
    }

    /// Reads the value of a known field; the value may also stand after blanks, in quotes or in parentheses.
    ///
    /// What is no value is searched as words, the token with the name among them.
    fn field(
        &mut self,
        outer: Field,
        name: Name,
        token: &'q str,
        value: &'q str,
    ) -> Result<Option<Query>, QueryError> {
        let mut apart = None;
        if value.is_empty() {
            self.skip_blanks();
            match (self.peek(), name) {
                (Some('('), Name::Text(field)) => return self.group(field),
                _ => apart = self.take_value(),
            }
            if apart.is_none() {
                self.notes.push(Note::EmptyField(token.to_owned()));
                return self.text(outer, Value::bare(token));
            }
        }
        let value = apart.unwrap_or(Value::bare(value));
        let found = match name {
            Name::Text(field) => self.text(field, value)?,
            _ => self.fact(name, value)?,
        };
        if found.is_some() {
            return Ok(found);
        }
        let mut words: Vec<Query> = self.text(outer, Value::bare(token))?.into_iter().collect();
        if let (Some(value), false) = (apart, matches!(name, Name::Text(_))) {
            words.extend(self.text(outer, value)?);
        }
        Ok(Query::all_of(words))
    }

    /// Reads the value of a field that is no text, or notes why it cannot.
    fn fact(&mut self, name: Name, value: Value<'q>) -> Result<Option<Query>, QueryError> {
        match read_fact(name, value.text, self.utc_offset_s) {
            Ok(found) => {
                let count = if let Query::And(both) = &found {
                    both.len()
                } else {
                    1
                };
                self.count_terms(count)?;
                Ok(Some(found))
            }
            Err(note) => {
                self.notes.push(note);
                Ok(None)
            }
        }
    }

    /// Makes a term of a text, from its first word to its last.
    fn text(&mut self, field: Field, value: Value<'q>) -> Result<Option<Query>, QueryError> {
        let start = trim_start(value.text);
        let text = trim(value.text);
        if text.is_empty() {
            self.notes
                .push(Note::NothingToSearch(value.text.to_owned()));
            return Ok(None);
        }
        if text.contains('*') {
            self.notes.push(Note::StarInside(text.to_owned()));
        }
        let matching = if value.star || start[text.len()..].starts_with('*') {
            Match::Prefix
        } else if value.quoted {
            Match::Phrase
        } else {
            Match::Words
        };
        // A word that only looks like an operator is written small, so that it is none in the canonical text.
        let is_operator = matching == Match::Words && Operator::find(text).is_some();
        let text = if is_operator {
            text.to_lowercase()
        } else {
            text.to_owned()
        };
        self.count_terms(1)?;
        Ok(Some(Query::Text(Text {
            field,
            text,
            matching,
        })))
    }

    fn count_terms(&mut self, count: usize) -> Result<(), QueryError> {
        self.terms += count;
        if self.terms > TERMS_MAX {
            return Err(QueryError::TooManyTerms {
                at: self.position(),
            });
        }
        Ok(())
    }

    /// Gives the number of characters already read.
    fn position(&self) -> usize {
        self.text[..self.at].chars().count()
    }

    fn rest(&self) -> &'q str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Gives what stands up to the next blank, quote or parenthesis.
    fn peek_bare(&self) -> &'q str {
        let rest = self.rest();
        &rest[..rest.find(ends_bare).unwrap_or(rest.len())]
    }

    fn skip_blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn take_bare(&mut self) -> &'q str {
        let bare = self.peek_bare();
        self.at += bare.len();
        bare
    }

    fn take_operator(&mut self, operator: Operator) -> Option<&'q str> {
        (Operator::find(self.peek_bare()) == Some(operator)).then(|| self.take_bare())
    }

    /// Takes dashes that stand directly before something to negate.
    fn take_dashes(&mut self) -> bool {
        let after = self.rest().trim_start_matches('-');
        let dashes = self.rest().len() - after.len();
        let negates = after
            .chars()
            .next()
            .is_some_and(|next| !next.is_whitespace() && next != ')');
        if dashes > 0 && negates {
            self.at += dashes;
        }
        dashes > 0 && negates
    }

    /// Takes a quoted text with the star after it; the parser stands on the opening quote.
    fn take_quoted(&mut self) -> Value<'q> {
        let mut inside = self.rest().chars();
        let open = inside.next();
        let inside = inside.as_str();
        let closes = |letter: char| {
            if open == Some('"') {
                letter == '"'
            } else {
                is_quote(letter)
            }
        };
        let (text, after) = match inside.split_once(closes) {
            Some(parts) => parts,
            None => {
                self.notes.push(Note::OpenQuote);
                (inside, "")
            }
        };
        let rest = after.trim_start_matches('*');
        self.at = self.text.len() - rest.len();
        Value {
            text,
            quoted: true,
            star: rest.len() < after.len(),
        }
    }

    /// Takes the value that stands apart from the name of its field, if one does.
    fn take_value(&mut self) -> Option<Value<'q>> {
        match self.peek()? {
            '(' | ')' | '-' => None,
            quote if is_quote(quote) => Some(self.take_quoted()),
            _ => {
                let bare = self.peek_bare();
                let name = trim_start(bare)
                    .split_once(':')
                    .and_then(|(name, _)| Name::find(name));
                let is_value = name.is_none() && Operator::find(bare).is_none();
                is_value.then(|| Value::bare(self.take_bare()))
            }
        }
    }
}

/// Reads the value of a field that is no text.
fn read_fact(name: Name, value: &str, utc_offset_s: i32) -> Result<Query, Note> {
    let text = trim(value);
    let period =
        || Period::parse(text, utc_offset_s).ok_or_else(|| Note::NotADate(value.to_owned()));
    let size = || parse_size(text).ok_or_else(|| Note::NotASize(value.to_owned()));
    Ok(match name {
        Name::Before => Query::Before(period()?.start),
        Name::After => Query::After(period()?.start),
        Name::On => {
            let Period { start, end } = period()?;
            Query::And(vec![Query::After(start), Query::Before(end)])
        }
        Name::Larger => Query::LargerThan(size()?),
        Name::Smaller => Query::SmallerThan(size()?),
        Name::Number => Query::Number(
            text.parse()
                .map_err(|_| Note::NotANumber(value.to_owned()))?,
        ),
        Name::Id => match value
            .trim_matches(|letter: char| letter.is_whitespace() || "<>".contains(letter))
        {
            "" => return Err(Note::NothingToSearch(value.to_owned())),
            id => Query::MessageId(id.to_owned()),
        },
        Name::Has | Name::Text(_) if means_attachment(text) => Query::HasAttachment,
        Name::Has | Name::Text(_) => return Err(Note::UnknownFeature(value.to_owned())),
    })
}

/// Tells whether somebody may have meant a field: not `12:30`, not `http://x`, not the `Re:` of a subject.
fn looks_like_field(name: &str, value: &str) -> bool {
    const SUBJECT_PREFIXES: [&str; 5] = ["re", "aw", "fw", "fwd", "wg"];
    !name.is_empty()
        && name.chars().all(char::is_alphabetic)
        && !SUBJECT_PREFIXES.contains(&name.to_lowercase().as_str())
        && !value.starts_with("//")
        && value.contains(starts_word)
}

fn is_quote(letter: char) -> bool {
    matches!(letter, '"' | '„' | '“' | '”' | '«' | '»')
}

fn ends_bare(letter: char) -> bool {
    letter.is_whitespace() || matches!(letter, '(' | ')') || is_quote(letter)
}

/// Cuts off what stands before the first word.
fn trim_start(text: &str) -> &str {
    text.trim_start_matches(|letter| !starts_word(letter))
}

/// Cuts off what stands before the first word and after the last.
fn trim(text: &str) -> &str {
    trim_start(text).trim_end_matches(|letter| !continues_word(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        parse(text, 0).expect("a query within the limits").query
    }

    fn notes(text: &str) -> Vec<Note> {
        parse(text, 0).expect("a query within the limits").notes
    }

    /// Shows the tree with all its parts: lists in brackets, texts as field, matching and text.
    fn tree(query: &Query) -> String {
        let list = |queries: &[Query]| queries.iter().map(tree).collect::<Vec<_>>().join(", ");
        match query {
            Query::Text(Text {
                field,
                text,
                matching,
            }) => format!("{field:?} {matching:?} {text}"),
            Query::And(queries) => format!("And[{}]", list(queries)),
            Query::Or(queries) => format!("Or[{}]", list(queries)),
            Query::Not(inner) => format!("Not[{}]", tree(inner)),
            Query::MessageId(id) => format!("MessageId {id}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn queries_are_understood() {
        for (text, expected) in [
            ("", "Everything"),
            (" \t", "Everything"),
            ("rechnung", "Any Words rechnung"),
            (
                "rechnung müller",
                "And[Any Words rechnung, Any Words müller]",
            ),
            ("\"rechnung nr. 4711\"", "Any Phrase rechnung nr. 4711"),
            (
                "„rechnung 4711“ «neu»",
                "And[Any Phrase rechnung 4711, Any Phrase neu]",
            ),
            ("\"sagte „ja“ und\"", "Any Phrase sagte „ja“ und"),
            ("rechn*", "Any Prefix rechn"),
            ("rechn*,", "Any Prefix rechn"),
            ("\"rechnung nr\"*", "Any Prefix rechnung nr"),
            ("\"rechnung nr*\"", "Any Prefix rechnung nr"),
            ("re*nung", "Any Words re*nung"),
            ("-entwurf", "Not[Any Words entwurf]"),
            ("foo -from:anna", "And[Any Words foo, Not[From Words anna]]"),
            (
                "NOT foo NICHT bar",
                "And[Not[Any Words foo], Not[Any Words bar]]",
            ),
            ("NOT -foo", "Any Words foo"),
            ("--data", "Not[Any Words data]"),
            ("e-mail foo-", "And[Any Words e-mail, Any Words foo]"),
            ("a OR b", "Or[Any Words a, Any Words b]"),
            ("a ODER b OR c", "Or[Any Words a, Any Words b, Any Words c]"),
            ("a or b", "And[Any Words a, Any Words or, Any Words b]"),
            ("a AND b", "And[Any Words a, Any Words b]"),
            ("a b OR c", "Or[And[Any Words a, Any Words b], Any Words c]"),
            (
                "a (b OR c)",
                "And[Any Words a, Or[Any Words b, Any Words c]]",
            ),
            (
                "(a b) (c (d))",
                "And[Any Words a, Any Words b, Any Words c, Any Words d]",
            ),
            ("-(a OR b)", "Not[Or[Any Words a, Any Words b]]"),
            ("-(-a)", "Any Words a"),
            ("from:anna@x.example", "From Words anna@x.example"),
            ("FROM:Anna", "From Words Anna"),
            ("von:anna an:bernd", "And[From Words anna, To Words bernd]"),
            ("cc:a bcc:b", "And[Cc Words a, Bcc Words b]"),
            ("betreff:\"a b\"", "Subject Phrase a b"),
            ("subject:rech*", "Subject Prefix rech"),
            (
                "subject: rechnung neu",
                "And[Subject Words rechnung, Any Words neu]",
            ),
            ("subject: \"a b\"", "Subject Phrase a b"),
            (
                "subject:(a OR -b)",
                "Or[Subject Words a, Not[Subject Words b]]",
            ),
            ("subject:(a from:b)", "And[Subject Words a, From Words b]"),
            (
                "datei:rechnung.pdf anhang:*.xls",
                "And[FileName Words rechnung.pdf, FileName Words xls]",
            ),
            ("body:x inhalt:y", "And[Body Words x, Body Words y]"),
            ("has:attachment", "HasAttachment"),
            ("hat:Anhang", "HasAttachment"),
            (
                "larger:10k kleiner:1.5MB",
                "And[LargerThan(10240), SmallerThan(1572864)]",
            ),
            ("größer:5M", "LargerThan(5242880)"),
            ("before:1970-01-02", "Before(86400)"),
            ("vor:02.01.1970", "Before(86400)"),
            ("after:1970-01-02", "After(86400)"),
            ("nach:1971", "After(31536000)"),
            ("on:1970-01-02", "And[After(86400), Before(172800)]"),
            ("before:1970-01-01T00:00:09Z", "Before(9)"),
            ("id:<a1@kanzlei.example>", "MessageId a1@kanzlei.example"),
            ("id:\"a b(1)@x\"", "MessageId a b(1)@x"),
            ("number:4711 nummer:#12", "And[Number(4711), Number(12)]"),
        ] {
            assert_eq!(tree(&query(text)), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_odd_is_searched_as_words_or_left_out_with_a_note() {
        let text = |text: &str| text.to_owned();
        for (line, expected, noted) in [
            ("http://x.example/a", "Any Words http://x.example/a", vec![]),
            ("re: foo", "And[Any Words re, Any Words foo]", vec![]),
            ("AW:foo", "Any Words AW:foo", vec![]),
            ("12:30", "Any Words 12:30", vec![]),
            (
                "foo:bar",
                "Any Words foo:bar",
                vec![Note::UnknownField(text("foo"))],
            ),
            (
                "before:banana",
                "Any Words before:banana",
                vec![Note::NotADate(text("banana"))],
            ),
            (
                "before:2024-02-30",
                "Any Words before:2024-02-30",
                vec![Note::NotADate(text("2024-02-30"))],
            ),
            (
                "before: banana",
                "And[Any Words before, Any Words banana]",
                vec![Note::NotADate(text("banana"))],
            ),
            (
                "larger:big",
                "Any Words larger:big",
                vec![Note::NotASize(text("big"))],
            ),
            (
                "number:x",
                "Any Words number:x",
                vec![Note::NotANumber(text("x"))],
            ),
            (
                "has:fun",
                "Any Words has:fun",
                vec![Note::UnknownFeature(text("fun"))],
            ),
            (
                "from:",
                "Any Words from",
                vec![Note::EmptyField(text("from:"))],
            ),
            (
                "from: to:b",
                "And[Any Words from, To Words b]",
                vec![Note::EmptyField(text("from:"))],
            ),
            (
                "from:\"!\"",
                "Any Words from",
                vec![Note::NothingToSearch(text("!"))],
            ),
            (
                "id:<>",
                "Any Words id",
                vec![Note::NothingToSearch(text("<>"))],
            ),
            (
                "foo & bar",
                "And[Any Words foo, Any Words bar]",
                vec![Note::NothingToSearch(text("&"))],
            ),
            (
                "foo - bar",
                "And[Any Words foo, Any Words bar]",
                vec![Note::NothingToSearch(text("-"))],
            ),
            ("!?", "Nothing", vec![Note::NothingToSearch(text("!?"))]),
            ("*", "Nothing", vec![Note::NothingToSearch(text("*"))]),
            ("()", "Nothing", vec![Note::NothingToSearch(text("()"))]),
            (
                "foo OR",
                "Any Words foo",
                vec![Note::LoneOperator(text("OR"))],
            ),
            (
                "OR foo",
                "Any Words foo",
                vec![Note::LoneOperator(text("OR"))],
            ),
            ("NOT", "Nothing", vec![Note::LoneOperator(text("NOT"))]),
            (
                "-OR from:OR",
                "And[Not[Any Words or], From Words or]",
                vec![],
            ),
            (
                "re*nung",
                "Any Words re*nung",
                vec![Note::StarInside(text("re*nung"))],
            ),
            (
                "a b OR c",
                "Or[And[Any Words a, Any Words b], Any Words c]",
                vec![Note::OrBindsLast],
            ),
            ("\"a b", "Any Phrase a b", vec![Note::OpenQuote]),
            (
                "5\" disk",
                "And[Any Words 5, Any Phrase disk]",
                vec![Note::OpenQuote],
            ),
            ("(a", "Any Words a", vec![Note::OpenParenthesis]),
            (
                "a) b",
                "And[Any Words a, Any Words b]",
                vec![Note::StrayParenthesis],
            ),
        ] {
            assert_eq!(tree(&query(line)), expected, "{line:?}");
            assert_eq!(notes(line), noted, "{line:?}");
        }
    }

    #[test]
    fn limits_say_where_and_what_to_do() {
        let nested = |depth| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
        assert_eq!(query(&nested(NESTING_MAX)), query("a"));
        for (text, expected) in [
            (
                "x".repeat(QUERY_LEN_MAX + 1),
                QueryError::TooLong {
                    len: QUERY_LEN_MAX + 1,
                },
            ),
            (
                format!("ü {}", "a ".repeat(TERMS_MAX)),
                QueryError::TooManyTerms {
                    at: 2 * TERMS_MAX + 1,
                },
            ),
            (
                "on:2024 ".repeat(TERMS_MAX / 2 + 1),
                QueryError::TooManyTerms {
                    at: 8 * (TERMS_MAX / 2 + 1) - 1,
                },
            ),
            (
                format!("ü{}", nested(NESTING_MAX + 1)),
                QueryError::TooDeep {
                    at: NESTING_MAX + 2,
                },
            ),
        ] {
            assert_eq!(parse(&text, 0), Err(expected), "{text}");
        }
        assert!(parse(&"a ".repeat(TERMS_MAX), 0).is_ok());
        assert!(parse(&"-".repeat(QUERY_LEN_MAX), 0).is_ok());
        assert!(parse(&"NOT ".repeat(QUERY_LEN_MAX / 4), 0).is_ok());
        assert_eq!(
            QueryError::TooDeep { at: 21 }.to_string(),
            "more than 20 parentheses within each other, leave out the one at character: 21"
        );
    }

    #[test]
    fn canonical_text_is_one_for_each_meaning() {
        for (text, expected) in [
            ("", ""),
            ("!?", "\"\""),
            (
                "von:anna  UND „a b“ -(x ODER y*)",
                "from:anna \"a b\" -(x OR y*)",
            ),
            ("a b OR c", "(a b) OR c"),
            ("subject:(a OR \"b c\"*)", "subject:a OR subject:\"b c\"*"),
            ("am:03.2024", "after:2024-03-01 before:2024-04-01"),
            ("größer:1,5MB id:<a@b>", "larger:1536k id:\"a@b\""),
            ("before:1970-01-01T00:00:09Z", "before:1970-01-01T00:00:09Z"),
        ] {
            assert_eq!(query(text).to_string(), expected, "{text:?}");
        }
        let zoned = parse("on:2024-07-01", 7200).expect("a query").query;
        assert_eq!(zoned.canonical(7200), "after:2024-07-01 before:2024-07-02");
        assert_eq!(
            zoned.to_string(),
            "after:2024-06-30T22:00:00Z before:2024-07-01T22:00:00Z"
        );
    }

    /// Lines from pieces that mean something, in any order: whatever comes out is read again as the same query.
    #[test]
    fn canonical_text_is_read_as_the_same_query() {
        const PIECES: [&str; 58] = [
            " ",
            " ",
            " ",
            " ",
            "  ",
            "\n",
            "(",
            ")",
            "(",
            ")",
            "\"",
            "\"",
            "„",
            "“",
            "-",
            "-",
            "--",
            "*",
            "*",
            ":",
            ".",
            ",",
            "!",
            "<",
            ">",
            "@",
            "/",
            "a",
            "b",
            "rechnung",
            "Müller",
            "u\u{308}",
            "\u{308}",
            "\u{ad}",
            "東",
            "OR",
            "OR",
            "AND",
            "NOT",
            "ODER",
            "from:",
            "to:",
            "subject:",
            "an:",
            "has:",
            "attachment",
            "before:",
            "on:",
            "2024",
            "2024-03-31",
            "31.12.2024",
            "larger:",
            "1.5MB",
            "id:",
            "number:",
            "foo:",
            "9",
            "T10:00:00Z",
        ];
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = |below: usize| {
            // xorshift64: the same lines at every run.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 33) as usize % below
        };
        let mut lists = 0;
        for _ in 0..100_000 {
            let line: String = (0..1 + next(14))
                .map(|_| PIECES[next(PIECES.len())])
                .collect();
            let offset = [0, 3600, -16_200][next(3)];
            let parsed = parse(&line, offset).expect("short lines are within the limits");
            let text = parsed.query.canonical(offset);
            let again = parse(&text, offset)
                .expect("short lines are within the limits")
                .query;
            assert_eq!(again, parsed.query, "{line:?} gives {text:?}");
            assert_eq!(again.canonical(offset), text, "{line:?}");
            lists += usize::from(matches!(again, Query::And(_) | Query::Or(_)));
        }
        assert!(lists > 25_000, "too few lines had several terms: {lists}");
    }
}
