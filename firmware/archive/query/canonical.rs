//! A query as text again: the one way to write it, with English names.
//!
//! Reading the text again gives the same query. Only a query close to the limits may have a canonical text beyond them,
//! since `subject:(a b)` becomes `subject:a subject:b`. A query made by hand may lack a text of its own.

use std::fmt::{self, Display};

use super::fields::Name;
use super::values::size_text;
use super::{Field, Match, Query, Text};
use crate::calendar::{DAY_S, Date, rfc3339};
use crate::words::starts_word;

impl Query {
    /// Writes the query so that [`super::parse`] with the same offset reads it again.
    pub fn canonical(&self, utc_offset_s: i32) -> String {
        Canonical {
            query: self,
            utc_offset_s,
        }
        .to_string()
    }
}

/// The canonical text for dates in UTC.
impl Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Canonical {
            query: self,
            utc_offset_s: 0,
        }
        .fmt(f)
    }
}

/// A query together with the zone in which its dates are written.
struct Canonical<'q> {
    query: &'q Query,
    utc_offset_s: i32,
}

impl Canonical<'_> {
    fn with<'q>(&self, query: &'q Query) -> Canonical<'q> {
        Canonical {
            query,
            utc_offset_s: self.utc_offset_s,
        }
    }

    /// Writes a part of a list or the operand of a not: lists stand in parentheses there.
    fn member(&self, query: &Query, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match query {
            Query::And(_) | Query::Or(_) => write!(f, "({})", self.with(query)),
            _ => self.with(query).fmt(f),
        }
    }

    fn list(&self, queries: &[Query], separator: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, query) in queries.iter().enumerate() {
            if index > 0 {
                f.write_str(separator)?;
            }
            self.member(query, f)?;
        }
        Ok(())
    }

    /// Writes a day where a day begins, else a moment.
    fn time(&self, unix_s: i64) -> String {
        let shifted = unix_s.saturating_add(i64::from(self.utc_offset_s));
        if shifted.rem_euclid(DAY_S) == 0 {
            Date::of_unix(shifted).to_string()
        } else {
            rfc3339(unix_s)
        }
    }
}

impl Display for Canonical<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut field =
            |name: Name, value: &str| write!(f, "{}:{value}", name.canonical().unwrap_or_default());
        match self.query {
            Query::Everything => Ok(()),
            Query::Nothing => f.write_str("\"\""),
            Query::Text(text) => text.fmt(f),
            Query::Before(unix_s) => field(Name::Before, &self.time(*unix_s)),
            Query::After(unix_s) => field(Name::After, &self.time(*unix_s)),
            Query::LargerThan(size) => field(Name::Larger, &size_text(*size)),
            Query::SmallerThan(size) => field(Name::Smaller, &size_text(*size)),
            Query::HasAttachment => field(Name::Has, "attachment"),
            Query::MessageId(id) => field(Name::Id, &format!("\"{id}\"")),
            Query::Number(number) => field(Name::Number, &number.to_string()),
            Query::And(queries) => self.list(queries, " ", f),
            Query::Or(queries) => self.list(queries, " OR ", f),
            Query::Not(query) => {
                f.write_str("-")?;
                self.member(query, f)
            }
        }
    }
}

impl Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field != Field::Any {
            write!(
                f,
                "{}:",
                Name::Text(self.field).canonical().unwrap_or_default()
            )?;
        }
        match self.matching {
            Match::Words => f.write_str(&self.text),
            Match::Phrase => write!(f, "\"{}\"", self.text),
            Match::Prefix if self.text.chars().all(starts_word) => write!(f, "{}*", self.text),
            Match::Prefix => write!(f, "\"{}\"*", self.text),
        }
    }
}
