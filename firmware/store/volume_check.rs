//! Checks one volume alone: frames, records, contents and leaves, against its seal and what the catalog knows of it; says which bytes
//! do not hold, so that they can be mended, and where each record lies.
//!
//! What spans volumes (tree, signatures, messages put together) is `verify`'s. It changes nothing.

use crate::batch::leaf_hash;
use crate::catalog::{CatalogView, Entries, Place};
use crate::digest::{Hasher, sha256};
use crate::error::{Error, Result};
use crate::leaf;
use crate::merkle::{Hash, TILE_WIDTH, TileSource};
use crate::record::{CheckpointRecord, Record, RecordKind, Records, Seal, Segment};
use crate::volume::{self, Found, Frame, Volume, VolumeHeader, volume_digest};
use archive::{ContentRef, Digest};
use std::collections::HashMap;
use std::ops::Range;

/// Told how many bytes of a volume have been read; answers whether to go on.
pub(crate) type Step<'a> = &'a mut dyn FnMut(u64) -> bool;

/// Bytes that do not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    /// Where; up to `u64::MAX` when the end of the volume is missing.
    pub(crate) bytes: Range<u64>,
    /// Why, in plain words.
    pub(crate) what: String,
    /// The bytes are sound in themselves, but not those that belong there.
    pub(crate) differs: bool,
}

/// What reading a volume shows.
pub(crate) struct Checked {
    /// In the order of the bytes, apart from each other.
    pub(crate) damage: Vec<Damage>,
    /// The header, when it holds.
    pub(crate) header: Option<VolumeHeader>,
    pub(crate) seal: Option<Seal>,
    /// Where the records lie.
    pub(crate) places: Entries,
    pub(crate) records: RecordSums,
    /// Where the last sound frame ends.
    pub(crate) end: u64,
}

/// What tells whether two files hold the same records.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RecordSums {
    /// SHA-256 over all records but contents, in their order.
    leaves: Digest,
    /// The sum of the SHA-256 of each content record, wherever it stands.
    contents: [u64; 4],
}

/// What a volume is held against.
#[derive(Clone, Copy)]
pub(crate) struct Expected<'a> {
    pub(crate) view: &'a CatalogView,
    pub(crate) archive_id: [u8; 16],
    pub(crate) number: u64,
    /// Where the last batch of the open volume ends; none for a sealed one, which ends with its seal.
    pub(crate) until: Option<u64>,
}

impl Expected<'_> {
    fn digest_of(&self, number: u64) -> Result<Option<[u8; 32]>> {
        let entry = self.view.volume(number)?;
        Ok(entry
            .map(|entry| entry.digest)
            .filter(|digest| *digest != [0; 32]))
    }

    /// The hash of a leaf as the tree has it; none when damage had taken it before.
    fn leaf_hash(&self, sequence: u64) -> Option<Hash> {
        let index = sequence.checked_sub(1)?;
        let tile = self.view.tile(0, index / TILE_WIDTH as u64).ok()?;
        let hash = tile.get((index % TILE_WIDTH as u64) as usize).copied();
        hash.filter(|hash| *hash != [0; 32])
    }

    /// Reads a volume and checks it; none when `step` broke it off.
    pub(crate) fn check(&self, volume: &Volume, step: Step) -> Result<Option<Checked>> {
        let until = self.until.unwrap_or(u64::MAX);
        let mut check = Check::new(*self, volume)?;
        let mut at = volume::HEADER_BYTES;
        while at < until {
            if !step(at) {
                return Ok(None);
            }
            match volume.find_at(at)? {
                Found::End => break,
                Found::Damage { next } => {
                    let next = next.unwrap_or(until);
                    check.hurt(at..next, "the bytes are no sound frame");
                    at = next;
                }
                Found::Frame(frame) => {
                    let bytes = at..at + frame.header.frame_bytes();
                    at = bytes.end;
                    check.frame(bytes, frame);
                }
            }
        }
        check.finish(self.until.is_none(), at).map(Some)
    }
}

/// A long content of which not all segments have come.
#[derive(Default)]
struct OpenContent {
    done: u64,
    hasher: Hasher,
    frames: Vec<Range<u64>>,
}

struct Check<'a> {
    expected: Expected<'a>,
    header: Option<VolumeHeader>,
    damage: Vec<Damage>,
    batch: u64,
    open_contents: HashMap<Digest, OpenContent>,
    leaves: Vec<(u64, Hash, Range<u64>)>,
    seal: Option<(Seal, Range<u64>)>,
    places: Entries,
    leaf_records: Hasher,
    content_records: [u64; 4],
    end: u64,
}

impl<'a> Check<'a> {
    fn new(expected: Expected<'a>, volume: &Volume) -> Result<Self> {
        let mut check = Self {
            expected,
            header: None,
            damage: Vec::new(),
            batch: 0,
            open_contents: HashMap::new(),
            leaves: Vec::new(),
            seal: None,
            places: Entries::default(),
            leaf_records: Hasher::new(),
            content_records: [0; 4],
            end: volume::HEADER_BYTES,
        };
        let before = match expected.number {
            1 => Some([0; 32]),
            number => expected.digest_of(number - 1)?,
        };
        match volume.read_header() {
            Ok(header)
                if header.archive_id == expected.archive_id
                    && before.is_none_or(|digest| digest == header.previous_digest) =>
            {
                check.header = Some(header);
            }
            Ok(_) => check.differs(0..volume::HEADER_BYTES, "the header is another volume's"),
            Err(Error::Damaged { .. }) => {
                check.hurt(0..volume::HEADER_BYTES, "the header does not hold");
            }
            Err(error) => return Err(error),
        }
        Ok(check)
    }

    fn hurt(&mut self, bytes: Range<u64>, what: impl Into<String>) {
        self.damage.push(Damage {
            bytes,
            what: what.into(),
            differs: false,
        });
    }

    fn differs(&mut self, bytes: Range<u64>, what: impl Into<String>) {
        self.damage.push(Damage {
            bytes,
            what: what.into(),
            differs: true,
        });
    }

    fn frame(&mut self, bytes: Range<u64>, frame: Frame) {
        if frame.header.batch < self.batch {
            return self.hurt(bytes, "a frame of an older batch stands there");
        }
        self.batch = frame.header.batch;
        let mut records = Records::new(&frame.payload);
        for record in records.by_ref() {
            self.sum(record.kind, record.stored(&frame.payload));
            self.record(&bytes, record);
        }
        if !records.sound() {
            self.hurt(bytes.clone(), "a record in the frame does not hold");
        }
        self.end = bytes.end;
    }

    fn sum(&mut self, kind: RecordKind, stored: &[u8]) {
        if kind != RecordKind::Content {
            return self.leaf_records.push(stored);
        }
        let digest = sha256(stored).0;
        let parts = digest.as_chunks::<8>().0;
        for (sum, part) in self.content_records.iter_mut().zip(parts) {
            *sum = sum.wrapping_add(u64::from_le_bytes(*part));
        }
    }

    fn record(&mut self, bytes: &Range<u64>, record: Record) {
        let place = Place {
            volume: self.expected.number,
            frame: bytes.start,
            inner: record.inner,
        };
        match record.kind {
            RecordKind::Content => self.content(bytes, record, place),
            RecordKind::Checkpoint => {
                let checkpoint = CheckpointRecord::decode(record.body);
                let size = checkpoint.map(|checkpoint| (checkpoint.tree_size, place));
                self.places.checkpoints.extend(size);
            }
            RecordKind::Seal => {
                let seal = Seal::decode(record.body);
                self.seal = seal.map(|seal| (seal, bytes.clone()));
            }
            kind if kind.is_leaf() => self.leaf(bytes, record, place),
            _ => {}
        }
    }

    fn content(&mut self, bytes: &Range<u64>, record: Record, place: Place) {
        let Some(segment) = Segment::decode(record.body) else {
            return self.hurt(bytes.clone(), "a content record does not hold");
        };
        let ContentRef {
            digest,
            length_bytes,
        } = segment.content;
        if segment.offset == 0 {
            self.places.contents.push((segment.content, place));
        }
        if segment.bytes.len() as u64 == length_bytes {
            if sha256(segment.bytes) != digest {
                self.wrong_content(digest, vec![bytes.clone()]);
            }
            return;
        }
        let open = self.open_contents.entry(digest).or_default();
        open.frames.push(bytes.clone());
        if open.done == segment.offset {
            open.hasher.push(segment.bytes);
            open.done += segment.bytes.len() as u64;
        }
        if open.done == length_bytes
            && let Some(open) = self.open_contents.remove(&digest)
            && open.hasher.finish() != digest
        {
            self.wrong_content(digest, open.frames);
        }
    }

    fn wrong_content(&mut self, digest: Digest, frames: Vec<Range<u64>>) {
        for bytes in frames {
            self.hurt(bytes, format!("content {digest} does not have its digest"));
        }
    }

    fn leaf(&mut self, bytes: &Range<u64>, record: Record, place: Place) {
        let Some(sequence) = leaf::sequence_of(record.body) else {
            return self.hurt(bytes.clone(), "a leaf record does not hold");
        };
        let hash = leaf_hash(record.kind, sequence, record.body);
        self.places.leaves.push((sequence, record.kind, place));
        self.leaves.push((sequence, hash, bytes.clone()));
    }

    fn finish(mut self, must_be_sealed: bool, at: u64) -> Result<Checked> {
        for (digest, open) in std::mem::take(&mut self.open_contents) {
            for bytes in open.frames {
                self.hurt(bytes, format!("content {digest} is not whole"));
            }
        }
        self.check_seal(must_be_sealed, at)?;
        self.check_leaves();
        Ok(Checked {
            damage: apart(self.damage),
            header: self.header,
            seal: self.seal.map(|(seal, _)| seal),
            places: self.places,
            records: RecordSums {
                leaves: self.leaf_records.finish(),
                contents: self.content_records,
            },
            end: self.end,
        })
    }

    /// A seal that does not hold is not kept: leaves are then held against the tree.
    fn check_seal(&mut self, must_be_sealed: bool, at: u64) -> Result<()> {
        let known = self.expected.digest_of(self.expected.number)?;
        let Some((seal, bytes)) = self.seal.take() else {
            let is_named = self.damage.last().is_some_and(|last| last.bytes.end >= at);
            if must_be_sealed && !is_named {
                self.hurt(at..u64::MAX, "its seal is missing");
            }
            return Ok(());
        };
        let computed = self
            .header
            .as_ref()
            .map(|header| volume_digest(header, &seal.leaf_hashes));
        let holds = [known, computed]
            .iter()
            .flatten()
            .all(|digest| *digest == seal.volume_digest);
        if holds {
            self.seal = Some((seal, bytes));
        } else {
            self.differs(bytes, "the digest in its seal does not hold");
        }
        Ok(())
    }

    fn check_leaves(&mut self) {
        for (sequence, hash, bytes) in std::mem::take(&mut self.leaves) {
            let known = match &self.seal {
                Some((seal, _)) => sequence
                    .checked_sub(seal.first_sequence)
                    .and_then(|index| seal.leaf_hashes.get(index as usize).copied()),
                None => self.expected.leaf_hash(sequence),
            };
            if known.is_some_and(|known| known != hash) {
                self.differs(bytes, format!("number {sequence} has another hash"));
            }
        }
    }
}

/// Orders damage and joins what overlaps.
fn apart(mut damage: Vec<Damage>) -> Vec<Damage> {
    damage.sort_by_key(|damage| damage.bytes.start);
    damage.dedup_by(|next, before| {
        let overlaps = next.bytes.start < before.bytes.end;
        if overlaps {
            before.bytes.end = before.bytes.end.max(next.bytes.end);
            before.differs |= next.differs;
        }
        overlaps
    });
    damage
}
