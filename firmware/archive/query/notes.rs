//! What a person is told about a query: how it was understood where that may surprise, and what was too large.
//!
//! The texts are English; a page in another language goes by the variants.

use thiserror::Error;

use super::{NESTING_MAX, QUERY_LEN_MAX, TERMS_MAX};

/// Something in a query that was understood otherwise than it may have been meant.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Note {
    /// No field has this name: it was searched as a word, together with what follows.
    #[error("unknown field, searched as words: {0}")]
    UnknownField(String),
    /// Nothing follows the colon: the name was searched as a word.
    #[error("nothing stands after the colon, searched as a word: {0}")]
    EmptyField(String),
    /// No date: it was searched as words.
    #[error("not a date (write 2024, 2024-03, 2024-03-31 or 31.03.2024), searched as words: {0}")]
    NotADate(String),
    /// No size: it was searched as words.
    #[error("not a size (write 500k, 5M or 1.5MB), searched as words: {0}")]
    NotASize(String),
    /// No number: it was searched as words.
    #[error("not a number, searched as words: {0}")]
    NotANumber(String),
    /// Nothing that `has:` knows: it was searched as words.
    #[error("only has:attachment is known, searched as words: {0}")]
    UnknownFeature(String),
    /// Without any letter or digit: it was left out.
    #[error("no letter or digit to search for, left out: {0}")]
    NothingToSearch(String),
    /// A star that stands elsewhere than at the end of a word: it parts words.
    #[error("a star works only at the end of a word: {0}")]
    StarInside(String),
    /// An operator without anything to join: it was left out.
    #[error("joins nothing, left out (in quotes it is searched as a word): {0}")]
    LoneOperator(String),
    /// `OR` beside words without parentheses.
    #[error("OR parts all words before it from all after it, parentheses change that")]
    OrBindsLast,
    /// A quote that is not closed: it was closed at the end.
    #[error("the quote is not closed, it goes to the end")]
    OpenQuote,
    /// A parenthesis that is not closed: it was closed at the end.
    #[error("the parenthesis is not closed, it goes to the end")]
    OpenParenthesis,
    /// A closing parenthesis that was never opened: it was left out.
    #[error("the closing parenthesis has no opening one, left out")]
    StrayParenthesis,
}

/// A query that is too large to be searched; positions count characters from 1.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum QueryError {
    /// It has more bytes than [`QUERY_LEN_MAX`].
    #[error("the query is longer than {QUERY_LEN_MAX} bytes, leave something out: {len} bytes")]
    TooLong {
        /// How many bytes it has.
        len: usize,
    },
    /// It has more terms than [`TERMS_MAX`].
    #[error(
        "the query has more than {TERMS_MAX} terms, leave out what stands before character: {at}"
    )]
    TooManyTerms {
        /// Where the first term too many ends.
        at: usize,
    },
    /// It has more parentheses within each other than [`NESTING_MAX`].
    #[error(
        "more than {NESTING_MAX} parentheses within each other, leave out the one at character: {at}"
    )]
    TooDeep {
        /// Where the first parenthesis too many stands.
        at: usize,
    },
}
