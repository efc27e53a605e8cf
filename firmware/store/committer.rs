//! The committer: the one thread that writes volumes, and so the one order of everything in the archive.
//!
//! It takes finished work, appends it as one batch on both disks, syncs once, brings the catalog up to date and only then answers.
//! After a failed write the volume is cut back to what was durable. Want of room passes; any other failure latches: nothing
//! more is taken until the archive is opened again.

use crate::batch::{Answered, Batch, Built, Surroundings};
use crate::catalog::{self, Entries, Packing, VolumeEntry, Watermark};
use crate::copies::Turn;
use crate::engine::Shared;
use crate::error::{DiskContext, Error, Result, chain};
use crate::frame::{FrameHeader, HEADER_BYTES};
use crate::merkle::{Appender, Hash, TILE_WIDTH, TileSource};
use crate::prepare::PreparedFrames;
use crate::queue::{Answer, Queue, Work};
use crate::record::{FrameRun, RecordKind, RecordPacker, Seal};
use crate::room::{self, Reserve};
use crate::spool::FOLDER as SPOOL;
use crate::volume::{self, Volume, next_header, volume_digest};
use archive::Event;
use std::sync::Arc;

/// Most leaves of a volume: bounds its seal at 8 MiB.
const VOLUME_LEAVES_MAX: u64 = 262_144;

/// Batches between durable commits of the catalog: at most this many are read again from the volumes after a crash.
const BATCHES_UNTIL_DURABLE: u32 = 1024;

/// Everything the committer owns.
pub(crate) struct Committer {
    shared: Arc<Shared>,
    queue: Queue,
    volume: Volume,
    /// Length of its file in bytes; none after a change that may have failed. The file is not asked each time: whoever asks for a
    /// file's state makes the kernel note the time of the next write exactly, and write that with each sync.
    length_bytes: Option<u64>,
    /// How far volumes and catalog have come.
    position: Watermark,
    tree: Appender,
    packer: RecordPacker,
    reserve: Reserve,
    batches_since_durable: u32,
    /// Size of the tree at the newest checkpoint.
    checkpoint_size: u64,
    /// The digest in the seal of the open volume, when the next one could not be made yet.
    sealed: Option<[u8; 32]>,
}

/// Whatever ends the committer, a panic included: nobody waits for it any longer.
struct AtEnd(Queue);

impl Drop for AtEnd {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl Committer {
    /// Goes on behind `position`, which the catalog has reached.
    pub(crate) fn open(shared: Arc<Shared>, queue: Queue, position: Watermark) -> Result<Self> {
        let view = shared.catalog.read()?;
        let tree = Appender::open(&view, position.leaves).map_err(catalog::tree_error)?;
        shared.copies.turn().opened_at(position)?;
        Ok(Self {
            volume: Volume::open(&*shared.disk, position.volume, true)?,
            reserve: Reserve::open(shared.disk.clone())?,
            checkpoint_size: view.last_checkpoint(u64::MAX)?.map_or(0, |(size, _)| size),
            packer: RecordPacker::new(),
            batches_since_durable: 0,
            sealed: None,
            length_bytes: None,
            shared,
            queue,
            position,
            tree,
        })
    }

    /// Works until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        let _at_end = AtEnd(self.queue.clone());
        while let Some(work) = self.queue.take() {
            match self.shared.check_latch() {
                Err(latched) => work
                    .into_iter()
                    .for_each(|work| work.refuse(repeat(&latched))),
                Ok(()) => self.commit(work),
            }
        }
        if let Err(error) = self.trim() {
            tracing::warn!(%error, "the open volume keeps the zeros that were written ahead");
        }
        if let Err(error) = self.shared.catalog.make_durable() {
            tracing::warn!(%error, "the catalog was not closed in order and will catch up at the next start");
        }
    }

    fn commit(&mut self, work: Vec<Work>) {
        let mut work = self.admit(work);
        let news = self.add_news(&mut work);
        let tree_before = self.tree.clone();
        let built = match self.build(work) {
            Ok(built) => built,
            Err((work, error)) => {
                self.failed(&error);
                return work
                    .into_iter()
                    .for_each(|work| work.refuse(repeat(&error)));
            }
        };
        if !built.is_empty()
            && let Err(error) = self.write(&built)
        {
            self.tree = tree_before;
            self.failed(&error);
            built
                .answers
                .into_iter()
                .for_each(|answer| answer.refuse(repeat(&error)));
            built
                .wants_seal
                .into_iter()
                .for_each(|answer| answer.give(Err(repeat(&error))));
            return built
                .deferred
                .into_iter()
                .for_each(|work| work.refuse(repeat(&error)));
        }
        self.shared.copies.turn().told(news);
        self.publish(built);
    }

    /// Lets the archive tell of changes of its membership; gives their count.
    fn add_news(&self, work: &mut Vec<Work>) -> usize {
        let turn = self.shared.copies.turn();
        let event = |event: &Event| Work::Log(Box::new((0, event.clone())), Answer::new().0);
        work.extend(turn.news().iter().map(event));
        turn.news().len()
    }

    /// Keeps the work that fits on the disk; the rest is refused.
    fn admit(&mut self, work: Vec<Work>) -> Vec<Work> {
        let mut admitted = Vec::with_capacity(work.len());
        let mut sum_bytes = 0;
        let room = self.reserve.room();
        for work in work {
            let needed_bytes = sum_bytes + work.weight_bytes();
            let fits = match &work {
                Work::Deposit(..) => match &room {
                    Ok(room) => room::for_mail(room, needed_bytes),
                    Err(error) => Err(repeat(error)),
                },
                _ => self.reserve.for_events(needed_bytes),
            };
            match fits {
                Ok(()) => {
                    sum_bytes = needed_bytes;
                    admitted.push(work);
                }
                Err(error) => work.refuse(error),
            }
        }
        admitted
    }

    fn build(&mut self, work: Vec<Work>) -> std::result::Result<Built, (Vec<Work>, Error)> {
        let view = match self
            .roll_if_full()
            .and_then(|()| self.shared.catalog.read())
        {
            Ok(view) => view,
            Err(error) => return Err((work, error)),
        };
        let around = Surroundings {
            view: &view,
            reader: &self.shared.reader,
            signer: &self.shared.signer,
            moment: (self.shared.clock)(),
            boot_id: self.shared.boot_id,
            position: self.position,
            checkpoint_size: self.checkpoint_size,
        };
        let mut batch = Batch::begin(around, &mut self.packer, &mut self.tree);
        work.into_iter().for_each(|work| batch.add(work));
        Ok(batch.finish())
    }

    /// Writes and syncs a batch on both disks, and moves the position behind it.
    fn write(&mut self, built: &Built) -> Result<()> {
        let shared = self.shared.clone();
        let mut turn = shared.copies.turn();
        let mut at = self.position.offset;
        for frames in &built.spooled {
            copy_frames(&mut turn, &self.volume, at, frames, built.batch)?;
            at += frames.length_bytes();
        }
        let end = at + built.run.bytes.len() as u64;
        let length_bytes = match self.length_bytes.take() {
            Some(length_bytes) => length_bytes,
            None => self.volume.length()?,
        };
        let ahead_bytes = self.bytes_ahead(end, length_bytes)?;
        append(&mut turn, &self.volume, at, &built.run.bytes)?;
        if ahead_bytes > 0 {
            append(&mut turn, &self.volume, end, &vec![0; ahead_bytes])?;
        }
        turn.sync();
        self.volume.sync()?;
        turn.settle()?;
        self.length_bytes = Some(length_bytes.max(end + ahead_bytes as u64));
        self.position.offset = end;
        self.position.batch = built.batch;
        self.position.leaves = built.leaves;
        turn.moved_to(self.position);
        Ok(())
    }

    /// How many zeros are written behind a batch that ends at `end`, so that the next ones do not make the file longer: a sync then
    /// writes the data alone. Large batches gain nothing.
    fn bytes_ahead(&self, end: u64, length_bytes: u64) -> Result<usize> {
        if end <= length_bytes {
            return Ok(0);
        }
        let ahead_bytes = self.reserve.ahead_bytes()?;
        let is_small = end - self.position.offset <= ahead_bytes / 4;
        Ok(if is_small { ahead_bytes as usize } else { 0 })
    }

    /// Gives back what was written ahead.
    fn trim(&self) -> Result<()> {
        if self.shared.check_latch().is_ok() && self.volume.length()? > self.position.offset {
            let mut turn = self.shared.copies.turn();
            turn.cut(self.volume.header.number, self.position.offset);
            self.volume.cut(self.position.offset)?;
            turn.settle()?;
        }
        Ok(())
    }

    /// Goes back to what was durable before, and latches unless the disk was just full.
    fn failed(&mut self, error: &Error) {
        tracing::error!(
            error = error as &dyn std::error::Error,
            "a batch could not be written"
        );
        let mut turn = self.shared.copies.turn();
        turn.cut(self.volume.header.number, self.position.offset);
        let cut = self.volume.cut(self.position.offset);
        let cut = cut.and_then(|()| turn.settle());
        drop(turn);
        if let Err(cut) = &cut {
            tracing::error!(
                error = cut as &dyn std::error::Error,
                "the volume could not be cut back"
            );
        }
        // Damage is that of a message in the spool: only this batch had it.
        let passes = error.is_full() || matches!(error, Error::Damaged { .. });
        if cut.is_err() || !passes {
            self.shared.latch(match &cut {
                Err(cut) => cut,
                Ok(()) => error,
            });
        }
    }

    /// Brings the catalog up to date, then answers; the batch is durable whatever happens here.
    fn publish(&mut self, built: Built) {
        self.checkpoint_size = built.checkpoint_size.unwrap_or(self.checkpoint_size);
        let applied = self.catalog_follows(&built);
        self.queue.put_back(built.deferred);
        let answers = built.answers.into_iter();
        match applied {
            Ok(()) => {
                self.shared.publish(self.position.leaves, built.documents);
                answers.for_each(Answered::give);
                self.seal_for(built.wants_seal);
            }
            Err(error) => {
                // The indexer must not hear of leaves that the catalog does not know: it would pass them over.
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the catalog cannot follow"
                );
                self.shared.latch(&error);
                answers.for_each(|answer| answer.give_without_catalog(repeat(&error)));
                built
                    .wants_seal
                    .into_iter()
                    .for_each(|answer| answer.give(Err(repeat(&error))));
            }
        }
    }

    /// Seals the open volume, full or not, unless nothing is in it.
    fn seal_for(&mut self, wanted: Vec<Answer<()>>) {
        if wanted.is_empty() {
            return;
        }
        let is_empty = self.position.leaves < self.volume.header.first_sequence;
        let rolled = if is_empty { Ok(()) } else { self.roll() };
        for answer in wanted {
            answer.give(rolled.as_ref().map_err(repeat).copied());
        }
    }

    fn catalog_follows(&mut self, built: &Built) -> Result<()> {
        self.batches_since_durable += 1;
        let durable = built.wants_durable || self.batches_since_durable >= BATCHES_UNTIL_DURABLE;
        if durable || !built.is_empty() {
            let catalog = &self.shared.catalog;
            catalog.apply(&built.entries, &built.tiles, self.position, durable)?;
        }
        if durable {
            self.batches_since_durable = 0;
            if let Err(error) = self.reserve.refill() {
                tracing::warn!(%error, "the reserve could not be filled up");
            }
        }
        Ok(())
    }

    /// Seals a full volume and begins the next one.
    fn roll_if_full(&mut self) -> Result<()> {
        let leaves = self.position.leaves + 1 - self.volume.header.first_sequence;
        let full = self.position.offset >= self.shared.options.volume_bytes_max
            || leaves >= VOLUME_LEAVES_MAX;
        if full || self.sealed.is_some() {
            self.roll()?;
        }
        Ok(())
    }

    /// Seals the open volume and begins the next one, on both disks.
    fn roll(&mut self) -> Result<()> {
        self.length_bytes = None;
        let shared = self.shared.clone();
        let mut turn = shared.copies.turn();
        let digest = match self.sealed {
            Some(digest) => digest,
            None => self.write_seal(&mut turn)?,
        };
        let sealed = self.volume.header.number;
        let next = next_header(
            &self.volume.header,
            digest,
            self.position,
            (self.shared.clock)().at_us,
        );
        self.volume = Volume::create(&*self.shared.disk, next)?;
        turn.create(&self.volume.header);
        turn.settle()?;
        self.sealed = None;
        self.position = Watermark {
            volume: self.volume.header.number,
            offset: volume::HEADER_BYTES,
            ..self.position
        };
        turn.moved_to(self.position);
        drop(turn);
        let entry = VolumeEntry {
            sealed: true,
            digest,
            packing: Packing::AsWritten,
            read_at_us: (self.shared.clock)().at_us,
            copy_read_at_us: 0,
        };
        let entries = Entries {
            volumes: vec![(sealed, entry)],
            ..Entries::default()
        };
        self.shared
            .catalog
            .apply(&entries, &[], self.position, true)
    }

    /// Writes the seal, once: when the next volume cannot be made, only that is tried again.
    fn write_seal(&mut self, turn: &mut Turn<'_>) -> Result<[u8; 32]> {
        let seal = self.seal()?;
        let mut run = FrameRun::default();
        let batch = self.position.batch + 1;
        self.packer.begin(batch);
        self.packer
            .record(RecordKind::Seal, &[&seal.encode()], &mut run);
        self.packer.close(true, &mut run);
        let end = self.position.offset + run.bytes.len() as u64;
        append(turn, &self.volume, self.position.offset, &run.bytes)?;
        turn.cut(self.volume.header.number, end);
        self.volume.trim(end)?;
        self.volume.sync()?;
        turn.settle()?;
        self.position.batch = batch;
        self.position.offset = end;
        turn.moved_to(self.position);
        self.sealed = Some(seal.volume_digest);
        Ok(seal.volume_digest)
    }

    fn seal(&self) -> Result<Seal> {
        let view = self.shared.catalog.read()?;
        let header = &self.volume.header;
        let leaf_hashes = match self.position.leaves {
            last if last < header.first_sequence => Vec::new(),
            last => leaf_hashes(&view, header.first_sequence, last)?,
        };
        let volume_digest = volume_digest(header, &leaf_hashes);
        Ok(Seal {
            volume: header.number,
            first_sequence: header.first_sequence,
            leaf_hashes,
            volume_digest,
            removed: Vec::new(),
        })
    }
}

/// Hashes of the leaves `first` to `last`, both sequence numbers included.
fn leaf_hashes(tiles: &impl TileSource<Error = Error>, first: u64, last: u64) -> Result<Vec<Hash>> {
    let width = TILE_WIDTH as u64;
    let mut hashes = Vec::with_capacity((last + 1 - first) as usize);
    for index in (first - 1) / width..=(last - 1) / width {
        let tile = tiles.tile(0, index)?;
        let (from, until) = (
            (first - 1).max(index * width),
            last.min((index + 1) * width),
        );
        let wanted = tile.get((from - index * width) as usize..(until - index * width) as usize);
        let missing = || {
            Error::Proof(format!(
                "the catalog lacks hashes of the leaves {from} to {until}"
            ))
        };
        hashes.extend_from_slice(wanted.ok_or_else(missing)?);
    }
    Ok(hashes)
}

/// Writes bytes to both disks.
fn append(turn: &mut Turn<'_>, volume: &Volume, offset: u64, bytes: &[u8]) -> Result<()> {
    turn.append(volume.header.number, offset, bytes);
    volume.write_at(offset, bytes)
}

/// Copies finished frames that are kept out of the spool and fills in their batch number.
fn copy_frames(
    turn: &mut Turn<'_>,
    volume: &Volume,
    mut at: u64,
    frames: &PreparedFrames,
    batch: u64,
) -> Result<()> {
    let mut bytes = Vec::new();
    for range in frames.frames.iter().filter(|range| !range.is_empty()) {
        bytes.resize((range.end - range.start) as usize, 0);
        frames
            .file
            .read_exact_at(range.start, &mut bytes)
            .on("read", SPOOL)?;
        set_batch(&mut bytes, batch).ok_or_else(|| Error::Damaged {
            name: SPOOL.to_owned(),
            offset: range.start,
            how: "what was written there did not come back".to_owned(),
        })?;
        append(turn, volume, at, &bytes)?;
        at += bytes.len() as u64;
    }
    Ok(())
}

/// Fills a batch number into a frame; none when the frame is not sound, so that no damage is taken for mail.
fn set_batch(frame: &mut [u8], batch: u64) -> Option<()> {
    let (bytes, payload) = frame.split_first_chunk_mut::<HEADER_BYTES>()?;
    let header = FrameHeader::decode(bytes)?;
    let sound = payload.len() == header.stored_bytes as usize
        && crc32c::crc32c(payload) == header.payload_checksum;
    *bytes = FrameHeader { batch, ..header }.encode();
    sound.then_some(())
}

/// The same error for everyone in a batch.
fn repeat(error: &Error) -> Error {
    match error {
        Error::Full {
            available_bytes,
            needed_bytes,
        } => Error::Full {
            available_bytes: *available_bytes,
            needed_bytes: *needed_bytes,
        },
        Error::Latched(why) => Error::Latched(why.clone()),
        full if full.is_full() => Error::Full {
            available_bytes: 0,
            needed_bytes: 0,
        },
        other => Error::Refused(chain(other)),
    }
}
