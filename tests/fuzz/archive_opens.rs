//! Opening: an archive whose open volume goes on with anything opens or says why; what was acknowledged before is there.
//!
//! The input is read as a list of records (a kind, a length of two bytes, the body); they are written as one batch with checksums that
//! hold, behind a message that was acknowledged. Leaves get the next numbers, so that they are taken for what they say.
#![no_main]

mod frames;

use frames::{frame, record};
use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use store::disk::{Disk, Open};
use store::faulty_disk::SimDisk;
use store::{Body, Deposit, Moment, Options, Piece, Store, VerifyOptions, sha256, survey};

const VOLUME: &str = "volumes/00000001.vol";
const MESSAGE: &[u8] = b"From: a@x.example\r\nSubject: bleibt\r\n\r\nvorher\r\n";

fn options() -> Options {
    let moment = Moment {
        at_us: 1_700_000_000_000_000,
        ..Moment::default()
    };
    Options {
        clock: Arc::new(move || moment),
        boot_id: [9; 16],
        volume_bytes_max: 1 << 20,
        index_threads: 1,
        upkeep: store::WhenUpkeep::Never,
        follower_patience: store::FOLLOWER_PATIENCE,
    }
}

fn open(disk: &SimDisk) -> store::Result<Store> {
    Store::open(Arc::new(disk.clone()), options(), &mut |_| {})
}

/// An archive that holds one message, without what is derived.
struct Archive {
    files: Vec<(&'static str, Vec<u8>)>,
    /// Where the next batch goes, its number, and the next sequence number.
    end: u64,
    batch: u64,
    sequence: u64,
}

static ARCHIVE: LazyLock<Archive> = LazyLock::new(|| {
    let disk = SimDisk::new();
    let store = open(&disk).expect("a new archive");
    let deposit = Deposit {
        reception: archive::Reception::default(),
        unwrap_journal: false,
        actor: 1,
        prompt: true,
    };
    let stored = store.deposit(Body::Memory(MESSAGE.to_vec()), deposit);
    stored.and_then(|pending| pending.wait()).expect("stored");
    let sequence = store.progress().expect("open").0 + 1;
    drop(store);
    let (mut end, mut batch) = (0, 0);
    let mut look = |piece| {
        if let Piece::Frame {
            bytes, batch: of, ..
        } = piece
        {
            (end, batch) = (bytes.end, of + 1);
        }
    };
    survey(&disk, 1, &mut look).expect("readable");
    let files = ["identity", "state.redb", VOLUME];
    let files = files.map(|name| (name, disk.read(Path::new(name)).expect("there")));
    Archive {
        files: files.to_vec(),
        end,
        batch,
        sequence,
    }
});

/// Batches of the input, each with one record; the leaves count on from `sequence`.
fn batches(mut input: &[u8], mut batch: u64, mut sequence: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some((&[kind, low, high], rest)) = input.split_first_chunk() {
        let length = rest.len().min(u16::from_le_bytes([low, high]) as usize);
        let mut body = rest[..length].to_vec();
        if (3..=5).contains(&(kind % 16)) && body.len() >= 42 {
            body[34..42].copy_from_slice(&sequence.to_le_bytes());
            sequence += 1;
        }
        let kind = if kind < 240 { kind % 16 } else { kind };
        out.extend(frame(&record(kind, &body), batch));
        batch += 1;
        input = &rest[length..];
    }
    out
}

/// The disk of the archive with more bytes behind its volume.
fn disk(more: &[u8]) -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir(Path::new("volumes")).expect("a folder");
    for (name, bytes) in &ARCHIVE.files {
        let file = disk.open(Path::new(name), Open::Create).expect("a file");
        file.write_all_at(0, bytes).expect("written");
        if *name == VOLUME {
            file.write_all_at(ARCHIVE.end, more).expect("written");
        }
        file.sync_data().expect("synced");
    }
    disk
}

fuzz_target!(|input: &[u8]| {
    let disk = disk(&batches(input, ARCHIVE.batch, ARCHIVE.sequence));
    let store = match open(&disk) {
        Ok(store) => store,
        Err(store::Error::TooNew { .. }) => return,
        Err(error) => panic!("{error:?}"),
    };
    let number = store.number_of(&sha256(MESSAGE)).expect("known");
    let mut bytes = Vec::new();
    let body = store.message(number).expect("there");
    body.write_to(&mut bytes).expect("memory takes all");
    assert!(bytes == MESSAGE);
    let report = store.verify(&VerifyOptions::default(), &mut |_, _| {});
    assert!(report.expect("readable").messages > 0);
});
