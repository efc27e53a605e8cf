//! Entries of directories, and the one sector that says which versions there are.
//!
//! Each file has an entry with its long name and one with its short name; Linux and firmware insist on both, and on their checksum.

use super::entry_name::EntryName;
use super::layout::{EFI, LINUX, SECTOR_BYTES, SLOT_BYTES, Slot, put};

const ENTRY_BYTES: usize = 32;
/// Characters of a long name in one entry, as UTF-16.
const LONG_NAME_CHARS: usize = 13;
/// Offsets within an entry at which these characters stand.
const LONG_NAME_OFFSETS: [usize; LONG_NAME_CHARS] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
/// First byte of an entry that was removed.
const REMOVED: u8 = 0xe5;
/// Sequence number of the only, and so last, entry of a long name.
const LAST_LONG: u8 = 0x41;
const LONG_NAME: u8 = 0x0f;
const FOLDER: u8 = 0x10;
const FILE: u8 = 0x20;
const LABEL: u8 = 0x08;
/// 1980-01-01, the first day that FAT knows: the same file is the same bytes, whenever it is written.
const DATE: [u8; 2] = [0x21, 0];

/// A version in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its file's name.
    pub name: EntryName,
    /// Length in bytes, 1 to [`SLOT_BYTES`].
    pub size_bytes: u32,
}

/// Which versions there are, a slot each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Versions([Option<Version>; 3]);

impl Versions {
    /// Gives the version in a slot.
    pub fn at(&self, slot: Slot) -> Option<Version> {
        self.0[slot as usize]
    }

    /// Gives these versions with another one, or none, in a slot.
    #[must_use]
    pub fn with(mut self, slot: Slot, version: Option<Version>) -> Self {
        self.0[slot as usize] = version;
        self
    }

    /// Reads the first sector of `EFI/Linux`, in whatever order firmware left it.
    ///
    /// Files that are no version's, lie in no slot or are longer than one are passed over.
    pub(crate) fn parse(sector: &[u8; SECTOR_BYTES]) -> Self {
        let mut versions = Self::default();
        let mut long_name = None;
        let (entries, _) = sector.as_chunks::<ENTRY_BYTES>();
        for entry in entries.iter().take_while(|entry| entry[0] != 0) {
            if entry[0] != REMOVED && entry[11] == LONG_NAME {
                long_name = Some(entry);
                continue;
            }
            if entry[0] != REMOVED
                && entry[11] & (FOLDER | LABEL) == 0
                && let Some((slot, version)) = version_of(entry, long_name)
            {
                versions.0[slot as usize] = Some(version);
            }
            long_name = None;
        }
        versions
    }

    /// The first sector of `EFI/Linux` with just these versions.
    pub(crate) fn sector(&self) -> [u8; SECTOR_BYTES] {
        let mut entries = dots(LINUX, EFI);
        for slot in Slot::ALL {
            if let Some(version) = self.at(slot) {
                let name = version.name.to_string();
                entries.extend(file(
                    &name,
                    short_name(slot),
                    slot.first_cluster(),
                    version.size_bytes,
                ));
            }
        }
        let mut sector = [0; SECTOR_BYTES];
        put(&mut sector, 0, entries.as_flattened());
        sector
    }
}

fn version_of(
    entry: &[u8; ENTRY_BYTES],
    long: Option<&[u8; ENTRY_BYTES]>,
) -> Option<(Slot, Version)> {
    let high = u32::from(u16::from_le_bytes([entry[20], entry[21]]));
    let low = u32::from(u16::from_le_bytes([entry[26], entry[27]]));
    let slot = Slot::at_cluster(high << 16 | low)?;
    let size_bytes = u32::from_le_bytes([entry[28], entry[29], entry[30], entry[31]]);
    if !(1..=SLOT_BYTES).contains(&u64::from(size_bytes)) {
        return None;
    }
    let short = &entry[..11];
    let name = match long {
        Some(long) if long[0] == LAST_LONG && long[13] == checksum(short) => long_characters(long)?,
        _ => short_characters(short),
    };
    let name = name.parse().ok()?;
    Some((slot, Version { name, size_bytes }))
}

fn long_characters(entry: &[u8; ENTRY_BYTES]) -> Option<String> {
    let units = LONG_NAME_OFFSETS.map(|at| u16::from_le_bytes([entry[at], entry[at + 1]]));
    let end = units
        .iter()
        .position(|unit| *unit == 0)
        .unwrap_or(units.len());
    String::from_utf16(&units[..end]).ok()
}

fn short_characters(short: &[u8]) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    format!("{}.{}", text(&short[..8]), text(&short[8..]))
}

fn short_name(slot: Slot) -> &'static [u8; 11] {
    match slot {
        Slot::A => b"SLOTA   EFI",
        Slot::B => b"SLOTB   EFI",
        Slot::Recovery => b"RECOVERYEFI",
    }
}

/// The entries of a directory for itself and the one above it, which is 0 for the root.
pub(crate) fn dots(own: u32, above: u32) -> Vec<[u8; ENTRY_BYTES]> {
    vec![
        entry(b".          ", FOLDER, own, 0),
        entry(b"..         ", FOLDER, above, 0),
    ]
}

/// The label of the partition.
pub(crate) fn label(name: &[u8; 11]) -> [u8; ENTRY_BYTES] {
    entry(name, LABEL, 0, 0)
}

/// The entries of a directory within another.
pub(crate) fn folder(
    name: &str,
    short: &[u8; 11],
    cluster: u32,
) -> impl Iterator<Item = [u8; ENTRY_BYTES]> {
    [long_entry(name, short), entry(short, FOLDER, cluster, 0)].into_iter()
}

/// The entries of a file, whose name has at most 13 characters.
pub(crate) fn file(
    name: &str,
    short: &[u8; 11],
    cluster: u32,
    size_bytes: u32,
) -> impl Iterator<Item = [u8; ENTRY_BYTES]> {
    [
        long_entry(name, short),
        entry(short, FILE, cluster, size_bytes),
    ]
    .into_iter()
}

fn long_entry(name: &str, short: &[u8; 11]) -> [u8; ENTRY_BYTES] {
    assert!(name.len() <= LONG_NAME_CHARS && name.is_ascii());
    let mut entry = [0; ENTRY_BYTES];
    entry[0] = LAST_LONG;
    entry[11] = LONG_NAME;
    entry[13] = checksum(short);
    // One zero ends the name, what is left is filled with ones.
    let units = name
        .bytes()
        .map(u16::from)
        .chain([0])
        .chain(std::iter::repeat(u16::MAX));
    for (at, unit) in LONG_NAME_OFFSETS.into_iter().zip(units) {
        put(&mut entry, at, &unit.to_le_bytes());
    }
    entry
}

fn entry(short: &[u8; 11], attributes: u8, cluster: u32, size_bytes: u32) -> [u8; ENTRY_BYTES] {
    let mut entry = [0; ENTRY_BYTES];
    put(&mut entry, 0, short);
    entry[11] = attributes;
    for at in [16, 18, 24] {
        put(&mut entry, at, &DATE);
    }
    put(&mut entry, 20, &((cluster >> 16) as u16).to_le_bytes());
    put(&mut entry, 26, &(cluster as u16).to_le_bytes());
    put(&mut entry, 28, &size_bytes.to_le_bytes());
    entry
}

fn checksum(short: &[u8]) -> u8 {
    short
        .iter()
        .fold(0u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Versions of the recovery slot, slot A and slot B.
    fn versions(names: [Option<&str>; 3]) -> Versions {
        Versions(names.map(|name| {
            Some(Version {
                name: name?.parse().expect("works"),
                size_bytes: 4711,
            })
        }))
    }

    #[test]
    fn a_sector_says_which_versions_there_are() {
        for names in [
            [None, None, None],
            [Some("cf0.efi"), Some("cf1.efi"), None],
            [Some("cf0.efi"), Some("cf12.efi"), Some("cf999+9-0.efi")],
        ] {
            let versions = versions(names);
            assert_eq!(Versions::parse(&versions.sector()), versions, "{names:?}");
        }
    }

    /// What EDK2 leaves of a rename: the old entries removed, the new ones behind the others, under short names of its own.
    #[test]
    fn entries_may_have_moved() {
        let before = versions([None, Some("cf7.efi"), Some("cf8+3-0.efi")]);
        let mut sector = before.sector();
        let (entries, _) = sector.as_chunks_mut::<ENTRY_BYTES>();
        entries[4][0] = REMOVED;
        entries[5][0] = REMOVED;
        let slot_b = Slot::B.first_cluster();
        for (at, one) in file("cf8+2-1.efi", b"CF8_2-~1EFI", slot_b, 4711).enumerate() {
            entries[6 + at] = one;
        }
        assert_eq!(
            Versions::parse(&sector),
            versions([None, Some("cf7.efi"), Some("cf8+2-1.efi")])
        );
    }

    #[test]
    fn a_short_name_alone_is_a_name() {
        let mut sector = [0; SECTOR_BYTES];
        put(
            &mut sector,
            0,
            &entry(b"CF3     EFI", FILE, Slot::A.first_cluster(), 4711),
        );
        assert_eq!(
            Versions::parse(&sector),
            versions([None, Some("cf3.efi"), None])
        );
    }

    #[test]
    fn other_files_are_passed_over() {
        let cluster = Slot::A.first_cluster();
        let too_long = SLOT_BYTES as u32 + 1;
        for (name, cluster, size_bytes) in [
            ("linux.efi", cluster, 4711),
            ("cf1.efi", cluster + 1, 4711),
            ("cf1.efi", cluster, 0),
            ("cf1.efi", cluster, too_long),
        ] {
            let mut sector = [0; SECTOR_BYTES];
            let entries: Vec<_> = file(name, b"SLOTA   EFI", cluster, size_bytes).collect();
            put(&mut sector, 0, entries.as_flattened());
            assert_eq!(
                Versions::parse(&sector),
                Versions::default(),
                "{name} {cluster} {size_bytes}"
            );
        }
    }

    #[test]
    fn any_bytes_can_be_read() {
        proptest::proptest!(|(bytes: [[u8; 32]; 16])| {
            let mut sector = [0; SECTOR_BYTES];
            put(&mut sector, 0, bytes.as_flattened());
            let read = Versions::parse(&sector);
            assert_eq!(Versions::parse(&read.sector()), read);
        });
    }

    #[test]
    fn all_entries_fit_into_one_sector() {
        let fullest = versions([
            Some("cf998+9-9.efi"),
            Some("cf999+9-9.efi"),
            Some("cf997+9-9.efi"),
        ]);
        let used = fullest
            .sector()
            .as_chunks::<ENTRY_BYTES>()
            .0
            .iter()
            .filter(|entry| entry[0] != 0)
            .count();
        // A rename by firmware writes the new entries before or after it removes the old ones.
        assert!(used + 2 <= SECTOR_BYTES / ENTRY_BYTES, "{used}");
    }
}
