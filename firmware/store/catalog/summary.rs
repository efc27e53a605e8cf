//! The facts about a message that lists show, and blocks of them.
//!
//! Neighbouring summaries share senders, recipients and subjects, so they are packed together; a block is as large as a third of a page of
//! redb at most, so that pages are full and a list that needs fifty blocks unpacks little. A block is:
//!
//! | part | of |
//! |---|---|
//! | varint | number of summaries |
//! | varint each | sequence number, counted from the one before; from the block's key for the first |
//! | 32 bytes each | digest |
//! | 16 bytes each | group |
//! | varint | length of what follows once unpacked |
//! | zstd frame | for each a varint length and the other facts as fields |

use crate::encoding::{Bytes, FieldWriter, Fields, put_counted, put_varint, text};
use archive::Digest;
use mail::Oddities;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use zstd::bulk::{Compressor, Decompressor};

/// Longest block of more than one summary in bytes: three of them fill a page of redb (4096) with their keys and offsets.
const BLOCK_BYTES_MAX: usize = 1340;

/// Longest unpacked block that is believed, in bytes; real ones have a few thousand.
const UNPACKED_BYTES_MAX: u64 = 16 << 20;

/// Compression level: higher ones gain two per cent.
const LEVEL: i32 = 3;

/// Attempts to fill a block.
const ATTEMPTS: usize = 3;

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
    /// Memory it takes in bytes, about.
    pub(super) fn weight_bytes(&self) -> usize {
        let to: usize = self.to.iter().map(|to| to.len() + 24).sum();
        400 + self.from.len() + to + self.subject.len() + self.message_id.len()
    }

    pub(super) fn row(&self) -> Row {
        let mut fields = FieldWriter::default();
        fields.uint(1, self.size_bytes);
        fields.int(2, Some(self.received_at_us));
        fields.int(3, self.sent_at);
        fields.int(
            4,
            Some(self.date).filter(|date| self.sent_at != Some(*date)),
        );
        fields.text(5, &self.from);
        self.to.iter().for_each(|to| fields.text(6, to));
        fields.text(7, &self.subject);
        fields.text(8, &self.message_id);
        fields.nonzero(9, u64::from(self.attachments));
        fields.nonzero(10, u64::from(self.oddities.bits()));
        fields.nonzero(11, u64::from(self.self_test));
        Row {
            digest: self.digest.map_or([0; 32], |digest| digest.0),
            group: self.group,
            fields: fields.finish(),
        }
    }

    fn decode(digest: [u8; 32], group: [u8; 16], fields: &[u8]) -> Option<Self> {
        let mut summary = Self {
            digest: Some(Digest(digest)),
            group,
            ..Self::default()
        };
        let mut date = None;
        let mut fields = Fields::new(fields);
        for (tag, mut value) in fields.by_ref() {
            match tag {
                1 => summary.size_bytes = value.varint()?,
                2 => summary.received_at_us = value.i64()?,
                3 => summary.sent_at = Some(value.i64()?),
                4 => date = Some(value.i64()?),
                5 => summary.from = text(value.0),
                6 => summary.to.push(text(value.0)),
                7 => summary.subject = text(value.0),
                8 => summary.message_id = text(value.0),
                9 => summary.attachments = value.varint()? as u32,
                10 => summary.oddities = Oddities::from_bits(value.varint()? as u32),
                11 => summary.self_test = value.varint()? == 1,
                _ => {}
            }
        }
        summary.date = date.or(summary.sent_at)?;
        fields.sound().then_some(summary)
    }
}

/// A summary as a block holds it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    digest: [u8; 32],
    group: [u8; 16],
    fields: Vec<u8>,
}

/// Summaries by number.
pub(super) type Rows = BTreeMap<u64, Row>;

/// The outside of a block: all but the fields.
struct Head<'a> {
    sequences: Vec<u64>,
    digests: &'a [[u8; 32]],
    groups: &'a [[u8; 16]],
    unpacked_bytes: usize,
    packed: &'a [u8],
}

impl<'a> Head<'a> {
    fn decode(key: u64, bytes: &'a [u8]) -> Option<Self> {
        let mut bytes = Bytes(bytes);
        let count = usize::try_from(bytes.varint()?).ok()?;
        let mut sequence = key;
        let mut sequences = Vec::with_capacity(count.min(BLOCK_BYTES_MAX));
        for _ in 0..count {
            sequence = sequence.checked_add(bytes.varint()?)?;
            sequences.push(sequence);
        }
        let digests = bytes.take(count.checked_mul(32)?)?.as_chunks().0;
        let groups = bytes.take(count.checked_mul(16)?)?.as_chunks().0;
        let unpacked_bytes = bytes
            .varint()
            .filter(|count| *count <= UNPACKED_BYTES_MAX)?;
        Some(Self {
            sequences,
            digests,
            groups,
            unpacked_bytes: unpacked_bytes as usize,
            packed: bytes.0,
        })
    }

    fn unpack(&self) -> Option<Vec<u8>> {
        UNPACKER
            .with_borrow_mut(|unpacker| unpacker.decompress(self.packed, self.unpacked_bytes).ok())
    }
}

thread_local! {
    static UNPACKER: RefCell<Decompressor<'static>> =
        RefCell::new(Decompressor::new().expect("zstd has memory for a context"));
}

/// An unpacked block.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    sequences: Vec<u64>,
    digests: Vec<[u8; 32]>,
    groups: Vec<[u8; 16]>,
    /// Where the other facts of each lie in `unpacked`.
    fields: Vec<Range<usize>>,
    unpacked: Vec<u8>,
}

impl Block {
    /// Unpacks the block with this key; none is damage.
    pub(super) fn unpack(key: u64, bytes: &[u8]) -> Option<Self> {
        let head = Head::decode(key, bytes)?;
        let unpacked = head.unpack()?;
        let mut rest = Bytes(&unpacked);
        let mut fields = Vec::with_capacity(head.sequences.len());
        for _ in &head.sequences {
            let length = rest.counted()?.len();
            let end = unpacked.len() - rest.0.len();
            fields.push(end - length..end);
        }
        Some(Self {
            digests: head.digests.to_vec(),
            groups: head.groups.to_vec(),
            sequences: head.sequences,
            fields,
            unpacked,
        })
    }

    /// Memory it takes in bytes, about.
    pub(super) fn weight_bytes(&self) -> usize {
        200 + self.sequences.len() * 72 + self.unpacked.len()
    }

    /// Tells whether it ends before a number.
    pub(super) fn is_before(&self, sequence: u64) -> bool {
        self.sequences.last().is_none_or(|last| *last < sequence)
    }

    /// Finds a summary; the outer `None` is damage.
    pub(super) fn summary(&self, sequence: u64) -> Option<Option<Summary>> {
        let Ok(index) = self.sequences.binary_search(&sequence) else {
            return Some(None);
        };
        let fields = &self.unpacked[self.fields[index].clone()];
        Summary::decode(self.digests[index], self.groups[index], fields).map(Some)
    }

    /// Gives all summaries as they are packed.
    pub(super) fn rows(&self) -> Rows {
        let row = |(index, sequence): (usize, &u64)| {
            let row = Row {
                digest: self.digests[index],
                group: self.groups[index],
                fields: self.unpacked[self.fields[index].clone()].to_vec(),
            };
            (*sequence, row)
        };
        self.sequences.iter().enumerate().map(row).collect()
    }
}

/// Packs summaries into blocks, each with its key.
pub(super) fn pack(rows: &Rows) -> Vec<(u64, Vec<u8>)> {
    let mut compressor = Compressor::new(LEVEL).expect("the level is one that zstd has");
    let rows: Vec<(u64, &Row)> = rows
        .iter()
        .map(|(sequence, row)| (*sequence, row))
        .collect();
    let mut blocks = Vec::new();
    let (mut rest, mut guess) = (rows.as_slice(), 1);
    while let Some((key, _)) = rest.first() {
        let (count, block) = fill(rest, guess, &mut compressor);
        blocks.push((*key, block));
        rest = &rest[count..];
        guess = count;
    }
    blocks
}

/// Makes a block of so many rows as fit, judging by how well the first `guess` were packed.
fn fill(rows: &[(u64, &Row)], guess: usize, compressor: &mut Compressor) -> (usize, Vec<u8>) {
    let mut best = None;
    let mut count = guess.min(rows.len());
    for _ in 0..ATTEMPTS {
        let block = encode(&rows[..count], compressor);
        let next = (count * BLOCK_BYTES_MAX / block.len()).clamp(1, rows.len());
        if block.len() > BLOCK_BYTES_MAX && count > 1 {
            count = next.min(count - 1);
        } else {
            let is_full = next <= count;
            best = Some((count, block));
            if is_full {
                break;
            }
            count = next;
        }
        if best.as_ref().is_some_and(|(best, _)| *best >= count) {
            break;
        }
    }
    best.unwrap_or_else(|| (1, encode(&rows[..1], compressor)))
}

fn encode(rows: &[(u64, &Row)], compressor: &mut Compressor) -> Vec<u8> {
    let mut block = Vec::with_capacity(2 * BLOCK_BYTES_MAX);
    put_varint(&mut block, rows.len() as u64);
    let mut before = rows.first().map_or(0, |(key, _)| *key);
    for (sequence, _) in rows {
        put_varint(&mut block, sequence - before);
        before = *sequence;
    }
    rows.iter()
        .for_each(|(_, row)| block.extend_from_slice(&row.digest));
    rows.iter()
        .for_each(|(_, row)| block.extend_from_slice(&row.group));
    let mut unpacked = Vec::new();
    rows.iter()
        .for_each(|(_, row)| put_counted(&mut unpacked, &row.fields));
    put_varint(&mut block, unpacked.len() as u64);
    let packed = compressor
        .compress(&unpacked)
        .expect("zstd has memory for a few kilobytes");
    block.extend_from_slice(&packed);
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn summary(number: u64, length: usize) -> Summary {
        Summary {
            digest: Some(crate::digest::sha256(&number.to_le_bytes())),
            size_bytes: number * 3,
            received_at_us: -5,
            sent_at: (!number.is_multiple_of(3)).then_some(number as i64),
            date: (number / 2) as i64,
            from: format!("Anna <anna{number}@x.example>"),
            to: (0..number % 4).map(|i| format!("{i}@y.example")).collect(),
            subject: format!("{number:x}").repeat(length),
            message_id: format!("{number}@x.example"),
            attachments: (number % 2) as u32,
            oddities: Oddities::from_bits((number % 5) as u32),
            self_test: number.is_multiple_of(7),
            group: [number as u8; 16],
        }
    }

    proptest! {
        #[test]
        fn summaries_come_back(lengths in proptest::collection::btree_map(1..500u64, 0..400usize, 1..100)) {
            let summaries: Vec<_> = lengths.iter().map(|(number, length)| (*number, summary(*number, *length))).collect();
            let all: Rows = summaries.iter().map(|(number, summary)| (*number, summary.row())).collect();
            let blocks: BTreeMap<u64, Vec<u8>> = pack(&all).into_iter().collect();
            let mut unpacked = Rows::new();
            for (key, block) in &blocks {
                let of_block = Block::unpack(*key, block).expect("sound").rows();
                prop_assert!(block.len() <= BLOCK_BYTES_MAX || of_block.len() == 1);
                unpacked.extend(of_block);
            }
            prop_assert_eq!(&unpacked, &all);
            for (number, summary) in summaries {
                let (key, block) = blocks.range(..=number).next_back().expect("a block");
                let block = Block::unpack(*key, block).expect("sound");
                prop_assert_eq!(block.summary(number), Some(Some(summary)));
                prop_assert_eq!(block.summary(1_000), Some(None));
                prop_assert!(!block.is_before(number) && block.is_before(1_000));
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(block) = Block::unpack(1, &bytes) {
                block.summary(1);
                block.rows();
            }
        }

        #[test]
        fn damage_is_seen_or_costs_only_facts(at in any::<prop::sample::Index>(), bit in 0..8u8) {
            let all: Rows = (1..9).map(|number| (number, summary(number, 3).row())).collect();
            let (key, mut block) = pack(&all).swap_remove(0);
            let at = at.index(block.len());
            block[at] ^= 1 << bit;
            if let Some(block) = Block::unpack(key, &block) {
                block.summary(3);
                block.rows();
            }
        }
    }
}
