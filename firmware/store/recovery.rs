//! Recovery: what is read at opening so that catalog and volumes agree again (FORMAT.md, "Recovery").
//!
//! A missing or older catalog follows the volumes from its watermark; a torn tail is cut off. The same walk rebuilds everything.

use crate::batch::leaf_hash;
use crate::catalog::{Entries, Place, VolumeEntry, Watermark};
use crate::committer::next_header;
use crate::disk::Open;
use crate::engine::Shared;
use crate::error::{DiskContext, Error, Result};
use crate::indexer::read_facts;
use crate::leaf::{self, Leaf, LeafBody};
use crate::merkle::{Appender, Hash};
use crate::record::{CheckpointRecord, Record, RecordKind, Records, Seal, Segment};
use crate::volume::{self, Found, Frame, Volume, VolumeHeader};
use archive::ContentRef;
use std::path::Path;

/// Messages taken over in one step: bounds memory, and makes few commits of the catalog.
const STEP_MESSAGES: usize = 2_000;

/// Leaves taken over in one step.
const STEP_LEAVES: usize = 8_000;

/// Brings the catalog up to the volumes, making the first volume of a new archive; gives the position behind the last batch.
pub(crate) fn catch_up(
    shared: &Shared,
    archive_id: [u8; 16],
    watch: &mut dyn FnMut(Watermark),
) -> Result<Watermark> {
    let mut position = shared.catalog.read()?.watermark()?;
    let numbers = volume::numbers(&*shared.disk)?;
    if numbers.is_empty() {
        return first_volume(shared, archive_id, position);
    }
    if position.volume == 0 {
        position = Watermark {
            volume: 1,
            offset: volume::HEADER_BYTES,
            batch: 0,
            leaves: 0,
        };
    }
    check_numbers(&numbers, position)?;
    let mut walk = Walk::open(shared, position)?;
    let last = *numbers.last().expect("there is a volume");
    while let Some(end) = walk.volume(position.volume, archive_id, watch)? {
        walk.flush(watch)?;
        position = end.position(walk.position);
        if position.volume > last {
            create_next(shared, &end, position)?;
        }
        walk.position = position;
    }
    walk.flush(watch)?;
    shared
        .catalog
        .apply(&Entries::default(), &[], walk.position, true)?;
    Ok(walk.position)
}

fn first_volume(shared: &Shared, archive_id: [u8; 16], position: Watermark) -> Result<Watermark> {
    if position.leaves > 0 {
        let how = format!(
            "the catalog knows {} entries, but there is no volume",
            position.leaves
        );
        return Err(Error::Damaged {
            name: volume::FOLDER.to_owned(),
            offset: 0,
            how,
        });
    }
    let header = VolumeHeader {
        archive_id,
        number: 1,
        created_us: (shared.clock)().at_us,
        previous_digest: [0; 32],
        first_sequence: 1,
        first_batch: 1,
    };
    Volume::create(&*shared.disk, header)?;
    let position = Watermark {
        volume: 1,
        offset: volume::HEADER_BYTES,
        batch: 0,
        leaves: 0,
    };
    shared
        .catalog
        .apply(&Entries::default(), &[], position, true)?;
    Ok(position)
}

fn check_numbers(numbers: &[u64], position: Watermark) -> Result<()> {
    let name = || volume::FOLDER.to_owned();
    if let Some((expected, _)) = (1..)
        .zip(numbers)
        .find(|(expected, number)| expected != *number)
    {
        let how = format!("volume {expected} is missing; put it back, or run coffer verify");
        return Err(Error::Damaged {
            name: name(),
            offset: 0,
            how,
        });
    }
    if position.volume > numbers.len() as u64 {
        let how = format!(
            "volume {} is missing, which the catalog knows",
            position.volume
        );
        return Err(Error::Damaged {
            name: name(),
            offset: 0,
            how,
        });
    }
    Ok(())
}

fn create_next(shared: &Shared, end: &SealedEnd, position: Watermark) -> Result<()> {
    let next = next_header(&end.header, end.digest, position, (shared.clock)().at_us);
    Volume::create(&*shared.disk, next).map(drop)
}

/// The end of a volume that has a seal.
struct SealedEnd {
    header: VolumeHeader,
    digest: [u8; 32],
}

impl SealedEnd {
    /// Where the next volume's first batch goes.
    fn position(&self, before: Watermark) -> Watermark {
        Watermark {
            volume: self.header.number + 1,
            offset: volume::HEADER_BYTES,
            ..before
        }
    }
}

/// A walk along the volumes that gathers what the catalog lacks.
struct Walk<'a> {
    shared: &'a Shared,
    tree: Appender,
    /// Behind the last batch that was taken in.
    position: Watermark,
    /// What the catalog knew to be durable before.
    durable: Watermark,
    entries: Entries,
    new_messages: Vec<u64>,
}

/// Frames of a batch whose last one has not come yet.
#[derive(Default)]
struct OpenBatch {
    number: u64,
    frames: Vec<(u64, Frame)>,
}

impl<'a> Walk<'a> {
    fn open(shared: &'a Shared, position: Watermark) -> Result<Self> {
        let view = shared.catalog.read()?;
        let tree = Appender::open(&view, position.leaves)
            .map_err(|error| Error::Proof(error.to_string()))?;
        Ok(Self {
            shared,
            tree,
            position,
            durable: position,
            entries: Entries::default(),
            new_messages: Vec::new(),
        })
    }

    /// Takes in a volume from the position on; says how it ended if it is sealed.
    fn volume(
        &mut self,
        number: u64,
        archive_id: [u8; 16],
        watch: &mut dyn FnMut(Watermark),
    ) -> Result<Option<SealedEnd>> {
        let Some(volume) = self.open_volume(number, archive_id)? else {
            return Ok(None);
        };
        let (mut at, mut open, mut seal) = (self.position.offset, OpenBatch::default(), None);
        loop {
            match volume.find_at(at)? {
                Found::End => break,
                Found::Damage { next: Some(next) } => {
                    tracing::error!(
                        volume = number,
                        offset = at,
                        next,
                        "damage: bytes that are no sound frame"
                    );
                    at = next;
                }
                Found::Damage { next: None } => break,
                Found::Frame(frame) => {
                    let end = at + frame.header.frame_bytes();
                    seal = self.frame(number, at, frame, &mut open)?.or(seal);
                    at = end;
                    if open.frames.is_empty() {
                        self.position.offset = at;
                    }
                }
            }
            if self.new_messages.len() >= STEP_MESSAGES || self.entries.leaves.len() >= STEP_LEAVES
            {
                self.flush(watch)?;
            }
        }
        match seal {
            Some(seal) => self.sealed(volume.header, seal).map(Some),
            None => self.cut_tail(&volume).map(|()| None),
        }
    }

    /// Opens a volume; one that a crash left without a sound header is made anew, since no batch can be in it.
    fn open_volume(&mut self, number: u64, archive_id: [u8; 16]) -> Result<Option<Volume>> {
        let volume = match Volume::open(&*self.shared.disk, number, true) {
            Err(Error::Damaged { .. }) if self.is_unborn(number)? => {
                let end = self.sealed_before(number, archive_id)?;
                create_next_or_first(self.shared, end, archive_id, self.position)?;
                return Ok(None);
            }
            other => other?,
        };
        if volume.header.archive_id != archive_id {
            let how = "it belongs to another archive".to_owned();
            return Err(Error::Damaged {
                name: volume.name().to_owned(),
                offset: 0,
                how,
            });
        }
        Ok(Some(volume))
    }

    /// A file no longer than a header, of which the catalog knows nothing, was being made when the power went.
    fn is_unborn(&self, number: u64) -> Result<bool> {
        let name = volume::file_name(number);
        let file = self
            .shared
            .disk
            .open(Path::new(&name), Open::Read)
            .on("open", &name)?;
        let length = file.len().on("read", &name)?;
        Ok(length <= volume::HEADER_BYTES
            && self.durable.volume <= number
            && self.position.offset <= volume::HEADER_BYTES)
    }

    fn sealed_before(&self, number: u64, _archive_id: [u8; 16]) -> Result<Option<SealedEnd>> {
        if number == 1 {
            return Ok(None);
        }
        let header = Volume::open(&*self.shared.disk, number - 1, false)?.header;
        let entry = self.shared.catalog.read()?.volume(number - 1)?;
        let missing = || Error::Damaged {
            name: volume::file_name(number - 1),
            offset: 0,
            how: "its seal is missing".to_owned(),
        };
        let digest = entry
            .filter(|entry| entry.sealed)
            .ok_or_else(missing)?
            .digest;
        Ok(Some(SealedEnd { header, digest }))
    }

    /// Takes in a frame; the batch it ends becomes entries of the catalog.
    fn frame(
        &mut self,
        volume: u64,
        at: u64,
        frame: Frame,
        open: &mut OpenBatch,
    ) -> Result<Option<Seal>> {
        let header = frame.header;
        if header.batch <= self.position.batch {
            tracing::error!(
                volume,
                offset = at,
                batch = header.batch,
                "a frame of an older batch was passed over"
            );
            return Ok(None);
        }
        if header.batch != open.number {
            *open = OpenBatch {
                number: header.batch,
                frames: Vec::new(),
            };
        }
        open.frames.push((at, frame));
        if !header.last_of_batch {
            return Ok(None);
        }
        let mut seal = None;
        for (offset, frame) in std::mem::take(&mut open.frames) {
            for record in Records::new(&frame.payload) {
                let place = Place {
                    volume,
                    frame: offset,
                    inner: record.inner,
                };
                seal = self.record(record, place)?.or(seal);
            }
        }
        self.position.batch = header.batch;
        Ok(seal)
    }

    fn record(&mut self, record: Record, place: Place) -> Result<Option<Seal>> {
        match record.kind {
            RecordKind::Content => self.content(record, place),
            RecordKind::Checkpoint => {
                let checkpoint = CheckpointRecord::decode(record.body);
                self.entries
                    .checkpoints
                    .extend(checkpoint.map(|checkpoint| (checkpoint.tree_size, place)));
            }
            RecordKind::Seal => return Ok(Seal::decode(record.body)),
            RecordKind::Dictionary => {}
            RecordKind::Unknown(number) if number < 128 => {
                let name = volume::file_name(place.volume);
                return Err(Error::TooNew {
                    name,
                    what: format!("a record of kind {number}"),
                });
            }
            RecordKind::Unknown(_) => {}
            kind => self.leaf(kind, record.body, place)?,
        }
        Ok(None)
    }

    fn content(&mut self, record: Record, place: Place) {
        let Some(segment) = Segment::decode(record.body).filter(|segment| segment.offset == 0)
        else {
            return;
        };
        self.entries.contents.push((segment.content, place));
        let ContentRef { length_bytes, .. } = segment.content;
        self.entries.totals.contents += 1;
        self.entries.totals.content_bytes += length_bytes;
    }

    fn leaf(&mut self, kind: RecordKind, body: &[u8], place: Place) -> Result<()> {
        let Some(sequence) = leaf::sequence_of(body) else {
            return Ok(());
        };
        self.fill_gap(sequence, place.volume)?;
        if sequence != self.position.leaves + 1 {
            tracing::error!(
                sequence,
                expected = self.position.leaves + 1,
                "a leaf out of order was passed over"
            );
            return Ok(());
        }
        self.tree.append(leaf_hash(kind, sequence, body));
        self.position.leaves = sequence;
        self.entries.leaves.push((sequence, kind, place));
        match Leaf::decode(kind, body).map(|leaf| leaf.body) {
            Ok(LeafBody::Message(message)) => {
                self.entries.messages.push((sequence, message.digest));
                self.entries.totals.messages += 1;
                self.entries.totals.message_bytes += message.size_bytes;
                self.new_messages.push(sequence);
            }
            Ok(LeafBody::Reception { message, .. }) => {
                self.entries.totals.receptions += 1;
                if message + 1 != sequence {
                    self.entries.further_receptions.push((message, sequence));
                }
            }
            Ok(LeafBody::Event(_)) => self.entries.totals.events += 1,
            Ok(LeafBody::Skipped) => {}
            Err(bad) => {
                tracing::error!(sequence, ?bad, "a leaf that does not hold was passed over")
            }
        }
        Ok(())
    }

    /// Leaves that damage took away still have their hashes in the seal of their volume.
    fn fill_gap(&mut self, next: u64, number: u64) -> Result<()> {
        if next <= self.position.leaves + 1 {
            return Ok(());
        }
        let (first, hashes) = match find_seal(self.shared, number)? {
            Some(seal) => (seal.first_sequence, seal.leaf_hashes),
            None => (next, Vec::new()),
        };
        for sequence in self.position.leaves + 1..next {
            let known = sequence
                .checked_sub(first)
                .and_then(|index| hashes.get(index as usize));
            tracing::error!(
                sequence,
                hash_known = known.is_some(),
                "damage: a leaf is missing"
            );
            self.tree.append(known.copied().unwrap_or(UNKNOWN_LEAF));
        }
        self.position.leaves = next - 1;
        Ok(())
    }

    fn sealed(&mut self, header: VolumeHeader, seal: Seal) -> Result<SealedEnd> {
        self.fill_gap(
            seal.first_sequence + seal.leaf_hashes.len() as u64,
            header.number,
        )?;
        let entry = VolumeEntry {
            sealed: true,
            digest: seal.volume_digest,
        };
        self.entries.volumes.push((header.number, entry));
        Ok(SealedEnd {
            header,
            digest: seal.volume_digest,
        })
    }

    /// Cuts off what a crash left behind the last batch, unless it had once been durable.
    fn cut_tail(&mut self, volume: &Volume) -> Result<()> {
        let (end, length) = (self.position.offset, volume.length()?);
        if self.durable.volume == volume.header.number && length < self.durable.offset {
            let how = format!(
                "the catalog knows {} bytes, the file has {length}",
                self.durable.offset
            );
            return Err(Error::Damaged {
                name: volume.name().to_owned(),
                offset: length,
                how,
            });
        }
        if length > end {
            tracing::warn!(
                volume = volume.header.number,
                offset = end,
                bytes = length - end,
                "a torn tail is cut off"
            );
            if self.durable.leaves == 0 {
                self.keep_tail(volume, end, length)?;
            }
            volume.cut(end)?;
        }
        Ok(())
    }

    /// Without a catalog nobody knows whether the tail mattered: it is kept beside the volume when it holds a sound frame.
    fn keep_tail(&self, volume: &Volume, end: u64, length: u64) -> Result<()> {
        let holds_frame = match volume.find_at(end)? {
            Found::Frame(_) | Found::Damage { next: Some(_) } => true,
            Found::Damage { next: None } | Found::End => false,
        };
        if !holds_frame {
            return Ok(());
        }
        let name = format!("{}/{:08}.cut-{end}", volume::FOLDER, volume.header.number);
        let file = self
            .shared
            .disk
            .open(Path::new(&name), Open::Create)
            .on("create", &name)?;
        let mut bytes = vec![0; 1 << 20];
        let mut at = end;
        while at < length {
            let count = bytes.len().min((length - at) as usize);
            volume.read_at(at, &mut bytes[..count])?;
            file.write_all_at(at - end, &bytes[..count])
                .on("write", &name)?;
            at += count as u64;
        }
        file.sync_data().on("sync", &name)
    }

    /// Hands what was gathered to the catalog, with the summaries of the new messages.
    fn flush(&mut self, watch: &mut dyn FnMut(Watermark)) -> Result<()> {
        let entries = std::mem::take(&mut self.entries);
        let messages = std::mem::take(&mut self.new_messages);
        let catalog = &self.shared.catalog;
        let before = catalog.read()?.watermark()?;
        let totals = entries.totals;
        // First the places, under the old watermark, since summaries are made by reading.
        let places = Entries {
            totals: Default::default(),
            ..entries
        };
        catalog.apply(&places, &self.tree.take_changed(), before, false)?;
        let mut summaries = Entries {
            totals,
            ..Entries::default()
        };
        let view = catalog.read()?;
        for sequence in messages {
            match self.summary(&view, sequence) {
                Ok(summary) => summaries.summaries.push((sequence, summary)),
                Err(error @ (Error::Damaged { .. } | Error::NotFound(_) | Error::Body(_))) => {
                    tracing::error!(
                        sequence,
                        error = &error as &dyn std::error::Error,
                        "a message is damaged"
                    );
                }
                Err(error) => return Err(error),
            }
        }
        catalog.apply(&summaries, &[], self.position, false)?;
        watch(self.position);
        Ok(())
    }

    fn summary(
        &self,
        view: &crate::catalog::CatalogView,
        sequence: u64,
    ) -> Result<crate::catalog::Summary> {
        let message = self.shared.reader.message(view, sequence)?;
        let group = self.shared.reader.group(view, &message)?;
        Ok(read_facts(self.shared, view, sequence, group)?.0.summary)
    }
}

/// Stands for a leaf whose hash nobody knows any more: no checkpoint will match, which is the truth.
const UNKNOWN_LEAF: Hash = [0; 32];

fn create_next_or_first(
    shared: &Shared,
    before: Option<SealedEnd>,
    archive_id: [u8; 16],
    position: Watermark,
) -> Result<()> {
    match before {
        Some(end) => create_next(shared, &end, position),
        None => first_volume(shared, archive_id, Watermark::default()).map(drop),
    }
}

/// Finds the seal of a volume by its last frame that holds one.
pub(crate) fn find_seal(shared: &Shared, number: u64) -> Result<Option<Seal>> {
    let volume = Volume::open(&*shared.disk, number, false)?;
    let mut at = volume::HEADER_BYTES;
    let mut seal = None;
    loop {
        match volume.find_at(at)? {
            Found::End | Found::Damage { next: None } => return Ok(seal),
            Found::Damage { next: Some(next) } => at = next,
            Found::Frame(frame) => {
                let mut records = Records::new(&frame.payload);
                let found = records.find(|record| record.kind == RecordKind::Seal);
                seal = found.and_then(|record| Seal::decode(record.body)).or(seal);
                at += frame.header.frame_bytes();
            }
        }
    }
}
