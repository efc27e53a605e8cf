//! Crash states of an update, started: what a power cut may leave of the writes of an installation, of marking good and of going back lies on the
//! medium, and firmware, boot loader and kernel make the best of it.
//!
//! All such states are judged without a computer (`firmware/update/installation_tests.rs`); this is a sample of them.

use crate::results;
use crate::version::{EfiPartition, Version};
use std::fs;
use std::io;
use std::ops::Range;
use std::path::Path;
use tests::{Hardware, is_long, run};
use update::esp::{EntryName, Medium, Slot};
use update::installation::{mark_bad, mark_good};

const SECTOR_BYTES: usize = 512;

/// Flushes of each part of the way: taking the slot's old entry away, filling it and naming the new version; marking it good; going back.
const PARTS: [(&str, Range<usize>); 3] = [
    ("installing", 0..3),
    ("marking good", 3..4),
    ("going back", 4..5),
];

/// 30 states in a long run, else one of each part.
const LONG_SAMPLE: [usize; 3] = [22, 4, 4];

/// 8 lengths of what was written in order, and each time a half of all of it without order.
const STEPS: usize = 8;

type Sector = (u64, Vec<u8>);

/// A partition that remembers which sectors were written before each flush.
struct Recorded {
    partition: EfiPartition,
    flushes: Vec<Vec<Sector>>,
}

impl Medium for Recorded {
    fn read(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.partition.read(offset, bytes)
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let sectors = (offset..)
            .step_by(SECTOR_BYTES)
            .zip(bytes.chunks(SECTOR_BYTES));
        let last = self.flushes.last_mut().expect("never empty");
        last.extend(sectors.map(|(at, sector)| (at, sector.to_vec())));
        self.partition.write(offset, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flushes.push(Vec::new());
        self.partition.flush()
    }
}

/// What reached the medium: all before a flush, and of what followed the first so many sectors, or each by chance.
#[derive(Clone, Copy, Debug)]
struct State {
    flush: usize,
    length: usize,
    in_order: bool,
}

#[test]
fn a_box_starts_from_what_a_power_cut_leaves_of_an_update() {
    let Some(hardware) = Hardware::new("box-crash-states", 0) else {
        return;
    };
    let fresh = hardware.folder.join("fresh.img");
    copy(&hardware.folder.join("new.img"), &fresh);
    let flushes = record(&hardware);
    for ((part, its_flushes), count) in PARTS.into_iter().zip(LONG_SAMPLE) {
        let states = states(&flushes, its_flushes);
        let count = if is_long() { count } else { 1 };
        for number in 0..count {
            let state = states[(2 * number + 1) * states.len() / (2 * count)];
            results::once(&format!("crash state {number:02} of {part}"), || {
                starts_from(&hardware, &fresh, &flushes, state);
            });
        }
    }
}

/// Updates a medium, and gives what was written on the way.
fn record(hardware: &Hardware) -> Vec<Vec<Sector>> {
    let new = Version::built(&hardware.image).newer();
    let mut medium = Recorded {
        partition: EfiPartition::of(&hardware.folder.join("new.img")),
        flushes: vec![Vec::new()],
    };
    let name: EntryName = "cf2+2-0.efi".parse().expect("a name");
    new.install_on(&mut medium, Slot::B, name);
    mark_good(&mut medium, Slot::B).expect("marked");
    mark_bad(&mut medium, Slot::B).expect("marked");
    medium.flushes
}

/// The states that a cut before the end of some flushes may leave.
fn states(flushes: &[Vec<Sector>], of: Range<usize>) -> Vec<State> {
    let each = of.flat_map(|flush| {
        let writes = flushes[flush].len();
        let lengths = (0..=writes).step_by(1 + writes / STEPS);
        lengths.flat_map(move |length| {
            [true, false].map(|in_order| State {
                flush,
                length,
                in_order,
            })
        })
    });
    each.collect()
}

fn starts_from(hardware: &Hardware, fresh: &Path, flushes: &[Vec<Sector>], state: State) {
    let medium = hardware.folder.join("new.img");
    copy(fresh, &medium);
    let _ = fs::remove_file(hardware.folder.join("boot.img")); // of the state before
    let mut partition = EfiPartition::of(&medium);
    let whole = flushes[..state.flush].iter().flatten();
    let mut random = state.length as u32;
    let kept = flushes[state.flush].iter().enumerate().filter(|(at, _)| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match state.in_order {
            true => *at < state.length,
            false => random >> 31 == 0,
        }
    });
    for (at, sector) in whole.chain(kept.map(|(_, sector)| sector)) {
        partition.write(*at, sector).expect("written");
    }
    let names = partition.names();
    assert_eq!(names[..2], ["cf0.efi", "cf1.efi"], "{state:?}");
    let starts_new = names
        .iter()
        .any(|name| ["cf2+2-0.efi", "cf2.efi"].contains(&name.as_str()));
    let expected = match starts_new {
        true => "99.0.0",
        false => env!("CARGO_PKG_VERSION"),
    };
    let emulated = hardware.start();
    emulated.says(&format!("Coffer {expected} "));
}

fn copy(from: &Path, to: &Path) {
    run("cp", &[Path::new("--sparse=always"), from, to]).ok();
}
