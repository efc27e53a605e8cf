//! Where the volumes of two disks end and where they part, read from their leaves without changing anything.
//!
//! Two disks that hold a volume of the same number with the same header hold the same leaves before it, since the header names
//! the digest of the volume before. So only the last volume that both have is read.

use crate::batch::leaf_hash;
use crate::catalog::Watermark;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::leaf;
use crate::merkle::Hash;
use crate::record::{RecordKind, Records, Seal};
use crate::volume::{self, Found, Frame, Volume, VolumeHeader};
use std::collections::BTreeMap;

/// What one disk has beyond the leaves that both have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extra {
    /// Nothing.
    None,
    /// Leaves of its last batch only.
    OneBatch(Tail),
    /// More than that.
    More,
}

/// The last batch of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    /// The volume.
    pub(crate) volume: u64,
    /// Where in it the batch begins.
    pub(crate) offset: u64,
}

/// How the leaves of two disks differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// What the own disk has alone.
    pub(crate) own: Extra,
    /// What the other one has alone.
    pub(crate) copy: Extra,
}

/// Where a disk ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct End {
    /// Number of the last volume; 0 when there is none.
    pub(crate) volume: u64,
    /// Behind its last whole batch.
    pub(crate) offset: u64,
}

impl From<Watermark> for End {
    fn from(position: Watermark) -> Self {
        Self {
            volume: position.volume,
            offset: position.offset,
        }
    }
}

/// A disk whose volumes are compared.
pub(crate) struct Side<'a> {
    disk: &'a dyn Disk,
    /// What lies behind is being written.
    limit: Option<End>,
    last: Tip,
}

impl<'a> Side<'a> {
    /// Reads the end of a disk, up to `limit` when it is being written.
    pub(crate) fn read(disk: &'a dyn Disk, limit: Option<End>) -> Result<Self> {
        let number = match limit {
            Some(limit) => limit.volume,
            None => last_volume(disk)?,
        };
        let last = Tip::read(disk, number, limit)?;
        Ok(Self { disk, limit, last })
    }

    /// Where it ends.
    pub(crate) fn end(&self) -> End {
        End {
            volume: self.last.header.number,
            offset: self.last.end,
        }
    }

    /// Where in the last volume the batch begins that may not be durable; before it all was acknowledged by a member.
    pub(crate) fn last_batch(&self) -> u64 {
        self.last.batch.map_or(0, |(offset, _)| offset)
    }

    fn tip(&self, number: u64) -> Result<Tip> {
        if number == self.last.header.number {
            return Ok(self.last.clone());
        }
        Tip::read(self.disk, number, self.limit)
    }

    fn extra(&self, common: u64) -> Extra {
        let last = &self.last;
        match last.batch {
            _ if last.leaves() <= common => Extra::None,
            Some((offset, first_leaf)) if common + 1 >= first_leaf => Extra::OneBatch(Tail {
                volume: last.header.number,
                offset,
            }),
            _ => Extra::More,
        }
    }
}

/// Tells what each of two disks has alone.
pub(crate) fn compare(own: &Side<'_>, copy: &Side<'_>) -> Result<Comparison> {
    let number = own.last.header.number.min(copy.last.header.number);
    let common = own.tip(number)?.common(&copy.tip(number)?);
    Ok(Comparison {
        own: own.extra(common),
        copy: copy.extra(common),
    })
}

/// The leaves of one volume, by whole batches.
#[derive(Clone)]
struct Tip {
    header: VolumeHeader,
    hashes: BTreeMap<u64, Hash>,
    /// Where the last batch that holds a leaf begins, and its first leaf.
    batch: Option<(u64, u64)>,
    /// Behind the last whole batch.
    end: u64,
}

/// What a walk has seen of a batch that has not ended yet.
#[derive(Default)]
struct Unended {
    number: u64,
    begin: u64,
    hashes: BTreeMap<u64, Hash>,
    is_hurt: bool,
}

impl Tip {
    /// Reads a volume; number 0 stands for a disk without volumes.
    fn read(disk: &dyn Disk, number: u64, limit: Option<End>) -> Result<Self> {
        let nothing = Self {
            header: VolumeHeader::unknown(number),
            hashes: BTreeMap::new(),
            batch: None,
            end: 0,
        };
        if number == 0 {
            return Ok(nothing);
        }
        let volume = Volume::open(disk, number, false)?;
        let mut tip = Self {
            header: volume.header.clone(),
            end: volume::HEADER_BYTES,
            ..nothing
        };
        let limit = limit.filter(|limit| limit.volume == number);
        tip.walk(&volume, limit.map_or(u64::MAX, |limit| limit.offset))?;
        Ok(tip)
    }

    fn walk(&mut self, volume: &Volume, limit: u64) -> Result<()> {
        let (mut at, mut open) = (volume::HEADER_BYTES, Unended::default());
        while at < limit {
            match volume.find_at(at)? {
                Found::End | Found::Damage { next: None } => break,
                Found::Damage { next: Some(next) } => {
                    open.is_hurt = true;
                    at = next;
                }
                Found::Frame(frame) => {
                    let end = at + frame.header.frame_bytes();
                    self.frame(at, end, &frame, &mut open);
                    at = end;
                }
            }
        }
        Ok(())
    }

    fn frame(&mut self, at: u64, end: u64, frame: &Frame, open: &mut Unended) {
        if frame.header.batch != open.number {
            // A batch that another one follows was durable: its leaves stay and count with those of the next.
            let hashes = std::mem::take(&mut open.hashes);
            *open = Unended {
                number: frame.header.batch,
                begin: at,
                hashes,
                is_hurt: false,
            };
        }
        for record in Records::new(&frame.payload) {
            match record.kind {
                RecordKind::Seal => self.sealed(record.body),
                kind if kind.is_leaf() => {
                    let sequence = leaf::sequence_of(record.body);
                    let hash = |sequence| (sequence, leaf_hash(kind, sequence, record.body));
                    open.hashes.extend(sequence.map(hash));
                }
                _ => {}
            }
        }
        if frame.header.last_of_batch && !open.is_hurt {
            if let Some(first) = open.hashes.keys().next() {
                self.batch = Some((open.begin, *first));
            }
            self.hashes.append(&mut open.hashes);
            self.end = end;
        }
    }

    /// The seal knows all leaves, those that damage took, too.
    fn sealed(&mut self, body: &[u8]) {
        if let Some(seal) = Seal::decode(body) {
            let numbers = seal.first_sequence..;
            self.hashes.extend(numbers.zip(seal.leaf_hashes));
        }
    }

    /// Number of leaves up to the end of this volume.
    fn leaves(&self) -> u64 {
        let before = self.header.first_sequence.saturating_sub(1);
        self.hashes.keys().next_back().copied().unwrap_or(before)
    }

    /// Number of leaves that this volume and another of the same number, and those before, have in common.
    fn common(&self, other: &Self) -> u64 {
        let (one, two) = (&self.header, &other.header);
        if (one.previous_digest, one.first_sequence) != (two.previous_digest, two.first_sequence) {
            return 0;
        }
        let differs = |(sequence, hash): (&u64, &Hash)| {
            let other = other.hashes.get(sequence)?;
            (other != hash).then_some(sequence - 1)
        };
        let parted = self.hashes.iter().find_map(differs);
        parted.unwrap_or(self.leaves().min(other.leaves()))
    }
}

/// The last volume that was not just being made when the power went; 0 when there is none.
fn last_volume(disk: &dyn Disk) -> Result<u64> {
    let numbers = volume::numbers(disk)?;
    for number in numbers.into_iter().rev() {
        match Volume::open(disk, number, false) {
            Err(Error::Damaged { .. })
                if Volume::open_for_frames(disk, number)?.length()? <= volume::HEADER_BYTES => {}
            opened => return opened.map(|_| number),
        }
    }
    Ok(0)
}
