//! Finds messages: the exact count and one page of hits, in one pass over what matches.
//!
//! Newest first reads the date of every match from a column, and the sequence number only of those that may
//! reach the page. Nothing is filtered here: who may see what is part of the query (see `compile`).

use tantivy::collector::sort_key::NaturalComparator;
use tantivy::collector::{Collector, SegmentCollector, TopNComputer};
use tantivy::columnar::Column;
use tantivy::{DocId, Score, SegmentOrdinal, SegmentReader};

use super::schema;

/// Hits from the first that a search looks through at most: the memory of a search is bounded by it.
///
/// 100,000 keys are 4 MB; nobody pages that far, who wants more narrows the dates.
pub const REACH_MAX: usize = 100_000;

/// In which order hits are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By the date shown, newest first; of the same second, the higher sequence number first.
    Newest,
    /// By how well the words fit (BM25), best first; of the same score, the higher sequence number first.
    Relevance,
}

/// Which hits of a search are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// In which order hits are given.
    pub order: Order,
    /// Hits left out at the start.
    pub offset: usize,
    /// Hits given at most.
    pub limit: usize,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// How many messages match that the asker may see: exact, whatever the page.
    pub count: u64,
    /// The sequence numbers of the page, in order.
    pub hits: Vec<u64>,
}

/// What hits are ordered by: the greater comes first.
type Key = (i64, u64);

/// Counts all matches and keeps the first of them.
pub(super) struct Hits {
    order: Order,
    offset: usize,
    /// Hits to keep in each segment, from the first of all.
    reach: usize,
}

impl Hits {
    pub(super) fn new(page: Page) -> Self {
        let offset = page.offset.min(REACH_MAX);
        let reach = offset.saturating_add(page.limit).min(REACH_MAX);
        Self {
            order: page.order,
            offset,
            reach,
        }
    }
}

impl Collector for Hits {
    type Fruit = Found;
    type Child = SegmentHits;

    fn for_segment(
        &self,
        _: SegmentOrdinal,
        segment: &SegmentReader,
    ) -> tantivy::Result<SegmentHits> {
        let columns = segment.fast_fields();
        Ok(SegmentHits {
            order: self.order,
            sent_at: columns.i64(schema::SENT_AT)?,
            sequence: columns.u64(schema::SEQUENCE)?,
            dates: Vec::new(),
            first: TopNComputer::new_with_comparator(self.reach, NaturalComparator),
            count: 0,
        })
    }

    fn requires_scoring(&self) -> bool {
        self.order == Order::Relevance
    }

    fn merge_fruits(&self, segments: Vec<SegmentFound>) -> tantivy::Result<Found> {
        let count = segments.iter().map(|segment| segment.count).sum();
        let mut keys: Vec<Key> = segments
            .into_iter()
            .flat_map(|segment| segment.first)
            .collect();
        keys.sort_unstable_by(|left, right| right.cmp(left));
        let hits = keys
            .into_iter()
            .take(self.reach)
            .skip(self.offset)
            .map(|(_, sequence)| sequence)
            .collect();
        Ok(Found { count, hits })
    }
}

/// What was found in one segment.
pub(super) struct SegmentFound {
    count: u64,
    first: Vec<Key>,
}

/// Counts the matches of one segment and keeps the first of them.
pub(super) struct SegmentHits {
    order: Order,
    sent_at: Column<i64>,
    sequence: Column<u64>,
    /// Dates of the block of matches just looked at.
    dates: Vec<Option<i64>>,
    first: TopNComputer<Key, DocId, NaturalComparator>,
    count: u64,
}

impl SegmentHits {
    fn keep(&mut self, rank: i64, document: DocId) {
        if self.first.threshold.is_some_and(|(least, _)| rank < least) {
            return;
        }
        let sequence = self.sequence.first(document).unwrap_or(0);
        self.first.push((rank, sequence), document);
    }
}

impl SegmentCollector for SegmentHits {
    type Fruit = SegmentFound;

    fn collect(&mut self, document: DocId, score: Score) {
        self.count += 1;
        let rank = match self.order {
            Order::Newest => self.sent_at.first(document).unwrap_or(i64::MIN),
            Order::Relevance => score_rank(score),
        };
        self.keep(rank, document);
    }

    fn collect_block(&mut self, documents: &[DocId]) {
        self.count += documents.len() as u64;
        let mut dates = std::mem::take(&mut self.dates);
        dates.resize(documents.len(), None);
        self.sent_at.first_vals(documents, &mut dates);
        for (document, date) in documents.iter().zip(&dates) {
            self.keep(date.unwrap_or(i64::MIN), *document);
        }
        self.dates = dates;
    }

    fn harvest(self) -> SegmentFound {
        let first = self
            .first
            .into_vec()
            .into_iter()
            .map(|hit| hit.sort_key)
            .collect();
        SegmentFound {
            count: self.count,
            first,
        }
    }
}

/// Makes a whole number of a score that orders as the score does: scores are never negative.
fn score_rank(score: Score) -> i64 {
    i64::from(score.max(0.0).to_bits())
}
