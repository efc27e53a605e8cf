//! What is known of a segment's documents before any column is read: the newest date of each stretch of them, and copies.
//!
//! Mail is indexed much as it comes, so that a page of the newest matches lies in few stretches (see `newest`). A segment
//! never changes but for removed documents, which make no date higher than what is known here. Kept are 8 bytes a
//! stretch, and a bit a document where a segment has copies.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tantivy::columnar::Column;
use tantivy::index::SegmentId;
use tantivy::{BitSet, DocId, Searcher, SegmentReader};

use super::{copies, schema};

/// Documents of a stretch: with more, a page reads more dates; with fewer, more stretches are put in order.
const STRETCH_LEN: u32 = 1024;

/// The stretches of one segment.
pub(super) struct Stretches {
    /// Documents of a stretch, a multiple of 64; the last one may have fewer.
    pub(super) len: u32,
    /// The newest date of each.
    pub(super) newest: Vec<i64>,
    /// Documents that name a first copy; none where there are none.
    pub(super) copies: Option<BitSet>,
}

impl Stretches {
    fn read(segment: &SegmentReader, len: u32) -> tantivy::Result<Self> {
        let sent_at = segment.fast_fields().i64(schema::SENT_AT)?;
        let documents: Vec<DocId> = (0..segment.max_doc()).collect();
        let newest = documents.chunks(len as usize).map(|stretch| {
            let dates = dates(&sent_at, stretch).into_iter();
            dates.max().unwrap_or(i64::MIN)
        });
        let newest = newest.collect();
        let copies = copies::column(segment)?.map(|first_copy| {
            let mut copies = BitSet::with_max_value(segment.max_doc());
            let is_copy = |document: &DocId| first_copy.first(*document) > Some(0);
            for copy in documents.into_iter().filter(is_copy) {
                copies.insert(copy);
            }
            copies
        });
        Ok(Self {
            len,
            newest,
            copies,
        })
    }
}

/// Gives the date shown of each of these documents.
pub(super) fn dates(sent_at: &Column<i64>, documents: &[DocId]) -> Vec<i64> {
    let mut dates = vec![None; documents.len()];
    sent_at.first_vals(documents, &mut dates);
    let dates = dates.into_iter();
    dates.map(|date| date.unwrap_or(i64::MIN)).collect()
}

/// The stretches of all segments that searches see, read once for each.
pub(super) struct AllStretches {
    len: u32,
    of_segments: Mutex<HashMap<SegmentId, Arc<Stretches>>>,
}

impl AllStretches {
    /// Knows nothing yet.
    pub(super) fn new() -> Self {
        Self::of_len(STRETCH_LEN)
    }

    /// Makes stretches of so many documents, a multiple of 64.
    pub(super) fn of_len(len: u32) -> Self {
        Self {
            len,
            of_segments: Mutex::default(),
        }
    }

    /// Gives the stretches of each segment, by its place; forgets segments that this searcher does not see.
    pub(super) fn of(&self, searcher: &Searcher) -> tantivy::Result<Vec<Arc<Stretches>>> {
        let locked = self.of_segments.lock();
        let mut known = locked.unwrap_or_else(PoisonError::into_inner);
        let mut seen = HashMap::new();
        let mut in_order = Vec::new();
        for segment in searcher.segment_readers() {
            let stretches = match known.get(&segment.segment_id()) {
                Some(stretches) => stretches.clone(),
                None => Arc::new(Stretches::read(segment, self.len)?),
            };
            seen.insert(segment.segment_id(), stretches.clone());
            in_order.push(stretches);
        }
        *known = seen;
        Ok(in_order)
    }
}
