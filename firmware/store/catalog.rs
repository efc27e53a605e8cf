//! The catalog: where each record lies and the facts about messages that lists show, in redb.
//!
//! Derived: it follows the volumes by a watermark and can be thrown away. Its commits do not wait for the disk; a durable one comes now
//! and then ([`Catalog::apply`]). Tables, keys and values:
//!
//! | table | key | value |
//! |---|---|---|
//! | meta | name | watermark, totals |
//! | leaves | sequence number | kind (1), place (13) |
//! | tiles | level, number of the tile | 1 to 16 hashes of the tree |
//! | contents | digest | place (13), length (8) |
//! | messages | digest | sequence number |
//! | summaries | sequence number | [`Summary`] as fields |
//! | receptions | sequence number of a message | sequence numbers of its receptions but the first, which is the next leaf |
//! | ids | first 8 bytes of the SHA-256 of a Message-ID | sequence numbers |
//! | groups | first 16 bytes of the digest of the normal form | sequence numbers |
//! | volumes | volume number | sealed (1), volume digest (32) |
//! | checkpoints | tree size | place (13) |

use crate::disk::Disk;
use crate::encoding::{Bytes, FieldWriter, Fields, text};
use crate::error::{Error, Result};
use crate::merkle::{Hash, Tile, TileSource, TreeError};
use crate::record::RecordKind;
use crate::redb_backend::open_database;
use crate::volume_files::{VolumeFiles, VolumeSet};
use archive::{ContentRef, Digest};
use mail::Oddities;
use redb::{
    Database, Durability, MultimapTableDefinition, ReadTransaction, ReadableDatabase,
    ReadableTable, TableDefinition, WriteTransaction,
};
use std::path::Path;
use std::sync::Arc;

/// Schema of the tables; part of the file's name.
const SCHEMA: u32 = 1;

/// Memory that redb may use for pages in bytes: the hot inner pages of some ten million messages.
const CACHE_BYTES: usize = 32 << 20;

const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const LEAVES: TableDefinition<u64, &[u8]> = TableDefinition::new("leaves");
const TILES: TableDefinition<(u8, u64), &[u8]> = TableDefinition::new("tiles");
const CONTENTS: TableDefinition<&[u8; 32], &[u8; 21]> = TableDefinition::new("contents");
const MESSAGES: TableDefinition<&[u8; 32], u64> = TableDefinition::new("messages");
const SUMMARIES: TableDefinition<u64, &[u8]> = TableDefinition::new("summaries");
const RECEPTIONS: MultimapTableDefinition<u64, u64> = MultimapTableDefinition::new("receptions");
const IDS: MultimapTableDefinition<&[u8; 8], u64> = MultimapTableDefinition::new("ids");
const GROUPS: MultimapTableDefinition<&[u8; 16], u64> = MultimapTableDefinition::new("groups");
const VOLUMES: TableDefinition<u64, &[u8]> = TableDefinition::new("volumes");
const CHECKPOINTS: TableDefinition<u64, &[u8]> = TableDefinition::new("checkpoints");

const WATERMARK: &str = "watermark";
const TOTALS: &str = "totals";

/// The name of the catalog's file.
pub(crate) fn file_name() -> String {
    format!("catalog-{SCHEMA}.redb")
}

/// Where a record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) volume: u64,
    /// Where its frame begins in the volume.
    pub(crate) frame: u64,
    /// Where it begins in the frame's payload.
    pub(crate) inner: u32,
}

impl Place {
    /// Volume in 4 bytes, frame in 5, inner in 4: a volume's number stays below 2^32, its length below 2^40.
    fn encode(&self) -> [u8; 13] {
        let mut out = [0; 13];
        out[..4].copy_from_slice(&(self.volume as u32).to_le_bytes());
        out[4..9].copy_from_slice(&self.frame.to_le_bytes()[..5]);
        out[9..].copy_from_slice(&self.inner.to_le_bytes());
        out
    }

    fn decode(bytes: &mut Bytes) -> Option<Self> {
        let volume = u64::from(bytes.u32()?);
        let mut frame = [0; 8];
        frame[..5].copy_from_slice(bytes.take(5)?);
        Some(Self {
            volume,
            frame: u64::from_le_bytes(frame),
            inner: bytes.u32()?,
        })
    }
}

/// How far the catalog has followed the volumes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Watermark {
    pub(crate) volume: u64,
    /// Where the next frame begins.
    pub(crate) offset: u64,
    /// The last batch that was taken over.
    pub(crate) batch: u64,
    /// Number of leaves; also the last sequence number.
    pub(crate) leaves: u64,
}

/// Sums over the whole archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Totals {
    /// Distinct messages.
    pub messages: u64,
    /// Arrivals.
    pub receptions: u64,
    /// Entries of the audit log.
    pub events: u64,
    /// Distinct contents, skeletons included.
    pub contents: u64,
    /// Bytes of all messages, each once.
    pub message_bytes: u64,
    /// Bytes of all arrivals.
    pub received_bytes: u64,
    /// Bytes of all contents before compression.
    pub content_bytes: u64,
}

impl Totals {
    fn numbers(&mut self) -> [&mut u64; 7] {
        let Self {
            messages,
            receptions,
            events,
            contents,
            message_bytes,
            received_bytes,
            content_bytes,
        } = self;
        [
            messages,
            receptions,
            events,
            contents,
            message_bytes,
            received_bytes,
            content_bytes,
        ]
    }

    fn encode(mut self) -> Vec<u8> {
        self.numbers()
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect()
    }

    fn decode(mut bytes: Bytes) -> Option<Self> {
        let mut totals = Self::default();
        for number in totals.numbers() {
            *number = bytes.u64()?;
        }
        Some(totals)
    }

    fn add(&mut self, mut other: Self) {
        for (sum, number) in self.numbers().into_iter().zip(other.numbers()) {
            *sum += *number;
        }
    }
}

/// The facts about a message that lists show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// SHA-256 of the message.
    pub digest: Option<Digest>,
    /// Length of the message in bytes.
    pub size_bytes: u64,
    /// When it first arrived, microseconds since 1970 by our clock.
    pub received_at_us: i64,
    /// The Date field, untrusted, Unix seconds.
    pub sent_at: Option<i64>,
    /// The date to sort and search by: `sent_at`, else what the source said, else `received_at`; Unix seconds.
    pub date: i64,
    /// The authors, as shown.
    pub from: String,
    /// The first visible recipients, as shown.
    pub to: Vec<String>,
    /// The subject.
    pub subject: String,
    /// The Message-ID, without `<>`.
    pub message_id: String,
    /// Number of attachments.
    pub attachments: u32,
    /// What was odd in its bytes or their meaning.
    pub oddities: Oddities,
    /// Whether it is Coffer's own test message.
    pub self_test: bool,
    /// First 16 bytes of the digest of its normal form.
    pub(crate) group: [u8; 16],
}

impl Summary {
    fn encode(&self) -> Vec<u8> {
        let mut fields = FieldWriter::default();
        fields.bytes(1, &self.digest.map_or([0; 32], |digest| digest.0));
        fields.uint(2, self.size_bytes);
        fields.int(3, Some(self.received_at_us));
        fields.int(4, self.sent_at);
        fields.int(5, Some(self.date));
        fields.text(6, &self.from);
        self.to.iter().for_each(|to| fields.text(7, to));
        fields.text(8, &self.subject);
        fields.text(9, &self.message_id);
        fields.nonzero(10, u64::from(self.attachments));
        fields.nonzero(11, u64::from(self.oddities.bits()));
        fields.nonzero(12, u64::from(self.self_test));
        fields.bytes(13, &self.group);
        fields.finish()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut summary = Self::default();
        for (tag, mut value) in Fields::new(bytes) {
            match tag {
                1 => summary.digest = Some(Digest(value.array()?)),
                2 => summary.size_bytes = value.varint()?,
                3 => summary.received_at_us = value.i64()?,
                4 => summary.sent_at = Some(value.i64()?),
                5 => summary.date = value.i64()?,
                6 => summary.from = text(value.0),
                7 => summary.to.push(text(value.0)),
                8 => summary.subject = text(value.0),
                9 => summary.message_id = text(value.0),
                10 => summary.attachments = value.varint()? as u32,
                11 => summary.oddities = Oddities::from_bits(value.varint()? as u32),
                12 => summary.self_test = value.varint()? == 1,
                13 => summary.group = value.array()?,
                _ => {}
            }
        }
        Some(summary)
    }
}

/// What one or more batches add to the catalog.
#[derive(Default)]
pub(crate) struct Entries {
    pub(crate) leaves: Vec<(u64, RecordKind, Place)>,
    pub(crate) contents: Vec<(ContentRef, Place)>,
    /// Messages with their digests, known before their summaries are.
    pub(crate) messages: Vec<(u64, Digest)>,
    pub(crate) summaries: Vec<(u64, Summary)>,
    /// Message and reception, for all but a message's first.
    pub(crate) further_receptions: Vec<(u64, u64)>,
    pub(crate) volumes: Vec<(u64, VolumeEntry)>,
    pub(crate) checkpoints: Vec<(u64, Place)>,
    pub(crate) totals: Totals,
}

/// What is known of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VolumeEntry {
    pub(crate) sealed: bool,
    pub(crate) digest: [u8; 32],
}

/// The open catalog.
pub(crate) struct Catalog {
    database: Database,
    files: Arc<VolumeFiles>,
}

/// Names the operation of a redb error.
trait CatalogContext<T> {
    fn doing(self, operation: &'static str) -> Result<T>;
}

impl<T, E: Into<redb::Error>> CatalogContext<T> for std::result::Result<T, E> {
    fn doing(self, operation: &'static str) -> Result<T> {
        self.map_err(|error| Error::Catalog {
            operation,
            source: Box::new(error.into()),
        })
    }
}

/// A stored tree that cannot be read is a catalog that does not hold.
pub(crate) fn tree_error(error: TreeError<Error>) -> Error {
    match error {
        TreeError::ReadTile { source, .. } => source,
        other => damaged(&other.to_string()),
    }
}

fn damaged(how: &str) -> Error {
    Error::Damaged {
        name: file_name(),
        offset: 0,
        how: how.to_owned(),
    }
}

impl Catalog {
    /// Opens the catalog, or makes an empty one.
    pub(crate) fn open(disk: &dyn Disk, files: Arc<VolumeFiles>) -> Result<Self> {
        let name = file_name();
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        let database = open_database(&builder, disk, Path::new(&name)).doing("open")?;
        let catalog = Self { database, files };
        catalog.make_tables()?;
        Ok(catalog)
    }

    fn make_tables(&self) -> Result<()> {
        let transaction = self.write(true)?;
        {
            transaction.open_table(META).doing("open")?;
            transaction.open_table(LEAVES).doing("open")?;
            transaction.open_table(TILES).doing("open")?;
            transaction.open_table(CONTENTS).doing("open")?;
            transaction.open_table(MESSAGES).doing("open")?;
            transaction.open_table(SUMMARIES).doing("open")?;
            transaction.open_multimap_table(RECEPTIONS).doing("open")?;
            transaction.open_multimap_table(IDS).doing("open")?;
            transaction.open_multimap_table(GROUPS).doing("open")?;
            transaction.open_table(VOLUMES).doing("open")?;
            transaction.open_table(CHECKPOINTS).doing("open")?;
        }
        transaction.commit().doing("write")
    }

    fn write(&self, durable: bool) -> Result<WriteTransaction> {
        let mut transaction = self.database.begin_write().doing("write")?;
        if durable {
            // Two phases and the saved allocator state: after a crash it opens at once and cannot be misled by a torn commit.
            transaction.set_two_phase_commit(true);
            transaction.set_quick_repair(true);
        } else {
            transaction
                .set_durability(Durability::None)
                .doing("write")?;
        }
        Ok(transaction)
    }

    /// Takes over what a batch adds; `durable` also makes all earlier ones last.
    pub(crate) fn apply(
        &self,
        entries: &Entries,
        tiles: &[Tile],
        watermark: Watermark,
        durable: bool,
    ) -> Result<()> {
        let transaction = self.write(durable)?;
        put_places(&transaction, entries)?;
        put_messages(&transaction, entries)?;
        put_tiles(&transaction, tiles)?;
        put_meta(&transaction, entries.totals, watermark)?;
        transaction.commit().doing("write")
    }

    /// Makes everything taken over so far last.
    pub(crate) fn make_durable(&self) -> Result<()> {
        self.write(true)?.commit().doing("write")
    }

    /// A view of the catalog as it is now, with the volume files that its places point into.
    pub(crate) fn read(&self) -> Result<CatalogView> {
        let (transaction, volumes) = self.files.with_set(|| self.database.begin_read());
        Ok(CatalogView {
            transaction: transaction.doing("read")?,
            volumes,
        })
    }
}

fn put_places(transaction: &WriteTransaction, entries: &Entries) -> Result<()> {
    let mut leaves = transaction.open_table(LEAVES).doing("write")?;
    for (sequence, kind, place) in &entries.leaves {
        let mut value = [0; 14];
        value[0] = kind.number();
        value[1..].copy_from_slice(&place.encode());
        leaves.insert(sequence, value.as_slice()).doing("write")?;
    }
    let mut contents = transaction.open_table(CONTENTS).doing("write")?;
    for (content, place) in &entries.contents {
        let mut value = [0; 21];
        value[..13].copy_from_slice(&place.encode());
        value[13..].copy_from_slice(&content.length_bytes.to_le_bytes());
        contents.insert(&content.digest.0, &value).doing("write")?;
    }
    let mut volumes = transaction.open_table(VOLUMES).doing("write")?;
    for (number, entry) in &entries.volumes {
        let mut value = [0; 33];
        value[0] = u8::from(entry.sealed);
        value[1..].copy_from_slice(&entry.digest);
        volumes.insert(number, value.as_slice()).doing("write")?;
    }
    let mut checkpoints = transaction.open_table(CHECKPOINTS).doing("write")?;
    for (size, place) in &entries.checkpoints {
        checkpoints
            .insert(size, place.encode().as_slice())
            .doing("write")?;
    }
    Ok(())
}

fn put_messages(transaction: &WriteTransaction, entries: &Entries) -> Result<()> {
    let mut messages = transaction.open_table(MESSAGES).doing("write")?;
    for (sequence, digest) in &entries.messages {
        messages.insert(&digest.0, sequence).doing("write")?;
    }
    let mut summaries = transaction.open_table(SUMMARIES).doing("write")?;
    let mut ids = transaction.open_multimap_table(IDS).doing("write")?;
    let mut groups = transaction.open_multimap_table(GROUPS).doing("write")?;
    for (sequence, summary) in &entries.summaries {
        summaries
            .insert(sequence, summary.encode().as_slice())
            .doing("write")?;
        if !summary.message_id.is_empty() {
            ids.insert(&id_key(&summary.message_id), sequence)
                .doing("write")?;
        }
        groups.insert(&summary.group, sequence).doing("write")?;
    }
    let mut receptions = transaction.open_multimap_table(RECEPTIONS).doing("write")?;
    for (message, reception) in &entries.further_receptions {
        receptions.insert(message, reception).doing("write")?;
    }
    Ok(())
}

fn put_tiles(transaction: &WriteTransaction, tiles: &[Tile]) -> Result<()> {
    let mut table = transaction.open_table(TILES).doing("write")?;
    for tile in tiles {
        table
            .insert((tile.level, tile.index), tile.hashes.as_flattened())
            .doing("write")?;
    }
    Ok(())
}

fn put_meta(transaction: &WriteTransaction, added: Totals, watermark: Watermark) -> Result<()> {
    let mut meta = transaction.open_table(META).doing("write")?;
    let mut totals = match meta.get(TOTALS).doing("read")? {
        Some(value) => {
            Totals::decode(Bytes(value.value())).ok_or_else(|| damaged("its totals do not hold"))?
        }
        None => Totals::default(),
    };
    totals.add(added);
    meta.insert(TOTALS, totals.encode().as_slice())
        .doing("write")?;
    let Watermark {
        volume,
        offset,
        batch,
        leaves,
    } = watermark;
    let value: Vec<u8> = [volume, offset, batch, leaves]
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect();
    meta.insert(WATERMARK, value.as_slice()).doing("write")?;
    Ok(())
}

fn id_key(message_id: &str) -> [u8; 8] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, message_id.as_bytes());
    digest.as_ref()[..8]
        .try_into()
        .expect("a SHA-256 has 32 bytes")
}

/// A view of the catalog at one moment.
pub(crate) struct CatalogView {
    transaction: ReadTransaction,
    volumes: Arc<VolumeSet>,
}

impl CatalogView {
    /// The volume files that the places point into.
    pub(crate) fn volumes(&self) -> &VolumeSet {
        &self.volumes
    }

    /// How far the catalog has followed; zeros for an empty one.
    pub(crate) fn watermark(&self) -> Result<Watermark> {
        let table = self.transaction.open_table(META).doing("read")?;
        let Some(value) = table.get(WATERMARK).doing("read")? else {
            return Ok(Watermark::default());
        };
        let mut bytes = Bytes(value.value());
        let read = |bytes: &mut Bytes| {
            Some(Watermark {
                volume: bytes.u64()?,
                offset: bytes.u64()?,
                batch: bytes.u64()?,
                leaves: bytes.u64()?,
            })
        };
        read(&mut bytes).ok_or_else(|| damaged("its watermark does not hold"))
    }

    pub(crate) fn totals(&self) -> Result<Totals> {
        let table = self.transaction.open_table(META).doing("read")?;
        match table.get(TOTALS).doing("read")? {
            Some(value) => Totals::decode(Bytes(value.value()))
                .ok_or_else(|| damaged("its totals do not hold")),
            None => Ok(Totals::default()),
        }
    }

    pub(crate) fn leaf(&self, sequence: u64) -> Result<Option<(RecordKind, Place)>> {
        let table = self.transaction.open_table(LEAVES).doing("read")?;
        let Some(value) = table.get(sequence).doing("read")? else {
            return Ok(None);
        };
        let mut bytes = Bytes(value.value());
        let kind = bytes.u8().map(RecordKind::from_number);
        let leaf = kind.zip(Place::decode(&mut bytes));
        leaf.map(Some)
            .ok_or_else(|| damaged("the place of a leaf does not hold"))
    }

    pub(crate) fn content(&self, digest: &Digest) -> Result<Option<(u64, Place)>> {
        let table = self.transaction.open_table(CONTENTS).doing("read")?;
        let Some(value) = table.get(&digest.0).doing("read")? else {
            return Ok(None);
        };
        let mut bytes = Bytes(value.value());
        let place = Place::decode(&mut bytes);
        let content = bytes.u64().zip(place);
        content
            .map(Some)
            .ok_or_else(|| damaged("the place of a content does not hold"))
    }

    pub(crate) fn message(&self, digest: &Digest) -> Result<Option<u64>> {
        let table = self.transaction.open_table(MESSAGES).doing("read")?;
        Ok(table
            .get(&digest.0)
            .doing("read")?
            .map(|value| value.value()))
    }

    pub(crate) fn summary(&self, sequence: u64) -> Result<Option<Summary>> {
        let table = self.transaction.open_table(SUMMARIES).doing("read")?;
        let Some(value) = table.get(sequence).doing("read")? else {
            return Ok(None);
        };
        let summary = Summary::decode(value.value());
        summary
            .map(Some)
            .ok_or_else(|| damaged("a summary does not hold"))
    }

    /// Sequence numbers of a message's receptions but the first.
    pub(crate) fn further_receptions(&self, message: u64) -> Result<Vec<u64>> {
        let table = self
            .transaction
            .open_multimap_table(RECEPTIONS)
            .doing("read")?;
        let values = table.get(message).doing("read")?;
        values
            .map(|value| value.map(|value| value.value()).doing("read"))
            .collect()
    }

    /// Sequence numbers of messages whose Message-ID this may be.
    pub(crate) fn messages_with_id(&self, message_id: &str) -> Result<Vec<u64>> {
        let table = self.transaction.open_multimap_table(IDS).doing("read")?;
        let values = table.get(&id_key(message_id)).doing("read")?;
        values
            .map(|value| value.map(|value| value.value()).doing("read"))
            .collect()
    }

    /// Sequence numbers of the first messages with the same normal form, ascending: so many at most.
    pub(crate) fn group(&self, group: &[u8; 16], most: usize) -> Result<Vec<u64>> {
        let table = self.transaction.open_multimap_table(GROUPS).doing("read")?;
        let values = table.get(group).doing("read")?;
        values
            .take(most)
            .map(|value| value.map(|value| value.value()).doing("read"))
            .collect()
    }

    pub(crate) fn volume(&self, number: u64) -> Result<Option<VolumeEntry>> {
        let table = self.transaction.open_table(VOLUMES).doing("read")?;
        let Some(value) = table.get(number).doing("read")? else {
            return Ok(None);
        };
        let mut bytes = Bytes(value.value());
        let entry = bytes
            .u8()
            .zip(bytes.array())
            .map(|(sealed, digest)| VolumeEntry {
                sealed: sealed == 1,
                digest,
            });
        entry
            .map(Some)
            .ok_or_else(|| damaged("the entry of a volume does not hold"))
    }

    /// The checkpoint of the largest tree, at most `size_max` leaves.
    pub(crate) fn last_checkpoint(&self, size_max: u64) -> Result<Option<(u64, Place)>> {
        let table = self.transaction.open_table(CHECKPOINTS).doing("read")?;
        let Some(last) = table.range(..=size_max).doing("read")?.next_back() else {
            return Ok(None);
        };
        let (size, value) = last.doing("read")?;
        let place = Place::decode(&mut Bytes(value.value()))
            .ok_or_else(|| damaged("a checkpoint does not hold"))?;
        Ok(Some((size.value(), place)))
    }
}

impl TileSource for CatalogView {
    type Error = Error;

    fn tile(&self, level: u8, index: u64) -> Result<Vec<Hash>> {
        let table = self.transaction.open_table(TILES).doing("read")?;
        let Some(value) = table.get((level, index)).doing("read")? else {
            return Ok(Vec::new());
        };
        let (hashes, _) = value.value().as_chunks::<32>();
        Ok(hashes.to_vec())
    }
}
