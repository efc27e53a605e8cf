//! What a query means: the tree that a line of the search language stands for, whoever compiles it for an index.
//!
//! The language is what people know from their mail program (DESIGN.md section 5):
//!
//! | written | finds |
//! |---|---|
//! | `rechnung müller` | both words, anywhere, also in other inflections if the index knows them |
//! | `"rechnung nr. 4711"` | these words in a row, as they are |
//! | `rechn*`, `"rechnung nr"*` | words that begin so; the star stands at the end |
//! | `-entwurf`, `NOT entwurf` | messages without it |
//! | `a OR b`, `(a OR b) c` | either; `OR` in capitals binds less than words side by side |
//! | `from:` `to:` `cc:` `bcc:` `subject:` `body:` `filename:` | the same in one place; `subject:(a OR b)` for several |
//! | `has:attachment` | messages with attachments |
//! | `after:2024` `before:2024-03` `on:31.12.2024` | from the start of it on; until before its start; within it |
//! | `larger:5M` `smaller:1.5MB` | messages of more, of fewer bytes; k, M and G are 1024, 1024² and 1024³ |
//! | `id:<a1@example.de>` `number:4711` | the message of this Message-ID, of this number |
//!
//! The German names are in the table of fields. What cannot be read as a field is searched as words, and a note says
//! so; nothing that a person types is an error except what is too large. It searches nothing itself and asks no clock;
//! who may see what is found is the matter of [`crate::access`].

mod canonical;
mod fields;
mod notes;
mod parser;
mod values;

pub use notes::{Note, QueryError};
pub use parser::{Parsed, parse};

use crate::words::{Word, words};

/// The most bytes of a query: 4 KiB, some pages of typed words; a longer one is refused before it is read.
pub const QUERY_LEN_MAX: usize = 4096;
/// The most terms of a query: 200, so that no line of text costs the index more look-ups than that, prefixes apart.
pub const TERMS_MAX: usize = 200;
/// The most parentheses within each other: 20, more than a person follows, and few enough for every stack.
pub const NESTING_MAX: usize = 20;

/// What a message must be to be found.
///
/// What [`parse`] gives has no `And` directly in an `And`, no `Or` in an `Or` and no `Not` in a `Not`, and each list
/// has two or more members. An `And` may hold nothing but `Not`s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// Any message: nothing was asked for.
    Everything,
    /// No message: something was asked for, but it holds nothing that can be searched (`"!?"`).
    Nothing,
    /// A message with a text at a certain place.
    Text(Text),
    /// A message whose time lies before this, in Unix seconds.
    Before(i64),
    /// A message whose time is this or lies after it, in Unix seconds.
    After(i64),
    /// A message of more bytes than this.
    LargerThan(u64),
    /// A message of fewer bytes than this.
    SmallerThan(u64),
    /// A message with at least one attachment.
    HasAttachment,
    /// A message with this Message-ID, given without its angle brackets.
    MessageId(String),
    /// The message of this sequence number.
    Number(u64),
    /// A message that is all of these.
    And(Vec<Query>),
    /// A message that is one of these or several.
    Or(Vec<Query>),
    /// A message that is not this.
    Not(Box<Query>),
}

/// A text to be found at a certain place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Where it is looked for.
    pub field: Field,
    /// As it was typed, from its first word to its last; [`words`] parts and folds it into one word or more.
    pub text: String,
    /// How its words must stand there.
    pub matching: Match,
}

/// Where a text is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// Everywhere: all the others, and the text of attachments.
    Any,
    /// Names and addresses of authors and senders.
    From,
    /// Names and addresses of To and Cc, and of hidden recipients as far as the asker may search them.
    To,
    /// Names and addresses of Cc.
    Cc,
    /// Hidden recipients as far as the asker may search them.
    Bcc,
    /// The subject.
    Subject,
    /// The text of the message.
    Body,
    /// The names of attachments.
    FileName,
}

/// How the words of a text must stand; in every case one after another, with no word between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Match {
    /// As words of a language: an index may also find other inflections and parts of compound words.
    Words,
    /// As they are, each in either form that [`words`] gives.
    Phrase,
    /// As they are, but the last word may go on.
    Prefix,
}

impl Query {
    /// Joins what must all be true: none for nothing, itself for a single one.
    fn all_of(queries: Vec<Self>) -> Option<Self> {
        join(queries, Self::And, |query| match query {
            Self::And(inner) => Ok(inner),
            other => Err(other),
        })
    }

    /// Joins alternatives: none for nothing, itself for a single one.
    fn any_of(queries: Vec<Self>) -> Option<Self> {
        join(queries, Self::Or, |query| match query {
            Self::Or(inner) => Ok(inner),
            other => Err(other),
        })
    }

    fn negated(self) -> Self {
        match self {
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }
}

/// Joins queries into one list, taking up the members of a list of the same kind.
fn join(
    queries: Vec<Query>,
    list: fn(Vec<Query>) -> Query,
    members: fn(Query) -> Result<Vec<Query>, Query>,
) -> Option<Query> {
    let mut all = Vec::new();
    for query in queries {
        match members(query) {
            Ok(inner) => all.extend(inner),
            Err(single) => all.push(single),
        }
    }
    if all.len() > 1 {
        Some(list(all))
    } else {
        all.pop()
    }
}

impl Text {
    /// Tells whether a value matches, its words taken as they are: the rule that an index must keep, stems apart.
    pub fn matches(&self, value: &str) -> bool {
        let (sought, found) = (forms(&self.text), forms(value));
        let last = sought.len().wrapping_sub(1);
        !sought.is_empty()
            && found.windows(sought.len()).any(|window| {
                window
                    .iter()
                    .zip(&sought)
                    .enumerate()
                    .all(|(index, (found, sought))| {
                        let may_go_on = self.matching == Match::Prefix && index == last;
                        sought.iter().any(|form| {
                            found
                                .iter()
                                .any(|word| word == form || may_go_on && word.starts_with(form))
                        })
                    })
            })
    }
}

/// Gives the forms of each word of a text.
fn forms(text: &str) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    words(text, |Word { text, second, .. }| {
        all.push(
            [Some(text), second]
                .into_iter()
                .flatten()
                .map(str::to_owned)
                .collect(),
        );
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_match_words_in_a_row() {
        for (text, matching, value, expected) in [
            ("müller", Match::Words, "Anna Mueller", true),
            ("muller", Match::Words, "Anna Mueller", false),
            (
                "anna@x.example",
                Match::Words,
                "Anna <anna@x.example>",
                true,
            ),
            ("anna@x.example", Match::Words, "joanna@x.example", false),
            ("x.example", Match::Words, "anna@x.example", true),
            ("example.x", Match::Words, "anna@x.example", false),
            ("anna x", Match::Phrase, "anna@x.example", true),
            ("anna example", Match::Phrase, "anna@x.example", false),
            ("ann", Match::Phrase, "anna", false),
            ("ann", Match::Prefix, "anna", true),
            ("anna ex", Match::Prefix, "Anna, Example", true),
            ("ann ex", Match::Prefix, "Anna, Example", false),
            ("mül", Match::Prefix, "MUELLER", true),
            ("!", Match::Words, "!", false),
            ("!", Match::Prefix, "", false),
            ("a b c", Match::Phrase, "a b", false),
        ] {
            let text = Text {
                field: Field::Any,
                text: text.to_owned(),
                matching,
            };
            assert_eq!(text.matches(value), expected, "{text:?} in {value}");
        }
    }
}
