//! The tables of the catalog in redb: how they are written and opened for reading.

use super::arrivals::{self, ArrivalTables};
use super::keys::{GroupKey, IdKey, ReceptionKey};
use super::pending::Pending;
use super::place::{LeafBlock, PLACE_BYTES};
use super::summary::{self, Block, Rows, Summary};
use super::{CatalogContext, Known, Place, Totals, VolumeEntry, Watermark, damaged};
use crate::encoding::Bytes;
use crate::error::{Error, Result};
use crate::merkle::Hash;
use crate::recently_used::RecentlyUsed;
use archive::Digest;
use redb::{
    ReadOnlyTable, ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction,
};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const LEAVES: TableDefinition<u64, &[u8]> = TableDefinition::new("leaves");
/// Level 0 apart from the others, so that both only grow at their ends, which fills pages.
const TILES: TableDefinition<u64, &[u8]> = TableDefinition::new("tiles");
const INNER_TILES: TableDefinition<(u8, u64), &[u8]> = TableDefinition::new("inner tiles");
const DIGESTS: TableDefinition<&[u8; 32], &KnownBytes> = TableDefinition::new("digests");
const SUMMARIES: TableDefinition<u64, &[u8]> = TableDefinition::new("summaries");
const RECEPTIONS: TableDefinition<&ReceptionKey, ()> = TableDefinition::new("receptions");
const IDS: TableDefinition<&IdKey, ()> = TableDefinition::new("ids");
const GROUPS: TableDefinition<&GroupKey, ()> = TableDefinition::new("groups");
const VOLUMES: TableDefinition<u64, &[u8]> = TableDefinition::new("volumes");
const CHECKPOINTS: TableDefinition<u64, &[u8]> = TableDefinition::new("checkpoints");

const WATERMARK: &str = "watermark";
const TOTALS: &str = "totals";

/// Unpacked blocks of summaries kept in memory, in bytes: some twenty pages of results, so that a list shown again, or its next page,
/// unpacks little.
const BLOCKS_BYTES_MAX: usize = 4 << 20;

/// Blocks that are read at once, each by a thread of its own: what a disk does at once, and fewer missing ones are read one by one.
const FETCHED_AT_ONCE: usize = 8;

/// Message (5, zero for none), length of the content (6), its place (12, volume zero for none).
type KnownBytes = [u8; 23];

impl Known {
    fn encode(&self) -> KnownBytes {
        let mut out = [0; 23];
        out[..5].copy_from_slice(&self.message.unwrap_or(0).to_le_bytes()[..5]);
        if let Some((length_bytes, place)) = self.content {
            out[5..11].copy_from_slice(&length_bytes.to_le_bytes()[..6]);
            out[11..11 + PLACE_BYTES].copy_from_slice(&place.encode());
        }
        out
    }

    fn decode(bytes: &KnownBytes) -> Option<Self> {
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .rev()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
        };
        let message = number(&bytes[..5]);
        let place = Place::decode(&mut Bytes(&bytes[11..]))?;
        Some(Self {
            message: (message > 0).then_some(message),
            content: (place.volume > 0).then(|| (number(&bytes[5..11]), place)),
        })
    }
}

/// The tables as they were after a commit.
pub(super) struct Tables {
    leaves: ReadOnlyTable<u64, &'static [u8]>,
    tiles: ReadOnlyTable<u64, &'static [u8]>,
    inner_tiles: ReadOnlyTable<(u8, u64), &'static [u8]>,
    digests: ReadOnlyTable<&'static [u8; 32], &'static KnownBytes>,
    summaries: ReadOnlyTable<u64, &'static [u8]>,
    pub(super) receptions: ReadOnlyTable<&'static ReceptionKey, ()>,
    pub(super) ids: ReadOnlyTable<&'static IdKey, ()>,
    pub(super) groups: ReadOnlyTable<&'static GroupKey, ()>,
    volumes: ReadOnlyTable<u64, &'static [u8]>,
    checkpoints: ReadOnlyTable<u64, &'static [u8]>,
    pub(super) arrivals: ArrivalTables,
    /// Blocks of summaries that were read, by their keys.
    blocks: Mutex<RecentlyUsed<u64, Arc<Block>>>,
}

impl Tables {
    pub(super) fn open(transaction: &ReadTransaction) -> Result<Self> {
        Ok(Self {
            leaves: transaction.open_table(LEAVES).doing("read")?,
            tiles: transaction.open_table(TILES).doing("read")?,
            inner_tiles: transaction.open_table(INNER_TILES).doing("read")?,
            digests: transaction.open_table(DIGESTS).doing("read")?,
            summaries: transaction.open_table(SUMMARIES).doing("read")?,
            receptions: transaction.open_table(RECEPTIONS).doing("read")?,
            ids: transaction.open_table(IDS).doing("read")?,
            groups: transaction.open_table(GROUPS).doing("read")?,
            volumes: transaction.open_table(VOLUMES).doing("read")?,
            checkpoints: transaction.open_table(CHECKPOINTS).doing("read")?,
            arrivals: ArrivalTables::open(transaction)?,
            blocks: Mutex::new(RecentlyUsed::new(BLOCKS_BYTES_MAX)),
        })
    }

    pub(super) fn leaves(&self, block: u64) -> Result<LeafBlock> {
        leaf_block(&self.leaves, block)
    }

    pub(super) fn tile(&self, level: u8, index: u64) -> Result<Vec<Hash>> {
        let value = match level {
            0 => self.tiles.get(index).doing("read")?,
            _ => self.inner_tiles.get((level, index)).doing("read")?,
        };
        Ok(value.map_or_else(Vec::new, |value| value.value().as_chunks::<32>().0.to_vec()))
    }

    pub(super) fn known(&self, digest: &Digest) -> Result<Known> {
        known(&self.digests, digest)
    }

    pub(super) fn summary(&self, sequence: u64) -> Result<Option<Summary>> {
        let kept = self.kept(sequence);
        let Some(block) = kept.map_or_else(|| self.block(sequence), |kept| Ok(Some(kept)))? else {
            return Ok(None);
        };
        block.summary(sequence).ok_or_else(damaged_block)
    }

    /// Reads the blocks of these summaries that are not in memory, several at once: a disk gives many as fast as one.
    ///
    /// What cannot be read is told to who asks for it.
    pub(super) fn fetch(&self, sequences: &[u64]) {
        let is_missing = |sequence: &u64| self.kept(*sequence).is_none();
        let mut missing: Vec<u64> = sequences.iter().copied().filter(is_missing).collect();
        if missing.len() < FETCHED_AT_ONCE {
            return;
        }
        // Neighbours are mostly in one block, and thus fetched by one thread.
        missing.sort_unstable();
        let share = missing.len().div_ceil(FETCHED_AT_ONCE);
        std::thread::scope(|scope| {
            for some in missing.chunks(share) {
                scope.spawn(|| some.iter().for_each(|number| drop(self.summary(*number))));
            }
        });
    }

    /// Gives the block to which a summary belongs if it is in memory.
    fn kept(&self, sequence: u64) -> Option<Arc<Block>> {
        let block = self.blocks().get_up_to(sequence);
        block.filter(|block| !block.is_before(sequence))
    }

    /// Reads the block to which a summary belongs.
    fn block(&self, sequence: u64) -> Result<Option<Arc<Block>>> {
        let mut blocks = self.summaries.range(..=sequence).doing("read")?;
        let Some(block) = blocks.next_back() else {
            return Ok(None);
        };
        let (key, block) = block.doing("read")?;
        let block = Block::unpack(key.value(), block.value()).ok_or_else(damaged_block)?;
        let block = Arc::new(block);
        self.blocks()
            .put(key.value(), block.clone(), block.weight_bytes());
        Ok(Some(block))
    }

    fn blocks(&self) -> MutexGuard<'_, RecentlyUsed<u64, Arc<Block>>> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn volume(&self, number: u64) -> Result<Option<VolumeEntry>> {
        let Some(value) = self.volumes.get(number).doing("read")? else {
            return Ok(None);
        };
        let entry = VolumeEntry::decode(Bytes(value.value()));
        entry
            .map(Some)
            .ok_or_else(|| damaged("the entry of a volume does not hold"))
    }

    pub(super) fn last_checkpoint(&self, size_max: u64) -> Result<Option<(u64, Place)>> {
        let mut checkpoints = self.checkpoints.range(..=size_max).doing("read")?;
        let Some(last) = checkpoints.next_back() else {
            return Ok(None);
        };
        let (size, value) = last.doing("read")?;
        let place = Place::decode(&mut Bytes(value.value()))
            .ok_or_else(|| damaged("a checkpoint does not hold"))?;
        Ok(Some((size.value(), place)))
    }
}

fn damaged_block() -> Error {
    damaged("a block of summaries does not hold")
}

fn leaf_block(table: &impl ReadableTable<u64, &'static [u8]>, block: u64) -> Result<LeafBlock> {
    let Some(value) = table.get(block).doing("read")? else {
        return Ok(LeafBlock::default());
    };
    LeafBlock::decode(value.value()).ok_or_else(|| damaged("the places of leaves do not hold"))
}

fn known(
    table: &impl ReadableTable<&'static [u8; 32], &'static KnownBytes>,
    digest: &Digest,
) -> Result<Known> {
    let Some(value) = table.get(&digest.0).doing("read")? else {
        return Ok(Known::default());
    };
    Known::decode(value.value()).ok_or_else(|| damaged("what is known of a digest does not hold"))
}

/// Sums and watermark of the file.
pub(super) fn read_meta(transaction: &ReadTransaction) -> Result<(Totals, Watermark)> {
    let table = transaction.open_table(META).doing("read")?;
    let totals = match table.get(TOTALS).doing("read")? {
        Some(value) => Totals::decode(Bytes(value.value())),
        None => Some(Totals::default()),
    };
    let watermark = match table.get(WATERMARK).doing("read")? {
        Some(value) => Watermark::decode(Bytes(value.value())),
        None => Some(Watermark::default()),
    };
    totals
        .zip(watermark)
        .ok_or_else(|| damaged("its totals or its watermark do not hold"))
}

/// Makes the tables that are not there.
pub(super) fn make(transaction: &WriteTransaction) -> Result<()> {
    transaction.open_table(META).doing("open")?;
    put(transaction, &Pending::default())
}

/// Writes entries, all but sums and watermark.
pub(super) fn put(transaction: &WriteTransaction, pending: &Pending) -> Result<()> {
    put_leaves(transaction, pending)?;
    put_tiles(transaction, pending)?;
    put_digests(transaction, pending)?;
    put_summaries(transaction, pending)?;
    put_keys(transaction, RECEPTIONS, &pending.receptions)?;
    put_keys(transaction, IDS, &pending.ids)?;
    put_keys(transaction, GROUPS, &pending.groups)?;
    let mut volumes = transaction.open_table(VOLUMES).doing("write")?;
    for (number, entry) in &pending.volumes {
        let value = entry.encode();
        volumes.insert(number, value.as_slice()).doing("write")?;
    }
    let mut checkpoints = transaction.open_table(CHECKPOINTS).doing("write")?;
    for (size, place) in &pending.checkpoints {
        let value = place.encode();
        checkpoints.insert(size, value.as_slice()).doing("write")?;
    }
    arrivals::put(transaction, &pending.arrivals)
}

pub(super) fn put_meta(transaction: &WriteTransaction, pending: &Pending) -> Result<()> {
    let mut meta = transaction.open_table(META).doing("write")?;
    let (totals, watermark) = (pending.totals.encode(), pending.watermark.encode());
    meta.insert(TOTALS, totals.as_slice()).doing("write")?;
    meta.insert(WATERMARK, watermark.as_slice())
        .doing("write")?;
    Ok(())
}

fn put_leaves(transaction: &WriteTransaction, pending: &Pending) -> Result<()> {
    let mut table = transaction.open_table(LEAVES).doing("write")?;
    let mut leaves = pending.leaves.iter().peekable();
    while let Some((sequence, _)) = leaves.peek() {
        let (number, _) = LeafBlock::of(**sequence);
        let mut block = leaf_block(&table, number)?;
        let of_block = |(sequence, _): &(&u64, _)| LeafBlock::of(**sequence).0 == number;
        while let Some((sequence, leaf)) = leaves.next_if(of_block) {
            block.set(LeafBlock::of(*sequence).1, *leaf);
        }
        table
            .insert(number, block.encode().as_slice())
            .doing("write")?;
    }
    Ok(())
}

fn put_tiles(transaction: &WriteTransaction, pending: &Pending) -> Result<()> {
    let mut tiles = transaction.open_table(TILES).doing("write")?;
    let mut inner_tiles = transaction.open_table(INNER_TILES).doing("write")?;
    for ((level, index), hashes) in &pending.tiles {
        let hashes = hashes.as_flattened();
        match level {
            0 => tiles.insert(index, hashes).doing("write")?,
            _ => inner_tiles
                .insert((*level, *index), hashes)
                .doing("write")?,
        };
    }
    Ok(())
}

fn put_digests(transaction: &WriteTransaction, pending: &Pending) -> Result<()> {
    let mut table = transaction.open_table(DIGESTS).doing("write")?;
    for (digest, new) in &pending.digests {
        let before = known(&table, digest)?;
        let both = new.or(before).encode();
        table.insert(&digest.0, &both).doing("write")?;
    }
    Ok(())
}

fn put_keys<const N: usize>(
    transaction: &WriteTransaction,
    definition: TableDefinition<&'static [u8; N], ()>,
    keys: &BTreeSet<[u8; N]>,
) -> Result<()> {
    let mut table = transaction.open_table(definition).doing("write")?;
    for key in keys {
        table.insert(key, ()).doing("write")?;
    }
    Ok(())
}

/// Puts new summaries into the blocks where they belong: nearly always behind the last, which is filled up first.
fn put_summaries(transaction: &WriteTransaction, pending: &Pending) -> Result<()> {
    let mut table = transaction.open_table(SUMMARIES).doing("write")?;
    let mut new = pending.summaries.iter().peekable();
    while let Some((first, _)) = new.peek() {
        let (mut rows, next) = take_block(&mut table, **first)?;
        while let Some((sequence, summary)) = new.next_if(|(sequence, _)| **sequence < next) {
            rows.insert(*sequence, summary.row());
        }
        for (key, block) in summary::pack(&rows) {
            table.insert(key, block.as_slice()).doing("write")?;
        }
    }
    Ok(())
}

/// Takes out the block that a summary belongs to; also gives the key of the next one.
fn take_block(table: &mut Table<u64, &'static [u8]>, sequence: u64) -> Result<(Rows, u64)> {
    let mut rows = Rows::new();
    let mut key_before = None;
    if let Some(block) = table.range(..=sequence).doing("read")?.next_back() {
        let (key, block) = block.doing("read")?;
        key_before = Some(key.value());
        let block = Block::unpack(key.value(), block.value()).ok_or_else(damaged_block)?;
        rows = block.rows();
    }
    if let Some(key) = key_before {
        table.remove(key).doing("write")?;
    }
    let next = match table.range(sequence + 1..).doing("read")?.next() {
        Some(next) => next.doing("read")?.0.value(),
        None => u64::MAX,
    };
    Ok((rows, next))
}
