//! Reading the catalog: what has been written to its file and what waits, as one.

use super::keys;
use super::pending::Pending;
use super::place::{LeafBlock, Place};
use super::summary::Summary;
use super::tables::Tables;
use super::{CatalogContext, HourOfSource, Origin, Source, Totals, VolumeEntry, Watermark};
use crate::error::{Error, Result};
use crate::merkle::{Hash, TileSource};
use crate::record::RecordKind;
use crate::volume_files::VolumeSet;
use archive::{ContentRef, Digest};
use redb::ReadOnlyTable;
use std::collections::{BTreeSet, HashSet};
use std::ops::{Range, RangeInclusive};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// A view of the catalog that holds what was in it when it was taken, and may come to know what is added later.
///
/// What a number or digest stands for never changes in it, places included.
pub(crate) struct CatalogView {
    pub(super) tables: Arc<Tables>,
    pub(super) pending: Arc<RwLock<Pending>>,
    pub(super) volumes: Arc<VolumeSet>,
}

impl CatalogView {
    fn pending(&self) -> RwLockReadGuard<'_, Pending> {
        self.pending.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The volume files that the places point into.
    pub(crate) fn volumes(&self) -> &VolumeSet {
        &self.volumes
    }

    /// How far the catalog has followed; zeros for an empty one.
    pub(crate) fn watermark(&self) -> Result<Watermark> {
        Ok(self.pending().watermark)
    }

    pub(crate) fn totals(&self) -> Result<Totals> {
        Ok(self.pending().totals)
    }

    pub(crate) fn leaf(&self, sequence: u64) -> Result<Option<(RecordKind, Place)>> {
        if let Some(leaf) = self.pending().leaves.get(&sequence) {
            return Ok(Some(*leaf));
        }
        let (block, index) = LeafBlock::of(sequence);
        Ok(self.tables.leaves(block)?.get(index))
    }

    /// Length and place of a content.
    pub(crate) fn content(&self, digest: &Digest) -> Result<Option<(u64, Place)>> {
        let waiting = self.pending().digests.get(digest).copied();
        match waiting.and_then(|known| known.content) {
            None => Ok(self.tables.known(digest)?.content),
            found => Ok(found),
        }
    }

    /// Those of a volume's contents that have their place in it, each by its first copy.
    pub(super) fn contents_in(
        &self,
        number: u64,
        contents: Vec<(ContentRef, Place)>,
    ) -> Result<Vec<(ContentRef, Place)>> {
        let mut seen = HashSet::new();
        let mut found = Vec::with_capacity(contents.len());
        for (content, place) in contents {
            let known = self.content(&content.digest)?;
            if known.is_some_and(|(_, known)| known.volume == number) && seen.insert(content.digest)
            {
                found.push((content, place));
            }
        }
        Ok(found)
    }

    /// Sequence number of the message with this digest.
    pub(crate) fn message(&self, digest: &Digest) -> Result<Option<u64>> {
        let waiting = self.pending().digests.get(digest).copied();
        match waiting.and_then(|known| known.message) {
            None => Ok(self.tables.known(digest)?.message),
            found => Ok(found),
        }
    }

    pub(crate) fn summary(&self, sequence: u64) -> Result<Option<Summary>> {
        if let Some(summary) = self.pending().summaries.get(&sequence) {
            return Ok(Some(summary.clone()));
        }
        self.tables.summary(sequence)
    }

    /// Brings summaries into memory that will be asked for one by one.
    pub(crate) fn fetch_summaries(&self, sequences: &[u64]) {
        let mut written = sequences.to_vec();
        let is_written = |number: &u64| !self.pending().summaries.contains_key(number);
        written.retain(is_written);
        self.tables.fetch(&written);
    }

    /// Sequence numbers of a message's receptions but the first, ascending.
    pub(crate) fn further_receptions(&self, message: u64) -> Result<Vec<u64>> {
        let pending = self.pending();
        let keys = keys::receptions(message);
        numbers(
            &self.tables.receptions,
            &pending.receptions,
            keys,
            usize::MAX,
        )
    }

    /// Those of them that came from this place, ascending.
    pub(crate) fn receptions_from(&self, message: u64, origin: &Origin) -> Result<Vec<u64>> {
        let pending = self.pending();
        let keys = keys::receptions_from(message, origin);
        numbers(
            &self.tables.receptions,
            &pending.receptions,
            keys,
            usize::MAX,
        )
    }

    /// Sequence numbers of messages whose Message-ID this may be, ascending.
    pub(crate) fn messages_with_id(&self, message_id: &str) -> Result<Vec<u64>> {
        let pending = self.pending();
        let keys = keys::messages_with_id(message_id);
        numbers(&self.tables.ids, &pending.ids, keys, usize::MAX)
    }

    /// Sequence numbers of the first messages with the same normal form, ascending: so many at most.
    pub(crate) fn group(&self, group: &[u8; 16], most: usize) -> Result<Vec<u64>> {
        let pending = self.pending();
        let keys = keys::messages_of_group(group);
        numbers(&self.tables.groups, &pending.groups, keys, most)
    }

    pub(crate) fn volume(&self, number: u64) -> Result<Option<VolumeEntry>> {
        if let Some(entry) = self.pending().volumes.get(&number) {
            return Ok(Some(*entry));
        }
        self.tables.volume(number)
    }

    /// Where mail came from.
    pub(crate) fn sources(&self) -> Result<Vec<Source>> {
        self.tables.arrivals.sources(&self.pending().arrivals)
    }

    /// What came from where in these hours since 1970.
    pub(crate) fn hours(&self, hours: Range<u32>) -> Result<Vec<HourOfSource>> {
        self.tables.arrivals.hours(&self.pending().arrivals, hours)
    }

    /// The checkpoint of the largest tree, at most `size_max` leaves.
    pub(crate) fn last_checkpoint(&self, size_max: u64) -> Result<Option<(u64, Place)>> {
        if let Some((size, place)) = self.pending().checkpoints.range(..=size_max).next_back() {
            return Ok(Some((*size, *place)));
        }
        self.tables.last_checkpoint(size_max)
    }
}

/// The first numbers that keys of a range end with, from the table and from what waits.
fn numbers<const N: usize>(
    table: &ReadOnlyTable<&'static [u8; N], ()>,
    waiting: &BTreeSet<[u8; N]>,
    keys: RangeInclusive<[u8; N]>,
    most: usize,
) -> Result<Vec<u64>> {
    let (from, until) = (keys.start(), keys.end());
    let written = table
        .range::<&[u8; N]>(from..=until)
        .doing("read")?
        .take(most);
    let mut numbers = written
        .map(|key| {
            key.map(|(key, _)| keys::last_number(key.value()))
                .doing("read")
        })
        .collect::<Result<BTreeSet<u64>>>()?;
    let waiting = waiting.range(keys).take(most);
    numbers.extend(waiting.map(|key| keys::last_number(key)));
    Ok(numbers.into_iter().take(most).collect())
}

impl TileSource for CatalogView {
    type Error = Error;

    fn tile(&self, level: u8, index: u64) -> Result<Vec<Hash>> {
        if let Some(hashes) = self.pending().tiles.get(&(level, index)) {
            return Ok(hashes.clone());
        }
        self.tables.tile(level, index)
    }
}
