//! The volume reader: whatever stands in a volume, sound frames behind it are found, and what is said of them is true.
//!
//! An input is put between sound frames in three ways: as it is, as the payload of a frame whose checksums hold, and as a list of records
//! whose checksums hold (a kind, a length of two bytes, the body), so that what lies behind the checksums is reached, too.
#![no_main]

mod frames;

use frames::{frame, record};
use libfuzzer_sys::fuzz_target;
use std::path::Path;
use store::disk::{Disk, Open};
use store::faulty_disk::SimDisk;
use store::{Piece, RecordPiece, survey};

const HEADER_BYTES: usize = 256;

/// The header of volume 1 (FORMAT.md, "Volume").
fn volume_header() -> Vec<u8> {
    let mut header = vec![0; HEADER_BYTES];
    header[..8].copy_from_slice(b"\x89CFVOL\r\n");
    header[8..10].copy_from_slice(&1_u16.to_le_bytes());
    header[10..12].copy_from_slice(&(HEADER_BYTES as u16).to_le_bytes());
    header[32..40].copy_from_slice(&1_u64.to_le_bytes());
    let checksum = crc32c::crc32c(&header[..252]);
    header[252..].copy_from_slice(&checksum.to_le_bytes());
    header
}

/// Reads the input as a list of records; gives them with their kinds.
fn records(mut input: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut payload, mut kinds) = (Vec::new(), Vec::new());
    while let Some((&[kind, low, high], rest)) = input.split_first_chunk() {
        let length = rest.len().min(u16::from_le_bytes([low, high]) as usize);
        payload.extend(record(kind, &rest[..length]));
        kinds.push(kind);
        input = &rest[length..];
    }
    (payload, kinds)
}

/// Surveys a volume of these bytes; the pieces lie behind each other and inside.
fn pieces(volume: &[u8]) -> store::Result<Vec<Piece>> {
    let disk = SimDisk::new();
    disk.create_dir(Path::new("volumes")).expect("a folder");
    let file = disk.open(Path::new("volumes/00000001.vol"), Open::Create);
    file.expect("a file")
        .write_all_at(0, volume)
        .expect("written");
    let mut pieces = Vec::new();
    survey(&disk, 1, &mut |piece| pieces.push(piece))?;
    let mut at = HEADER_BYTES as u64;
    for piece in &pieces {
        if let Piece::Frame { bytes, .. } | Piece::Damage(bytes) = piece {
            assert_eq!(bytes.start, at, "nothing is passed over unsaid");
            assert!(bytes.end > at && bytes.end <= volume.len() as u64);
            at = bytes.end;
        }
    }
    Ok(pieces)
}

/// Frames that lie wholly behind an offset, as (batch, raw length).
fn frames_behind(pieces: &[Piece], offset: usize) -> Vec<(u64, u64)> {
    let behind = |piece: &Piece| match piece {
        Piece::Frame {
            bytes,
            batch,
            raw_bytes,
            ..
        } if bytes.start >= offset as u64 => Some((*batch, *raw_bytes)),
        _ => None,
    };
    pieces.iter().filter_map(behind).collect()
}

/// Tells whether a sound frame reaches across an offset: then what lies behind is a part of it.
fn is_crossed(pieces: &[Piece], offset: usize) -> bool {
    pieces.iter().any(|piece| {
        matches!(piece, Piece::Frame { bytes, .. }
            if bytes.start < offset as u64 && bytes.end > offset as u64)
    })
}

/// Sound frames stand before and behind the input: all of them are found.
fn check_between(input: &[u8]) {
    let sound = frame(&record(200, b"sound"), 7);
    let behind = [&sound[..], &sound].concat();
    let volume = [&volume_header(), &sound, input, &behind].concat();
    let Ok(pieces) = pieces(&volume) else {
        return; // a frame that only a newer version can read
    };
    assert!(matches!(pieces[0], Piece::Header { number: 1, .. }));
    assert!(matches!(pieces[1], Piece::Frame { batch: 7, .. }));
    assert!(matches!(pieces[2], Piece::Record(RecordPiece::Other(200))));
    let start = volume.len() - behind.len();
    if !is_crossed(&pieces, start) {
        assert_eq!(frames_behind(&pieces, start), [(7, 14), (7, 14)]);
    }
}

/// The input is the payload of a sound frame: the frame is found, whatever its records are.
fn check_payload(payload: &[u8], kinds: Option<&[u8]>) {
    let volume = [
        volume_header(),
        frame(payload, 1),
        frame(&record(200, b""), 2),
    ]
    .concat();
    let pieces = pieces(&volume).expect("stored frames are known");
    assert_eq!(
        frames_behind(&pieces, 0),
        [(1, payload.len() as u64), (2, 9)]
    );
    let found = pieces
        .iter()
        .filter(|piece| matches!(piece, Piece::Record(_)))
        .count();
    if let Some(kinds) = kinds {
        assert_eq!(
            found,
            kinds.len() + 1,
            "each sound record is given: {kinds:?}"
        );
    }
    for piece in &pieces {
        if let Piece::Record(RecordPiece::Content { content, bytes }) = piece {
            assert!(bytes.start <= bytes.end && bytes.end <= content.length_bytes);
        }
    }
}

fuzz_target!(|input: &[u8]| {
    // A volume of these bytes and no more: it is read or said to be too new.
    let _ = pieces(input);
    check_between(input);
    check_payload(input, None);
    let (payload, kinds) = records(input);
    check_payload(&payload, Some(&kinds));
});
