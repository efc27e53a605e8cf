//! What the catalog has taken over and not written to its file yet.
//!
//! It only grows, and is emptied by giving it up for a new one: whoever holds an old one goes on seeing what it held.

use super::arrivals::PendingArrivals;
use super::keys::{self, GroupKey, IdKey, ReceptionKey};
use super::{Entries, Known, Place, Summary, Totals, VolumeEntry, Watermark};
use crate::merkle::{Hash, Tile};
use crate::record::RecordKind;
use archive::Digest;
use std::collections::{BTreeMap, BTreeSet};

/// Leaves and digests that wait before they are written: about 4,000 messages, which take some 40 ms, and less than a second to be
/// read again from the volumes after a crash. Few in tests, so that they come past it.
const ENTRIES_MAX: usize = if cfg!(test) { 24 } else { 12_288 };

/// Summaries that wait, in bytes: ten times what so many usually take.
const SUMMARY_BYTES_MAX: usize = 16 << 20;

/// Entries that wait; keys as in the tables.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) leaves: BTreeMap<u64, (RecordKind, Place)>,
    pub(super) tiles: BTreeMap<(u8, u64), Vec<Hash>>,
    pub(super) digests: BTreeMap<Digest, Known>,
    pub(super) summaries: BTreeMap<u64, Summary>,
    pub(super) receptions: BTreeSet<ReceptionKey>,
    pub(super) ids: BTreeSet<IdKey>,
    pub(super) groups: BTreeSet<GroupKey>,
    pub(super) volumes: BTreeMap<u64, VolumeEntry>,
    pub(super) checkpoints: BTreeMap<u64, Place>,
    pub(super) arrivals: PendingArrivals,
    /// Sums over everything, not only over what waits.
    pub(super) totals: Totals,
    pub(super) watermark: Watermark,
    summary_bytes: usize,
    /// Whether anything was added since the file was written.
    pub(super) has_news: bool,
}

impl Pending {
    /// Begins behind what the file holds.
    pub(super) fn behind(totals: Totals, watermark: Watermark) -> Self {
        Self {
            totals,
            watermark,
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, entries: &Entries, tiles: &[Tile]) {
        self.has_news = true;
        let leaves = entries.leaves.iter();
        self.leaves
            .extend(leaves.map(|(sequence, kind, place)| (*sequence, (*kind, *place))));
        for (content, place) in &entries.contents {
            let known = self.digests.entry(content.digest).or_default();
            known.content = Some((content.length_bytes, *place));
        }
        for (sequence, digest) in &entries.messages {
            self.digests.entry(*digest).or_default().message = Some(*sequence);
        }
        for (sequence, summary) in &entries.summaries {
            self.summary(*sequence, summary);
        }
        let receptions = entries.further_receptions.iter();
        self.receptions.extend(
            receptions.map(|further| {
                keys::reception(further.message, &further.origin, further.reception)
            }),
        );
        self.volumes.extend(entries.volumes.iter().copied());
        self.checkpoints.extend(entries.checkpoints.iter().copied());
        let tiles = tiles.iter();
        self.tiles
            .extend(tiles.map(|tile| ((tile.level, tile.index), tile.hashes.clone())));
        self.totals.add(entries.totals);
        for arrival in &entries.arrivals {
            self.arrivals.add(arrival);
        }
    }

    fn summary(&mut self, sequence: u64, summary: &Summary) {
        if !summary.message_id.is_empty() {
            self.ids.insert(keys::id(&summary.message_id, sequence));
        }
        self.groups.insert(keys::group(&summary.group, sequence));
        self.summary_bytes += summary.weight_bytes();
        self.summaries.insert(sequence, summary.clone());
    }

    /// Returns whether it is time to write.
    pub(super) fn is_much(&self) -> bool {
        self.leaves.len() + self.digests.len() >= ENTRIES_MAX
            || self.summary_bytes >= SUMMARY_BYTES_MAX
    }
}
