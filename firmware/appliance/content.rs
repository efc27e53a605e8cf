//! What is on a disk: recognised by magic numbers at the offsets that each format documents, never by labels or names.
//!
//! It reads a few dozen kilobytes and writes nothing. Its answer is for people, who decide whether a disk may be formatted; so what it does not
//! know it calls unknown data, and only a disk that is empty at both ends, and where nothing was recognised, is called blank.

use std::io;
use update::gpt::{Guid, SECTOR_BYTES, Table};

/// 1 MiB at both ends has to be zero on a blank disk: partition tables, boot loaders and labels of volume managers lie there.
const EDGE_BYTES: u64 = 1 << 20;

/// 128 partitions are looked into at most, as many as a table has.
const PARTITIONS_MAX: usize = 128;

/// Something to read from.
pub(crate) trait Source {
    /// Its length in bytes.
    fn length(&self) -> u64;

    /// Reads bytes from an offset on; fewer than asked for is an error.
    ///
    /// # Errors
    /// When the disk fails or ends before.
    fn read(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;
}

/// What is on a whole disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Nothing that could be missed.
    Blank,
    /// Coffer's own: the boot medium, or a disk with an archive.
    Coffer(Table),
    /// Something else; what it is, for people.
    Foreign(Vec<String>),
}

/// A magic number: where it lies and what it means.
struct Magic {
    offset: u64,
    bytes: &'static [u8],
    name: &'static str,
}

const fn magic(offset: u64, bytes: &'static [u8], name: &'static str) -> Magic {
    Magic {
        offset,
        bytes,
        name,
    }
}

/// Of file systems, encryption and volume managers that begin at the start of a disk or partition. More particular ones come first:
/// NTFS and FAT both end their first sector as a boot sector does.
const MAGICS: [Magic; 27] = [
    magic(0, b"LUKS\xba\xbe\x00\x01", "LUKS1"),
    magic(0, b"LUKS\xba\xbe\x00\x02", "LUKS2"),
    magic(3, b"-FVE-FS-", "BitLocker"),
    magic(3, b"NTFS    ", "NTFS"),
    magic(3, b"EXFAT   ", "exFAT"),
    magic(3, b"ReFS\0\0\0\0", "ReFS"),
    magic(1080, b"\x53\xef", "ext2/3/4"),
    magic(65_600, b"_BHRfS_M", "btrfs"),
    magic(0, b"XFSB", "XFS"),
    magic(1024, b"\x10\x20\xf5\xf2", "F2FS"),
    magic(4120, b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca", "bcache"),
    magic(4120, b"\xc6\x85\x73\xf6\x66\xce\x90\xa9", "bcachefs"),
    magic(32, b"NXSB", "APFS"),
    magic(1024, b"H+\0\x04", "HFS+"),
    magic(1024, b"HX\0\x05", "HFSX"),
    magic(32_769, b"CD001", "ISO 9660"),
    magic(0, b"hsqs", "squashfs"),
    magic(4086, b"SWAPSPACE2", "swap"),
    magic(536, b"LVM2 001", "LVM"),
    magic(24, b"LVM2 001", "LVM"),
    magic(1048, b"LVM2 001", "LVM"),
    magic(1560, b"LVM2 001", "LVM"),
    magic(4096, b"\xfc\x4e\x2b\xa9", "Linux RAID"),
    magic(0, b"\xfc\x4e\x2b\xa9", "Linux RAID"),
    magic(82, b"FAT32   ", "FAT"),
    magic(54, b"FAT16   ", "FAT"),
    magic(54, b"FAT12   ", "FAT"),
];

/// Magic of an MD superblock, which older forms keep near the end.
const MD: [u8; 4] = *b"\xfc\x4e\x2b\xa9";

/// Uberblocks of ZFS begin with it, in the order of bytes of who wrote them.
const ZFS: u64 = 0x00ba_b10c;

/// Tells what is on a disk.
///
/// # Errors
/// When it cannot be read: then nobody knows, and it is not to be written.
pub(crate) fn what_is_on(disk: &mut impl Source) -> io::Result<Content> {
    let sectors = disk.length() / SECTOR_BYTES as u64;
    let table = Table::read(sectors, |sector, bytes| {
        disk.read(sector * SECTOR_BYTES as u64, bytes)
    });
    let mut found = Vec::new();
    if let Ok(table) = table {
        if is_coffer(&table) {
            return Ok(Content::Coffer(table));
        }
        found.push(partitions(disk, &table)?);
    }
    found.extend(signature(disk, 0, disk.length())?);
    if found.is_empty() && has_master_boot_record(disk)? {
        found.push("partitions (MBR)".to_owned());
    }
    if found.is_empty() && !is_empty_at_both_ends(disk)? {
        found.push("unknown data".to_owned());
    }
    Ok(match found.is_empty() {
        true => Content::Blank,
        false => Content::Foreign(found),
    })
}

/// The kernel's name of the file system that begins at the start of a partition; none for one that no stick has.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn file_system(partition: &mut impl Source) -> io::Result<Option<&'static str>> {
    let length = partition.length();
    Ok(match signature(partition, 0, length)?.as_deref() {
        Some("FAT") => Some("vfat"),
        Some("exFAT") => Some("exfat"),
        Some("ext2/3/4") => Some("ext4"),
        _ => None,
    })
}

/// The UUID of a LUKS header, as text: the name of what is in it.
///
/// # Errors
/// When the disk cannot be read.
pub(crate) fn luks_uuid(disk: &mut impl Source, offset: u64) -> io::Result<Option<String>> {
    let mut header = [0; 208];
    disk.read(offset, &mut header)?;
    let uuid = header[168..].split(|byte| *byte == 0).next();
    let text = uuid.and_then(|uuid| std::str::from_utf8(uuid).ok());
    let is_luks2 = header.starts_with(b"LUKS\xba\xbe\x00\x02");
    Ok(text.filter(|_| is_luks2).map(str::to_owned))
}

fn is_coffer(table: &Table) -> bool {
    let ours = |kind| kind == Guid::STATE || kind == Guid::ARCHIVE;
    table
        .partitions
        .iter()
        .any(|partition| ours(partition.kind))
}

/// A partition table in words, with what is on each partition.
fn partitions(disk: &mut impl Source, table: &Table) -> io::Result<String> {
    let mut names = Vec::new();
    for partition in table.partitions.iter().take(PARTITIONS_MAX) {
        let bytes = SECTOR_BYTES as u64;
        let found = signature(disk, partition.first * bytes, partition.sectors * bytes)?;
        names.push(found.unwrap_or_else(|| "unknown".to_owned()));
    }
    Ok(match names.len() {
        0 => "empty partition table (GPT)".to_owned(),
        _ => format!("partitions (GPT): {}", names.join(", ")),
    })
}

/// What begins at an offset and is that long; none if it is not known.
fn signature(disk: &mut impl Source, start: u64, length: u64) -> io::Result<Option<String>> {
    for magic in &MAGICS {
        if holds(disk, start, length, magic.offset, magic.bytes)? {
            return Ok(Some(magic.name.to_owned()));
        }
    }
    let kib = 1024;
    // MD 0.90 lies in the last whole 64 KiB, 1.0 8 KiB before the end, both rounded down.
    let old = (length & !(64 * kib - 1)).checked_sub(64 * kib);
    let new = length.checked_sub(8 * kib).map(|at| at & !(4 * kib - 1));
    for at in [old, new].into_iter().flatten() {
        if holds(disk, start, length, at, &MD)? {
            return Ok(Some("Linux RAID".to_owned()));
        }
    }
    Ok(has_zfs(disk, start, length)?.then(|| "ZFS".to_owned()))
}

fn holds(
    disk: &mut impl Source,
    start: u64,
    length: u64,
    offset: u64,
    expected: &[u8],
) -> io::Result<bool> {
    if offset + expected.len() as u64 > length {
        return Ok(false);
    }
    let mut bytes = vec![0; expected.len()];
    disk.read(start + offset, &mut bytes)?;
    Ok(bytes == expected)
}

/// ZFS keeps four labels of 256 KiB, two at each end; in the second half of each are uberblocks, at multiples of 1 KiB.
fn has_zfs(disk: &mut impl Source, start: u64, length: u64) -> io::Result<bool> {
    const LABEL_BYTES: u64 = 256 << 10;
    let length = length & !(LABEL_BYTES - 1);
    if length < 4 * LABEL_BYTES {
        return Ok(false);
    }
    for at in [
        0,
        LABEL_BYTES,
        length - 2 * LABEL_BYTES,
        length - LABEL_BYTES,
    ] {
        let mut ring = vec![0; LABEL_BYTES as usize / 2];
        disk.read(start + at + LABEL_BYTES / 2, &mut ring)?;
        let is_uberblock = |block: &[u8]| {
            block.starts_with(&ZFS.to_le_bytes()) || block.starts_with(&ZFS.to_be_bytes())
        };
        if ring.chunks(1024).any(is_uberblock) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the first sector is a master boot record with a partition in it.
fn has_master_boot_record(disk: &mut impl Source) -> io::Result<bool> {
    if disk.length() < SECTOR_BYTES as u64 {
        return Ok(false);
    }
    let mut sector = [0; SECTOR_BYTES];
    disk.read(0, &mut sector)?;
    let mut kinds = sector[446..510].chunks(16).map(|entry| entry[4]);
    Ok(sector[510..] == [0x55, 0xaa] && kinds.any(|kind| kind != 0))
}

fn is_empty_at_both_ends(disk: &mut impl Source) -> io::Result<bool> {
    let length = disk.length();
    let edge = EDGE_BYTES.min(length);
    for at in [0, length - edge] {
        let mut bytes = vec![0; edge as usize];
        disk.read(at, &mut bytes)?;
        if bytes.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use update::gpt::Partition;

    const MIB: usize = 1 << 20;

    /// A disk in memory; every read is within it.
    struct Memory(Vec<u8>);

    impl Source for Memory {
        fn length(&self) -> u64 {
            self.0.len() as u64
        }

        fn read(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
            let there = self.0.get(offset as usize..offset as usize + bytes.len());
            bytes.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        }
    }

    fn disk(parts: &[(usize, &[u8])]) -> Memory {
        let mut bytes = vec![0; 8 * MIB];
        for (at, part) in parts {
            bytes[*at..at + part.len()].copy_from_slice(part);
        }
        Memory(bytes)
    }

    fn check(parts: &[(usize, &[u8])], expected: &[&str]) {
        let found = match what_is_on(&mut disk(parts)).expect("a disk in memory") {
            Content::Blank => Vec::new(),
            Content::Foreign(found) => found,
            Content::Coffer(_) => vec!["Coffer".to_owned()],
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn formats_are_known_by_their_magic() {
        for magic in &MAGICS {
            check(&[(magic.offset as usize, magic.bytes)], &[magic.name]);
        }
        check(&[], &[]);
        check(&[(8 * MIB - 65_536, &MD)], &["Linux RAID"]);
        check(&[(8 * MIB - 8192, &MD)], &["Linux RAID"]);
        for at in [131_072, 262_144 + 131_072 + 1024, 8 * MIB - 131_072] {
            check(&[(at, &ZFS.to_le_bytes())], &["ZFS"]);
            check(&[(at, &ZFS.to_be_bytes())], &["ZFS"]);
        }
    }

    #[test]
    fn only_a_disk_empty_at_both_ends_is_blank() {
        for at in [0, 511, MIB - 1, 7 * MIB, 8 * MIB - 1] {
            check(&[(at, &[1])], &["unknown data"]);
        }
        let mut entry = [0; 66];
        entry[4] = 7;
        entry[64..].copy_from_slice(&[0x55, 0xaa]);
        check(&[(446, &entry)], &["partitions (MBR)"]);
        // A boot sector of NTFS ends like a master boot record.
        check(&[(3, b"NTFS    "), (510, &[0x55, 0xaa])], &["NTFS"]);
    }

    fn table(kinds: &[Guid]) -> Table {
        let partition = |(place, kind): (usize, &Guid)| Partition {
            kind: *kind,
            guid: Guid::new(place as u128 + 1),
            first: 2048 * (place as u64 + 1),
            sectors: 2048,
            name: "Coffer".to_owned(), // a name means nothing
        };
        Table {
            disk: Guid::new(9),
            sectors: 8 * MIB as u64 / 512,
            partitions: kinds.iter().enumerate().map(partition).collect(),
        }
    }

    #[test]
    fn tables_are_told_apart_by_the_types_in_them() {
        let data = Guid::new(0x0fc6_3daf_8483_4772_8e79_3d69_d847_7de4);
        let check_table = |kinds: &[Guid], inside: &[(usize, &[u8])], expected: &str| {
            let table = table(kinds);
            let (head, tail) = (table.head(), table.tail());
            let mut parts = vec![(0, &head[..]), (8 * MIB - tail.len(), &tail[..])];
            parts.extend_from_slice(inside);
            check(&parts, &[expected]);
            // The one at the end is enough.
            parts.remove(0);
            check(&parts, &[expected]);
        };
        check_table(&[], &[], "empty partition table (GPT)");
        check_table(&[Guid::EFI, Guid::STATE], &[], "Coffer");
        check_table(&[Guid::ARCHIVE], &[], "Coffer");
        check_table(
            &[Guid::EFI, data],
            &[
                (MIB + 82, b"FAT32   " as &[u8]),
                (2 * MIB + 1080, b"\x53\xef"),
            ],
            "partitions (GPT): FAT, ext2/3/4",
        );
    }

    #[test]
    fn a_disk_of_any_length_is_looked_at() {
        for length in [0, 1, 511, 512, 4096, 65_599, 70_000, MIB + 7] {
            let blank = what_is_on(&mut Memory(vec![0; length])).expect("a disk in memory");
            assert_eq!(blank, Content::Blank, "{length} bytes");
        }
    }

    #[test]
    fn the_uuid_of_luks_is_read() {
        let mut header = b"LUKS\xba\xbe\x00\x02".to_vec();
        header.resize(168, 0);
        header.extend_from_slice(b"0f0e0d0c-0b0a-0908-0706-050403020100\0\0\0\0");
        let uuid = luks_uuid(&mut Memory(header.clone()), 0).expect("long enough");
        assert_eq!(
            uuid.as_deref(),
            Some("0f0e0d0c-0b0a-0908-0706-050403020100")
        );
        header[7] = 1;
        assert_eq!(
            luks_uuid(&mut Memory(header), 0).expect("long enough"),
            None
        );
    }
}
