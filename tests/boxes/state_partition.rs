//! What a box remembers of versions, written onto a medium or disk from outside, as if days had gone by. Source: firmware/appliance/FORMAT.md, "Record".

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use update::gpt::{Guid, SECTOR_BYTES, Table};

/// Each of the two places of a record.
const PLACE_BYTES: usize = 64 << 10;

/// What comes before the fields: their length at 12, the generation at 16.
const HEADER_BYTES: usize = 24;

/// Tags of fields.
const VERSION_FLOOR: u16 = 8;
const GOOD_DAYS: u16 = 12;

type Fields = BTreeMap<u16, Vec<u8>>;

/// Writes down that a version was good for so many days, and that it is the oldest to open the archive since; the computer is off.
pub(crate) fn let_days_pass(disk: &Path, days: u8, version: &str) {
    let file = File::options().read(true).write(true).open(disk);
    let file = file.expect("a disk");
    let begins = state_partition(&file);
    let places = [0, PLACE_BYTES].map(|at| begins + at as u64);
    let [a, b] = places.map(|at| record(&file, at));
    let ((generation, mut fields), free) = match a.0 > b.0 {
        true => (a, places[1]),
        false => (b, places[0]),
    };
    fields.insert(VERSION_FLOOR, version.into());
    fields.insert(GOOD_DAYS, [&[days], version.as_bytes()].concat());
    let bytes = bytes_of(generation + 1, &fields);
    file.write_all_at(&bytes, free).expect("written");
}

fn state_partition(file: &File) -> u64 {
    let sector_bytes = SECTOR_BYTES as u64;
    let sectors = file.metadata().expect("a disk").len() / sector_bytes;
    let read = |sector, bytes: &mut [u8]| file.read_exact_at(bytes, sector * sector_bytes);
    let table = Table::read(sectors, read).expect("a partition table");
    let mut partitions = table.partitions.iter();
    let state = partitions.find(|it| it.kind == Guid::STATE);
    state.expect("a state partition").first * sector_bytes
}

/// Generation and fields of the record in a place; none are of generation 0.
fn record(file: &File, at: u64) -> (u64, Fields) {
    let mut place = vec![0; PLACE_BYTES];
    file.read_exact_at(&mut place, at).expect("a place");
    let mut generation = [0; 8];
    generation.copy_from_slice(&place[16..HEADER_BYTES]);
    let half = |at: usize| u16::from_le_bytes([place[at], place[at + 1]]);
    let end = HEADER_BYTES + usize::from(half(12));
    let mut fields = Fields::new();
    let mut at = HEADER_BYTES;
    while at < end {
        let value = at + 4..at + 4 + usize::from(half(at + 2));
        fields.insert(half(at), place[value.clone()].to_vec());
        at = value.end;
    }
    (u64::from_le_bytes(generation), fields)
}

fn bytes_of(generation: u64, fields: &Fields) -> Vec<u8> {
    let field = |(tag, value): (&u16, &Vec<u8>)| {
        let length = (value.len() as u16).to_le_bytes();
        [&tag.to_le_bytes()[..], &length, value].concat()
    };
    let fields: Vec<u8> = fields.iter().flat_map(field).collect();
    let mut bytes = b"\x89CFSTA\r\n\x01\0\0\0".to_vec();
    bytes.extend((fields.len() as u32).to_le_bytes());
    bytes.extend(generation.to_le_bytes());
    bytes.extend(fields);
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}
