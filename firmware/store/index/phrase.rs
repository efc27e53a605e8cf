//! Finds words that stand in a row, each in any of its forms; `phrase_prefix` lets the last one go on.
//!
//! tantivy's own phrase knows one form a word. Its phrase of regular expressions knows more, but in version 0.27 it
//! is asked by unions for documents that it has passed already, which its assertions forbid.
//! Where the field has pairs (see `pairs`), they rule out documents before places are read.

use tantivy::fieldnorm::FieldNormReader;
use tantivy::postings::{Postings, SegmentPostings};
use tantivy::query::{Bm25Weight, EmptyScorer, EnableScoring, Explanation, Query, Scorer, Weight};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{
    DocId, DocSet, InvertedIndexReader, Score, SegmentReader, TERMINATED, TantivyError, Term,
};

use super::pairs;
use super::phrase_prefix::Heads;

/// Finds two words or more in a row.
#[derive(Debug, Clone)]
pub(super) struct InARow {
    /// The field, one with positions.
    pub(super) field: Field,
    /// The pairs of this field, if it has them.
    pub(super) pairs: Option<Field>,
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
    fn scorer_of(
        &self,
        segment: &SegmentReader,
        boost: Score,
    ) -> tantivy::Result<Option<Box<dyn Scorer>>> {
        let InARow {
            field,
            words,
            prefix,
            ..
        } = &self.sought;
        let index = segment.inverted_index(*field)?;
        let (whole, last) = match words.split_last() {
            Some((last, before)) if *prefix => (before, Some(last)),
            _ => (&words[..], None),
        };
        let option = IndexRecordOption::WithFreqsAndPositions;
        let Some(places) = places(&index, *field, whole, option)? else {
            return Ok(None);
        };
        let Some(holders) = self.holders(segment)? else {
            return Ok(None);
        };
        let fit = self.fit_in(segment, boost)?;
        let Some(last) = last else {
            return Ok(Some(Box::new(Row::new(holders, places, fit))));
        };
        let mut heads = Heads::of(
            &mut Row::new(holders, places, None),
            fit.is_some(),
            segment.max_doc(),
        );
        heads.go_on(&index, last)?;
        Ok(Some(Box::new(heads.into_scorer(fit))))
    }

    /// Opens the documents that hold the pairs of the row; none if one of the pairs is nowhere.
    fn holders(&self, segment: &SegmentReader) -> tantivy::Result<Option<Vec<Place>>> {
        let InARow {
            pairs,
            words,
            prefix,
            ..
        } = &self.sought;
        let Some(field) = *pairs else {
            return Ok(Some(Vec::new()));
        };
        let index = segment.inverted_index(field)?;
        let told = pairs::told(words, *prefix);
        places(&index, field, &told.pairs, IndexRecordOption::Basic)
    }

    fn fit_in(&self, segment: &SegmentReader, boost: Score) -> tantivy::Result<Option<Fit>> {
        let Some(weight) = &self.fit else {
            return Ok(None);
        };
        let lengths = segment
            .fieldnorms_readers()
            .get_field(self.sought.field)?
            .unwrap_or_else(|| FieldNormReader::constant(segment.max_doc(), 1));
        Ok(Some(Fit {
            weight: weight.boost_by(boost),
            lengths,
        }))
    }
}

/// How well a document fits by how often the words stand in it.
pub(super) struct Fit {
    weight: Bm25Weight,
    lengths: FieldNormReader,
}

impl Fit {
    pub(super) fn score(&self, document: DocId, count: u32) -> Score {
        self.weight
            .score(self.lengths.fieldnorm_id(document), count)
    }
}

impl Weight for RowWeight {
    fn scorer(&self, segment: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let scorer = self.scorer_of(segment, boost)?;
        Ok(scorer.unwrap_or_else(|| Box::new(EmptyScorer)))
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

/// Opens the postings of each word or pair; none if one of them is nowhere.
fn places(
    index: &InvertedIndexReader,
    field: Field,
    words: &[Vec<String>],
    option: IndexRecordOption,
) -> tantivy::Result<Option<Vec<Place>>> {
    let mut places = Vec::with_capacity(words.len());
    for (forms, index_in_row) in words.iter().zip(0..) {
        let mut postings = Vec::with_capacity(forms.len());
        for form in forms {
            let term = Term::from_field_text(field, form);
            postings.extend(index.read_postings(&term, option)?);
        }
        if postings.is_empty() {
            return Ok(None);
        }
        places.push(Place {
            index: index_in_row,
            forms: postings,
        });
    }
    Ok(Some(places))
}

/// The postings of one word of the row.
struct Place {
    /// Which word it is, from 0.
    index: u32,
    /// One for each form that there is.
    forms: Vec<SegmentPostings>,
}

impl Place {
    /// Goes to the first document from `target` on, and gives it.
    fn seek(&mut self, target: DocId) -> DocId {
        let docs = self.forms.iter_mut().map(|form| match form.doc() {
            doc if doc < target => form.seek(target),
            doc => doc,
        });
        docs.min().unwrap_or(TERMINATED)
    }

    /// Gives where a row would end of which this word is part, for each time it stands in this document.
    fn ends(&mut self, document: DocId, last: u32, ends: &mut Vec<u32>) {
        let behind = last - self.index;
        ends.clear();
        for form in self.forms.iter_mut().filter(|form| form.doc() == document) {
            form.append_positions_with_offset(behind, ends);
        }
        // Positions of several forms come out of order, and some twice.
        if self.forms.len() > 1 {
            ends.sort_unstable();
            ends.dedup();
        }
    }

    fn size_hint(&self) -> u32 {
        self.forms
            .iter()
            .map(DocSet::size_hint)
            .fold(0, u32::saturating_add)
    }
}

/// The documents of a segment where the words stand in a row.
pub(super) struct Row {
    /// The documents with the pairs of the row: never asked where.
    holders: Vec<Place>,
    /// The rarest word first.
    places: Vec<Place>,
    /// Index of the last word.
    last: u32,
    document: DocId,
    /// How often the row stands in the document.
    count: u32,
    fit: Option<Fit>,
    /// Where the row ends in the document, ascending.
    ends: Vec<u32>,
    more_ends: Vec<u32>,
}

impl Row {
    fn new(mut holders: Vec<Place>, mut places: Vec<Place>, fit: Option<Fit>) -> Self {
        holders.sort_by_key(Place::size_hint);
        places.sort_by_key(Place::size_hint);
        let last = places.iter().map(|place| place.index).max().unwrap_or(0);
        let mut row = Self {
            holders,
            places,
            last,
            document: 0,
            count: 0,
            fit,
            ends: Vec::new(),
            more_ends: Vec::new(),
        };
        row.find(0);
        row
    }

    /// Positions of the last word of each row in the document that this stands on, ascending.
    pub(super) fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// Goes to the first document from `target` on where the words stand in a row, and gives it.
    fn find(&mut self, target: DocId) -> DocId {
        let mut candidate = target;
        while candidate < TERMINATED {
            let all = self.holders.iter_mut().chain(&mut self.places);
            let furthest = all
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
///
/// Which list goes on is computed, not branched on: nobody could predict it.
fn keep_common(kept: &mut Vec<u32>, others: &[u32]) {
    let (mut at, mut other, mut count) = (0, 0, 0);
    while let (Some(&left), Some(&right)) = (kept.get(at), others.get(other)) {
        // Never behind `at`, so nothing is lost that is still to be looked at.
        kept[count] = left;
        count += usize::from(left == right);
        at += usize::from(left <= right);
        other += usize::from(right <= left);
    }
    kept.truncate(count);
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
            Some(fit) => fit.score(self.document, self.count),
            None => 1.0,
        }
    }
}
