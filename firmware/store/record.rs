//! Records inside a frame's payload: kind, length, checksum, body (FORMAT.md, "Record").

use crate::encoding::{Bytes, FieldWriter, Fields};
use crate::frame::{FILL_BYTES, FramePacker, RAW_BYTES_MAX};
use archive::{ContentRef, Digest};

/// Length of a record's header in bytes.
pub(crate) const RECORD_HEADER_BYTES: usize = 9;

/// Longest run of a content's bytes in one record: bounds memory while a large one is written and read.
pub(crate) const SEGMENT_BYTES_MAX: usize = 1 << 20;

/// Largest body of a record in bytes: one record must fit into a frame.
pub(crate) const BODY_BYTES_MAX: usize = RAW_BYTES_MAX - RECORD_HEADER_BYTES;

/// Bytes of a content record before the content's own.
pub(crate) const SEGMENT_HEAD_BYTES: usize = 48;

/// What a record is; the numbers are those of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordKind {
    Content,
    Dictionary,
    Message,
    Reception,
    Event,
    Checkpoint,
    Seal,
    /// Not known here; above 127 it may be skipped.
    Unknown(u8),
}

impl RecordKind {
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Content => 1,
            Self::Dictionary => 2,
            Self::Message => 3,
            Self::Reception => 4,
            Self::Event => 5,
            Self::Checkpoint => 6,
            Self::Seal => 7,
            Self::Unknown(number) => number,
        }
    }

    pub(crate) fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Content,
            2 => Self::Dictionary,
            3 => Self::Message,
            4 => Self::Reception,
            5 => Self::Event,
            6 => Self::Checkpoint,
            7 => Self::Seal,
            other => Self::Unknown(other),
        }
    }

    /// Returns whether records of this kind are leaves of the tree.
    pub(crate) fn is_leaf(self) -> bool {
        matches!(self, Self::Message | Self::Reception | Self::Event)
    }
}

/// One record of a payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) kind: RecordKind,
    /// Where it begins in the payload.
    pub(crate) inner: u32,
    pub(crate) body: &'a [u8],
}

impl Record<'_> {
    /// The record as it stands in its payload, header included.
    pub(crate) fn stored<'p>(&self, payload: &'p [u8]) -> &'p [u8] {
        let start = self.inner as usize;
        &payload[start..start + RECORD_HEADER_BYTES + self.body.len()]
    }
}

fn checksum(kind: u8, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&[kind]), body)
}

/// Appends a record whose body is the given pieces, one after the other.
pub(crate) fn put_record(payload: &mut Vec<u8>, kind: RecordKind, body: &[&[u8]]) {
    let length: usize = body.iter().map(|piece| piece.len()).sum();
    assert!(length <= BODY_BYTES_MAX, "writers bound their records");
    let number = kind.number();
    let sum = body.iter().fold(crc32c::crc32c(&[number]), |sum, piece| {
        crc32c::crc32c_append(sum, piece)
    });
    payload.push(number);
    payload.extend_from_slice(&(length as u32).to_le_bytes());
    payload.extend_from_slice(&sum.to_le_bytes());
    body.iter()
        .for_each(|piece| payload.extend_from_slice(piece));
}

/// Reads the record at `inner`; `None` when none lies there whole and sound.
pub(crate) fn record_at(payload: &[u8], inner: u32) -> Option<Record<'_>> {
    let mut bytes = Bytes(payload.get(inner as usize..)?);
    let (number, length, sum) = (bytes.u8()?, bytes.u32()?, bytes.u32()?);
    let body = bytes.take(length as usize)?;
    (checksum(number, body) == sum).then_some(Record {
        kind: RecordKind::from_number(number),
        inner,
        body,
    })
}

/// The records of a payload in order; ends early (`sound` is false) where one does not hold.
pub(crate) struct Records<'a> {
    payload: &'a [u8],
    next: usize,
    sound: bool,
}

impl<'a> Records<'a> {
    pub(crate) fn new(payload: &'a [u8]) -> Self {
        Self {
            payload,
            next: 0,
            sound: true,
        }
    }

    /// Begins in the middle of a payload.
    pub(crate) fn from(payload: &'a [u8], inner: u32) -> Self {
        Self {
            payload,
            next: inner as usize,
            sound: true,
        }
    }

    pub(crate) fn sound(&self) -> bool {
        self.sound
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        if self.next >= self.payload.len() || !self.sound {
            return None;
        }
        let record = record_at(self.payload, self.next as u32);
        self.sound = record.is_some();
        self.next += record.map_or(0, |record| RECORD_HEADER_BYTES + record.body.len());
        record
    }
}

/// A segment of a content.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    pub(crate) content: ContentRef,
    pub(crate) offset: u64,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Segment<'a> {
    pub(crate) fn decode(body: &'a [u8]) -> Option<Self> {
        let mut bytes = Bytes(body);
        let content = ContentRef {
            digest: Digest(bytes.array()?),
            length_bytes: bytes.u64()?,
        };
        let offset = bytes.u64()?;
        let end = offset.checked_add(bytes.0.len() as u64)?;
        (end <= content.length_bytes).then_some(Self {
            content,
            offset,
            bytes: bytes.0,
        })
    }

    pub(crate) fn head(&self) -> [u8; SEGMENT_HEAD_BYTES] {
        let mut head = [0; SEGMENT_HEAD_BYTES];
        head[..32].copy_from_slice(&self.content.digest.0);
        head[32..40].copy_from_slice(&self.content.length_bytes.to_le_bytes());
        head[40..].copy_from_slice(&self.offset.to_le_bytes());
        head
    }
}

/// Where a record lies among the frames of a batch or spool file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Which frame, counted from 0.
    pub(crate) frame: u32,
    /// Where in its payload.
    pub(crate) inner: u32,
}

/// Gathers records into frames of about [`FILL_BYTES`].
pub(crate) struct RecordPacker {
    packer: FramePacker,
    payload: Vec<u8>,
    frames: u32,
    batch: u64,
}

impl RecordPacker {
    pub(crate) fn new() -> Self {
        Self {
            packer: FramePacker::new(),
            payload: Vec::new(),
            frames: 0,
            batch: 0,
        }
    }

    /// Begins a batch: frames count from 0 again.
    pub(crate) fn begin(&mut self, batch: u64) {
        (self.batch, self.frames) = (batch, 0);
        self.payload.clear();
    }

    /// Counts frames from here: those before are finished elsewhere.
    pub(crate) fn go_on_at(&mut self, frames: u32) {
        self.frames = frames;
    }

    /// Appends a record; a frame that is full goes to `out`, its start to `starts`.
    pub(crate) fn record(&mut self, kind: RecordKind, body: &[&[u8]], out: &mut FrameRun) -> Slot {
        let length: usize =
            RECORD_HEADER_BYTES + body.iter().map(|piece| piece.len()).sum::<usize>();
        if !self.payload.is_empty() && self.payload.len() + length > FILL_BYTES {
            self.close(false, out);
        }
        let slot = Slot {
            frame: self.frames,
            inner: self.payload.len() as u32,
        };
        put_record(&mut self.payload, kind, body);
        slot
    }

    /// Appends a content of any length, in segments.
    pub(crate) fn content(
        &mut self,
        content: ContentRef,
        bytes: &[u8],
        out: &mut FrameRun,
    ) -> Slot {
        let mut first = None;
        let mut offset = 0;
        loop {
            let end = bytes.len().min(offset + SEGMENT_BYTES_MAX);
            let segment = Segment {
                content,
                offset: offset as u64,
                bytes: &bytes[offset..end],
            };
            let slot = self.record(RecordKind::Content, &[&segment.head(), segment.bytes], out);
            let first = *first.get_or_insert(slot);
            offset = end;
            if offset == bytes.len() {
                return first;
            }
        }
    }

    /// Closes the frame that is being filled, if it holds anything or must mark the end of the batch.
    pub(crate) fn close(&mut self, last_of_batch: bool, out: &mut FrameRun) {
        if self.payload.is_empty() && !last_of_batch {
            return;
        }
        out.starts.push(out.bytes.len() as u64);
        self.packer
            .pack(&self.payload, self.batch, last_of_batch, &mut out.bytes);
        self.frames += 1;
        self.payload.clear();
    }
}

/// Finished frames, one after the other.
#[derive(Default)]
pub(crate) struct FrameRun {
    pub(crate) bytes: Vec<u8>,
    /// Where each frame begins in `bytes`.
    pub(crate) starts: Vec<u64>,
}

/// What a seal says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seal {
    pub(crate) volume: u64,
    pub(crate) first_sequence: u64,
    pub(crate) leaf_hashes: Vec<[u8; 32]>,
    pub(crate) volume_digest: [u8; 32],
    pub(crate) removed: Vec<u64>,
}

impl Seal {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut fields = FieldWriter::default();
        fields.uint(1, self.volume);
        fields.uint(2, self.first_sequence);
        fields.bytes(3, self.leaf_hashes.as_flattened());
        fields.bytes(4, &self.volume_digest);
        self.removed
            .iter()
            .for_each(|sequence| fields.uint(5, *sequence));
        fields.finish()
    }

    /// The sequence number behind the volume's last one.
    pub(crate) fn end(&self) -> u64 {
        self.first_sequence
            .saturating_add(self.leaf_hashes.len() as u64)
    }

    pub(crate) fn decode(body: &[u8]) -> Option<Self> {
        let mut seal = Self {
            volume: 0,
            first_sequence: 0,
            leaf_hashes: vec![],
            volume_digest: [0; 32],
            removed: vec![],
        };
        let mut fields = Fields::new(body);
        for (tag, mut value) in fields.by_ref() {
            match tag {
                1 => seal.volume = value.varint()?,
                2 => seal.first_sequence = value.varint()?,
                3 => seal.leaf_hashes = leaf_hashes(value.0)?,
                4 => seal.volume_digest = value.array()?,
                5 => seal.removed.push(value.varint()?),
                _ => {}
            }
        }
        fields.sound().then_some(seal)
    }
}

fn leaf_hashes(bytes: &[u8]) -> Option<Vec<[u8; 32]>> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    rest.is_empty().then(|| hashes.to_vec())
}

/// A signed tree head as it stands in a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointRecord {
    /// Number of leaves.
    pub tree_size: u64,
    /// Root of the tree over them.
    pub root: [u8; 32],
    /// The C2SP signed note.
    pub note: String,
}

impl CheckpointRecord {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut fields = FieldWriter::default();
        fields.uint(1, self.tree_size);
        fields.bytes(2, &self.root);
        fields.text(3, &self.note);
        fields.finish()
    }

    pub(crate) fn decode(body: &[u8]) -> Option<Self> {
        let mut record = Self {
            tree_size: 0,
            root: [0; 32],
            note: String::new(),
        };
        let mut fields = Fields::new(body);
        for (tag, mut value) in fields.by_ref() {
            match tag {
                1 => record.tree_size = value.varint()?,
                2 => record.root = value.array()?,
                3 => record.note = String::from_utf8(value.0.to_vec()).ok()?,
                _ => {}
            }
        }
        fields.sound().then_some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{FrameHeader, HEADER_BYTES, unpack};

    #[test]
    fn records_come_back_in_order() {
        let mut payload = Vec::new();
        put_record(&mut payload, RecordKind::Event, &[b"one", b" piece"]);
        put_record(&mut payload, RecordKind::Unknown(200), &[b""]);
        let mut records = Records::new(&payload);
        let first = records.next().expect("a record");
        assert_eq!(
            (first.kind, first.body),
            (RecordKind::Event, &b"one piece"[..])
        );
        assert_eq!(
            records.next().expect("a record").kind,
            RecordKind::Unknown(200)
        );
        assert!(records.next().is_none() && records.sound());

        payload[RECORD_HEADER_BYTES] ^= 1;
        let mut records = Records::new(&payload);
        assert!(records.next().is_none() && !records.sound());
    }

    #[test]
    fn a_long_content_is_cut_into_segments() {
        let bytes: Vec<u8> = (0..SEGMENT_BYTES_MAX * 2 + 77)
            .map(|i| (i / 3) as u8)
            .collect();
        let content = ContentRef {
            digest: Digest([5; 32]),
            length_bytes: bytes.len() as u64,
        };
        let (mut packer, mut out) = (RecordPacker::new(), FrameRun::default());
        packer.begin(1);
        let slot = packer.content(content, &bytes, &mut out);
        packer.close(true, &mut out);
        assert_eq!(slot, Slot { frame: 0, inner: 0 });
        let mut read = Vec::new();
        for start in &out.starts {
            let frame = &out.bytes[*start as usize..];
            let header =
                FrameHeader::decode(frame[..HEADER_BYTES].try_into().expect("32")).expect("sound");
            let payload = unpack(&header, &frame[HEADER_BYTES..header.frame_bytes() as usize])
                .expect("sound");
            for record in Records::new(&payload) {
                let segment = Segment::decode(record.body).expect("a segment");
                assert_eq!(segment.offset, read.len() as u64);
                read.extend_from_slice(segment.bytes);
            }
        }
        assert_eq!(read, bytes);
    }

    #[test]
    fn seals_and_checkpoints_come_back() {
        let seal = Seal {
            volume: 3,
            first_sequence: 9,
            leaf_hashes: vec![[1; 32], [2; 32]],
            volume_digest: [3; 32],
            removed: vec![9],
        };
        assert_eq!(Seal::decode(&seal.encode()), Some(seal));
        let checkpoint = CheckpointRecord {
            tree_size: 7,
            root: [4; 32],
            note: "a\n\n— b\n".to_owned(),
        };
        assert_eq!(
            CheckpointRecord::decode(&checkpoint.encode()),
            Some(checkpoint)
        );
    }
}
