//! Finds messages: the exact count and one page of hits, in one pass over what matches.
//!
//! Newest first reads the date of every match from a column, and the sequence number only of those that may
//! reach the page. Copies of a message are one result (see `copies`), which costs a second pass where some are found.
//! Nothing is filtered here: who may see what is part of the query (see `compile`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tantivy::collector::sort_key::NaturalComparator;
use tantivy::collector::{Collector, SegmentCollector, TopNComputer};
use tantivy::columnar::Column;
use tantivy::query::Query;
use tantivy::{DocId, Score, SegmentOrdinal, SegmentReader};

use super::copies::{self, Copies, Copy, FirstCopies};
use super::{Run, schema};

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

impl Page {
    /// Hits to look through, from the first of all.
    fn reach(&self) -> usize {
        if self.limit == 0 {
            return 0;
        }
        self.offset.saturating_add(self.limit).min(REACH_MAX)
    }
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// How many messages match that the asker may see, copies once: exact, whatever the page.
    pub count: u64,
    /// The sequence numbers of the page, in order.
    pub hits: Vec<u64>,
    /// For each hit its other copies that the asker may see, ascending: the first hundred or so where there are more.
    pub copies: Vec<Vec<u64>>,
    /// The first number that cannot be found yet, where the index waits for room on a full disk.
    pub lacks_from: Option<u64>,
}

/// What hits are ordered by: the greater comes first.
type Key = (i64, u64);

/// A hit, and the first message of its group: the hit itself if that is no copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hit {
    pub(super) sequence: u64,
    pub(super) first: u64,
}

/// Finds one page and the exact count, looking at the copies of so many groups in one go.
pub(super) fn search(
    run: &Run,
    query: &dyn Query,
    page: Page,
    groups_at_once: usize,
) -> tantivy::Result<(u64, Vec<Hit>)> {
    let hits = |from| run.collect(query, &Hits::new(page, Copies::new(from, groups_at_once)));
    let Matches {
        mut count,
        first,
        mut copies,
    } = hits(0)?;
    let itself = |(rank, sequence)| {
        let first = sequence;
        (rank, Hit { sequence, first })
    };
    let mut first: Vec<(i64, Hit)> = first.into_iter().map(itself).collect();
    loop {
        let (mut lowest, left_from) = copies.lowest();
        if !lowest.is_empty() {
            let shown = run.collect(query, &FirstCopies::of(&lowest))?;
            lowest.retain(|copy| !shown.contains(copy.first));
        }
        count += lowest.len() as u64;
        first.extend(lowest.iter().map(|copy| (copy.rank, copy.hit())));
        first.sort_unstable_by(|left, right| right.cmp(left));
        first.truncate(page.reach());
        match left_from {
            Some(from) => copies = hits(from)?.copies,
            None => break,
        }
    }
    let hits = first.into_iter().skip(page.offset);
    Ok((count, hits.map(|(_, hit)| hit).collect()))
}

/// Counts all matches that are no copies and keeps the first of them; gathers the copies.
struct Hits {
    order: Order,
    /// Hits to keep in each segment, from the first of all.
    reach: usize,
    /// One place for the copies of all segments, which bounds them together.
    copies: Arc<Mutex<Copies>>,
}

impl Hits {
    fn new(page: Page, copies: Copies) -> Self {
        let reach = page.reach();
        Self {
            // To count, nothing needs a score.
            order: if reach == 0 {
                Order::Newest
            } else {
                page.order
            },
            reach,
            copies: Arc::new(Mutex::new(copies)),
        }
    }
}

impl Collector for Hits {
    type Fruit = Matches;
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
            first_copy: copies::column(segment)?,
            dates: Vec::new(),
            first_copies: Vec::new(),
            first: TopNComputer::new_with_comparator(self.reach, NaturalComparator),
            count: 0,
            copies: self.copies.clone(),
        })
    }

    fn requires_scoring(&self) -> bool {
        self.order == Order::Relevance
    }

    fn merge_fruits(&self, segments: Vec<SegmentFound>) -> tantivy::Result<Matches> {
        Ok(Matches {
            count: segments.iter().map(|segment| segment.count).sum(),
            first: segments
                .into_iter()
                .flat_map(|segment| segment.first)
                .collect(),
            copies: std::mem::take(&mut *lock(&self.copies)),
        })
    }
}

/// What was found in all segments.
struct Matches {
    /// Matches that are no copies.
    count: u64,
    first: Vec<Key>,
    copies: Copies,
}

/// What was found in one segment, copies left out.
struct SegmentFound {
    count: u64,
    first: Vec<Key>,
}

/// Counts the matches of one segment and keeps the first of them.
struct SegmentHits {
    order: Order,
    sent_at: Column<i64>,
    sequence: Column<u64>,
    /// None where no message is a copy.
    first_copy: Option<Column<u64>>,
    /// Dates of the block of matches just looked at.
    dates: Vec<Option<i64>>,
    /// First copies of the same block.
    first_copies: Vec<Option<u64>>,
    first: TopNComputer<Key, DocId, NaturalComparator>,
    count: u64,
    copies: Arc<Mutex<Copies>>,
}

impl SegmentHits {
    fn keep(&mut self, rank: i64, document: DocId) {
        if self.first.threshold.is_some_and(|(least, _)| rank < least) {
            return;
        }
        let sequence = self.sequence.first(document).unwrap_or(0);
        self.first.push((rank, sequence), document);
    }

    /// Takes a match of a segment that has copies.
    fn sort_in(&mut self, rank: i64, first_copy: Option<u64>, document: DocId) {
        let Some(first) = first_copy.filter(|first| *first > 0) else {
            self.count += 1;
            return self.keep(rank, document);
        };
        lock(&self.copies).add(Copy {
            first,
            sequence: self.sequence.first(document).unwrap_or(0),
            rank,
        });
    }
}

impl SegmentCollector for SegmentHits {
    type Fruit = SegmentFound;

    fn collect(&mut self, document: DocId, score: Score) {
        let rank = match self.order {
            Order::Newest => self.sent_at.first(document).unwrap_or(i64::MIN),
            Order::Relevance => score_rank(score),
        };
        if let Some(column) = &self.first_copy {
            let first_copy = column.first(document);
            return self.sort_in(rank, first_copy, document);
        }
        self.count += 1;
        self.keep(rank, document);
    }

    fn collect_block(&mut self, documents: &[DocId]) {
        let mut dates = std::mem::take(&mut self.dates);
        dates.resize(documents.len(), None);
        self.sent_at.first_vals(documents, &mut dates);
        let ranks = dates.iter().map(|date| date.unwrap_or(i64::MIN));
        if let Some(column) = &self.first_copy {
            let mut first_copies = std::mem::take(&mut self.first_copies);
            first_copies.resize(documents.len(), None);
            column.first_vals(documents, &mut first_copies);
            for ((document, rank), first_copy) in documents.iter().zip(ranks).zip(&first_copies) {
                self.sort_in(rank, *first_copy, *document);
            }
            self.first_copies = first_copies;
        } else {
            self.count += documents.len() as u64;
            for (document, rank) in documents.iter().zip(ranks) {
                self.keep(rank, *document);
            }
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

fn lock(copies: &Mutex<Copies>) -> MutexGuard<'_, Copies> {
    copies.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a whole number of a score that orders as the score does: scores are never negative.
fn score_rank(score: Score) -> i64 {
    i64::from(score.max(0.0).to_bits())
}
