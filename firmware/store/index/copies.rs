//! Makes one result of the copies of a message: those that differ only in line ends or trace fields.
//!
//! A document names the first copy of its group, unless it is that itself. Which copy stands for a group is decided among
//! the matches alone, and these are what the asker may see: the one of the lowest number. So nothing tells of a copy that
//! he may not see, and one whose first copy is hidden from him is found all the same. A match that is no copy always
//! stands for itself. Where there are copies among the matches, a second pass finds out whose first copy matches, too;
//! without any, nothing is done twice. Exports do not come here: they hand out the bytes of every copy.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::Column;
use tantivy::postings::SegmentPostings;
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocId, DocSet, Score, Searcher, SegmentOrdinal, SegmentReader, TERMINATED, Term};

use super::schema;
use super::search::Hit;
use super::stretches::Stretches;

/// Groups whose copies are looked at in one go: with more, the query is run again for the next ones.
///
/// Twice as many copies are in memory at most, 24 bytes each, and half of that again while they are sorted: some 40 MB.
pub(super) const GROUPS_AT_ONCE: usize = 500_000;

/// Other copies of a hit that are shown: no message has so many but that of a machine, and a page holds fifty hits.
const SHOWN_MAX: usize = 100;

/// Gives the column with the first copies, if the segment has any copies.
pub(super) fn column(segment: &SegmentReader) -> tantivy::Result<Option<Column<u64>>> {
    let column = segment.fast_fields().u64(schema::FIRST_COPY)?;
    Ok((column.max_value() > 0).then_some(column))
}

/// Gives for each hit the other messages of its group, whoever may see them; ascending, and so many at most.
pub(super) fn others(
    searcher: &Searcher,
    first_copy: Field,
    hits: &[Hit],
) -> tantivy::Result<Vec<Vec<u64>>> {
    let is_copy = |hit: &&Hit| hit.first != hit.sequence;
    let first = |hit: &Hit| Vec::from_iter(Some(hit).filter(is_copy).map(|hit| hit.first));
    let mut others: Vec<Vec<u64>> = hits.iter().map(first).collect();
    for segment in searcher.segment_readers() {
        if column(segment)?.is_none() {
            continue;
        }
        let index = segment.inverted_index(first_copy)?;
        let sequences = segment.fast_fields().u64(schema::SEQUENCE)?;
        for (hit, others) in hits.iter().zip(&mut others) {
            let term = Term::from_field_u64(first_copy, hit.first);
            let Some(postings) = index.read_postings(&term, IndexRecordOption::Basic)? else {
                continue;
            };
            let copies = alive(postings, segment).filter_map(|copy| sequences.first(copy));
            others.extend(copies.filter(|copy| *copy != hit.sequence).take(SHOWN_MAX));
        }
    }
    for others in &mut others {
        others.sort_unstable();
        others.truncate(SHOWN_MAX);
    }
    Ok(others)
}

/// Gives the documents that are not removed.
fn alive(mut postings: SegmentPostings, segment: &SegmentReader) -> impl Iterator<Item = DocId> {
    let mut next = postings.doc();
    let documents = std::iter::from_fn(move || {
        let document = next;
        next = postings.advance();
        (document != TERMINATED).then_some(document)
    });
    documents.filter(|document| !segment.is_deleted(*document))
}

/// Tells whether there are copies at all, whoever may see them.
pub(super) fn are_in(searcher: &Searcher) -> tantivy::Result<bool> {
    for segment in searcher.segment_readers() {
        if column(segment)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A match that is a copy of an earlier message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Copy {
    /// The first message of its group, which need not match.
    pub(super) first: u64,
    pub(super) sequence: u64,
    /// What it is ordered by.
    pub(super) rank: i64,
}

impl Copy {
    pub(super) fn hit(&self) -> Hit {
        Hit {
            sequence: self.sequence,
            first: self.first,
        }
    }
}

/// The copies among the matches, one of each group, of as many groups as may be looked at in one go.
#[derive(Debug, Default)]
pub(super) struct Copies {
    /// Groups whose first message is before this one have been looked at.
    from: u64,
    /// Groups whose first message is this one or behind it are left for later.
    until: u64,
    groups_max: usize,
    found: Vec<Copy>,
}

impl Copies {
    /// Makes a place for copies of groups from this one on.
    pub(super) fn new(from: u64, groups_max: usize) -> Self {
        Self {
            from,
            until: u64::MAX,
            groups_max: groups_max.max(1),
            found: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, copy: Copy) {
        if !(self.from..self.until).contains(&copy.first) {
            return;
        }
        self.found.push(copy);
        if self.found.len() >= 2 * self.groups_max {
            self.thin_out();
        }
    }

    /// Leaves the lowest copy of each group, and of the groups the lowest ones.
    fn thin_out(&mut self) {
        // Messages are mostly indexed in their order, which this sort makes use of.
        self.found.sort();
        self.found.dedup_by_key(|copy| copy.first);
        if let Some(beyond) = self.found.get(self.groups_max) {
            self.until = beyond.first;
            self.found.truncate(self.groups_max);
        }
    }

    /// Gives the lowest copy of each group, and from which group on others are left.
    pub(super) fn lowest(mut self) -> (Vec<Copy>, Option<u64>) {
        self.thin_out();
        (self.found, (self.until < u64::MAX).then_some(self.until))
    }
}

/// Takes the copies out of the matches of one segment.
pub(super) struct SegmentCopies {
    stretches: Arc<Stretches>,
    sequence: Column<u64>,
    first_copy: Column<u64>,
    /// One place for the copies of all segments, which bounds them together.
    copies: Arc<Mutex<Copies>>,
}

impl SegmentCopies {
    /// Gives none for a segment without copies.
    pub(super) fn new(
        segment: &SegmentReader,
        stretches: Arc<Stretches>,
        copies: Arc<Mutex<Copies>>,
    ) -> tantivy::Result<Option<Self>> {
        let sequence = segment.fast_fields().u64(schema::SEQUENCE)?;
        Ok(column(segment)?.map(|first_copy| Self {
            stretches,
            sequence,
            first_copy,
            copies,
        }))
    }

    /// Takes a match if it is a copy, and tells so.
    pub(super) fn take(&self, document: DocId, rank: impl FnOnce() -> i64) -> bool {
        let copies = self.stretches.copies.as_ref();
        let is_copy = copies.is_some_and(|copies| copies.contains(document));
        if is_copy {
            lock(&self.copies).add(Copy {
                first: self.first_copy.first(document).unwrap_or(0),
                sequence: self.sequence.first(document).unwrap_or(0),
                rank: rank(),
            });
        }
        is_copy
    }
}

/// A set of message numbers: a bit for each number from the lowest to the highest, thus at most one for each leaf.
#[derive(Debug)]
pub(super) struct Numbers {
    lowest: u64,
    bits: Vec<u64>,
}

impl Numbers {
    pub(super) fn of(numbers: impl Iterator<Item = u64> + Clone) -> Self {
        let lowest = numbers.clone().min().unwrap_or(0);
        let highest = numbers.clone().max().unwrap_or(0);
        let mut bits = vec![0; ((highest - lowest) / 64) as usize + 1];
        for number in numbers {
            let at = number - lowest;
            bits[(at / 64) as usize] |= 1 << (at % 64);
        }
        Self { lowest, bits }
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        let at = number.wrapping_sub(self.lowest);
        let word = self.bits.get((at / 64) as usize);
        word.is_some_and(|word| (word >> (at % 64)) & 1 == 1)
    }
}

/// Collects which of the first copies match.
pub(super) struct FirstCopies(Arc<Numbers>);

impl FirstCopies {
    pub(super) fn of(copies: &[Copy]) -> Self {
        Self(Arc::new(Numbers::of(copies.iter().map(|copy| copy.first))))
    }
}

impl Collector for FirstCopies {
    type Fruit = Numbers;
    type Child = SegmentFirstCopies;

    fn for_segment(
        &self,
        _: SegmentOrdinal,
        segment: &SegmentReader,
    ) -> tantivy::Result<SegmentFirstCopies> {
        Ok(SegmentFirstCopies {
            sequence: segment.fast_fields().u64(schema::SEQUENCE)?,
            sought: self.0.clone(),
            sequences: Vec::new(),
            found: Vec::new(),
        })
    }

    fn requires_scoring(&self) -> bool {
        false
    }

    fn merge_fruits(&self, segments: Vec<Vec<u64>>) -> tantivy::Result<Numbers> {
        Ok(Numbers::of(segments.iter().flatten().copied()))
    }
}

/// The first copies found in one segment.
pub(super) struct SegmentFirstCopies {
    sequence: Column<u64>,
    sought: Arc<Numbers>,
    /// Sequence numbers of the block of matches just looked at.
    sequences: Vec<Option<u64>>,
    found: Vec<u64>,
}

impl SegmentCollector for SegmentFirstCopies {
    type Fruit = Vec<u64>;

    fn collect(&mut self, document: DocId, _: Score) {
        self.collect_block(&[document]);
    }

    fn collect_block(&mut self, documents: &[DocId]) {
        self.sequences.resize(documents.len(), None);
        self.sequence.first_vals(documents, &mut self.sequences);
        let sequences = self.sequences.iter().flatten().copied();
        self.found
            .extend(sequences.filter(|sequence| self.sought.contains(*sequence)));
    }

    fn harvest(self) -> Vec<u64> {
        self.found
    }
}

/// Waits for the copies of all segments.
pub(super) fn lock(copies: &Mutex<Copies>) -> MutexGuard<'_, Copies> {
    copies.lock().unwrap_or_else(PoisonError::into_inner)
}
