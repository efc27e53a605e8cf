//! The records of the state partition, as FORMAT.md has them: bytes to values and back, and which of two counts.
//!
//! It knows no disk; `state_partition` reads and writes.

use crate::update_record::UpdateRecord;
use std::collections::BTreeMap;

/// Bytes of a place, of which there are two.
pub(crate) const PLACE_BYTES: usize = 64 << 10;

const MAGIC: [u8; 8] = *b"\x89CFSTA\r\n";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 24;
const CHECKSUM_BYTES: usize = 4;
const FIELDS_BYTES_MAX: usize = PLACE_BYTES - HEADER_BYTES - CHECKSUM_BYTES;

/// An entry of the field of disk keys: UUID and key.
const DISK_KEY_BYTES: usize = 48;

const ARCHIVE: u16 = 1;
const CLAIM_CODE: u16 = 2;
const DISK_KEYS: u16 = 3;
const CLOCK_FLOOR: u16 = 4;
const NETWORK: u16 = 5;
const STARTS: u16 = 6;
const GOOD_VERSION: u16 = 7;
const VERSION_FLOOR: u16 = 8;
const CLAIMED: u16 = 9;
const DISK_SET: u16 = 10;
const UPDATE: u16 = 11;
const GOOD_DAYS: u16 = 12;
const RESET_ASKED: u16 = 13;

/// What the box knows before an archive is open. Cloned rarely, written whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StateRecord {
    generation: u64,
    fields: BTreeMap<u16, Vec<u8>>,
}

/// Opens a disk.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct DiskKey {
    /// The LUKS UUID, as 16 bytes.
    pub(crate) disk: [u8; 16],
    /// 256 random bits.
    pub(crate) key: [u8; 32],
}

impl std::fmt::Debug for DiskKey {
    /// A key stands in no log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DiskKey").finish_non_exhaustive()
    }
}

/// What is counted of one version: starts in a row that did not go well, or days that it has run since it was good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted<'a> {
    /// The version, as `/etc/coffer/release` names it.
    pub(crate) version: &'a str,
    /// How many there were, the running one included; 255 and more are 255.
    pub(crate) count: u8,
}

impl StateRecord {
    /// Reads a place; none if no valid record is there.
    pub(crate) fn parse(place: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u32::from_le_bytes(place.get(at..at + 4)?.try_into().ok()?));
        let length = number(12)? as usize;
        let end = HEADER_BYTES + length;
        let is_ours = place[..8] == MAGIC && place[8..10] == VERSION.to_le_bytes();
        if !is_ours || length > FIELDS_BYTES_MAX || number(end)? != crc32c::crc32c(&place[..end]) {
            return None;
        }
        Some(Self {
            generation: u64::from_le_bytes(place[16..24].try_into().ok()?),
            fields: fields(&place[HEADER_BYTES..end])?,
        })
    }

    /// Gives the record that counts, and which place it is in (0 or 1); an empty one if there is none.
    pub(crate) fn newest(places: [&[u8]; 2]) -> (Self, usize) {
        let [a, b] = places.map(Self::parse);
        match (a, b) {
            (Some(a), Some(b)) if b.generation > a.generation => (b, 1),
            (Some(a), _) => (a, 0),
            (None, Some(b)) => (b, 1),
            // The first record goes to A.
            (None, None) => (Self::default(), 1),
        }
    }

    /// The bytes of the next record, to be written to the other place; none if the fields are too long.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        let mut fields = Vec::new();
        for (tag, value) in &self.fields {
            fields.extend_from_slice(&tag.to_le_bytes());
            fields.extend_from_slice(&u16::try_from(value.len()).ok()?.to_le_bytes());
            fields.extend_from_slice(value);
        }
        let length = u32::try_from(fields.len()).ok()?;
        if fields.len() > FIELDS_BYTES_MAX {
            return None;
        }
        self.generation += 1;
        let mut record = MAGIC.to_vec();
        record.extend_from_slice(&VERSION.to_le_bytes());
        record.extend_from_slice(&[0; 2]);
        record.extend_from_slice(&length.to_le_bytes());
        record.extend_from_slice(&self.generation.to_le_bytes());
        record.extend_from_slice(&fields);
        record.extend_from_slice(&crc32c::crc32c(&record).to_le_bytes());
        Some(record)
    }

    /// The archive that belongs to this box.
    pub(crate) fn archive(&self) -> Option<[u8; 16]> {
        self.fields.get(&ARCHIVE)?.as_slice().try_into().ok()
    }

    /// Says which archive belongs to this box.
    pub(crate) fn set_archive(&mut self, archive: [u8; 16]) {
        self.fields.insert(ARCHIVE, archive.to_vec());
    }

    /// The claim code, once one was made.
    pub(crate) fn claim_code(&self) -> Option<&str> {
        self.text(CLAIM_CODE)
    }

    /// Sets the claim code.
    pub(crate) fn set_claim_code(&mut self, code: &str) {
        self.fields.insert(CLAIM_CODE, code.as_bytes().to_vec());
    }

    /// The keys of disks.
    pub(crate) fn disk_keys(&self) -> Vec<DiskKey> {
        let bytes = self.fields.get(&DISK_KEYS).map_or(&[][..], Vec::as_slice);
        let key = |entry: &[u8]| {
            Some(DiskKey {
                disk: entry[..16].try_into().ok()?,
                key: entry[16..].try_into().ok()?,
            })
        };
        bytes.chunks_exact(DISK_KEY_BYTES).filter_map(key).collect()
    }

    /// Forgets which archive the box has: the next one that is made is its own.
    pub(crate) fn forget_archive(&mut self) {
        self.fields.remove(&ARCHIVE);
    }

    /// Adds the key of a disk, or puts it in the place of the one that there was.
    pub(crate) fn set_disk_key(&mut self, new: &DiskKey) {
        let mut keys = self.disk_keys();
        keys.retain(|key| key.disk != new.disk);
        keys.push(new.clone());
        let bytes = keys
            .iter()
            .flat_map(|key| [&key.disk[..], &key.key].concat());
        self.fields.insert(DISK_KEYS, bytes.collect());
    }

    /// The disks that belong together, by LUKS UUID: those that were open last.
    pub(crate) fn disk_set(&self) -> Vec<[u8; 16]> {
        let bytes = self.fields.get(&DISK_SET).map_or(&[][..], Vec::as_slice);
        bytes.as_chunks::<16>().0.to_vec()
    }

    /// Sets the disks that belong together.
    pub(crate) fn set_disk_set(&mut self, disks: &[[u8; 16]]) {
        self.fields.insert(DISK_SET, disks.concat());
    }

    /// What the clock cannot be before, in seconds since 1970.
    pub(crate) fn clock_floor_s(&self) -> u64 {
        let value = self.fields.get(&CLOCK_FLOOR).map(Vec::as_slice);
        value
            .and_then(|value| value.try_into().ok())
            .map_or(0, u64::from_le_bytes)
    }

    /// Sets what the clock cannot be before.
    pub(crate) fn set_clock_floor_s(&mut self, floor_s: u64) {
        self.fields
            .insert(CLOCK_FLOOR, floor_s.to_le_bytes().to_vec());
    }

    /// How the network is set, as `network_settings` reads it; empty for DHCP.
    pub(crate) fn network(&self) -> &str {
        self.text(NETWORK).unwrap_or_default()
    }

    /// Sets the network.
    pub(crate) fn set_network(&mut self, lines: &str) {
        self.fields.insert(NETWORK, lines.as_bytes().to_vec());
    }

    /// Starts in a row that did not go well; none when the last one did.
    pub(crate) fn starts(&self) -> Option<Counted<'_>> {
        self.counted(STARTS)
    }

    /// Counts a start of a version; gives how many there were in a row, this one included.
    pub(crate) fn count_start(&mut self, version: &str) -> u8 {
        self.count(STARTS, version)
    }

    /// Forgets the starts, since the running one is well.
    pub(crate) fn clear_starts(&mut self) {
        self.fields.remove(&STARTS);
    }

    /// Days that the version has run that is good; none before the first one is over.
    pub(crate) fn good_days(&self) -> Option<Counted<'_>> {
        self.counted(GOOD_DAYS)
    }

    /// Counts a day of the good version; gives how many there were.
    pub(crate) fn count_good_day(&mut self, version: &str) -> u8 {
        self.count(GOOD_DAYS, version)
    }

    fn counted(&self, tag: u16) -> Option<Counted<'_>> {
        let (count, version) = self.fields.get(&tag)?.split_first()?;
        Some(Counted {
            version: std::str::from_utf8(version).ok()?,
            count: *count,
        })
    }

    /// Counts one more of a version; another one begins anew.
    fn count(&mut self, tag: u16, version: &str) -> u8 {
        let before = self.counted(tag).filter(|it| it.version == version);
        let count = before.map_or(0, |it| it.count).saturating_add(1);
        let field = [&[count], version.as_bytes()].concat();
        self.fields.insert(tag, field);
        count
    }

    /// Whether somebody has chosen a reset in the boot loader's menu, which the next start is to do.
    pub(crate) fn is_reset_asked(&self) -> bool {
        self.fields
            .get(&RESET_ASKED)
            .is_some_and(|field| **field == [1])
    }

    /// Notes or forgets that a reset is to be done.
    pub(crate) fn set_reset_asked(&mut self, is_asked: bool) {
        match is_asked {
            true => self.fields.insert(RESET_ASKED, vec![1]),
            false => self.fields.remove(&RESET_ASKED),
        };
    }

    /// The version that was marked good last; none on a box that never updated.
    pub(crate) fn good_version(&self) -> Option<&str> {
        self.text(GOOD_VERSION)
    }

    /// Says which version was marked good.
    pub(crate) fn set_good_version(&mut self, version: &str) {
        self.fields
            .insert(GOOD_VERSION, version.as_bytes().to_vec());
    }

    /// The version that is the oldest to start otherwise than as recovery.
    pub(crate) fn version_floor(&self) -> Option<&str> {
        self.text(VERSION_FLOOR)
    }

    /// Sets the oldest version to start otherwise than as recovery.
    pub(crate) fn set_version_floor(&mut self, version: &str) {
        self.fields
            .insert(VERSION_FLOOR, version.as_bytes().to_vec());
    }

    /// Whether somebody has claimed the archive of this box.
    pub(crate) fn is_claimed(&self) -> bool {
        self.fields.get(&CLAIMED).is_some_and(|value| *value == [1])
    }

    /// Notes that somebody has claimed the archive of this box.
    pub(crate) fn set_claimed(&mut self) {
        self.fields.insert(CLAIMED, vec![1]);
    }

    /// The version that was installed last, until it is settled how it ended.
    pub(crate) fn update(&self) -> Option<UpdateRecord> {
        self.text(UPDATE).and_then(UpdateRecord::parse)
    }

    /// Notes the version that was installed, or that it is settled.
    pub(crate) fn set_update(&mut self, update: Option<&UpdateRecord>) {
        match update {
            Some(update) => self.fields.insert(UPDATE, update.text().into_bytes()),
            None => self.fields.remove(&UPDATE),
        };
    }

    /// Takes over what another record says of versions.
    pub(crate) fn take_update_of(&mut self, other: &Self) {
        for tag in [STARTS, GOOD_VERSION, UPDATE] {
            match other.fields.get(&tag) {
                Some(value) => self.fields.insert(tag, value.clone()),
                None => self.fields.remove(&tag),
            };
        }
    }

    fn text(&self, tag: u16) -> Option<&str> {
        std::str::from_utf8(self.fields.get(&tag)?).ok()
    }
}

/// Takes fields apart; none unless they fill the bytes exactly, in order.
fn fields(mut bytes: &[u8]) -> Option<BTreeMap<u16, Vec<u8>>> {
    let mut fields = BTreeMap::new();
    while !bytes.is_empty() {
        let (head, rest) = bytes.split_at_checked(4)?;
        let tag = u16::from_le_bytes([head[0], head[1]]);
        let (value, rest) = rest.split_at_checked(u16::from_le_bytes([head[2], head[3]]).into())?;
        let rises = fields.last_key_value().is_none_or(|(last, _)| *last < tag);
        if !rises {
            return None;
        }
        fields.insert(tag, value.to_vec());
        bytes = rest;
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> StateRecord {
        let mut record = StateRecord::default();
        record.set_archive([7; 16]);
        record.set_claim_code("ABCD-1234");
        record.set_clock_floor_s(1_800_000_000);
        record.set_network("address=10.0.0.1/8\n");
        for disk in [1, 2] {
            record.set_disk_key(&DiskKey {
                disk: [disk; 16],
                key: [disk + 10; 32],
            });
        }
        record.set_disk_set(&[[1; 16], [2; 16]]);
        record.fields.insert(900, b"of a later version".to_vec());
        record
    }

    #[test]
    fn what_was_written_is_read() {
        let mut written = record();
        let bytes = written.next().expect("short enough");
        let mut place = bytes.clone();
        place.resize(PLACE_BYTES, 0xff); // what was there before
        let read = StateRecord::parse(&place).expect("a valid record");
        assert_eq!(read, written);
        assert_eq!(read.archive(), Some([7; 16]));
        assert_eq!(read.claim_code(), Some("ABCD-1234"));
        assert_eq!(read.clock_floor_s(), 1_800_000_000);
        assert_eq!(read.network(), "address=10.0.0.1/8\n");
        assert_eq!(StateRecord::default().network(), "");
        let keys: Vec<_> = read.disk_keys().iter().map(|key| key.key[0]).collect();
        assert_eq!(keys, [11, 12]);
        assert_eq!(read.disk_set(), [[1; 16], [2; 16]]);
    }

    #[test]
    fn bytes_are_those_of_the_format() {
        let mut record = StateRecord::default();
        record.set_claim_code("ab");
        let bytes = record.next().expect("short enough");
        let mut expected =
            b"\x89CFSTA\r\n\x01\0\0\0\x06\0\0\0\x01\0\0\0\0\0\0\0\x02\0\x02\0ab".to_vec();
        expected.extend_from_slice(&crc32c::crc32c(&expected).to_le_bytes());
        assert_eq!(bytes, expected);
    }

    #[test]
    fn a_write_torn_at_any_byte_leaves_the_state_before_or_after() {
        let mut state = record();
        let before = state.next().expect("short enough");
        let known = state.clone();
        state.set_claim_code("another one");
        let older = vec![0xaa; before.len() + 64];
        let after = state.next().expect("short enough");
        // In the place that is written lies what was there, up to where the power went.
        for written in 0..=after.len() {
            let mut torn = older.clone();
            torn[..written].copy_from_slice(&after[..written]);
            let (found, place) = StateRecord::newest([&before, &torn]);
            match place {
                0 => assert_eq!(found, known, "{written} bytes"),
                _ => assert_eq!((written, found), (after.len(), state.clone())),
            }
        }
    }

    #[test]
    fn starts_are_counted_by_version_up_to_the_most_that_fits() {
        let mut record = StateRecord::default();
        assert_eq!(record.starts(), None);
        for expected in (1..=u8::MAX).chain([u8::MAX]) {
            assert_eq!(record.count_start("0.1.0"), expected);
        }
        assert_eq!(record.fields[&STARTS], b"\xff0.1.0");
        assert_eq!(record.count_start("0.2.0"), 1);
        let starts = record.starts().expect("a start");
        assert_eq!((starts.version, starts.count), ("0.2.0", 1));
        record.clear_starts();
        assert_eq!(record.starts(), None);
    }

    #[test]
    fn versions_and_the_claim_are_kept() {
        let mut record = StateRecord::default();
        assert_eq!(
            (record.good_version(), record.version_floor()),
            (None, None)
        );
        assert!(!record.is_claimed());
        record.set_good_version("0.2.0");
        record.set_version_floor("0.1.0");
        record.set_claimed();
        let place = record.next().expect("short enough");
        let read = StateRecord::parse(&place).expect("a valid record");
        assert_eq!(read.good_version(), Some("0.2.0"));
        assert_eq!(read.version_floor(), Some("0.1.0"));
        assert!(read.is_claimed());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = record().next().expect("short enough");
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(StateRecord::parse(&damaged), None, "bit {bit}");
        }
        for end in 0..bytes.len() {
            assert_eq!(StateRecord::parse(&bytes[..end]), None, "{end} bytes");
        }
    }

    #[test]
    fn the_higher_generation_counts_and_records_go_to_places_in_turn() {
        let mut places = [vec![0; PLACE_BYTES], vec![0; PLACE_BYTES]];
        for (number, expected) in [(1, 0), (2, 1), (3, 0), (4, 1)] {
            let (mut state, place) = StateRecord::newest([&places[0], &places[1]]);
            assert_eq!(state.clock_floor_s(), number - 1);
            state.set_clock_floor_s(number);
            let bytes = state.next().expect("short enough");
            places[1 - place][..bytes.len()].copy_from_slice(&bytes);
            assert_eq!(1 - place, expected, "record {number}");
        }
    }

    #[test]
    fn what_is_too_long_is_not_written() {
        let mut record = StateRecord::default();
        record.set_claim_code(&"x".repeat(FIELDS_BYTES_MAX));
        assert_eq!(record.next(), None);
        assert_eq!(record.generation, 0);
    }
}
