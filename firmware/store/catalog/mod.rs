//! The catalog: where each record lies and the facts about messages that lists show, in redb.
//!
//! Derived: it follows the volumes by a watermark and can be thrown away. What it takes over waits in memory ([`Pending`]), where views see
//! it at once, and is written together, durably, when it is much or somebody asks: a commit costs by the pages that it changes, and
//! entries of many batches share theirs. After a crash the volumes are read again from the watermark of the file.
//!
//! Tables, keys and values; numbers in joined keys have 5 bytes, big-endian:
//!
//! | table | key | value |
//! |---|---|---|
//! | meta | name | watermark, totals |
//! | leaves | sequence number / 64 | kinds and places of 64 leaves (`place.rs`) |
//! | tiles | number of the tile | 1 to 16 hashes of the tree's leaves |
//! | inner tiles | level from 1, number of the tile | 1 to 16 hashes of the tree |
//! | digests | digest | of the message: sequence number (5); of the content: length (6), place (12); zeros for none |
//! | summaries | first sequence number | a block of summaries (`summary.rs`) |
//! | receptions | message (5), origin (8), sequence number (5) | nothing; all receptions of a message but the first, which is the next leaf |
//! | ids | first 8 bytes of the SHA-256 of a Message-ID, message (5) | nothing |
//! | groups | first 16 bytes of the digest of the normal form, message (5) | nothing |
//! | volumes | volume number | sealed (1), volume digest (32), packing (1), length if it was recompressed (8), when it was read last (8), and on the follower (8) |
//! | checkpoints | tree size | place (12) |
//! | sources | number of the way in, name | first and last arrival, number and bytes of all (`arrivals.rs`) |
//! | hours | hour since 1970, number of the way in, name | number and bytes of what came in it |
//!
//! A place is volume (4), frame (5), inner (3). An origin is the first 8 bytes of the SHA-256 of where an arrival came from.

mod arrivals;
mod keys;
mod pending;
mod place;
mod summary;
mod tables;
mod view;

pub(crate) use arrivals::Arrival;
pub use arrivals::{HourOfSource, Source};
pub(crate) use keys::{Origin, origin};
pub(crate) use place::Place;
pub use summary::Summary;
pub(crate) use view::CatalogView;

use crate::disk::{Disk, Open};
use crate::encoding::Bytes;
use crate::error::{DiskContext, Error, Result};
use crate::merkle::{Tile, TreeError};
use crate::record::RecordKind;
use crate::redb_backend::{OpenDatabase, check_integrity, open_database, unless_it_panics};
use crate::volume_files::VolumeFiles;
use archive::{ContentRef, Digest};
use pending::Pending;
use redb::{Database, ReadableDatabase, WriteTransaction};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tables::Tables;

/// Schema of the tables; part of the file's name.
const SCHEMA: u32 = 4;

/// Memory that redb may use for pages in bytes: the hot inner pages of some ten million messages.
const CACHE_BYTES: usize = 32 << 20;

/// The name of the catalog's file.
pub(crate) fn file_name() -> String {
    format!("catalog-{SCHEMA}.redb")
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

impl Watermark {
    fn encode(&self) -> Vec<u8> {
        let Self {
            volume,
            offset,
            batch,
            leaves,
        } = self;
        let numbers = [volume, offset, batch, leaves];
        numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect()
    }

    fn decode(mut bytes: Bytes) -> Option<Self> {
        Some(Self {
            volume: bytes.u64()?,
            offset: bytes.u64()?,
            batch: bytes.u64()?,
            leaves: bytes.u64()?,
        })
    }
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

/// What one or more batches add to the catalog.
#[derive(Default)]
pub(crate) struct Entries {
    pub(crate) leaves: Vec<(u64, RecordKind, Place)>,
    pub(crate) contents: Vec<(ContentRef, Place)>,
    /// Messages with their digests, known before their summaries are.
    pub(crate) messages: Vec<(u64, Digest)>,
    pub(crate) summaries: Vec<(u64, Summary)>,
    /// All but a message's first.
    pub(crate) further_receptions: Vec<FurtherReception>,
    pub(crate) volumes: Vec<(u64, VolumeEntry)>,
    pub(crate) checkpoints: Vec<(u64, Place)>,
    pub(crate) totals: Totals,
    /// In the order in which they came.
    pub(crate) arrivals: Vec<Arrival>,
}

/// An arrival of a message that was there before.
pub(crate) struct FurtherReception {
    pub(crate) message: u64,
    pub(crate) reception: u64,
    pub(crate) origin: Origin,
}

/// What is known of a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct VolumeEntry {
    pub(crate) sealed: bool,
    pub(crate) digest: [u8; 32],
    pub(crate) packing: Packing,
    /// When all of it was read and checked last, microseconds since 1970; 0 never.
    pub(crate) read_at_us: i64,
    /// When all of it was read and checked last on the follower; 0 never.
    pub(crate) copy_read_at_us: i64,
}

/// How far a sealed volume has come with being recompressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Packing {
    /// It is as it was written.
    #[default]
    AsWritten,
    /// It is as it was written, and recompressing it saves too little.
    NotWorth,
    /// It was recompressed, to a file of so many bytes.
    Recompressed(u64),
}

impl Packing {
    fn encode(self) -> (u8, u64) {
        match self {
            Self::AsWritten => (0, 0),
            Self::NotWorth => (1, 0),
            Self::Recompressed(length_bytes) => (2, length_bytes),
        }
    }

    fn decode(bytes: &mut Bytes) -> Option<Self> {
        match (bytes.u8()?, bytes.u64()?) {
            (0, _) => Some(Self::AsWritten),
            (1, _) => Some(Self::NotWorth),
            (_, length_bytes) => Some(Self::Recompressed(length_bytes)),
        }
    }
}

impl VolumeEntry {
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![u8::from(self.sealed)];
        out.extend_from_slice(&self.digest);
        let (packing, length_bytes) = self.packing.encode();
        out.push(packing);
        out.extend_from_slice(&length_bytes.to_le_bytes());
        out.extend_from_slice(&self.read_at_us.to_le_bytes());
        out.extend_from_slice(&self.copy_read_at_us.to_le_bytes());
        out
    }

    fn decode(mut bytes: Bytes) -> Option<Self> {
        Some(Self {
            sealed: bytes.u8()? == 1,
            digest: bytes.array()?,
            packing: Packing::decode(&mut bytes)?,
            read_at_us: bytes.i64()?,
            copy_read_at_us: bytes.i64()?,
        })
    }
}

/// What is known of a digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Known {
    /// Sequence number of the message.
    message: Option<u64>,
    /// Length and place of the content.
    content: Option<(u64, Place)>,
}

impl Known {
    fn or(self, before: Self) -> Self {
        Self {
            message: self.message.or(before.message),
            content: self.content.or(before.content),
        }
    }
}

/// The open catalog.
pub(crate) struct Catalog {
    current: Mutex<Current>,
    /// Held while entries are taken over: one commit at a time, and none loses what is added meanwhile.
    writing: Mutex<()>,
    database: OpenDatabase,
    commits: AtomicU64,
    /// A commit failed for want of room: the database refuses everything until it is opened again.
    lacked_room: AtomicBool,
    /// A commit failed.
    has_failed: AtomicBool,
    files: Arc<VolumeFiles>,
}

/// What views begin with.
struct Current {
    tables: Arc<Tables>,
    pending: Arc<RwLock<Pending>>,
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

/// The file that stands beside the catalog while it is open, so that the next start knows when it was not closed; beside a copy until that was closed once.
pub(crate) fn in_use() -> PathBuf {
    format!("{}.in-use", file_name()).into()
}

/// Makes the mark of a catalog in use; tells whether an earlier one was not closed in order.
fn mark_in_use(disk: &dyn Disk) -> Result<bool> {
    if disk.exists(&in_use()).on("look for", in_use().display())? {
        return Ok(true);
    }
    if let Err(error) = disk.open(&in_use(), Open::Create) {
        // On a full disk: then the next start does not look.
        tracing::debug!(%error, "the catalog is not marked as in use");
    }
    Ok(false)
}

impl Drop for Catalog {
    /// Takes the mark away, unless something failed: then the next start looks at the whole catalog.
    fn drop(&mut self) {
        let is_whole = !self.has_failed.load(Ordering::SeqCst);
        if self.database.close()
            && is_whole
            && let Err(error) = self.files.disk().remove(&in_use())
        {
            tracing::debug!(%error, "the catalog stays marked as in use");
        }
    }
}

/// Makes what a new catalog lacks, and reads what views begin with.
fn begin(database: &Database) -> Result<Current> {
    let transaction = begin_write(database)?;
    tables::make(&transaction)?;
    transaction.commit().doing("write")?;
    let transaction = database.begin_read().doing("read")?;
    let (totals, watermark) = tables::read_meta(&transaction)?;
    Ok(Current {
        tables: Arc::new(Tables::open(&transaction)?),
        pending: Arc::new(RwLock::new(Pending::behind(totals, watermark))),
    })
}

impl Catalog {
    /// Opens the catalog, or makes an empty one. One that was not closed is read as a whole first.
    pub(crate) fn open(disk: &dyn Disk, files: Arc<VolumeFiles>) -> Result<Self> {
        let name = file_name();
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        let was_in_use = mark_in_use(disk)?;
        let mut database = open_database(&builder, disk, Path::new(&name)).doing("open")?;
        if was_in_use {
            check_integrity(&mut database).doing("check")?;
        }
        let current = unless_it_panics(|| begin(&database))
            .doing("open")
            .flatten()?;
        Ok(Self {
            current: Mutex::new(current),
            writing: Mutex::default(),
            database,
            commits: AtomicU64::new(0),
            lacked_room: AtomicBool::new(false),
            has_failed: AtomicBool::new(false),
            files,
        })
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what a batch adds; `durable` also makes all earlier ones last.
    pub(crate) fn apply(
        &self,
        entries: &Entries,
        tiles: &[Tile],
        watermark: Watermark,
        durable: bool,
    ) -> Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let pending = self.current().pending.clone();
        let is_much = {
            let mut pending = pending.write().unwrap_or_else(PoisonError::into_inner);
            pending.add(entries, tiles);
            pending.watermark = watermark;
            pending.is_much()
        };
        if durable || is_much {
            self.write(&pending, None)?;
        }
        Ok(())
    }

    /// Makes everything taken over so far last; gives the number of commits until then.
    pub(crate) fn make_durable(&self) -> Result<u64> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let pending = self.current().pending.clone();
        let has_news = {
            let pending = pending.read().unwrap_or_else(PoisonError::into_inner);
            pending.has_news
        };
        if has_news {
            self.write(&pending, None)?;
        }
        Ok(self.commits())
    }

    /// Number of commits that were begun; as long as it stays, so does the file.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }

    /// Gives the records of a sealed volume new places, in one durable commit: `rename` gives the new file its name just before.
    ///
    /// A content that has its place in another volume keeps it; views taken before keep the old places and the old file. What `begin`
    /// gives is held meanwhile; when it gives nothing, all stays as it is, and false is told.
    pub(crate) fn swap_volume<T>(
        &self,
        number: u64,
        entry: VolumeEntry,
        mut places: Entries,
        begin: impl FnOnce() -> Result<Option<T>>,
        rename: impl FnOnce() -> Result<()>,
    ) -> Result<bool> {
        // Nobody gives a content another place meanwhile.
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        places.contents = self.read()?.contents_in(number, places.contents)?;
        places.volumes = vec![(number, entry)];
        let mut replaced = Pending::default();
        replaced.add(&places, &[]);
        let pending = self.current().pending.clone();
        let pending = pending.read().unwrap_or_else(PoisonError::into_inner);
        let transaction = self.prepare(&pending, Some(&replaced))?;
        let Some(_held) = begin()? else {
            return Ok(false);
        };
        let commit = || self.commit(transaction, &pending);
        self.files.swap(number, rename, commit).map(|()| true)
    }

    /// Notes what is known of a volume; durable.
    pub(crate) fn put_volume(&self, number: u64, entry: VolumeEntry) -> Result<()> {
        self.replace(&Entries {
            volumes: vec![(number, entry)],
            ..Entries::default()
        })
    }

    /// Takes over other values of what is known already, all of them durably or none.
    fn replace(&self, entries: &Entries) -> Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let pending = self.current().pending.clone();
        let mut replaced = Pending::default();
        replaced.add(entries, &[]);
        self.write(&pending, Some(&replaced))
    }

    /// Writes what waits, and lets new views begin behind it; `writing` is held.
    fn write(&self, pending: &RwLock<Pending>, replaced: Option<&Pending>) -> Result<()> {
        let pending = pending.read().unwrap_or_else(PoisonError::into_inner);
        self.commit(self.prepare(&pending, replaced)?, &pending)
    }

    fn prepare(&self, pending: &Pending, replaced: Option<&Pending>) -> Result<WriteTransaction> {
        self.commits.fetch_add(1, Ordering::SeqCst);
        let prepare = || {
            let transaction = begin_write(&self.database)?;
            tables::put(&transaction, pending)?;
            if let Some(replaced) = replaced {
                tables::put(&transaction, replaced)?;
            }
            tables::put_meta(&transaction, pending)?;
            Ok(transaction)
        };
        let prepared = unless_it_panics(prepare).doing("write").flatten();
        prepared.inspect_err(|error| self.note(error))
    }

    fn note(&self, error: &Error) {
        self.has_failed.store(true, Ordering::SeqCst);
        if error.is_full_database() {
            self.lacked_room.store(true, Ordering::SeqCst);
        }
    }

    /// Tells whether a commit has failed for want of room.
    pub(crate) fn has_lacked_room(&self) -> bool {
        self.lacked_room.load(Ordering::SeqCst)
    }

    fn commit(&self, transaction: WriteTransaction, pending: &Pending) -> Result<()> {
        let committed = unless_it_panics(|| transaction.commit().doing("write"));
        let committed = committed.doing("write").flatten();
        committed.inspect_err(|error| self.note(error))?;
        let transaction = self.database.begin_read().doing("read")?;
        let tables = Arc::new(Tables::open(&transaction)?);
        let next = Pending::behind(pending.totals, pending.watermark);
        *self.current() = Current {
            tables,
            pending: Arc::new(RwLock::new(next)),
        };
        Ok(())
    }

    /// A view of the catalog as it is now, with the volume files that its places point into.
    pub(crate) fn read(&self) -> Result<CatalogView> {
        let take = || {
            let current = self.current();
            (current.tables.clone(), current.pending.clone())
        };
        let ((tables, pending), volumes) = self.files.with_set(take);
        Ok(CatalogView {
            tables,
            pending,
            volumes,
        })
    }
}

/// Begins a commit in two phases with the saved allocator state: after a crash it opens at once and cannot be misled by a torn one.
fn begin_write(database: &Database) -> Result<WriteTransaction> {
    let mut transaction = database.begin_write().doing("write")?;
    transaction.set_two_phase_commit(true);
    transaction.set_quick_repair(true);
    Ok(transaction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Open;
    use crate::faulty_disk::{Crash, SimDisk};
    use crate::merkle::TileSource;
    use proptest::prelude::*;

    fn open(disk: &SimDisk) -> Catalog {
        let files = Arc::new(VolumeFiles::new(Arc::new(disk.clone())));
        Catalog::open(disk, files).expect("the disk is sound")
    }

    fn place(volume: u64, number: u64) -> Place {
        Place {
            volume,
            frame: number / 3 * 1000,
            inner: number as u32 * 7,
        }
    }

    fn content(number: u64) -> ContentRef {
        ContentRef {
            digest: crate::digest::sha256(&number.to_le_bytes()),
            length_bytes: number * 10,
        }
    }

    fn summary(number: u64) -> Summary {
        Summary {
            digest: Some(content(number).digest),
            subject: format!("Betreff {number}"),
            message_id: format!("{}@x.example", number % 5),
            group: [(number % 7) as u8; 16],
            ..Summary::default()
        }
    }

    /// What a batch with a message, its reception and one more of it brings; leaves `3 * number - 2` to `3 * number`.
    fn batch(number: u64) -> (Entries, Watermark) {
        let message = 3 * number - 2;
        let kinds = [
            RecordKind::Message,
            RecordKind::Reception,
            RecordKind::Reception,
        ];
        let leaves = (message..).zip(kinds);
        let entries = Entries {
            leaves: leaves
                .map(|(leaf, kind)| (leaf, kind, place(1, leaf)))
                .collect(),
            contents: vec![(content(message), place(1, message))],
            messages: vec![(message, content(message).digest)],
            summaries: vec![(message, summary(message))],
            further_receptions: vec![FurtherReception {
                message,
                reception: message + 2,
                origin: [number as u8; 8],
            }],
            volumes: Vec::new(),
            checkpoints: vec![(message + 2, place(1, 0))],
            totals: Totals {
                messages: 1,
                ..Totals::default()
            },
            arrivals: Vec::new(),
        };
        let watermark = Watermark {
            volume: 1,
            offset: number * 100,
            batch: number,
            leaves: message + 2,
        };
        (entries, watermark)
    }

    fn tile(number: u64) -> Tile {
        Tile {
            level: (number % 2) as u8,
            index: number,
            hashes: vec![[number as u8; 32]; 3],
        }
    }

    /// A view must tell exactly what the first `batches` brought, contents and leaves lying in `volume`.
    fn check(view: &CatalogView, batches: u64, volume: u64) {
        assert_eq!(view.watermark().expect("sound").batch, batches);
        assert_eq!(view.totals().expect("sound").messages, batches);
        let of_group = |residue| {
            (1..=batches)
                .map(|n| 3 * n - 2)
                .filter(move |n| n % 7 == residue)
        };
        let with_id = |residue| {
            (1..=batches)
                .map(|n| 3 * n - 2)
                .filter(move |n| n % 5 == residue)
        };
        for number in 1..=batches {
            let message = 3 * number - 2;
            let digest = content(message).digest;
            assert_eq!(
                view.leaf(message).expect("sound"),
                Some((RecordKind::Message, place(volume, message)))
            );
            assert_eq!(
                view.content(&digest).expect("sound"),
                Some((message * 10, place(volume, message)))
            );
            assert_eq!(view.message(&digest).expect("sound"), Some(message));
            assert_eq!(
                view.summary(message).expect("sound"),
                Some(summary(message))
            );
            assert_eq!(view.summary(message + 1).expect("sound"), None);
            assert_eq!(
                view.further_receptions(message).expect("sound"),
                [message + 2]
            );
            assert_eq!(
                view.receptions_from(message, &[number as u8; 8])
                    .expect("sound"),
                [message + 2]
            );
            assert_eq!(
                view.receptions_from(message, &[0; 8]).expect("sound"),
                [0; 0]
            );
            assert_eq!(
                view.tile((number % 2) as u8, number).expect("sound"),
                tile(number).hashes
            );
            let group = summary(message).group;
            let expected: Vec<u64> = of_group(message % 7).take(3).collect();
            assert_eq!(view.group(&group, 3).expect("sound"), expected);
            let expected: Vec<u64> = with_id(message % 5).collect();
            assert_eq!(
                view.messages_with_id(&summary(message).message_id)
                    .expect("sound"),
                expected
            );
        }
        let beyond = 3 * batches + 1;
        assert_eq!(view.leaf(beyond).expect("sound"), None);
        assert_eq!(view.summary(beyond).expect("sound"), None);
        assert_eq!(view.content(&content(beyond).digest).expect("sound"), None);
        let last = (batches > 0).then(|| (3 * batches, place(1, 0)));
        assert_eq!(view.last_checkpoint(u64::MAX).expect("sound"), last);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn views_tell_the_same_before_and_after_writing(
            steps in proptest::collection::vec((any::<bool>(), any::<bool>()), 1..40),
        ) {
            let disk = SimDisk::new();
            let mut catalog = open(&disk);
            let mut durable = 0;
            for (number, (makes_durable, cuts_power)) in (1..).zip(&steps) {
                let (entries, watermark) = batch(number);
                catalog.apply(&entries, &[tile(number)], watermark, *makes_durable).expect("applied");
                check(&catalog.read().expect("open"), number, 1);
                if *makes_durable {
                    durable = number;
                }
                if *cuts_power && durable == number {
                    disk.crash(Crash::LoseUnsynced);
                    drop(catalog);
                    catalog = open(&disk);
                    check(&catalog.read().expect("open"), number, 1);
                }
            }
            catalog.make_durable().expect("written");
            drop(catalog);
            check(&open(&disk).read().expect("open"), steps.len() as u64, 1);
        }
    }

    #[test]
    fn replaced_places_are_seen_by_new_views_only() {
        let disk = SimDisk::new();
        let catalog = open(&disk);
        let mut moved = Entries::default();
        for number in 1..=20 {
            let (entries, watermark) = batch(number);
            catalog
                .apply(&entries, &[tile(number)], watermark, false)
                .expect("applied");
            let message = 3 * number - 2;
            let leaf = (message, RecordKind::Message, place(2, message));
            moved.leaves.push(leaf);
            moved.contents.push((content(message), place(2, message)));
        }
        let before = catalog.read().expect("open");
        catalog.replace(&moved).expect("written");
        check(&before, 20, 1);
        check(&catalog.read().expect("open"), 20, 2);
        drop((before, catalog));
        check(&open(&disk).read().expect("open"), 20, 2);
    }

    #[test]
    fn a_block_that_does_not_hold_is_damage_of_the_catalog() {
        let disk = SimDisk::new();
        let catalog = open(&disk);
        let (mut entries, watermark) = batch(1);
        entries.summaries[0].1.subject = "unverkennbar".to_owned();
        catalog
            .apply(&entries, &[], watermark, true)
            .expect("applied");
        drop(catalog);
        let mut bytes = disk.read(Path::new(&file_name())).expect("there");
        let needle = content(1).digest.0;
        let found: Vec<usize> = (0..bytes.len() - 32)
            .filter(|at| bytes[*at..].starts_with(&needle))
            .collect();
        // Its block begins two bytes before the digest, with the number of summaries.
        for at in found {
            bytes[at - 2] = 0xff;
        }
        let file = disk
            .open(Path::new(&file_name()), Open::Write)
            .expect("there");
        file.write_all_at(0, &bytes).expect("written");
        let error = open(&disk)
            .read()
            .expect("open")
            .summary(1)
            .expect_err("damage");
        assert!(error.is_catalog_damage(), "{error}");
        // One that was not closed in order is read as a whole.
        assert!(!disk.exists(&in_use()).expect("told"), "closed in order");
        mark_in_use(&disk).expect("marked");
        let files = Arc::new(VolumeFiles::new(Arc::new(disk.clone())));
        let error = Catalog::open(&disk, files).err().expect("damage");
        assert!(error.is_catalog_damage(), "{error}");
    }
}
