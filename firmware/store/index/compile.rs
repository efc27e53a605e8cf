//! Turns a query and its asker into one tantivy query: what is sought, and what the asker may see of it.
//!
//! The meaning is that of `archive::query` (a text matches a value as `Text::matches` has it) and `archive::access`.
//! Nothing is added for comfort here, so that every count can be checked against these two.

use std::ops::Bound;

use archive::access::{Asker, Filter, HiddenTerm, OwnAddress, Scope};
use archive::query::{Field as Place, Match, Query as Sought, Text};
use archive::words::words;
use tantivy::Term;
use tantivy::query::{
    AllQuery, BooleanQuery, ConstScoreQuery, EmptyQuery, InvertedIndexRangeQuery, Occur, Query,
    TermQuery, TermSetQuery,
};
use tantivy::schema::{Field, IndexRecordOption};

use super::document::bare_message_id;
use super::pairs;
use super::phrase::InARow;
use super::range::Range;
use super::schema::{Fields, MARK_ATTACHMENT, MARK_SELF_TEST};
use super::walked::Walked;

type Clause = Box<dyn Query>;

/// Compiles a query within what the asker may see; self-test messages only if `with_self_tests`.
///
/// With `scored`, access tells nothing about how well a message fits.
pub(super) fn compile(
    fields: &Fields,
    sought: &Sought,
    asker: &Asker,
    with_self_tests: bool,
    scored: bool,
) -> Clause {
    let compiler = Compiler {
        fields,
        filter: asker.filter(),
        scored,
    };
    compiler.seen(compiler.query(sought), with_self_tests)
}

/// Finds those of some messages that the asker may see.
pub(super) fn compile_numbers(
    fields: &Fields,
    numbers: impl Iterator<Item = u64>,
    asker: &Asker,
    with_self_tests: bool,
) -> Clause {
    let compiler = Compiler {
        fields,
        filter: asker.filter(),
        scored: false,
    };
    compiler.seen(any_number(fields, numbers), with_self_tests)
}

/// Tells whether a query seeks words in a row for which the places of words in texts are read.
pub(super) fn reads_places(sought: &Sought, scored: bool) -> bool {
    match sought {
        Sought::Text(text) => {
            let row = forms(&text.text);
            row.len() > 1 && (scored || !pairs::told(&row, text.matching == Match::Prefix).is_all)
        }
        Sought::And(all) | Sought::Or(all) => all.iter().any(|one| reads_places(one, scored)),
        Sought::Not(inner) => reads_places(inner, scored),
        _ => false,
    }
}

/// Finds what a scope releases; its query means what it means to the owner.
fn released(fields: &Fields, scope: &Scope) -> Clause {
    let owner = Compiler {
        fields,
        filter: Filter::Everything,
        scored: false,
    };
    let mut clauses = vec![(Occur::Must, owner.query(&scope.query))];
    if let Some(own) = &scope.addresses {
        clauses.push((Occur::Must, owner.any_own(fields.access, own)));
    }
    if let Some(numbers) = &scope.numbers {
        let any = any_number(fields, numbers.iter().copied());
        clauses.push((Occur::Must, any));
    }
    all_of(clauses)
}

fn any_number(fields: &Fields, numbers: impl Iterator<Item = u64>) -> Clause {
    let number = |number| Term::from_field_u64(fields.sequence, number);
    Box::new(TermSetQuery::new(numbers.map(number)))
}

/// Turns a query into tantivy's.
struct Compiler<'a> {
    fields: &'a Fields,
    filter: Filter,
    scored: bool,
}

impl Compiler<'_> {
    /// Leaves of what is sought what the asker may see.
    fn seen(&self, sought: Clause, with_self_tests: bool) -> Clause {
        let fields = self.fields;
        let mut clauses = vec![(Occur::Must, sought)];
        let seen = match &self.filter {
            Filter::Everything => None,
            Filter::Nothing => return Box::new(EmptyQuery),
            Filter::Own(own) => Some(self.any_own(fields.access, own)),
            Filter::Granted { own, scopes } => {
                let mut seen = vec![self.any_own(fields.access, own)];
                seen.extend(scopes.iter().map(|scope| released(fields, scope)));
                Some(any_of(seen))
            }
        };
        clauses.extend(seen.map(|seen| {
            if self.scored {
                (
                    Occur::Must,
                    Box::new(ConstScoreQuery::new(seen, 0.0)) as Clause,
                )
            } else {
                (Occur::Must, seen)
            }
        }));
        if !with_self_tests {
            clauses.push((Occur::MustNot, exact(fields.mark, MARK_SELF_TEST)));
        }
        all_of(clauses)
    }

    fn query(&self, sought: &Sought) -> Clause {
        let fields = self.fields;
        match sought {
            Sought::Everything => Box::new(AllQuery),
            Sought::Nothing => Box::new(EmptyQuery),
            Sought::Text(text) => self.text(text),
            Sought::Before(_) | Sought::After(_) => self.sent(std::slice::from_ref(sought)),
            Sought::LargerThan(size) => range(
                Bound::Excluded(Term::from_field_u64(fields.size_bytes, *size)),
                Bound::Unbounded,
            ),
            Sought::SmallerThan(size) => range(
                Bound::Unbounded,
                Bound::Excluded(Term::from_field_u64(fields.size_bytes, *size)),
            ),
            Sought::HasAttachment => exact(fields.mark, MARK_ATTACHMENT),
            Sought::MessageId(id) => exact(fields.message_id, bare_message_id(id)),
            Sought::Number(number) => term(Term::from_field_u64(fields.sequence, *number)),
            Sought::And(all) => self.all(all),
            Sought::Or(any) => any_of(any.iter().map(|one| self.query(one)).collect()),
            Sought::Not(_) => all_of(vec![self.occurring(sought)]),
        }
    }

    /// Joins what must and must not be; all limits of the date become one range, since each range reads a column.
    fn all(&self, all: &[Sought]) -> Clause {
        let is_date = |one: &Sought| matches!(one, Sought::Before(_) | Sought::After(_));
        let (dates, others): (Vec<_>, Vec<_>) = all.iter().cloned().partition(is_date);
        let mut clauses: Vec<_> = others.iter().map(|one| self.occurring(one)).collect();
        if !dates.is_empty() {
            clauses.push((Occur::Must, self.sent(&dates)));
        }
        all_of(clauses)
    }

    /// Finds what was sent within all of these limits.
    fn sent(&self, limits: &[Sought]) -> Clause {
        let after = limits.iter().filter_map(|limit| match limit {
            Sought::After(time) => Some(*time),
            _ => None,
        });
        let before = limits.iter().filter_map(|limit| match limit {
            Sought::Before(time) => Some(*time),
            _ => None,
        });
        let term = |time| Term::from_field_i64(self.fields.sent_at, time);
        range(
            after
                .max()
                .map_or(Bound::Unbounded, |time| Bound::Included(term(time))),
            before
                .min()
                .map_or(Bound::Unbounded, |time| Bound::Excluded(term(time))),
        )
    }

    fn occurring(&self, sought: &Sought) -> (Occur, Clause) {
        match sought {
            Sought::Not(inner) => (Occur::MustNot, self.query(inner)),
            other => (Occur::Must, self.query(other)),
        }
    }

    fn text(&self, text: &Text) -> Clause {
        let fields = self.fields;
        match text.field {
            Place::From => standing(fields.from, text),
            Place::Cc => standing(fields.cc, text),
            Place::Subject => standing(fields.subject, text),
            Place::Body => self.standing_in_body(text),
            Place::FileName => standing(fields.filename, text),
            Place::Bcc => self.hidden(text),
            Place::To => any_of(vec![standing(fields.to, text), self.hidden(text)]),
            Place::Any => {
                let places = [fields.subject, fields.from, fields.to, fields.filename];
                let mut any: Vec<Clause> = places
                    .into_iter()
                    .map(|field| standing(field, text))
                    .collect();
                any.push(self.standing_in_body(text));
                any.push(self.hidden(text));
                any_of(any)
            }
        }
    }

    /// Finds a text in the body: by pairs alone where these tell all, unless it matters how often it stands there.
    fn standing_in_body(&self, text: &Text) -> Clause {
        let fields = self.fields;
        let prefix = text.matching == Match::Prefix;
        let told = pairs::told(&forms(&text.text), prefix);
        if told.is_all && !self.scored {
            let pairs = told.pairs.iter().flatten();
            return any_of(pairs.map(|pair| exact(fields.pairs, pair)).collect());
        }
        standing_with_pairs(fields.body, Some(fields.pairs), text)
    }

    /// Finds a text among hidden recipients, as far as the asker may.
    fn hidden(&self, text: &Text) -> Clause {
        let fields = self.fields;
        match self.filter.hidden_term(text) {
            HiddenTerm::Never => Box::new(EmptyQuery),
            HiddenTerm::Free => standing(fields.hidden, text),
            HiddenTerm::Guarded { senders, own } => {
                let as_sender = vec![
                    (Occur::Must, standing(fields.hidden, text)),
                    (Occur::Must, self.any_own(fields.sender, senders)),
                ];
                // What it adds to a score would tell of the others.
                let found = any_of(vec![
                    all_of(as_sender),
                    self.any_own(fields.hidden_address, own),
                ]);
                Box::new(ConstScoreQuery::new(found, 0.0))
            }
        }
    }

    /// Finds messages with one of these addresses in a field, within its time.
    fn any_own<'o>(&self, field: Field, own: impl IntoIterator<Item = &'o OwnAddress>) -> Clause {
        any_of(own.into_iter().map(|own| self.own(field, own)).collect())
    }

    fn own(&self, field: Field, own: &OwnAddress) -> Clause {
        let arrived_at = |time| Term::from_field_i64(self.fields.arrived_at, time);
        let mut clauses = vec![(Occur::Must, exact(field, &own.address))];
        if let Some(from) = own.from {
            clauses.push((
                Occur::Must,
                range(Bound::Included(arrived_at(from)), Bound::Unbounded),
            ));
        }
        if let Some(until) = own.until {
            clauses.push((
                Occur::Must,
                range(Bound::Unbounded, Bound::Excluded(arrived_at(until))),
            ));
        }
        all_of(clauses)
    }
}

/// Joins what must and must not be; nothing but `MustNot` is all without that.
fn all_of(mut clauses: Vec<(Occur, Clause)>) -> Clause {
    if clauses.len() == 1 && clauses[0].0 == Occur::Must {
        return clauses.remove(0).1;
    }
    if clauses.iter().all(|(occur, _)| *occur == Occur::MustNot) {
        clauses.push((Occur::Must, Box::new(AllQuery)));
    }
    // Words in a row are asked about the fewer messages the better.
    if clauses.iter().any(|(_, clause)| has_row(&**clause)) {
        return Box::new(BooleanQuery::new(clauses));
    }
    Box::new(Walked::new(clauses))
}

/// Tells whether a clause seeks words in a row.
fn has_row(clause: &dyn Query) -> bool {
    let joined = clause.downcast_ref::<BooleanQuery>();
    clause.is::<InARow>()
        || joined.is_some_and(|joined| joined.clauses().iter().any(|(_, one)| has_row(&**one)))
}

/// Joins alternatives; none is nothing.
fn any_of(mut clauses: Vec<Clause>) -> Clause {
    clauses.retain(|clause| clause.downcast_ref::<EmptyQuery>().is_none());
    match clauses.len() {
        0 => Box::new(EmptyQuery),
        1 => clauses.remove(0),
        _ => Box::new(BooleanQuery::union(clauses)),
    }
}

fn range(from: Bound<Term>, until: Bound<Term>) -> Clause {
    Box::new(Range::new(from, until))
}

fn exact(field: Field, value: &str) -> Clause {
    term(Term::from_field_text(field, value))
}

fn term(term: Term) -> Clause {
    Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs))
}

/// Finds the words of a text standing in a row in a field.
fn standing(field: Field, text: &Text) -> Clause {
    standing_with_pairs(field, None, text)
}

fn standing_with_pairs(field: Field, pairs: Option<Field>, text: &Text) -> Clause {
    let prefix = text.matching == Match::Prefix;
    let mut row = forms(&text.text);
    if row.len() > 1 {
        return Box::new(InARow {
            field,
            pairs,
            words: row,
            prefix,
        });
    }
    let forms = row.pop().unwrap_or_default();
    any_of(
        forms
            .iter()
            .map(|form| {
                if prefix {
                    beginning(field, form)
                } else {
                    exact(field, form)
                }
            })
            .collect(),
    )
}

/// Gives the forms of each word.
fn forms(text: &str) -> Vec<Vec<String>> {
    let mut row = Vec::new();
    words(text, |word| {
        row.push(
            [Some(word.text), word.second]
                .into_iter()
                .flatten()
                .map(str::to_owned)
                .collect(),
        );
    });
    row
}

/// Finds words that begin with these bytes.
fn beginning(field: Field, start: &str) -> Clause {
    // No byte of UTF-8 is 0xff, so it comes behind all that goes on.
    let mut behind = start.as_bytes().to_vec();
    behind.push(0xff);
    let mut end = Term::from_field_text(field, "");
    end.append_bytes(&behind);
    Box::new(InvertedIndexRangeQuery::new(
        Bound::Included(Term::from_field_text(field, start)),
        Bound::Excluded(end),
    ))
}
