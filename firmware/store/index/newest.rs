//! Counts matches, and finds the newest of them, reading dates only where these may lie.
//!
//! The matches of a segment are gathered first, copies apart. Then the stretches that hold some are read by their newest
//! date, of all segments together, until the page is full and no date left can reach it. How much is read thus grows
//! with the page, not with the matches, as long as mail lies about in the order of its dates; else more stretches are
//! read, all of them at worst.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex};

use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::Column;
use tantivy::{BitSet, DocId, Score, SegmentOrdinal, SegmentReader};

use super::copies::{Copies, SegmentCopies, lock};
use super::schema;
use super::search::{Key, Matches, Page};
use super::stretches::{Stretches, dates};

/// Documents of a segment for each match in a list of 4 bytes a match: with more matches, a bit for each document is less.
const DOCUMENTS_PER_LISTED_MATCH: usize = 32;

/// Counts all matches that are no copies and keeps the newest of them; gathers the copies.
pub(super) struct Newest {
    page: Page,
    /// Hits to keep, from the first of all.
    reach: usize,
    /// Of each segment, by its place.
    stretches: Vec<Arc<Stretches>>,
    copies: Arc<Mutex<Copies>>,
}

impl Newest {
    pub(super) fn new(
        page: Page,
        reach: usize,
        stretches: Vec<Arc<Stretches>>,
        copies: Copies,
    ) -> Self {
        Self {
            page,
            reach,
            stretches,
            copies: Arc::new(Mutex::new(copies)),
        }
    }
}

impl Collector for Newest {
    type Fruit = Matches;
    type Child = SegmentNewest;

    fn for_segment(
        &self,
        place: SegmentOrdinal,
        segment: &SegmentReader,
    ) -> tantivy::Result<SegmentNewest> {
        let stretches = self.stretches[place as usize].clone();
        Ok(SegmentNewest {
            sent_at: segment.fast_fields().i64(schema::SENT_AT)?,
            sequence: segment.fast_fields().u64(schema::SEQUENCE)?,
            copies: SegmentCopies::new(segment, stretches.clone(), self.copies.clone())?,
            stretches,
            is_count_alone: self.reach == 0,
            max: segment.max_doc(),
            count: 0,
            matching: Matching::List(Vec::new()),
        })
    }

    fn requires_scoring(&self) -> bool {
        false
    }

    fn merge_fruits(&self, segments: Vec<SegmentNewest>) -> tantivy::Result<Matches> {
        Ok(Matches {
            count: segments.iter().map(|segment| segment.count).sum(),
            first: newest_of(&segments, self.page, self.reach),
            copies: std::mem::take(&mut *lock(&self.copies)),
        })
    }
}

/// Gives the keys of the newest matches of all segments, in no order.
fn newest_of(segments: &[SegmentNewest], page: Page, reach: usize) -> Vec<Key> {
    let mut stretches = BinaryHeap::new();
    for (place, segment) in segments.iter().enumerate() {
        let known = &segment.stretches;
        for stretch in segment.matching.stretches(known.len) {
            stretches.push((known.newest[stretch as usize], place, stretch));
        }
    }
    let mut first = First::new(reach);
    while let Some((newest, place, stretch)) = stretches.pop() {
        if !first.is_reached_by(newest) {
            break;
        }
        segments[place].read(stretch, page, &mut first);
    }
    first.keys()
}

/// The matches of one segment that are no copies.
pub(super) struct SegmentNewest {
    sent_at: Column<i64>,
    sequence: Column<u64>,
    copies: Option<SegmentCopies>,
    stretches: Arc<Stretches>,
    is_count_alone: bool,
    /// All documents are below this one.
    max: DocId,
    count: u64,
    matching: Matching,
}

impl SegmentNewest {
    fn keep(&mut self, documents: &[DocId]) {
        self.count += documents.len() as u64;
        if !self.is_count_alone {
            self.matching.add(documents, self.max);
        }
    }

    /// Reads the dates of the matches of a stretch.
    fn read(&self, stretch: u32, page: Page, first: &mut First) {
        let documents = self.matching.of_stretch(stretch, self.stretches.len);
        let dates = dates(&self.sent_at, &documents);
        // The last ones mostly are the newest, after which few others reach the page.
        for (document, date) in documents.iter().zip(dates).rev() {
            if first.is_reached_by(date) {
                let key = (date, self.sequence.first(*document).unwrap_or(0));
                if page.admits(key) {
                    first.add(key);
                }
            }
        }
    }
}

impl SegmentCollector for SegmentNewest {
    type Fruit = Self;

    fn collect(&mut self, document: DocId, _: Score) {
        let date = || self.sent_at.first(document).unwrap_or(i64::MIN);
        let copies = self.copies.as_ref();
        if !copies.is_some_and(|copies| copies.take(document, date)) {
            self.keep(&[document]);
        }
    }

    fn collect_block(&mut self, documents: &[DocId]) {
        if self.copies.is_none() {
            return self.keep(documents);
        }
        for document in documents {
            self.collect(*document, 0.0);
        }
    }

    fn harvest(self) -> Self {
        self
    }
}

/// Matches of one segment, which come ascending.
enum Matching {
    List(Vec<DocId>),
    Bits(BitSet),
}

impl Matching {
    /// Adds matches of a segment whose documents are all below `max`.
    fn add(&mut self, documents: &[DocId], max: DocId) {
        match self {
            Self::List(list) => {
                list.extend_from_slice(documents);
                if list.len() > max as usize / DOCUMENTS_PER_LISTED_MATCH {
                    let mut bits = BitSet::with_max_value(max);
                    insert(&mut bits, list);
                    *self = Self::Bits(bits);
                }
            }
            Self::Bits(bits) => insert(bits, documents),
        }
    }

    /// Gives the places of the stretches that hold a match, where a stretch has so many documents.
    fn stretches(&self, len: u32) -> Vec<u32> {
        match self {
            Self::List(list) => {
                let same = |one: &DocId, next: &DocId| one / len == next / len;
                list.chunk_by(same).map(|some| some[0] / len).collect()
            }
            Self::Bits(bits) => {
                let words = len / 64;
                let first_from = |stretch: u32| {
                    let from = (stretch * words).min(words_of(bits));
                    bits.first_non_empty_bucket(from).map(|word| word / words)
                };
                std::iter::successors(first_from(0), |stretch| first_from(stretch + 1)).collect()
            }
        }
    }

    /// Gives the matches of one stretch, ascending.
    fn of_stretch(&self, stretch: u32, len: u32) -> Vec<DocId> {
        let documents = stretch * len..stretch * len + len;
        match self {
            Self::List(list) => {
                let from = list.partition_point(|document| *document < documents.start);
                let until = list.partition_point(|document| *document < documents.end);
                list[from..until].to_vec()
            }
            Self::Bits(bits) => {
                let words = documents.start / 64..(documents.end / 64).min(words_of(bits));
                words
                    .flat_map(|word| bits.tinyset(word).into_iter().map(move |at| word * 64 + at))
                    .collect()
            }
        }
    }
}

fn insert(bits: &mut BitSet, documents: &[DocId]) {
    for document in documents {
        bits.insert(*document);
    }
}

fn words_of(bits: &BitSet) -> u32 {
    bits.max_value().div_ceil(64)
}

/// The first keys of those added.
struct First {
    reach: usize,
    /// The least on top.
    keys: BinaryHeap<Reverse<Key>>,
}

impl First {
    fn new(reach: usize) -> Self {
        Self {
            reach,
            keys: BinaryHeap::new(),
        }
    }

    /// Tells whether a key of this date may be among the first.
    fn is_reached_by(&self, date: i64) -> bool {
        let least = self.keys.peek();
        self.keys.len() < self.reach || least.is_some_and(|Reverse((least, _))| date >= *least)
    }

    fn add(&mut self, key: Key) {
        self.keys.push(Reverse(key));
        if self.keys.len() > self.reach {
            self.keys.pop();
        }
    }

    fn keys(self) -> Vec<Key> {
        self.keys.into_iter().map(|Reverse(key)| key).collect()
    }
}
