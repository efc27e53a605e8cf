//! Where records lie, and blocks of the places of leaves.
//!
//! A block holds the places of [`BLOCK_LEAVES`] leaves in their order. Each begins with a varint: 0 for a number that has no place, else
//! twice its kind, plus 1 when it lies in the frame of the one before. Then come, as varints: volume and frame, unless it is the same
//! frame; and where it begins in the frame, counted from the one before when it is the same frame.

use crate::encoding::{Bytes, put_varint};
use crate::record::RecordKind;

/// Leaves in a block: some 200 bytes, so that pages are full and a place is found by looking at a hundred bytes.
pub(crate) const BLOCK_LEAVES: u64 = 64;

/// Length of an encoded place in bytes.
pub(super) const PLACE_BYTES: usize = 12;

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
    /// Volume in 4 bytes, frame in 5, inner in 3: a volume's number stays below 2^32, its length below 2^40, a payload's at 2^24.
    pub(super) fn encode(&self) -> [u8; PLACE_BYTES] {
        let mut out = [0; PLACE_BYTES];
        out[..4].copy_from_slice(&(self.volume as u32).to_le_bytes());
        out[4..9].copy_from_slice(&self.frame.to_le_bytes()[..5]);
        out[9..].copy_from_slice(&self.inner.to_le_bytes()[..3]);
        out
    }

    pub(super) fn decode(bytes: &mut Bytes) -> Option<Self> {
        let volume = u64::from(bytes.u32()?);
        let (mut frame, mut inner) = ([0; 8], [0; 4]);
        frame[..5].copy_from_slice(bytes.take(5)?);
        inner[..3].copy_from_slice(bytes.take(3)?);
        Some(Self {
            volume,
            frame: u64::from_le_bytes(frame),
            inner: u32::from_le_bytes(inner),
        })
    }
}

/// The places of neighbouring leaves.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LeafBlock(Vec<Option<(RecordKind, Place)>>);

impl LeafBlock {
    /// The block that a leaf belongs to, and its index there.
    pub(super) fn of(sequence: u64) -> (u64, usize) {
        (sequence / BLOCK_LEAVES, (sequence % BLOCK_LEAVES) as usize)
    }

    pub(super) fn set(&mut self, index: usize, leaf: (RecordKind, Place)) {
        if self.0.len() <= index {
            self.0.resize(index + 1, None);
        }
        self.0[index] = Some(leaf);
    }

    pub(super) fn get(&self, index: usize) -> Option<(RecordKind, Place)> {
        self.0.get(index).copied().flatten()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(4 * self.0.len());
        let mut before: Option<Place> = None;
        for leaf in &self.0 {
            let Some((kind, place)) = leaf else {
                out.push(0);
                continue;
            };
            let head = u64::from(kind.number()) << 1;
            let same_frame = before.filter(|before| {
                (before.volume, before.frame) == (place.volume, place.frame)
                    && before.inner <= place.inner
            });
            match same_frame {
                Some(before) => {
                    put_varint(&mut out, head | 1);
                    put_varint(&mut out, u64::from(place.inner - before.inner));
                }
                None => {
                    put_varint(&mut out, head);
                    put_varint(&mut out, place.volume);
                    put_varint(&mut out, place.frame);
                    put_varint(&mut out, u64::from(place.inner));
                }
            }
            before = Some(*place);
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(bytes);
        let mut leaves = Vec::with_capacity(BLOCK_LEAVES as usize);
        let mut before: Option<Place> = None;
        while !bytes.0.is_empty() {
            let head = bytes.varint()?;
            if head == 0 {
                leaves.push(None);
                continue;
            }
            let kind = RecordKind::from_number(u8::try_from(head >> 1).ok()?);
            let place = match head & 1 {
                1 => {
                    let before = before?;
                    let inner = before.inner.checked_add(inner(&mut bytes)?)?;
                    Place { inner, ..before }
                }
                _ => Place {
                    volume: bytes.varint()?,
                    frame: bytes.varint()?,
                    inner: inner(&mut bytes)?,
                },
            };
            leaves.push(Some((kind, place)));
            before = Some(place);
        }
        (leaves.len() as u64 <= BLOCK_LEAVES).then_some(Self(leaves))
    }
}

fn inner(bytes: &mut Bytes) -> Option<u32> {
    u32::try_from(bytes.varint()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place() -> impl Strategy<Value = Place> {
        (1..4u64, 0..5u64, 0..1u32 << 24).prop_map(|(volume, frame, inner)| Place {
            volume,
            frame: frame << 32,
            inner,
        })
    }

    proptest! {
        #[test]
        fn places_come_back(leaves in proptest::collection::vec((0..BLOCK_LEAVES, 3..6u8, place()), 1..80)) {
            let mut block = LeafBlock::default();
            for (sequence, kind, place) in leaves {
                let (_, index) = LeafBlock::of(sequence);
                block.set(index, (RecordKind::from_number(kind), place));
                prop_assert_eq!(block.get(index), Some((RecordKind::from_number(kind), place)));
                prop_assert_eq!(Place::decode(&mut Bytes(&place.encode())), Some(place));
            }
            prop_assert_eq!(LeafBlock::decode(&block.encode()), Some(block));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            LeafBlock::decode(&bytes);
        }
    }
}
