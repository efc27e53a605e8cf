//! Finds messages: the exact count and one page of hits, in one pass over what matches.
//!
//! Newest first reads few dates (see `newest`), relevance the sequence numbers of those matches that may reach the page.
//! Copies of a message are one result (see `copies`), which costs a second pass where some are found.
//! Nothing is filtered here: who may see what is part of the query (see `compile`).

use std::sync::{Arc, Mutex};

use tantivy::collector::sort_key::NaturalComparator;
use tantivy::collector::{Collector, SegmentCollector, TopNComputer};
use tantivy::columnar::Column;
use tantivy::query::Query;
use tantivy::{DocId, Score, SegmentOrdinal, SegmentReader};

use super::copies::{Copies, FirstCopies, SegmentCopies, lock};
use super::newest::Newest;
use super::stretches::Stretches;
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
    /// Only hits behind this one, by its date (Unix seconds) and number, where the newest come first: so a reader goes on from
    /// where he was, however much came meanwhile and however far he is. The count is of all.
    pub behind: Option<(i64, u64)>,
}

impl Page {
    /// Hits to look through, from the first of all.
    fn reach(&self) -> usize {
        if self.limit == 0 {
            return 0;
        }
        self.offset.saturating_add(self.limit).min(REACH_MAX)
    }

    /// Tells whether a hit may be on the page.
    pub(super) fn admits(&self, key: Key) -> bool {
        self.behind.is_none_or(|last| key < last)
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
pub(super) type Key = (i64, u64);

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
    stretches: &[Arc<Stretches>],
    groups_at_once: usize,
) -> tantivy::Result<(u64, Vec<Hit>)> {
    let matches_from = |group| {
        let copies = Copies::new(group, groups_at_once);
        matches(run, query, page, stretches, copies)
    };
    let Matches {
        mut count,
        first,
        mut copies,
    } = matches_from(0)?;
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
        let shown = lowest.iter().map(|copy| (copy.rank, copy.hit()));
        first.extend(shown.filter(|(rank, hit)| page.admits((*rank, hit.sequence))));
        first.sort_unstable_by(|left, right| right.cmp(left));
        first.truncate(page.reach());
        match left_from {
            Some(from) => copies = matches_from(from)?.copies,
            None => break,
        }
    }
    let hits = first.into_iter().skip(page.offset);
    Ok((count, hits.map(|(_, hit)| hit).collect()))
}

/// Runs through all matches, and gathers the copies among them.
fn matches(
    run: &Run,
    query: &dyn Query,
    page: Page,
    stretches: &[Arc<Stretches>],
    copies: Copies,
) -> tantivy::Result<Matches> {
    let reach = page.reach();
    let stretches = stretches.to_vec();
    // To count, nothing needs a score.
    if reach == 0 || page.order == Order::Newest {
        return run.collect(query, &Newest::new(page, reach, stretches, copies));
    }
    let best = Best {
        reach,
        stretches,
        copies: Arc::new(Mutex::new(copies)),
    };
    run.collect(query, &best)
}

/// What was found in all segments.
pub(super) struct Matches {
    /// Matches that are no copies.
    pub(super) count: u64,
    /// Keys of the first of these, in no order.
    pub(super) first: Vec<Key>,
    pub(super) copies: Copies,
}

/// Counts all matches that are no copies and keeps those that fit best; gathers the copies.
struct Best {
    /// Hits to keep in each segment, from the first of all.
    reach: usize,
    /// Of each segment, by its place.
    stretches: Vec<Arc<Stretches>>,
    copies: Arc<Mutex<Copies>>,
}

impl Collector for Best {
    type Fruit = Matches;
    type Child = SegmentBest;

    fn for_segment(
        &self,
        place: SegmentOrdinal,
        segment: &SegmentReader,
    ) -> tantivy::Result<SegmentBest> {
        let stretches = self.stretches[place as usize].clone();
        Ok(SegmentBest {
            sequence: segment.fast_fields().u64(schema::SEQUENCE)?,
            copies: SegmentCopies::new(segment, stretches, self.copies.clone())?,
            first: TopNComputer::new_with_comparator(self.reach, NaturalComparator),
            count: 0,
        })
    }

    fn requires_scoring(&self) -> bool {
        true
    }

    fn merge_fruits(&self, segments: Vec<(u64, Vec<Key>)>) -> tantivy::Result<Matches> {
        Ok(Matches {
            count: segments.iter().map(|(count, _)| count).sum(),
            first: segments.into_iter().flat_map(|(_, first)| first).collect(),
            copies: std::mem::take(&mut *lock(&self.copies)),
        })
    }
}

/// Counts the matches of one segment and keeps those that fit best.
struct SegmentBest {
    sequence: Column<u64>,
    copies: Option<SegmentCopies>,
    first: TopNComputer<Key, DocId, NaturalComparator>,
    count: u64,
}

impl SegmentBest {
    fn keep(&mut self, rank: i64, document: DocId) {
        self.count += 1;
        if self.first.threshold.is_some_and(|(least, _)| rank < least) {
            return;
        }
        let sequence = self.sequence.first(document).unwrap_or(0);
        self.first.push((rank, sequence), document);
    }
}

impl SegmentCollector for SegmentBest {
    type Fruit = (u64, Vec<Key>);

    fn collect(&mut self, document: DocId, score: Score) {
        let rank = score_rank(score);
        let copies = self.copies.as_ref();
        if !copies.is_some_and(|copies| copies.take(document, || rank)) {
            self.keep(rank, document);
        }
    }

    fn harvest(self) -> (u64, Vec<Key>) {
        let first = self.first.into_vec().into_iter();
        (self.count, first.map(|hit| hit.sort_key).collect())
    }
}

/// Makes a whole number of a score that orders as the score does: scores are never negative.
fn score_rank(score: Score) -> i64 {
    i64::from(score.max(0.0).to_bits())
}
