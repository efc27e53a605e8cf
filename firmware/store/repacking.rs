//! The records of a sealed volume in the frames that take the least room (FORMAT.md, "Recompressed volumes").
//!
//! Like stands beside like: contents, then the leaves of their messages, in one frame; contents that do not get shorter in frames of
//! their own; copies of a message that differ only on their way (a mail in the mailboxes of five people) directly one after the other.
//! Whether the new file then takes the place of the old one is decided in `recompress.rs`.

use crate::catalog::{CatalogView, Place};
use crate::engine::Shared;
use crate::error::Result;
use crate::frame::{FramePacker, RAW_BYTES_MAX};
use crate::leaf;
use crate::reader::{self, Reader};
use crate::record::{Record, RecordKind, Records, SEGMENT_BYTES_MAX, Segment, record_at};
use crate::volume::{self, Found, Frame, Volume, VolumeHeader};
use crate::volume_check::{Checked, Step};
use crate::volume_files::OpenVolume;
use std::collections::{HashMap, HashSet};

/// Payload at which a frame is closed, in bytes: at 1 MiB mail takes 3 % more, at 4 MiB 2 % less, but reading one message unpacks at most
/// this much, in 1.5 ms.
const FILL_BYTES: usize = 2 << 20;

/// zstd level: see ARCHITECTURE.md, "Decisions".
const LEVEL: i32 = 9;

/// Bytes written between syncs: mail that is accepted meanwhile waits for no more than this to reach the disk.
const SYNC_BYTES: u64 = 8 << 20;

/// Bytes from the middle of a content that tell whether it gets shorter; a content below takes too little room to matter.
const SAMPLE_BYTES: usize = 4 << 10;

/// The new file while it is written.
pub(crate) struct Repacking<'a> {
    old: &'a OpenVolume,
    new: Volume,
    packer: FramePacker,
    copies: Copies<'a>,
    /// Contents of the frame that is being filled.
    contents: Vec<u8>,
    /// All other records of the frame; they stand behind its contents.
    leaves: Vec<u8>,
    /// The frame of contents that do not get shorter; it is written before.
    packed: Vec<u8>,
    /// The batch of the last record.
    batch: u64,
    /// The last batch that ends in the frame that is being filled.
    ended: Option<u64>,
    frames: Vec<u8>,
    at: u64,
    synced: u64,
}

impl<'a> Repacking<'a> {
    /// Begins the file beside `old`, in which `checked` found no damage.
    pub(crate) fn begin(
        shared: &'a Shared,
        view: &'a CatalogView,
        old: &'a OpenVolume,
        header: &VolumeHeader,
        checked: &Checked,
    ) -> Result<Self> {
        let header = VolumeHeader {
            recompressed: true,
            ..header.clone()
        };
        Ok(Self {
            old,
            copies: Copies::find(view, &shared.reader, checked)?,
            new: Volume::create_beside(&*shared.disk, header)?,
            packer: FramePacker::with_level(LEVEL),
            contents: Vec::with_capacity(FILL_BYTES),
            leaves: Vec::new(),
            packed: Vec::new(),
            batch: 0,
            ended: None,
            frames: Vec::new(),
            at: volume::HEADER_BYTES,
            synced: 0,
        })
    }

    /// Takes over all records; none when it was broken off.
    pub(crate) fn run(mut self, step: Step) -> Result<Option<Volume>> {
        let mut at = volume::HEADER_BYTES;
        while let Found::Frame(frame) = self.old.find_at(at)? {
            if !step(at) {
                return Ok(None);
            }
            self.frame(at, &frame)?;
            at += frame.header.frame_bytes();
        }
        self.close()?;
        self.new.sync()?;
        Ok(Some(self.new))
    }

    fn frame(&mut self, at: u64, frame: &Frame) -> Result<()> {
        for record in Records::new(&frame.payload) {
            match record.kind {
                RecordKind::Content if self.copies.is_taken(at, record.inner) => continue,
                RecordKind::Content => self.content(&record, record.stored(&frame.payload))?,
                kind => self.leaf(kind, record.stored(&frame.payload))?,
            }
            self.batch = frame.header.batch;
            if record.kind == RecordKind::Message {
                self.copies_of(&record, at)?;
            }
        }
        if frame.header.last_of_batch {
            self.ended = Some(frame.header.batch);
        }
        Ok(())
    }

    fn content(&mut self, record: &Record<'_>, stored: &[u8]) -> Result<()> {
        if is_packed(record) {
            if self.packed.len() + stored.len() > FILL_BYTES {
                self.close_packed()?;
            }
            self.packed.extend_from_slice(stored);
            return Ok(());
        }
        self.make_room(stored.len())?;
        self.contents.extend_from_slice(stored);
        Ok(())
    }

    fn leaf(&mut self, kind: RecordKind, stored: &[u8]) -> Result<()> {
        // The seal stays alone in its frame.
        if kind == RecordKind::Seal {
            self.close()?;
        }
        // A message and its first arrival are read together.
        if kind != RecordKind::Reception || self.filled() + stored.len() > RAW_BYTES_MAX {
            self.make_room(stored.len())?;
        }
        self.leaves.extend_from_slice(stored);
        Ok(())
    }

    fn make_room(&mut self, length_bytes: usize) -> Result<()> {
        if self.filled() + length_bytes > FILL_BYTES {
            self.close()?;
        }
        Ok(())
    }

    fn filled(&self) -> usize {
        self.contents.len() + self.leaves.len()
    }

    /// Lets the texts of a message's copies follow, which come later in the old file.
    fn copies_of(&mut self, message: &Record<'_>, frame: u64) -> Result<()> {
        let at = Place {
            volume: self.old.header.number,
            frame,
            inner: message.inner,
        };
        let Some(sequence) = leaf::sequence_of(message.body) else {
            return Ok(());
        };
        for place in self.copies.behind(sequence, at)? {
            let payload = self.copies.reader.frame(self.old, place.frame)?;
            let copy = record_at(&payload, place.inner)
                .ok_or_else(|| reader::damaged(place, "a record that was there before is not"))?;
            self.content(&copy, copy.stored(&payload))?;
        }
        Ok(())
    }

    /// Writes the frames that were filled, if there is anything in them.
    fn close(&mut self) -> Result<()> {
        self.close_packed()?;
        let mut payload = std::mem::take(&mut self.contents);
        payload.append(&mut self.leaves);
        if !payload.is_empty() {
            let ended = self.ended.take();
            self.write(&payload, ended.unwrap_or(self.batch), ended.is_some())?;
        }
        payload.clear();
        self.contents = payload;
        Ok(())
    }

    fn close_packed(&mut self) -> Result<()> {
        let payload = std::mem::take(&mut self.packed);
        if payload.is_empty() {
            return Ok(());
        }
        // Not above the number of the frame that follows.
        self.write(&payload, self.ended.unwrap_or(self.batch), false)
    }

    fn write(&mut self, payload: &[u8], batch: u64, last_of_batch: bool) -> Result<()> {
        self.packer
            .pack(payload, batch, last_of_batch, &mut self.frames);
        self.new.write_at(self.at, &self.frames)?;
        self.at += self.frames.len() as u64;
        self.frames.clear();
        if self.at - self.synced > SYNC_BYTES {
            self.new.sync()?;
            self.synced = self.at;
        }
        Ok(())
    }
}

/// Tells contents that were compressed already, or that are too long to have neighbours, from those that do better beside others.
fn is_packed(record: &Record<'_>) -> bool {
    let Some(segment) = Segment::decode(record.body) else {
        return false;
    };
    if segment.content.length_bytes > SEGMENT_BYTES_MAX as u64 {
        // Its segments stay in their order.
        return true;
    }
    let middle = segment.bytes.len() / 2;
    let sample = segment.bytes.get(middle..middle + SAMPLE_BYTES);
    sample.is_some_and(looks_random)
}

/// Compares how often bytes meet their like with chance: text has several times as many pairs.
fn looks_random(sample: &[u8]) -> bool {
    let mut counts = [0u64; 256];
    sample
        .iter()
        .for_each(|byte| counts[usize::from(*byte)] += 1);
    let pairs: u64 = counts.iter().map(|count| count * count).sum();
    let length = sample.len() as u64;
    pairs < 2 * (length * length / 256 + length)
}

/// Messages of one normal form: their texts are the same but for the fields of their way.
struct Copies<'a> {
    view: &'a CatalogView,
    reader: &'a Reader,
    /// For the first of them in the volume, the others in it.
    later: HashMap<u64, Vec<u64>>,
    /// Contents that have got a place before their turn, by where they lie.
    taken: HashSet<(u64, u32)>,
}

impl<'a> Copies<'a> {
    fn find(view: &'a CatalogView, reader: &'a Reader, checked: &Checked) -> Result<Self> {
        let mut first_of = HashMap::new();
        let mut later: HashMap<u64, Vec<u64>> = HashMap::new();
        for (sequence, kind, _) in &checked.places.leaves {
            if *kind == RecordKind::Message
                && let Some(summary) = view.summary(*sequence)?
            {
                let first = *first_of.entry(summary.group).or_insert(*sequence);
                if first != *sequence {
                    later.entry(first).or_default().push(*sequence);
                }
            }
        }
        Ok(Self {
            view,
            reader,
            later,
            taken: HashSet::new(),
        })
    }

    fn is_taken(&self, frame: u64, inner: u32) -> bool {
        self.taken.contains(&(frame, inner))
    }

    /// Takes the texts of the copies of a message that stand behind it, and says where they lie.
    fn behind(&mut self, message: u64, at: Place) -> Result<Vec<Place>> {
        let mut places = Vec::new();
        for copy in self.later.remove(&message).unwrap_or_default() {
            let text = self.reader.message(self.view, copy)?.contents()[0];
            let Some((length_bytes, place)) = self.view.content(&text.digest)? else {
                continue;
            };
            let is_behind = place.volume == at.volume
                && (place.frame, place.inner) > (at.frame, at.inner)
                && length_bytes <= SEGMENT_BYTES_MAX as u64;
            if is_behind && self.taken.insert((place.frame, place.inner)) {
                places.push(place);
            }
        }
        Ok(places)
    }
}
