//! Finds words that stand in a row, each in any of its forms; the last may go on.
//!
//! tantivy's own phrase knows one form a word. Its phrase of regular expressions knows more, but in version 0.27 it
//! is asked by unions for documents that it has passed already, which its assertions forbid.

use std::io;

use tantivy::fieldnorm::FieldNormReader;
use tantivy::postings::{Postings, SegmentPostings};
use tantivy::query::{Bm25Weight, EmptyScorer, EnableScoring, Explanation, Query, Scorer, Weight};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{
    DocId, DocSet, InvertedIndexReader, Score, SegmentReader, TERMINATED, TantivyError, Term,
};

/// Finds two words or more in a row.
#[derive(Debug, Clone)]
pub(super) struct InARow {
    /// The field, one with positions.
    pub(super) field: Field,
    /// The forms of each word.
    pub(super) words: Vec<Vec<String>>,
    /// Whether the last word may go on.
    pub(super) prefix: bool,
}

impl Query for InARow {
    fn weight(&self, scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        let fit = match scoring {
            EnableScoring::Enabled {
                statistics_provider,
                ..
            } => {
                let first_forms = self.words.iter().flat_map(|forms| forms.first());
                let terms: Vec<Term> = first_forms
                    .map(|form| Term::from_field_text(self.field, form))
                    .collect();
                Some(Bm25Weight::for_terms(statistics_provider, &terms)?)
            }
            EnableScoring::Disabled { .. } => None,
        };
        Ok(Box::new(RowWeight {
            sought: self.clone(),
            fit,
        }))
    }
}

struct RowWeight {
    sought: InARow,
    fit: Option<Bm25Weight>,
}

impl RowWeight {
    fn row(&self, segment: &SegmentReader, boost: Score) -> tantivy::Result<Option<Row>> {
        let InARow {
            field,
            words,
            prefix,
        } = &self.sought;
        let index = segment.inverted_index(*field)?;
        let whole = if *prefix {
            &words[..words.len() - 1]
        } else {
            &words[..]
        };
        let Some(mut places) = places(&index, *field, whole)? else {
            return Ok(None);
        };
        if *prefix && let Some(last) = words.last() {
            let mut others = Row::new(places);
            let candidates: Vec<DocId> =
                std::iter::successors(Some(others.doc()), |_| Some(others.advance()))
                    .take_while(|doc| *doc != TERMINATED)
                    .collect();
            let hits = going_on(&index, last, &candidates)?;
            let Some(again) = self::places(&index, *field, whole)? else {
                return Ok(None);
            };
            places = again;
            places.push(Place {
                index: whole.len() as u32,
                lists: Lists::Loaded { hits, at: 0 },
            });
        }
        let mut row = Row::new(places);
        if let Some(fit) = &self.fit {
            let lengths = segment.fieldnorms_readers().get_field(*field)?;
            let lengths =
                lengths.unwrap_or_else(|| FieldNormReader::constant(segment.max_doc(), 1));
            row.fit = Some((fit.boost_by(boost), lengths));
        }
        Ok(Some(row))
    }
}

impl Weight for RowWeight {
    fn scorer(&self, segment: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        Ok(match self.row(segment, boost)? {
            Some(row) => Box::new(row),
            None => Box::new(EmptyScorer),
        })
    }

    fn explain(&self, segment: &SegmentReader, document: DocId) -> tantivy::Result<Explanation> {
        let mut scorer = self.scorer(segment, 1.0)?;
        if scorer.doc() > document || scorer.seek(document) != document {
            return Err(TantivyError::InvalidArgument(format!(
                "does not match: {document}"
            )));
        }
        Ok(Explanation::new("words in a row", scorer.score()))
    }
}

/// Opens the postings of each word; none if one of the words is nowhere.
fn places(
    index: &InvertedIndexReader,
    field: Field,
    words: &[Vec<String>],
) -> tantivy::Result<Option<Vec<Place>>> {
    let mut places = Vec::with_capacity(words.len() + 1);
    for (forms, index_in_row) in words.iter().zip(0..) {
        let mut postings = Vec::with_capacity(forms.len());
        for form in forms {
            let term = Term::from_field_text(field, form);
            postings.extend(index.read_postings(&term, IndexRecordOption::WithFreqsAndPositions)?);
        }
        if postings.is_empty() {
            return Ok(None);
        }
        places.push(Place {
            index: index_in_row,
            lists: Lists::Forms(postings),
        });
    }
    Ok(Some(places))
}

/// Collects where in the candidates words stand that begin with one of the forms, in order.
///
/// A short beginning has very many words: each is read only at the candidates, and none is kept open.
fn going_on(
    index: &InvertedIndexReader,
    forms: &[String],
    candidates: &[DocId],
) -> io::Result<Vec<(DocId, u32)>> {
    let mut hits = Vec::new();
    let mut positions = Vec::new();
    for form in forms {
        let behind = [form.as_bytes(), &[0xff]].concat();
        let mut terms = index.terms().range().ge(form).lt(&behind).into_stream()?;
        while terms.advance() {
            let mut postings = index.read_postings_from_terminfo(
                terms.value(),
                IndexRecordOption::WithFreqsAndPositions,
            )?;
            let mut rest = candidates;
            while postings.doc() != TERMINATED {
                rest = &rest[rest.partition_point(|candidate| *candidate < postings.doc())..];
                let Some(candidate) = rest.first() else { break };
                if postings.doc() < *candidate && postings.seek(*candidate) != *candidate {
                    continue;
                }
                postings.positions(&mut positions);
                hits.extend(positions.iter().map(|position| (*candidate, *position)));
                postings.advance();
            }
        }
    }
    hits.sort_unstable();
    Ok(hits)
}

/// The postings of one word of the row.
struct Place {
    /// Which word it is, from 0.
    index: u32,
    lists: Lists,
}

enum Lists {
    /// One for each form that there is.
    Forms(Vec<SegmentPostings>),
    /// Documents and positions, in order; what lies before `at` is passed.
    Loaded { hits: Vec<(DocId, u32)>, at: usize },
}

impl Place {
    /// Goes to the first document from `target` on, and gives it.
    fn seek(&mut self, target: DocId) -> DocId {
        match &mut self.lists {
            Lists::Forms(forms) => {
                let docs = forms.iter_mut().map(|form| {
                    if form.doc() < target {
                        form.seek(target)
                    } else {
                        form.doc()
                    }
                });
                docs.min().unwrap_or(TERMINATED)
            }
            Lists::Loaded { hits, at } => {
                *at += hits[*at..].partition_point(|(doc, _)| *doc < target);
                hits.get(*at).map_or(TERMINATED, |(doc, _)| *doc)
            }
        }
    }

    /// Gives where a row would end of which this word is part, for each time it stands in this document.
    fn ends(&mut self, document: DocId, last: u32, ends: &mut Vec<u32>) {
        let behind = last - self.index;
        ends.clear();
        match &mut self.lists {
            Lists::Forms(forms) => {
                for form in forms.iter_mut().filter(|form| form.doc() == document) {
                    form.append_positions_with_offset(behind, ends);
                }
            }
            Lists::Loaded { hits, at } => {
                let here = hits[*at..].iter().take_while(|(doc, _)| *doc == document);
                ends.extend(here.map(|(_, position)| position + behind));
            }
        }
        if self.has_several_forms() {
            ends.sort_unstable();
            ends.dedup();
        }
    }

    /// Whether positions come out of order, or twice.
    fn has_several_forms(&self) -> bool {
        match &self.lists {
            Lists::Forms(forms) => forms.len() > 1,
            Lists::Loaded { .. } => true,
        }
    }

    fn size_hint(&self) -> u32 {
        match &self.lists {
            Lists::Forms(forms) => forms
                .iter()
                .map(DocSet::size_hint)
                .fold(0, u32::saturating_add),
            Lists::Loaded { hits, .. } => hits.len() as u32,
        }
    }
}

/// The documents of a segment where the words stand in a row.
struct Row {
    /// The rarest word first.
    places: Vec<Place>,
    /// Index of the last word.
    last: u32,
    document: DocId,
    /// How often the row stands in the document.
    count: u32,
    fit: Option<(Bm25Weight, FieldNormReader)>,
    ends: Vec<u32>,
    more_ends: Vec<u32>,
}

impl Row {
    fn new(mut places: Vec<Place>) -> Self {
        places.sort_by_key(Place::size_hint);
        let last = places.iter().map(|place| place.index).max().unwrap_or(0);
        let mut row = Self {
            places,
            last,
            document: 0,
            count: 0,
            fit: None,
            ends: Vec::new(),
            more_ends: Vec::new(),
        };
        row.find(0);
        row
    }

    /// Goes to the first document from `target` on where the words stand in a row, and gives it.
    fn find(&mut self, target: DocId) -> DocId {
        let mut candidate = target;
        while candidate < TERMINATED {
            let furthest = self
                .places
                .iter_mut()
                .map(|place| place.seek(candidate))
                .find(|doc| *doc > candidate);
            if let Some(furthest) = furthest {
                candidate = furthest;
                continue;
            }
            self.count = self.count_in(candidate);
            if self.count > 0 {
                self.document = candidate;
                return candidate;
            }
            candidate += 1;
        }
        self.document = TERMINATED;
        TERMINATED
    }

    fn count_in(&mut self, document: DocId) -> u32 {
        let mut places = self.places.iter_mut();
        let Some(first) = places.next() else { return 0 };
        first.ends(document, self.last, &mut self.ends);
        for place in places {
            place.ends(document, self.last, &mut self.more_ends);
            keep_common(&mut self.ends, &self.more_ends);
            if self.ends.is_empty() {
                return 0;
            }
        }
        self.ends.len() as u32
    }
}

/// Keeps the numbers that are in both lists; both are in order.
fn keep_common(kept: &mut Vec<u32>, others: &[u32]) {
    let mut others = others.iter().copied().peekable();
    kept.retain(|number| {
        while others.next_if(|other| other < number).is_some() {}
        others.peek() == Some(number)
    });
}

impl DocSet for Row {
    fn advance(&mut self) -> DocId {
        if self.document == TERMINATED {
            TERMINATED
        } else {
            self.find(self.document + 1)
        }
    }

    fn seek(&mut self, target: DocId) -> DocId {
        if target <= self.document {
            self.document
        } else {
            self.find(target)
        }
    }

    fn doc(&self) -> DocId {
        self.document
    }

    fn size_hint(&self) -> u32 {
        // Most documents with the rarest word do not hold the row.
        self.places.first().map_or(0, Place::size_hint) / 4
    }

    fn cost(&self) -> u64 {
        // Reading positions costs much more than reading documents.
        self.places
            .iter()
            .map(|place| 10 * u64::from(place.size_hint()))
            .sum()
    }
}

impl Scorer for Row {
    fn score(&mut self) -> Score {
        match &self.fit {
            Some((fit, lengths)) => fit.score(lengths.fieldnorm_id(self.document), self.count),
            None => 1.0,
        }
    }
}
