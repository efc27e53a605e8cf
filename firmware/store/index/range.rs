//! Finds documents whose date or length lies in a range.
//!
//! tantivy's own range over a column takes it that it is asked for ever higher documents. In version 0.27 its
//! exclusions and unions do not keep to that; this wrapper answers such a question without going back.

use std::ops::Bound;

use tantivy::query::{EnableScoring, Explanation, Query, RangeQuery, Scorer, Weight};
use tantivy::{DocId, DocSet, Score, SegmentReader, Term};

/// Finds documents by a column's value.
#[derive(Debug, Clone)]
pub(super) struct Range(RangeQuery);

impl Range {
    /// Finds values from here to there; one of the bounds holds a term.
    pub(super) fn new(from: Bound<Term>, to: Bound<Term>) -> Self {
        Self(RangeQuery::new(from, to))
    }
}

impl Query for Range {
    fn weight(&self, scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(RangeWeight(self.0.weight(scoring)?)))
    }
}

struct RangeWeight(Box<dyn Weight>);

impl Weight for RangeWeight {
    fn scorer(&self, segment: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let inner = self.0.scorer(segment, boost)?;
        // All and none are known by their type, and cheaper.
        if inner.is::<tantivy::query::AllScorer>() || inner.is::<tantivy::query::EmptyScorer>() {
            return Ok(inner);
        }
        Ok(Box::new(RangeScorer(inner)))
    }

    fn explain(&self, segment: &SegmentReader, document: DocId) -> tantivy::Result<Explanation> {
        self.0.explain(segment, document)
    }
}

/// Passes on all but `seek_danger`, whose default looks where it stands before it seeks.
pub(super) struct RangeScorer(Box<dyn Scorer>);

impl DocSet for RangeScorer {
    fn advance(&mut self) -> DocId {
        self.0.advance()
    }

    fn seek(&mut self, target: DocId) -> DocId {
        self.0.seek(target)
    }

    fn doc(&self) -> DocId {
        self.0.doc()
    }

    fn size_hint(&self) -> u32 {
        self.0.size_hint()
    }

    fn cost(&self) -> u64 {
        self.0.cost()
    }
}

impl Scorer for RangeScorer {
    fn score(&mut self) -> Score {
        self.0.score()
    }
}
