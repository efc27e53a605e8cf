//! Recovery: what is read at opening so that catalog and volumes agree again (FORMAT.md, "Recovery").
//!
//! A missing or older catalog follows the volumes from its watermark; a torn tail is cut off. The same walk rebuilds everything.

use crate::batch::leaf_hash;
use crate::catalog::{
    self, Arrival, CatalogView, Entries, FurtherReception, Packing, Place, Summary, VolumeEntry,
    Watermark,
};
use crate::disk::Open;
use crate::engine::{DocumentRoom, Shared};
use crate::error::{DiskContext, Error, Result};
use crate::index::Document;
use crate::indexer::read_facts;
use crate::leaf::{self, BadLeaf, Leaf, LeafBody};
use crate::merkle::{Appender, Hash};
use crate::reader::CACHE_BYTES_MAX;
use crate::record::{CheckpointRecord, Record, RecordKind, Records, Seal, Segment};
use crate::volume::{self, Found, Frame, Volume, VolumeHeader, next_header};
use crate::volume_check::Expected;
use archive::{ContentRef, Digest, Message};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

/// Messages taken over in one step: bounds memory, and makes few commits of the catalog.
const STEP_MESSAGES: usize = 2_000;

/// Leaves taken over in one step.
const STEP_LEAVES: usize = 8_000;

/// Contents taken over in one step.
const STEP_CONTENTS: usize = 32_000;

/// Payloads of the frames of one step, in bytes: the reader still has them when the step's messages are read.
const STEP_FRAME_BYTES: usize = CACHE_BYTES_MAX / 4 * 3;

/// Payloads of a batch kept in memory until its last frame has come, in bytes; those beyond are read a second time.
const BATCH_HELD_BYTES_MAX: usize = 32 << 20;

/// Leaves that may be missing in one place: those of sixty full volumes. A number beyond is not believed.
const GAP_LEAVES_MAX: u64 = 16 << 20;

/// Brings the catalog up to the volumes, making the first volume of a new archive; gives the position behind the last batch.
///
/// `durable` is how many leaves are known to have been durable, as those that the index has seen.
pub(crate) fn catch_up(
    shared: &Shared,
    archive_id: [u8; 16],
    durable: u64,
    watch: &mut dyn FnMut(Watermark),
) -> Result<Watermark> {
    let mut position = shared.catalog.read()?.watermark()?;
    let numbers = volume::numbers(&*shared.disk)?;
    let Some(last) = numbers.last().copied() else {
        return first_volume(shared, archive_id, position);
    };
    if position.volume == 0 {
        position = Watermark {
            volume: 1,
            offset: volume::HEADER_BYTES,
            batch: 0,
            leaves: 0,
        };
    }
    check_numbers(shared, &numbers, last, position)?;
    volume::remove_left_over(&*shared.disk)?;
    // Neither catalog nor index may know of what is read back from memory, and would not be there after a power cut.
    volume::sync_number(&*shared.disk, last)?;
    position = follow_swaps(shared, archive_id, position)?;
    let mut walk = Walk::open(shared, archive_id, position, last, durable)?;
    while let Some(end) = walk.volume(position.volume, watch)? {
        walk.flush(watch)?;
        position = end.position(walk.position);
        if position.volume > last {
            create_next(shared, &end, position)?;
            walk.last = position.volume;
        }
        walk.position = position;
    }
    walk.flush(watch)?;
    walk.read_again()?;
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
        recompressed: false,
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

/// Gives new places to the records of volumes that were swapped without the catalog's hearing of it; gives the position to go on from.
fn follow_swaps(
    shared: &Shared,
    archive_id: [u8; 16],
    mut position: Watermark,
) -> Result<Watermark> {
    let view = shared.catalog.read()?;
    for number in 1..=position.volume {
        let entry = view.volume(number)?.unwrap_or_default();
        // What damage hides of a header is not believed.
        let Ok(volume) = shared.files.file(view.volumes(), number) else {
            continue;
        };
        let Ok(header) = volume.read_header() else {
            continue;
        };
        let packing = packing_of(&header, &volume)?;
        let is_known = match entry.packing {
            Packing::Recompressed(_) => packing == entry.packing,
            Packing::AsWritten | Packing::NotWorth => packing == Packing::AsWritten,
        };
        if is_known {
            continue;
        }
        tracing::info!(volume = number, "the volume has become another file");
        let expected = Expected {
            view: &view,
            archive_id,
            number,
            until: None,
        };
        let mut places = expected
            .check(&volume, &mut |_| true)?
            .map(|checked| checked.places)
            .unwrap_or_default();
        places
            .leaves
            .retain(|(sequence, ..)| *sequence <= position.leaves);
        places
            .checkpoints
            .retain(|(size, _)| *size <= position.leaves);
        let entry = VolumeEntry { packing, ..entry };
        shared
            .catalog
            .swap_volume(number, entry, places, || Ok(Some(())), || Ok(()))?;
        if number == position.volume {
            // It was sealed and swapped since: what the catalog lacks of it lies anywhere in it, also in frames of earlier batches.
            position.offset = volume::HEADER_BYTES;
            position.batch = header.first_batch.saturating_sub(1);
        }
    }
    Ok(position)
}

fn packing_of(header: &VolumeHeader, volume: &Volume) -> Result<Packing> {
    Ok(match header.recompressed {
        true => Packing::Recompressed(volume.length()?),
        false => Packing::AsWritten,
    })
}

/// Refuses to go on without the volume that is written; another one that is missing costs what was in it.
fn check_numbers(shared: &Shared, numbers: &[u64], last: u64, position: Watermark) -> Result<()> {
    for missing in (1..=last).filter(|number| numbers.binary_search(number).is_err()) {
        tracing::error!(volume = missing, "damage: the volume is missing");
        shared.damage.note_missing(missing);
    }
    if position.volume > last {
        let how = format!(
            "volume {} is missing, which the catalog knows; put it back",
            position.volume
        );
        return Err(Error::Damaged {
            name: volume::FOLDER.to_owned(),
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
    archive_id: [u8; 16],
    /// The catalog as the last step left it.
    view: CatalogView,
    tree: Appender,
    /// Behind the last batch that was taken in.
    position: Watermark,
    /// Where the walk began.
    begin: Watermark,
    /// How many leaves are known to have been durable.
    durable: u64,
    /// Number of the volume that is written.
    last: u64,
    entries: Entries,
    /// Messages of this step with their sizes.
    new_messages: BTreeMap<u64, u64>,
    /// Contents of this step.
    new_contents: HashSet<Digest>,
    /// Length of the payloads that were taken in in this step.
    frame_bytes: usize,
    /// Digests of the messages of this step.
    new_digests: HashSet<Digest>,
    /// Long contents of which not all segments have come: where they begin, and how many bytes have.
    open_contents: HashMap<Digest, (Place, u64)>,
    /// Messages that could not be read in their step: what was lost of them may have been stored anew, further behind.
    unread: BTreeSet<u64>,
    /// The seal of the volume in which damage was found last.
    seal: Option<(u64, Option<Seal>)>,
}

/// Frames of a batch that has not been taken in yet: its last frame is missing, or damage lies between its frames.
///
/// When another batch follows, it was durable, and what is left of it counts. When none does, it is what a crash tore.
#[derive(Default)]
struct OpenBatch {
    number: u64,
    frames: Vec<OpenFrame>,
    held_bytes: usize,
    /// Its last frame is there.
    is_complete: bool,
    /// Damage lies before or between its frames.
    is_hurt: bool,
    /// Damage lies behind its frames so far.
    damage_behind: bool,
}

/// A sound frame of an open batch.
struct OpenFrame {
    at: u64,
    end: u64,
    /// None when too much would have to be held.
    payload: Option<Vec<u8>>,
}

impl OpenBatch {
    fn push(&mut self, at: u64, frame: Frame) {
        let bytes = frame.payload.len();
        let held = self.held_bytes + bytes <= BATCH_HELD_BYTES_MAX;
        self.held_bytes += bytes;
        self.is_complete = frame.header.last_of_batch;
        self.is_hurt |= std::mem::take(&mut self.damage_behind);
        self.frames.push(OpenFrame {
            at,
            end: at + frame.header.frame_bytes(),
            payload: held.then_some(frame.payload),
        });
    }
}

impl<'a> Walk<'a> {
    fn open(
        shared: &'a Shared,
        archive_id: [u8; 16],
        position: Watermark,
        last: u64,
        durable: u64,
    ) -> Result<Self> {
        let view = shared.catalog.read()?;
        let tree = Appender::open(&view, position.leaves).map_err(catalog::tree_error)?;
        Ok(Self {
            shared,
            archive_id,
            view,
            tree,
            position,
            begin: position,
            durable,
            last,
            entries: Entries::default(),
            new_messages: BTreeMap::new(),
            new_contents: HashSet::new(),
            frame_bytes: 0,
            new_digests: HashSet::new(),
            open_contents: HashMap::new(),
            unread: BTreeSet::new(),
            seal: None,
        })
    }

    /// Takes in a volume from the position on; says how it ended if another one follows.
    fn volume(
        &mut self,
        number: u64,
        watch: &mut dyn FnMut(Watermark),
    ) -> Result<Option<SealedEnd>> {
        let Some(volume) = self.open_volume(number)? else {
            return match number < self.last {
                true => self.unsealed(number).map(Some),
                false => Ok(None),
            };
        };
        let (mut at, mut open, mut seal) = (self.position.offset, OpenBatch::default(), None);
        loop {
            match volume.find_at(at)? {
                Found::End | Found::Damage { next: None } => break,
                Found::Damage { next: Some(next) } => {
                    tracing::error!(volume = number, offset = at, next, "damage: no sound frame");
                    open.damage_behind = true;
                    at = next;
                }
                Found::Frame(frame) => {
                    let end = at + frame.header.frame_bytes();
                    seal = self.frame(&volume, at, frame, &mut open)?.or(seal);
                    at = end;
                }
            }
            self.flush_if_much(watch)?;
        }
        let was_durable = number < self.last || self.position.leaves < self.durable;
        if was_durable && !open.frames.is_empty() {
            seal = self.take_batch(&volume, &mut open)?.or(seal);
        }
        match seal {
            Some(seal) => self.sealed(&volume, seal).map(Some),
            None if number < self.last => self.unsealed(number).map(Some),
            None => self.end_tail(&volume).map(|()| None),
        }
    }

    /// Opens a volume; none when it is missing, or was not born yet when the power went (it is made anew).
    fn open_volume(&mut self, number: u64) -> Result<Option<Volume>> {
        let disk = &*self.shared.disk;
        let name = volume::file_name(number);
        if !disk.exists(Path::new(&name)).on("look for", &name)? {
            return Ok(None);
        }
        let volume = match Volume::open(disk, number, false) {
            Err(Error::Damaged { .. }) if self.is_unborn(number)? => {
                let end = self.sealed_before(number)?;
                create_next_or_first(self.shared, end, self.archive_id, self.position)?;
                return Ok(None);
            }
            Err(Error::Damaged { .. }) => self.open_headless(number)?,
            other => other?,
        };
        if volume.header.archive_id != self.archive_id {
            let how = "it belongs to another archive".to_owned();
            return Err(Error::Damaged {
                name: volume.name().to_owned(),
                offset: 0,
                how,
            });
        }
        Ok(Some(volume))
    }

    /// A file no longer than a header, of which catalog and index know nothing, was being made when the power went.
    fn is_unborn(&self, number: u64) -> Result<bool> {
        let name = volume::file_name(number);
        let disk = &self.shared.disk;
        let file = disk.open(Path::new(&name), Open::Read).on("open", &name)?;
        let length = file.len().on("read", &name)?;
        Ok(number == self.last
            && length <= volume::HEADER_BYTES
            && self.position.leaves >= self.durable
            && self.position.offset <= volume::HEADER_BYTES)
    }

    /// Opens a volume by what its header must have said; the one that is written gets it back.
    fn open_headless(&self, number: u64) -> Result<Volume> {
        let before = match number {
            1 => None,
            _ => find_seal(self.shared, number - 1)?,
        };
        let mut header = VolumeHeader {
            archive_id: self.archive_id,
            number,
            created_us: (self.shared.clock)().at_us,
            previous_digest: before.as_ref().map_or([0; 32], |seal| seal.volume_digest),
            first_sequence: before.map_or(1, |seal| seal.end()),
            first_batch: 1,
            recompressed: false,
        };
        let disk = &*self.shared.disk;
        let writable = number == self.last;
        let volume = Volume::open_headless(disk, header.clone(), writable)?;
        header.first_batch = match volume.find_at(volume::HEADER_BYTES)? {
            Found::Frame(frame) => frame.header.batch,
            _ => self.position.batch + 1,
        };
        tracing::error!(volume = number, "damage: the header does not hold");
        let volume = Volume::open_headless(disk, header, writable)?;
        if writable {
            volume.mend_header()?;
        }
        Ok(volume)
    }

    fn sealed_before(&self, number: u64) -> Result<Option<SealedEnd>> {
        if number == 1 {
            return Ok(None);
        }
        let header = Volume::open_for_frames(&*self.shared.disk, number - 1)?.header;
        let header = VolumeHeader {
            archive_id: self.archive_id,
            ..header
        };
        let entry = self.view.volume(number - 1)?;
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

    /// Takes in a frame; a batch that is whole then becomes entries of the catalog.
    fn frame(
        &mut self,
        volume: &Volume,
        at: u64,
        frame: Frame,
        open: &mut OpenBatch,
    ) -> Result<Option<Seal>> {
        let (batch, end) = (frame.header.batch, at + frame.header.frame_bytes());
        if batch <= self.position.batch || (batch == open.number && open.is_complete) {
            tracing::error!(
                offset = at,
                batch,
                "a frame of an older batch was passed over"
            );
            if open.frames.is_empty() {
                self.position.offset = end;
            }
            return Ok(None);
        }
        let mut seal = None;
        if batch != open.number {
            // Damage behind a batch that lacks its end is that of its end; a batch behind one that is lost was not torn.
            let is_hurt = open.damage_behind
                && (open.frames.is_empty() || open.is_complete)
                && batch == self.position.batch.max(open.number) + 1;
            if !open.frames.is_empty() {
                seal = self.take_batch(volume, open)?;
            }
            *open = OpenBatch {
                number: batch,
                is_hurt,
                ..OpenBatch::default()
            };
        }
        open.push(at, frame);
        if open.is_complete && !open.is_hurt {
            seal = self.take_batch(volume, open)?.or(seal);
        }
        Ok(seal)
    }

    fn take_batch(&mut self, volume: &Volume, open: &mut OpenBatch) -> Result<Option<Seal>> {
        let OpenBatch { number, frames, .. } = std::mem::take(open);
        let mut seal = None;
        for OpenFrame { at, end, payload } in frames {
            let payload = match payload {
                Some(payload) => payload,
                None => volume.frame_at(at)?.payload,
            };
            let mut records = Records::new(&payload);
            for record in records.by_ref() {
                let place = Place {
                    volume: volume.header.number,
                    frame: at,
                    inner: record.inner,
                };
                seal = self.record(record, place)?.or(seal);
            }
            if !records.sound() {
                tracing::error!(offset = at, "damage: a record does not hold");
            }
            self.position.offset = end;
            self.keep_frame(volume.header.number, at, payload);
        }
        self.position.batch = number;
        Ok(seal)
    }

    /// Hands a frame on to whoever reads the messages of this step.
    fn keep_frame(&mut self, number: u64, at: u64, payload: Vec<u8>) {
        self.frame_bytes += payload.len();
        let file = self.shared.files.file(self.view.volumes(), number);
        if let Ok(volume) = file {
            self.shared.reader.keep_frame(&volume, at, payload);
        }
    }

    fn record(&mut self, record: Record, place: Place) -> Result<Option<Seal>> {
        match record.kind {
            RecordKind::Content => self.content(record, place)?,
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

    fn content(&mut self, record: Record, place: Place) -> Result<()> {
        let Some(segment) = Segment::decode(record.body) else {
            return Ok(());
        };
        let ContentRef {
            digest,
            length_bytes,
        } = segment.content;
        let begun = match segment.offset {
            0 => Some((place, 0)),
            _ => self.open_contents.remove(&digest),
        };
        let Some((first, done)) = begun.filter(|(_, done)| *done == segment.offset) else {
            return Ok(());
        };
        let done = done + segment.bytes.len() as u64;
        if done < length_bytes {
            self.open_contents.insert(digest, (first, done));
            return Ok(());
        }
        // The last whole copy counts: there is another one where the first was lost, or in frames that came whole from the spool.
        self.entries.contents.push((segment.content, first));
        if self.view.content(&digest)?.is_none() && self.new_contents.insert(digest) {
            self.entries.totals.contents += 1;
            self.entries.totals.content_bytes += length_bytes;
        }
        Ok(())
    }

    fn leaf(&mut self, kind: RecordKind, body: &[u8], place: Place) -> Result<()> {
        let Some(sequence) = leaf::sequence_of(body) else {
            return Ok(());
        };
        if self.is_known(sequence) {
            return Ok(());
        }
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
        let leaf = Leaf::decode(kind, body);
        let at_us = leaf.as_ref().map_or(0, |leaf| leaf.head.moment.at_us);
        match leaf.map(|leaf| leaf.body) {
            Ok(LeafBody::Message(message)) => {
                self.entries.messages.push((sequence, message.digest));
                self.new_messages.insert(sequence, message.size_bytes);
                self.count_message(&message)?;
            }
            Ok(LeafBody::Reception {
                message, reception, ..
            }) => {
                self.entries.totals.receptions += 1;
                let size_bytes = self.size_of(message)?;
                self.entries.totals.received_bytes += size_bytes;
                let arrival = Arrival::of(&reception, at_us, size_bytes);
                self.entries.arrivals.push(arrival);
                if message.checked_add(1) != Some(sequence) {
                    self.entries.further_receptions.push(FurtherReception {
                        message,
                        reception: sequence,
                        origin: catalog::origin(&reception),
                    });
                }
            }
            Ok(LeafBody::Event(_)) => self.entries.totals.events += 1,
            Ok(LeafBody::Skipped) => {}
            Err(BadLeaf::TooNew) => {
                return Err(Error::TooNew {
                    name: volume::file_name(place.volume),
                    what: format!("the schema of number {sequence}"),
                });
            }
            Err(BadLeaf::Damaged) => {
                tracing::error!(sequence, "a leaf that does not hold was passed over")
            }
        }
        Ok(())
    }

    /// Counts a message, unless it was stored anew.
    fn count_message(&mut self, message: &Message) -> Result<()> {
        let is_known = self.view.message(&message.digest)?.is_some();
        if !is_known && self.new_digests.insert(message.digest) {
            self.entries.totals.messages += 1;
            self.entries.totals.message_bytes += message.size_bytes;
        }
        Ok(())
    }

    /// A frame of a recompressed volume may hold leaves from before the watermark beside newer ones.
    fn is_known(&self, sequence: u64) -> bool {
        sequence <= self.begin.leaves && self.position.volume == self.begin.volume
    }

    /// Size of a message in bytes, of which another arrival is there; 0 when damage took it.
    fn size_of(&mut self, message: u64) -> Result<u64> {
        if let Some(size_bytes) = self.new_messages.get(&message) {
            return Ok(*size_bytes);
        }
        let summary = self.view.summary(message)?;
        if summary.is_none() {
            // With this arrival it may have been stored anew.
            self.unread.insert(message);
        }
        Ok(summary.map_or(0, |summary| summary.size_bytes))
    }

    /// Leaves that damage took away still have their hashes in the seal of their volume.
    fn fill_gap(&mut self, next: u64, number: u64) -> Result<()> {
        let missing = next.saturating_sub(self.position.leaves + 1);
        if missing == 0 || missing > GAP_LEAVES_MAX {
            return Ok(());
        }
        if self.seal.as_ref().is_none_or(|(of, _)| *of != number) {
            self.seal = Some((number, find_seal(self.shared, number)?));
        }
        let seal = self.seal.as_ref().and_then(|(_, seal)| seal.as_ref());
        for sequence in self.position.leaves + 1..next {
            let known = seal.and_then(|seal| {
                let index = sequence.checked_sub(seal.first_sequence)?;
                seal.leaf_hashes.get(usize::try_from(index).ok()?)
            });
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

    fn sealed(&mut self, volume: &Volume, seal: Seal) -> Result<SealedEnd> {
        self.fill_gap(seal.end(), volume.header.number)?;
        let packing = packing_of(&volume.header, volume)?;
        self.sealed_by(volume.header.clone(), seal.volume_digest, packing)
    }

    /// Goes on behind a volume that is missing or has lost its seal, by what the next one's header says of it.
    fn unsealed(&mut self, number: u64) -> Result<SealedEnd> {
        tracing::error!(volume = number, "damage: the volume or its seal is missing");
        let next = match Volume::open(&*self.shared.disk, number + 1, false) {
            Ok(volume) => Some(volume.header),
            Err(Error::Damaged { .. } | Error::Disk { .. }) => None,
            Err(error) => return Err(error),
        };
        if let Some(next) = &next {
            self.fill_gap(next.first_sequence, number)?;
            self.position.batch = self.position.batch.max(next.first_batch.saturating_sub(1));
        }
        let header = VolumeHeader {
            archive_id: self.archive_id,
            number,
            created_us: 0,
            previous_digest: [0; 32],
            first_sequence: 0,
            first_batch: 0,
            recompressed: false,
        };
        let digest = next.map_or([0; 32], |next| next.previous_digest);
        self.sealed_by(header, digest, Packing::AsWritten)
    }

    fn sealed_by(
        &mut self,
        header: VolumeHeader,
        digest: [u8; 32],
        packing: Packing,
    ) -> Result<SealedEnd> {
        let entry = VolumeEntry {
            sealed: true,
            digest,
            packing,
            read_at_us: (self.shared.clock)().at_us,
            copy_read_at_us: 0,
        };
        self.entries.volumes.push((header.number, entry));
        Ok(SealedEnd { header, digest })
    }

    /// Cuts off what a crash left behind the last batch, unless it had once been durable: then nothing is cut, no number is
    /// used again, and what comes goes behind.
    fn end_tail(&mut self, volume: &Volume) -> Result<()> {
        let (end, length) = (self.position.offset, volume.length()?);
        if self.position.leaves < self.durable {
            tracing::error!(offset = end, "damage: the end of the archive is lost");
            self.fill_gap(self.durable + 1, volume.header.number)?;
            self.position.offset = end.max(length);
            self.position.batch += 1;
        } else if length < end {
            // New batches are written where the catalog knows the end to be.
            tracing::error!(
                offset = length,
                end,
                "damage: the volume has become shorter"
            );
        } else if length > end {
            self.cut_tail(volume, end, length)?;
        }
        Ok(())
    }

    fn cut_tail(&self, volume: &Volume, end: u64, length: u64) -> Result<()> {
        match volume.find_at(end)? {
            // Zeros that were written ahead.
            Found::End => return Ok(()),
            Found::Damage { next: None } => {}
            Found::Frame(_) | Found::Damage { next: Some(_) } => {
                self.keep_tail(volume, end, length)?;
            }
        }
        tracing::warn!(
            volume = volume.header.number,
            offset = end,
            bytes = length - end,
            "a torn tail is cut off"
        );
        Volume::open(&*self.shared.disk, volume.header.number, true)?.cut(end)
    }

    /// It cannot be told for sure whether the tail mattered: it is kept beside the volume when it holds a sound frame.
    fn keep_tail(&self, volume: &Volume, end: u64, length: u64) -> Result<()> {
        match volume::keep_cut(&*self.shared.disk, volume, end, length) {
            // Better to take mail than to keep what was most likely never acknowledged.
            Err(error) if error.is_full() => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the tail is not kept"
                );
                Ok(())
            }
            copied => copied,
        }
    }

    fn flush_if_much(&mut self, watch: &mut dyn FnMut(Watermark)) -> Result<()> {
        let Entries {
            leaves, contents, ..
        } = &self.entries;
        let much = self.new_messages.len() >= STEP_MESSAGES
            || self.frame_bytes >= STEP_FRAME_BYTES
            || leaves.len() >= STEP_LEAVES
            || contents.len() >= STEP_CONTENTS;
        // What is known of a message is read with its first arrival, which a frame of a recompressed volume may end before.
        let lacks_arrival = leaves
            .last()
            .is_some_and(|(_, kind, _)| *kind == RecordKind::Message);
        if much && !lacks_arrival {
            return self.flush(watch);
        }
        Ok(())
    }

    /// Hands what was gathered to the catalog, with the summaries of the new messages, and then to the indexer.
    fn flush(&mut self, watch: &mut dyn FnMut(Watermark)) -> Result<()> {
        self.frame_bytes = 0;
        let mut entries = std::mem::take(&mut self.entries);
        let messages = std::mem::take(&mut self.new_messages);
        let catalog = &self.shared.catalog;
        let before = catalog.read()?.watermark()?;
        let totals = entries.totals;
        let arrivals = std::mem::take(&mut entries.arrivals);
        // First the places, under the old watermark, since summaries are made by reading.
        let places = Entries {
            totals: Default::default(),
            ..entries
        };
        catalog.apply(&places, &self.tree.take_changed(), before, false)?;
        let numbers: Vec<u64> = messages.into_keys().collect();
        let read = read_messages(self.shared, &catalog.read()?, &numbers)?;
        let summaries = Entries {
            totals,
            summaries: read.summaries,
            arrivals,
            ..Entries::default()
        };
        let known: HashSet<u64> = summaries.summaries.iter().map(|(n, _)| *n).collect();
        self.unread
            .extend(numbers.iter().filter(|number| !known.contains(number)));
        catalog.apply(&summaries, &[], self.position, false)?;
        self.view = catalog.read()?;
        self.new_contents.clear();
        self.new_digests.clear();
        self.shared.publish(self.position.leaves, read.documents);
        self.shared.wait_for_indexer();
        watch(self.position);
        Ok(())
    }

    /// Makes the summaries of messages that could not be read before all of the archive was taken in; the index hears of them by the
    /// arrival with which they came again.
    fn read_again(&mut self) -> Result<()> {
        let numbers: Vec<u64> = std::mem::take(&mut self.unread).into_iter().collect();
        let entries = Entries {
            summaries: read_messages(self.shared, &self.view, &numbers)?.summaries,
            ..Entries::default()
        };
        let catalog = &self.shared.catalog;
        catalog.apply(&entries, &[], self.position, false)
    }
}

/// What catalog and index are told about messages, in their order.
#[derive(Default)]
struct ReadMessages {
    summaries: Vec<(u64, Summary)>,
    documents: Vec<Document>,
}

/// Reads messages for catalog and index, on as many threads as index; damaged ones are left out.
fn read_messages(shared: &Shared, view: &CatalogView, numbers: &[u64]) -> Result<ReadMessages> {
    let room = DocumentRoom::default();
    let read = |some: &[u64]| {
        let mut read = ReadMessages::default();
        for number in some {
            read_message(shared, view, *number, &room, &mut read)?;
        }
        Ok(read)
    };
    let share = numbers.len().div_ceil(shared.options.index_threads.max(1));
    if share == numbers.len() {
        return read(numbers);
    }
    std::thread::scope(|scope| {
        let parts: Vec<_> = numbers
            .chunks(share)
            .map(|some| scope.spawn(|| read(some)))
            .collect();
        let joined = parts.into_iter().map(|part| {
            part.join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        joined.reduce(|first, next| {
            let (mut first, next) = (first?, next?);
            first.summaries.extend(next.summaries);
            first.documents.extend(next.documents);
            Ok(first)
        })
    })
    .unwrap_or_else(|| Ok(ReadMessages::default()))
}

/// Reads a message; the index gets its document at once where there is room for it.
fn read_message(
    shared: &Shared,
    view: &CatalogView,
    sequence: u64,
    room: &DocumentRoom,
    read: &mut ReadMessages,
) -> Result<()> {
    let facts = read_facts(shared, view, sequence, |message| {
        shared.reader.group_and_copy(view, message)
    });
    match facts {
        Ok((facts, further)) => {
            read.summaries.push((sequence, facts.summary));
            // Arrivals that came later are looked up when the index comes to them.
            let is_wanted = further.is_empty() && sequence > shared.indexed();
            if is_wanted && room.takes(&facts.document) {
                read.documents.push(facts.document);
            }
            Ok(())
        }
        Err(error @ (Error::Damaged { .. } | Error::NotFound(_) | Error::Body(_))) => {
            tracing::error!(
                sequence,
                error = &error as &dyn std::error::Error,
                "a message is damaged"
            );
            Ok(())
        }
        Err(error) => Err(error),
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
    let name = volume::file_name(number);
    if !shared.disk.exists(Path::new(&name)).on("look for", &name)? {
        return Ok(None);
    }
    let volume = Volume::open_for_frames(&*shared.disk, number)?;
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
