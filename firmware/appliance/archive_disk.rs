//! One archive disk: opened, checked and mounted, or made of a disk that somebody confirmed.
//!
//! A new disk gets an EFI partition with a copy of what the box was started from, a small state partition, and the archive: LUKS2, in it ext4
//! (DESIGN 6). Its key is on the boot medium before the disk is touched, so that no power cut leaves a disk that nobody can open.

use crate::block_devices::{self, DISKS, Disk, Opened};
use crate::content::{Content, luks_uuid};
use crate::disk_tools::{self as tools, ToolError};
use crate::kernel::{self, MountFlags};
use crate::mounts;
use crate::recovery_key::{self, random};
use crate::state_record::DiskKey;
use crate::workers::{ARCHIVE_USER, LOGS_USER};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt, chown};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};
use update::gpt::{ALIGNMENT_SECTORS, Guid, Partition, SECTOR_BYTES, TAIL_SECTORS, Table};

/// Below it each archive disk is mounted, in a folder with the name of its mapping: its LUKS UUID and a number.
const MOUNTS: &str = "/archive";

/// 16 MiB for two records: partitions begin at multiples of the blocks of flash media anyway.
const STATE_SECTORS: u64 = (16 << 20) / SECTOR_BYTES as u64;

/// 512 MiB: a smaller archive partition holds little besides the reserve for events.
const ARCHIVE_SECTORS_MIN: u64 = (512 << 20) / SECTOR_BYTES as u64;

/// 10 seconds for the kernel to know the partitions of a table that was just written.
const PARTITIONS_PATIENCE: Duration = Duration::from_secs(10);

/// 1 MiB at a time is copied and cleared.
const PIECE_BYTES: usize = 1 << 20;

/// What went wrong with an archive disk.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveDiskError {
    /// A tool failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The disk or the kernel failed.
    #[error("cannot {what}")]
    Io {
        /// What was to be done.
        what: &'static str,
        /// Why it was not.
        source: io::Error,
    },
    /// The disk is too small for an archive.
    #[error("the disk is too small for an archive: {bytes} bytes")]
    TooSmall {
        /// Its length.
        bytes: u64,
    },
    /// Partition table and boot files are made for sectors of 512 bytes.
    #[error("the disk has sectors of a length that this box does not know: {bytes} bytes")]
    Sectors {
        /// Their length.
        bytes: u64,
    },
    /// The kernel does not show a partition that was just made.
    #[error("a new partition does not appear on {disk}")]
    NoPartition {
        /// The disk.
        disk: String,
    },
}

/// Names what failed.
pub(crate) fn io(what: &'static str) -> impl FnOnce(io::Error) -> ArchiveDiskError {
    move |source| ArchiveDiskError::Io { what, source }
}

/// An archive that is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mounted {
    /// Name of the disk in this boot.
    pub(crate) disk: String,
    /// Its LUKS UUID.
    pub(crate) uuid: String,
    /// The name of the mapping.
    mapping: String,
}

impl Mounted {
    /// The data directory.
    pub(crate) fn data(&self) -> String {
        format!("{MOUNTS}/{}/data", self.mapping)
    }

    /// The folder of the log.
    pub(crate) fn log(&self) -> String {
        format!("{MOUNTS}/{}/log", self.mapping)
    }

    /// Unmounts and closes it.
    ///
    /// # Errors
    /// When it is in use.
    pub(crate) fn close(&self) -> Result<(), ArchiveDiskError> {
        kernel::unmount(&format!("{MOUNTS}/{}", self.mapping))
            .map_err(io("unmount an archive disk"))?;
        Ok(tools::close_luks(&self.mapping)?)
    }
}

/// Device file and LUKS UUID of the archive on a disk, if it has one.
pub(crate) fn archive_on(disk: &Disk, content: &Content) -> Option<(String, String)> {
    let Content::Coffer(table) = content else {
        return None;
    };
    let mut partitions = table.partitions.iter();
    let partition = partitions.find(|partition| partition.kind == Guid::ARCHIVE)?;
    let device = disk.partition_device(partition)?;
    let file = File::open(&device).ok()?;
    let bytes = partition.sectors * SECTOR_BYTES as u64;
    let uuid = luks_uuid(&mut Opened { file, bytes }, 0).ok()??;
    Some((device, uuid))
}

/// The 16 bytes of a UUID in its usual form.
pub(crate) fn uuid_bytes(uuid: &str) -> Option<[u8; 16]> {
    let digits = uuid.replace('-', "");
    let number = u128::from_str_radix(&digits, 16).ok()?;
    (digits.len() == 32).then(|| number.to_be_bytes())
}

/// What a worker that died has left: the archives that are mounted still, and the highest number of a mapping. What is open and mounted
/// nowhere is closed.
pub(crate) fn left_by_the_last_worker() -> (Vec<Mounted>, u32) {
    let mappings = block_devices::mappings(Path::new(DISKS));
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let number = |name: &str| name.split_once('.')?.1.parse().ok();
    let numbers = mappings.iter().filter_map(|(name, _)| number(name));
    let highest = numbers.max().unwrap_or(0);
    let (mounted, unused) = still_mounted(mappings, &mounts::from_disks(&mounts));
    for name in unused {
        let _ = tools::close_luks(&name); // what cannot be closed keeps its number
    }
    (mounted, highest)
}

/// Tells mappings with archives that are mounted from those that are mounted nowhere. In neither is one whose disk has gone.
fn still_mounted(
    mappings: Vec<(String, Option<String>)>,
    targets: &[String],
) -> (Vec<Mounted>, Vec<String>) {
    let (mut mounted, mut unused) = (Vec::new(), Vec::new());
    for (mapping, disk) in mappings {
        let Some((uuid, _)) = mapping.split_once('.') else {
            continue; // none of ours
        };
        if !targets.contains(&format!("{MOUNTS}/{mapping}")) {
            unused.push(mapping);
        } else if let Some(disk) = disk {
            mounted.push(Mounted {
                disk,
                uuid: uuid.to_owned(),
                mapping,
            });
        }
    }
    (mounted, unused)
}

/// Opens an archive with a key, checks its file system and mounts it. The number tells mappings of one disk apart that was plugged in again
/// while the old mapping is still in use.
///
/// # Errors
/// When the key is wrong, or the disk needs a person.
pub(crate) fn open(
    disk: &str,
    device: &str,
    uuid: &str,
    key: &[u8],
    number: u32,
) -> Result<Mounted, ArchiveDiskError> {
    let mounted = Mounted {
        disk: disk.to_owned(),
        uuid: uuid.to_owned(),
        mapping: format!("{uuid}.{number}"),
    };
    tools::open_luks(device, &mounted.mapping, key)?;
    mount(&mounted).inspect_err(|_| {
        let _ = tools::close_luks(&mounted.mapping); // the first error says more
    })?;
    Ok(mounted)
}

fn mount(mounted: &Mounted) -> Result<(), ArchiveDiskError> {
    let device = format!("/dev/mapper/{}", mounted.mapping);
    let target = format!("{MOUNTS}/{}", mounted.mapping);
    tools::check_ext4(&device)?;
    fs::create_dir_all(&target).map_err(io("make the folder of a disk"))?;
    kernel::mount(
        &device,
        &target,
        "ext4",
        MountFlags::ARCHIVE,
        "errors=remount-ro",
    )
    .map_err(io("mount an archive disk"))?;
    for (folder, user) in [(mounted.data(), ARCHIVE_USER), (mounted.log(), LOGS_USER)] {
        fs::create_dir_all(&folder)
            .and_then(|()| chown(&folder, Some(user), Some(user)))
            .map_err(io("make the folders of an archive disk"))?;
    }
    Ok(())
}

/// Makes an archive disk of a disk: everything on it is lost. Its archive gets at most that many sectors: as many as the one beside which it
/// will stand, so that either can be the copy of the other. `keep` puts the key where it lasts, before anything is written. Gives the
/// recovery key, as it is to be shown.
///
/// # Errors
/// When the disk is too small, has sectors of another length or fails, or the key cannot be kept.
pub(crate) fn make(
    disk: &Disk,
    boot_partition: Option<(&str, u64)>,
    archive_sectors_max: u64,
    keep: impl FnOnce(&DiskKey) -> io::Result<()>,
) -> Result<String, ArchiveDiskError> {
    if let Some(bytes) = disk.sector_bytes(Path::new(DISKS))
        && bytes != SECTOR_BYTES as u64
    {
        return Err(ArchiveDiskError::Sectors { bytes });
    }
    let uuid = random::<16>().map_err(io("make a key"))?;
    let key = DiskKey {
        disk: uuid,
        key: random().map_err(io("make a key"))?,
    };
    let recovery = recovery_key::new_recovery_key().map_err(io("make a key"))?;
    let efi_sectors = boot_partition.map_or(0, |(_, sectors)| sectors);
    let guids = [random(), random(), random(), random()];
    let mut numbers = [0; 4];
    for (number, guid) in numbers.iter_mut().zip(guids) {
        *number = u128::from_be_bytes(guid.map_err(io("make a key"))?);
    }
    let table = table(disk.bytes, efi_sectors, archive_sectors_max, numbers);
    let table = table.ok_or(ArchiveDiskError::TooSmall { bytes: disk.bytes })?;
    keep(&key).map_err(io("keep the key of the disk"))?;
    write_table(disk, &table).map_err(io("write the partition table"))?;
    let devices = partition_devices(disk, &table)?;
    let archive = devices.last().expect("a table has an archive");
    if let (Some((from, sectors)), Some(to)) = (boot_partition, devices.first()) {
        copy(from, to, sectors * SECTOR_BYTES as u64).map_err(io("copy the boot files"))?;
    }
    tools::make_luks(archive, &uuid_text(uuid), &key.key)?;
    add_key(archive, &key.key, recovery_key::plain(&recovery).as_bytes())?;
    let name = format!("{}.new", uuid_text(uuid));
    tools::open_luks(archive, &name, &key.key)?;
    let made = tools::make_ext4(&format!("/dev/mapper/{name}"));
    tools::close_luks(&name)?;
    made?;
    Ok(recovery)
}

/// Adds a new key to a disk that another one opens; once it is kept it opens the disk, too.
///
/// # Errors
/// When cryptsetup fails.
pub(crate) fn add_new_key(
    device: &str,
    uuid: &str,
    recovery: &str,
) -> Result<DiskKey, ArchiveDiskError> {
    let unknown = || io("read the name of the disk")(io::ErrorKind::InvalidData.into());
    let key = DiskKey {
        disk: uuid_bytes(uuid).ok_or_else(unknown)?,
        key: random().map_err(io("make a key"))?,
    };
    add_key(device, recovery.as_bytes(), &key.key)?;
    Ok(key)
}

/// The table of an archive disk; none where there is too little room. The numbers become GUIDs of disk and partitions.
fn table(
    bytes: u64,
    efi_sectors: u64,
    archive_sectors_max: u64,
    numbers: [u128; 4],
) -> Option<Table> {
    let sectors = bytes / SECTOR_BYTES as u64;
    let end = sectors.checked_sub(TAIL_SECTORS)? / ALIGNMENT_SECTORS * ALIGNMENT_SECTORS;
    let mut first = ALIGNMENT_SECTORS;
    let mut partitions = Vec::new();
    let fixed = [
        (Guid::EFI, efi_sectors, "Coffer EFI"),
        (Guid::STATE, STATE_SECTORS, "Coffer state"),
    ];
    for ((kind, length, name), number) in fixed.into_iter().zip(&numbers[1..]) {
        if length > 0 {
            partitions.push(partition(kind, *number, first, length, name));
            first += length.next_multiple_of(ALIGNMENT_SECTORS);
        }
    }
    let length = end.checked_sub(first)?.min(archive_sectors_max);
    (length >= ARCHIVE_SECTORS_MIN).then_some(())?;
    partitions.push(partition(
        Guid::ARCHIVE,
        numbers[3],
        first,
        length,
        "Coffer archive",
    ));
    Some(Table {
        disk: random_guid(numbers[0]),
        sectors,
        partitions,
    })
}

fn partition(kind: Guid, number: u128, first: u64, sectors: u64, name: &str) -> Partition {
    Partition {
        kind,
        guid: random_guid(number),
        first,
        sectors,
        name: name.to_owned(),
    }
}

/// Marks a random number as such a GUID (RFC 9562 §5.4).
fn random_guid(number: u128) -> Guid {
    Guid::new(number & !(0xf << 76) & !(0x3 << 62) | 4 << 76 | 2 << 62)
}

fn uuid_text(bytes: [u8; 16]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let groups = [0..8, 8..12, 12..16, 16..20, 20..32].map(|group| digits[group].to_owned());
    groups.join("-")
}

/// Clears what would be taken for something else, and writes the table; its head last, so that a half-made disk has none.
fn write_table(disk: &Disk, table: &Table) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(disk.device())?;
    let zeros = vec![0; PIECE_BYTES];
    let last = disk.bytes.saturating_sub(PIECE_BYTES as u64);
    let starts = table
        .partitions
        .iter()
        .map(|it| it.first * SECTOR_BYTES as u64);
    for at in starts.chain([0, last]) {
        file.write_all_at(&zeros, at)?;
    }
    let tail = table.tail();
    let end = table.sectors * SECTOR_BYTES as u64;
    file.write_all_at(&tail, end - tail.len() as u64)?;
    file.sync_all()?;
    file.write_all_at(&table.head(), 0)?;
    file.sync_all()?;
    kernel::reread_partitions(&file)
}

/// Waits until the kernel shows all partitions; gives their device files in order.
fn partition_devices(disk: &Disk, table: &Table) -> Result<Vec<String>, ArchiveDiskError> {
    let until = Instant::now() + PARTITIONS_PATIENCE;
    loop {
        let devices = table.partitions.iter().map(|it| disk.partition_device(it));
        let devices: Option<Vec<_>> = devices.collect();
        if let Some(devices) = devices
            && devices.iter().all(|device| Path::new(device).exists())
        {
            return Ok(devices);
        }
        if Instant::now() >= until {
            return Err(ArchiveDiskError::NoPartition {
                disk: disk.name.clone(),
            });
        }
        thread::sleep(Duration::from_millis(50)); // devtmpfs tells nobody
    }
}

fn copy(from: &str, to: &str, bytes: u64) -> io::Result<()> {
    let mut from = File::open(from)?.take(bytes);
    let mut to = OpenOptions::new().write(true).open(to)?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = from.read(&mut piece)?;
        if count == 0 {
            return to.sync_all();
        }
        to.write_all(&piece[..count])?;
    }
}

/// Adds a key to one that opens the disk. It has to stand in a file for a moment: in memory, and readable by nobody else.
fn add_key(device: &str, key: &[u8], new: &[u8]) -> Result<(), ArchiveDiskError> {
    const FILE: &str = "/run/coffer/new-key";
    let written = (|| {
        let _ = fs::remove_file(FILE); // of a try that was broken off
        let mut how = OpenOptions::new();
        let mut file = how.write(true).create_new(true).mode(0o600).open(FILE)?;
        file.write_all(new)
    })();
    written.map_err(io("write a key"))?;
    let added = tools::add_key(device, key, FILE);
    fs::remove_file(FILE).map_err(io("remove a key"))?;
    Ok(added?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn what_is_mounted_is_taken_over_and_what_is_not_is_closed() {
        let disk = |name: &str| Some(name.to_owned());
        let mappings = [
            ("u1.1", disk("vdb")),
            ("u2.3", None),
            ("u3.4", disk("vdd")),
            ("u4.new", disk("vde")),
            ("other", disk("vdf")),
        ];
        let mappings = mappings.map(|(name, disk)| (name.to_owned(), disk)).into();
        let targets = ["/archive/u2.3", "/archive/u1.1", "/stick"].map(str::to_owned);
        let (mounted, unused) = still_mounted(mappings, &targets);
        let [mounted] = &mounted[..] else {
            panic!("the disk of the second one is gone: {mounted:?}");
        };
        assert_eq!((&*mounted.disk, &*mounted.uuid), ("vdb", "u1"));
        assert_eq!(mounted.data(), "/archive/u1.1/data");
        assert_eq!(unused, ["u3.4", "u4.new"]);
    }

    #[test]
    fn a_table_has_room_for_everything_and_nothing_overlaps() {
        let check = |bytes: u64, efi: u64, kinds: Option<&[Guid]>| {
            let made = table(bytes, efi, u64::MAX, [1, 2, 3, 4]);
            let found = made.as_ref().map(|table| {
                table
                    .partitions
                    .iter()
                    .map(|it| it.kind)
                    .collect::<Vec<_>>()
            });
            assert_eq!(found.as_deref(), kinds, "{bytes} bytes");
            let Some(table) = made else { return };
            let mut end = ALIGNMENT_SECTORS;
            for partition in &table.partitions {
                assert!(partition.first >= end && partition.first % ALIGNMENT_SECTORS == 0);
                end = partition.first + partition.sectors;
            }
            assert!(end <= bytes / 512 - TAIL_SECTORS);
        };
        let all = [Guid::EFI, Guid::STATE, Guid::ARCHIVE];
        check(2 * GIB, 1_000_001, Some(&all));
        check(2 * GIB + 511, 0, Some(&all[1..]));
        check(4000 * GIB, 1 << 20, Some(&all));
        check(GIB, 1 << 20, None);
        check(100, 0, None);
    }

    #[test]
    fn an_archive_is_no_longer_than_the_one_beside_it() {
        let length = |bytes: u64, max: u64| {
            let made = table(bytes, 0, max, [1, 2, 3, 4]).expect("long enough");
            made.partitions.last().expect("an archive").sectors
        };
        let first = length(2 * GIB, u64::MAX);
        assert_eq!(length(4 * GIB, first), first);
        assert!(
            length(2 * GIB - (4 << 20), first) < first,
            "the keeper refuses it"
        );
    }

    #[test]
    fn uuids_are_text_and_bytes() {
        let text = "0f0e0d0c-0b0a-0908-0706-050403020100";
        let bytes = uuid_bytes(text).expect("a UUID");
        assert_eq!(bytes[..3], [0x0f, 0x0e, 0x0d]);
        assert_eq!(uuid_text(bytes), text);
        for wrong in ["", "x", "0f0e", "+f0e0d0c-0b0a-0908-0706-050403020100"] {
            assert!(uuid_bytes(wrong).is_none_or(|bytes| uuid_text(bytes) != wrong));
        }
    }

    #[test]
    fn guids_are_marked_as_random() {
        for number in [0, u128::MAX, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef] {
            let text = random_guid(number).to_string();
            assert_eq!(&text[14..15], "4");
            assert!(matches!(&text[19..20], "8" | "9" | "a" | "b"), "{text}");
        }
    }
}
