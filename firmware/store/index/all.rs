//! Gives the sequence number of every match, for exports: no order by date, no limit but eight bytes a match.

use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::Column;
use tantivy::{DocId, Score, SegmentOrdinal, SegmentReader};

use super::schema;

/// Collects sequence numbers, ascending.
pub(super) struct All;

impl Collector for All {
    type Fruit = Vec<u64>;
    type Child = SegmentAll;

    fn for_segment(
        &self,
        _: SegmentOrdinal,
        segment: &SegmentReader,
    ) -> tantivy::Result<SegmentAll> {
        Ok(SegmentAll {
            sequence: segment.fast_fields().u64(schema::SEQUENCE)?,
            numbers: Vec::new(),
        })
    }

    fn requires_scoring(&self) -> bool {
        false
    }

    fn merge_fruits(&self, segments: Vec<Vec<u64>>) -> tantivy::Result<Vec<u64>> {
        let mut numbers = segments.concat();
        numbers.sort_unstable();
        Ok(numbers)
    }
}

/// The matches of one segment.
pub(super) struct SegmentAll {
    sequence: Column<u64>,
    numbers: Vec<u64>,
}

impl SegmentCollector for SegmentAll {
    type Fruit = Vec<u64>;

    fn collect(&mut self, document: DocId, _: Score) {
        self.numbers.extend(self.sequence.first(document));
    }

    fn harvest(self) -> Vec<u64> {
        self.numbers
    }
}
