//! A survey of one volume: what lies in it, piece by piece, told from its bytes alone.
//!
//! For looking into an archive that does not open: it needs no catalog, no key and no other volume, and constant memory. Each piece
//! holds by its own checksums; whether they agree with each other and with the tree is the matter of `verify`. Source: FORMAT.md.

use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::leaf::{BadLeaf, Leaf};
use crate::record::{CheckpointRecord, Record, RecordKind, Records, Seal, Segment};
use crate::volume::{self, Found, Frame, Volume};
use archive::ContentRef;
use std::ops::Range;

/// A piece of a volume; the pieces come in the order of the file.
#[derive(Debug)]
pub enum Piece {
    /// The header of the volume.
    Header {
        /// The archive that it belongs to.
        archive_id: [u8; 16],
        /// Its number.
        number: u64,
        /// The first sequence number that it may hold.
        first_sequence: u64,
    },
    /// A header that does not hold, and why; frames are read without.
    NoHeader(Error),
    /// A sound frame; its records follow.
    Frame {
        /// Where it lies, in bytes from the start of the file.
        bytes: Range<u64>,
        /// The batch that it belongs to.
        batch: u64,
        /// Whether it is the last one of its batch.
        is_last_of_batch: bool,
        /// Length of its records before compression, in bytes.
        raw_bytes: u64,
    },
    /// A sound record of the frame given last.
    Record(RecordPiece),
    /// A record of the frame given last that does not hold; those behind it are not looked for.
    BadRecord,
    /// Bytes in which no sound frame begins.
    Damage(Range<u64>),
}

/// What a sound record holds.
#[derive(Debug)]
pub enum RecordPiece {
    /// A run of a content's bytes.
    Content {
        /// The whole content.
        content: ContentRef,
        /// Which bytes of it are here.
        bytes: Range<u64>,
    },
    /// A message, a reception or an event.
    Leaf(Box<Leaf>),
    /// A leaf of a schema that this version does not know and may not skip.
    LeafTooNew,
    /// A signed tree head.
    Checkpoint(CheckpointRecord),
    /// The end of a sealed volume.
    Seal {
        /// The first sequence number of the volume.
        first_sequence: u64,
        /// How many leaves it has.
        leaves: u64,
    },
    /// A record whose kind has no more to tell here, by the number of the kind: a dictionary, or one that this version does not know.
    Other(u8),
    /// A record whose body is not what its kind says, by the number of the kind.
    Malformed(u8),
}

/// Walks a volume from its header to its last sound frame; free space behind is not mentioned.
///
/// # Errors
/// When the file cannot be read, or a frame is packed in a way that this version does not know.
pub fn survey(disk: &dyn Disk, number: u64, take: &mut dyn FnMut(Piece)) -> Result<()> {
    let volume = header(disk, number, take)?;
    let mut at = volume::HEADER_BYTES;
    loop {
        match volume.find_at(at)? {
            Found::End => return Ok(()),
            Found::Frame(found) => {
                let end = at + found.header.frame_bytes();
                frame(&found, at..end, take);
                at = end;
            }
            Found::Damage { next } => {
                let end = next.map_or_else(|| volume.length(), Ok)?;
                take(Piece::Damage(at..end));
                at = end;
            }
        }
    }
}

fn header(disk: &dyn Disk, number: u64, take: &mut dyn FnMut(Piece)) -> Result<Volume> {
    match Volume::open(disk, number, false) {
        Ok(volume) => {
            take(Piece::Header {
                archive_id: volume.header.archive_id,
                number,
                first_sequence: volume.header.first_sequence,
            });
            Ok(volume)
        }
        Err(error @ Error::Damaged { .. }) => {
            take(Piece::NoHeader(error));
            Volume::open_for_frames(disk, number)
        }
        Err(error) => Err(error),
    }
}

fn frame(frame: &Frame, bytes: Range<u64>, take: &mut dyn FnMut(Piece)) {
    take(Piece::Frame {
        bytes,
        batch: frame.header.batch,
        is_last_of_batch: frame.header.last_of_batch,
        raw_bytes: frame.payload.len() as u64,
    });
    let mut records = Records::new(&frame.payload);
    for found in records.by_ref() {
        take(Piece::Record(record(found)));
    }
    if !records.sound() {
        take(Piece::BadRecord);
    }
}

fn record(record: Record<'_>) -> RecordPiece {
    let piece = match record.kind {
        RecordKind::Content => content(record.body),
        RecordKind::Checkpoint => {
            CheckpointRecord::decode(record.body).map(RecordPiece::Checkpoint)
        }
        RecordKind::Seal => Seal::decode(record.body).map(|seal| RecordPiece::Seal {
            first_sequence: seal.first_sequence,
            leaves: seal.leaf_hashes.len() as u64,
        }),
        kind if kind.is_leaf() => match Leaf::decode(kind, record.body) {
            Ok(leaf) => Some(RecordPiece::Leaf(Box::new(leaf))),
            Err(BadLeaf::TooNew) => Some(RecordPiece::LeafTooNew),
            Err(BadLeaf::Damaged) => None,
        },
        kind => Some(RecordPiece::Other(kind.number())),
    };
    piece.unwrap_or(RecordPiece::Malformed(record.kind.number()))
}

fn content(body: &[u8]) -> Option<RecordPiece> {
    let segment = Segment::decode(body)?;
    Some(RecordPiece::Content {
        content: segment.content,
        bytes: segment.offset..segment.offset + segment.bytes.len() as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Open;
    use crate::faulty_disk::SimDisk;
    use crate::store_tests::{message, open_with, put, smtp, verify, with_attachment};
    use std::path::Path;

    /// One letter a piece: its place in the alphabet of FORMAT.md's record kinds, frames and damage as brackets and a question mark.
    fn letters(disk: &SimDisk, number: u64) -> String {
        let mut letters = String::new();
        survey(disk, number, &mut |piece| letters.push(letter(&piece))).expect("readable");
        letters
    }

    fn letter(piece: &Piece) -> char {
        match piece {
            Piece::Header { .. } => 'H',
            Piece::NoHeader(_) => 'h',
            Piece::Frame { .. } => '|',
            Piece::BadRecord => '!',
            Piece::Damage(_) => '?',
            Piece::Record(record) => match record {
                RecordPiece::Content { .. } => 'c',
                RecordPiece::Leaf(leaf) => match leaf.kind() {
                    RecordKind::Message => 'm',
                    RecordKind::Reception => 'r',
                    _ => 'e',
                },
                RecordPiece::Checkpoint(_) => 't',
                RecordPiece::Seal { .. } => 's',
                RecordPiece::LeafTooNew | RecordPiece::Other(_) | RecordPiece::Malformed(_) => 'x',
            },
        }
    }

    #[test]
    fn a_survey_names_what_lies_in_a_volume() {
        let disk = SimDisk::new();
        let store = open_with(&disk, 12_000);
        put(&store, &message(1, "kurz"), smtp(&["x@y.example"]));
        put(&store, &with_attachment(2, 16_000), smtp(&["x@y.example"]));
        put(&store, &message(3, "danach"), smtp(&["x@y.example"]));
        verify(&store);
        drop(store);
        // Created, key made, signed; a message is its content, its recipe and its reception.
        assert_eq!(letters(&disk, 1), "H|e|e|t|cmr|ccmr|s");
        assert!(letters(&disk, 2).starts_with("H|cmr|t"));

        // One byte of the header and one of the frame of the message.
        let file = disk.open(Path::new("volumes/00000001.vol"), Open::Write);
        let file = file.expect("there");
        let mut at = Vec::new();
        survey(&disk, 1, &mut |piece| {
            if let Piece::Frame { bytes, .. } = piece {
                at.push(bytes.start);
            }
        })
        .expect("readable");
        file.write_all_at(3, b"x").expect("written");
        file.write_all_at(at[3] + 40, b"xy").expect("written");
        assert_eq!(letters(&disk, 1), "h|e|e|t?|ccmr|s");
    }
}
