//! Partition tables (GPT), as they are written on images and archive disks, and read from any disk.
//!
//! | sector | what |
//! |---|---|
//! | 0 | protective master boot record: one partition of type 0xEE over the whole disk |
//! | 1 | header: signature, revision, size, CRC-32 of itself with this field 0, own sector, the other header's, first and last usable sector, disk GUID, first sector, number and size of entries, CRC-32 of the entries |
//! | 2–33 | 128 entries of 128 bytes: type GUID, own GUID, first and last sector, attributes, name in UTF-16 |
//! | last 33 | the same entries, and a header that points the other way |
//!
//! Deliberately knows sectors of 512 bytes only, and changes no table: it writes whole ones. Source: UEFI specification 2.10, section 5.3.

use crate::error::GptError;
use crate::esp::put;
use std::fmt;
use std::io;

/// 512 bytes a sector.
pub const SECTOR_BYTES: usize = 512;
/// 34 sectors at the start of a disk belong to the table.
pub const HEAD_SECTORS: u64 = 34;
/// 33 sectors at its end do, too.
pub const TAIL_SECTORS: u64 = 33;
/// 2048 sectors, 1 MiB: partitions begin at blocks of flash media.
pub const ALIGNMENT_SECTORS: u64 = 2048;

const ENTRIES: usize = 128;
const ENTRY_BYTES: usize = 128;
const ENTRIES_BYTES: usize = ENTRIES * ENTRY_BYTES;
const HEADER_BYTES: usize = 92;
const NAME_UNITS: usize = 36;

/// A GUID in the order of bytes that GPT has on disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid([u8; 16]);

impl Guid {
    /// Firmware reads its boot loader from partitions of this type.
    pub const EFI: Self = Self::new(0xc12a7328_f81f_11d2_ba4b_00a0c93ec93b);
    /// Records of the box: what it needs before any archive is open.
    pub const STATE: Self = Self::new(0x72a4bdda_c8a8_4251_8af1_79784acbb0e9);
    /// An archive, in LUKS2.
    pub const ARCHIVE: Self = Self::new(0xc5b6749f_f38e_4b75_b49a_2677abf7e1ec);

    /// Takes a GUID as it is written, digits from left to right.
    pub const fn new(digits: u128) -> Self {
        let mut bytes = digits.to_be_bytes();
        // The first three fields are little-endian on disk.
        (bytes[0], bytes[1], bytes[2], bytes[3]) = (bytes[3], bytes[2], bytes[1], bytes[0]);
        (bytes[4], bytes[5]) = (bytes[5], bytes[4]);
        (bytes[6], bytes[7]) = (bytes[7], bytes[6]);
        Self(bytes)
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let b = &self.0;
        let first = u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        let second = u16::from_le_bytes([b[4], b[5]]);
        let third = u16::from_le_bytes([b[6], b[7]]);
        write!(out, "{first:08x}-{second:04x}-{third:04x}-")?;
        write!(out, "{:02x}{:02x}-", b[8], b[9])?;
        b[10..]
            .iter()
            .try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// What it is for.
    pub kind: Guid,
    /// Its own GUID.
    pub guid: Guid,
    /// Its first sector.
    pub first: u64,
    /// How many sectors it has, at least 1.
    pub sectors: u64,
    /// Its name for people, at most 36 characters.
    pub name: String,
}

/// The partition table of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The disk's own GUID.
    pub disk: Guid,
    /// Length of the disk in sectors.
    pub sectors: u64,
    /// At most 128 partitions, in their order in the table.
    pub partitions: Vec<Partition>,
}

impl Table {
    /// The first 34 sectors of the disk.
    pub fn head(&self) -> Vec<u8> {
        let entries = self.entries();
        let mut bytes = protective_record(self.sectors).to_vec();
        bytes.extend(self.header(1, 2, &entries));
        bytes.extend(entries);
        bytes
    }

    /// The last 33 sectors of the disk.
    pub fn tail(&self) -> Vec<u8> {
        let mut bytes = self.entries();
        let header = self.header(self.sectors - 1, self.sectors - TAIL_SECTORS, &bytes);
        bytes.extend(header);
        bytes
    }

    /// Reads the table of a disk of that many sectors; the one at its end where the one at its start does not hold.
    /// `read` gives the bytes from a sector on.
    ///
    /// # Errors
    /// `NoTable`, and `Read` where neither can be read.
    pub fn read(
        sectors: u64,
        mut read: impl FnMut(u64, &mut [u8]) -> io::Result<()>,
    ) -> Result<Self, GptError> {
        match read_at(1, sectors, &mut read) {
            Ok(table) => Ok(table),
            Err(_) => read_at(sectors.saturating_sub(1), sectors, &mut read),
        }
    }

    fn header(&self, own: u64, entries_at: u64, entries: &[u8]) -> [u8; SECTOR_BYTES] {
        let mut header = [0; SECTOR_BYTES];
        put(&mut header, 0, b"EFI PART\x00\x00\x01\x00");
        put(&mut header, 12, &(HEADER_BYTES as u32).to_le_bytes());
        put(&mut header, 24, &own.to_le_bytes());
        put(&mut header, 32, &(self.sectors - own).to_le_bytes());
        put(&mut header, 40, &HEAD_SECTORS.to_le_bytes());
        let last_usable = self.sectors - TAIL_SECTORS - 1;
        put(&mut header, 48, &last_usable.to_le_bytes());
        put(&mut header, 56, &self.disk.0);
        put(&mut header, 72, &entries_at.to_le_bytes());
        put(&mut header, 80, &(ENTRIES as u32).to_le_bytes());
        put(&mut header, 84, &(ENTRY_BYTES as u32).to_le_bytes());
        put(&mut header, 88, &crc32fast::hash(entries).to_le_bytes());
        let checksum = crc32fast::hash(&header[..HEADER_BYTES]);
        put(&mut header, 16, &checksum.to_le_bytes());
        header
    }

    fn entries(&self) -> Vec<u8> {
        assert!(self.partitions.len() <= ENTRIES, "a table has 128 entries");
        let mut bytes = vec![0; ENTRIES_BYTES];
        for (entry, partition) in bytes
            .as_chunks_mut::<ENTRY_BYTES>()
            .0
            .iter_mut()
            .zip(&self.partitions)
        {
            put(entry, 0, &partition.kind.0);
            put(entry, 16, &partition.guid.0);
            put(entry, 32, &partition.first.to_le_bytes());
            let last = partition.first + partition.sectors - 1;
            put(entry, 40, &last.to_le_bytes());
            for (at, unit) in partition.name.encode_utf16().take(NAME_UNITS).enumerate() {
                put(entry, 56 + 2 * at, &unit.to_le_bytes());
            }
        }
        bytes
    }
}

fn protective_record(sectors: u64) -> [u8; SECTOR_BYTES] {
    let mut record = [0; SECTOR_BYTES];
    // Addresses by cylinder, head and sector as the specification gives them.
    put(
        &mut record,
        446,
        &[0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0],
    );
    let covered = u32::try_from(sectors - 1).unwrap_or(u32::MAX);
    put(&mut record, 458, &covered.to_le_bytes());
    put(&mut record, 510, &[0x55, 0xaa]);
    record
}

fn read_at(
    header_at: u64,
    sectors: u64,
    read: &mut impl FnMut(u64, &mut [u8]) -> io::Result<()>,
) -> Result<Table, GptError> {
    let mut header = [0; SECTOR_BYTES];
    read(header_at, &mut header).map_err(GptError::Read)?;
    let entries_at = checked(&header, header_at).ok_or(GptError::NoTable)?;
    let mut entries = vec![0; ENTRIES_BYTES];
    read(entries_at, &mut entries).map_err(GptError::Read)?;
    if crc32fast::hash(&entries).to_le_bytes() != header[88..92] {
        return Err(GptError::NoTable);
    }
    let (entries, _) = entries.as_chunks::<ENTRY_BYTES>();
    let used = entries.iter().filter(|entry| entry[..16] != [0; 16]);
    Ok(Table {
        disk: guid_at(&header, 56),
        sectors,
        partitions: used
            .map(|entry| partition(entry, sectors))
            .collect::<Option<_>>()
            .ok_or(GptError::NoTable)?,
    })
}

/// Gives the first sector of the entries of a header that holds; nothing where it does not, or has entries of another number or size.
fn checked(header: &[u8; SECTOR_BYTES], own: u64) -> Option<u64> {
    let mut unsigned = *header;
    put(&mut unsigned, 16, &[0; 4]);
    let holds = header[..8] == *b"EFI PART"
        && header[12..16] == (HEADER_BYTES as u32).to_le_bytes()
        && crc32fast::hash(&unsigned[..HEADER_BYTES]).to_le_bytes() == header[16..20]
        && header[24..32] == own.to_le_bytes()
        && header[80..84] == (ENTRIES as u32).to_le_bytes()
        && header[84..88] == (ENTRY_BYTES as u32).to_le_bytes();
    holds.then(|| number_at(header, 72))
}

/// Reads an entry; nothing where it lies outside the disk.
fn partition(entry: &[u8; ENTRY_BYTES], disk_sectors: u64) -> Option<Partition> {
    let (first, last) = (number_at(entry, 32), number_at(entry, 40));
    let units: Vec<u16> = entry[56..]
        .as_chunks::<2>()
        .0
        .iter()
        .map(|unit| u16::from_le_bytes(*unit))
        .take_while(|unit| *unit != 0)
        .collect();
    (first <= last && last < disk_sectors).then(|| Partition {
        kind: guid_at(entry, 0),
        guid: guid_at(entry, 16),
        first,
        sectors: last - first + 1,
        name: String::from_utf16_lossy(&units),
    })
}

fn guid_at(bytes: &[u8], at: usize) -> Guid {
    let mut guid = [0; 16];
    guid.copy_from_slice(&bytes[at..at + 16]);
    Guid(guid)
}

fn number_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let partition = |kind, guid, first, sectors, name: &str| Partition {
            kind,
            guid: Guid::new(guid),
            first,
            sectors,
            name: name.to_owned(),
        };
        Table {
            disk: Guid::new(7),
            sectors: 10_000,
            partitions: vec![
                partition(Guid::EFI, 1, 2048, 2048, "EFI"),
                partition(Guid::STATE, 2, 4096, 1, "Coffer Zustände"),
                partition(Guid::ARCHIVE, 3, 6144, 3823, "archive"),
            ],
        }
    }

    fn disk(table: &Table) -> Vec<u8> {
        let mut disk = vec![0; table.sectors as usize * SECTOR_BYTES];
        put(&mut disk, 0, &table.head());
        let tail = disk.len() - table.tail().len();
        put(&mut disk, tail, &table.tail());
        disk
    }

    fn read(disk: &[u8]) -> Result<Table, GptError> {
        let sectors = (disk.len() / SECTOR_BYTES) as u64;
        Table::read(sectors, |sector, bytes| {
            let at = sector as usize * SECTOR_BYTES;
            let there = disk.get(at..at + bytes.len());
            bytes.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    #[test]
    fn a_table_is_read_as_it_was_written() {
        assert_eq!(read(&disk(&table())).expect("works"), table());
    }

    #[test]
    fn either_end_is_enough_and_damage_is_noticed() {
        let whole = disk(&table());
        for (sectors, holds) in [
            (&[1][..], true),
            (&[9999], true),
            (&[2], true),
            (&[1, 9999], false),
            (&[2, 9967], false),
        ] {
            let mut damaged = whole.clone();
            for sector in sectors {
                damaged[sector * SECTOR_BYTES + 40] ^= 1;
            }
            assert_eq!(read(&damaged).ok(), holds.then(table), "{sectors:?}");
        }
        assert!(matches!(read(&[0; 512]), Err(GptError::NoTable)));
        assert!(matches!(read(&[]), Err(GptError::Read(_))));
    }

    #[test]
    fn an_entry_outside_the_disk_is_no_table() {
        let mut table = table();
        table.partitions[2].sectors = 3857;
        assert!(matches!(read(&disk(&table)), Err(GptError::NoTable)));
    }

    #[test]
    fn guids_are_written_as_people_know_them() {
        assert_eq!(
            Guid::EFI.to_string(),
            "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
        );
        // As it stands on the disks of others.
        assert_eq!(
            Guid::EFI.0[..8],
            [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11]
        );
    }
}
