//! The disks of this machine, as `/sys/block` shows them.
//!
//! Only what has a device behind it is a disk: loop devices, memory disks and our own mappings are left out. Names are for this boot only.

use crate::content::{Content, Source, what_is_on};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use update::gpt::{Guid, Partition, SECTOR_BYTES};

/// Where the kernel lists them.
pub(crate) const DISKS: &str = "/sys/block";

/// 64 disks are looked at.
const DISKS_MAX: usize = 64;

/// A disk of 64 MiB or less is none for people: floppies, boot areas of flash chips.
const BYTES_MIN: u64 = 64 << 20;

/// A disk as people know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    /// Its name in this boot, as `sda`.
    pub(crate) name: String,
    /// Who made it, and what.
    pub(crate) model: String,
    /// Its serial number; empty where it has none.
    pub(crate) serial: String,
    /// Its length.
    pub(crate) bytes: u64,
}

impl Disk {
    /// Its device file.
    pub(crate) fn device(&self) -> String {
        format!("/dev/{}", self.name)
    }

    /// What somebody has to type before it is formatted: the last four characters of the serial number, or its name where it has none.
    pub(crate) fn confirmation(&self) -> &str {
        let start = self.serial.char_indices().rev().nth(3);
        match start {
            Some((at, _)) => &self.serial[at..],
            None => &self.name,
        }
    }

    /// How many bytes its sectors have, as a folder like [`DISKS`] shows it.
    pub(crate) fn sector_bytes(&self, folder: &Path) -> Option<u64> {
        let queue = folder.join(&self.name).join("queue");
        number(&queue.join("logical_block_size"))
    }

    /// Tells what is on it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn content(&self) -> io::Result<Content> {
        let file = File::open(self.device())?;
        what_is_on(&mut Opened {
            file,
            bytes: self.bytes,
        })
    }

    /// The device file of a partition, which the kernel numbers by its own rules; none while it does not know it.
    pub(crate) fn partition_device(&self, partition: &Partition) -> Option<String> {
        let folder = Path::new(DISKS).join(&self.name);
        let entries = fs::read_dir(folder).ok()?.flatten();
        let mut names = entries.filter(|entry| {
            let start = number(&entry.path().join("start"));
            entry.path().join("partition").exists() && start == Some(partition.first)
        });
        let name = names.next()?.file_name();
        Some(format!("/dev/{}", name.to_str()?))
    }
}

/// Device files and lengths of the partitions that the kernel knows of a disk, by name.
pub(crate) fn partitions(folder: &Path, disk: &Disk) -> Vec<(String, u64)> {
    let entries = fs::read_dir(folder.join(&disk.name)).into_iter().flatten();
    let partition = |entry: fs::DirEntry| {
        let path = entry.path();
        let bytes = number(&path.join("size"))? * SECTOR_BYTES as u64;
        let name = path.file_name()?.to_str()?.to_owned();
        path.join("partition")
            .exists()
            .then(|| (format!("/dev/{name}"), bytes))
    };
    let mut found: Vec<_> = entries.flatten().filter_map(partition).collect();
    found.sort_unstable();
    found
}

/// Names of all mappings, each with the disk that it lies on, if that is there still.
pub(crate) fn mappings(folder: &Path) -> Vec<(String, Option<String>)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mapping = |entry: fs::DirEntry| {
        let name = fs::read_to_string(entry.path().join("dm/name")).ok()?;
        Some((name.trim().to_owned(), disk_below(&entry.path())))
    };
    let mut found: Vec<_> = entries.filter_map(mapping).collect();
    found.sort_unstable();
    found
}

/// The disk of the one partition below a mapping: the kernel's link to the partition lies in the disk's folder.
fn disk_below(mapping: &Path) -> Option<String> {
    let below = fs::read_dir(mapping.join("slaves"))
        .ok()?
        .flatten()
        .next()?;
    let partition = below.path().canonicalize().ok()?;
    let disk = partition.parent()?.file_name()?;
    Some(disk.to_str()?.to_owned())
}

/// An open disk or partition.
pub(crate) struct Opened {
    /// The device file.
    pub(crate) file: File,
    /// Its length.
    pub(crate) bytes: u64,
}

impl Source for Opened {
    fn length(&self) -> u64 {
        self.bytes
    }

    fn read(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }
}

/// Lists the disks, by name.
pub(crate) fn list(folder: &Path) -> Vec<Disk> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut disks: Vec<Disk> = entries.filter_map(|entry| disk(&entry.path())).collect();
    disks.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    disks.truncate(DISKS_MAX);
    disks
}

fn disk(folder: &Path) -> Option<Disk> {
    let text = |name: &str| {
        let text = fs::read_to_string(folder.join(name)).unwrap_or_default();
        // Some fill up with blanks, some with what nobody can read.
        text.replace(|c: char| !c.is_ascii_graphic(), " ")
            .split_ascii_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    let first = |names: &[&str]| {
        let mut texts = names.iter().map(|name| text(name));
        texts.find(|text| !text.is_empty()).unwrap_or_default()
    };
    let bytes = number(&folder.join("size"))? * SECTOR_BYTES as u64;
    let is_disk = folder.join("device").exists() && bytes > BYTES_MIN;
    is_disk.then_some(())?;
    let model = format!("{} {}", text("device/vendor"), text("device/model"));
    Some(Disk {
        name: folder.file_name()?.to_str()?.to_owned(),
        // virtio numbers its makers, which tells people nothing.
        model: model.trim().replace("0x1af4", "virtual disk"),
        serial: first(&["serial", "device/serial", "device/wwid", "wwid"]),
        bytes,
    })
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Which of the disks holds the state of the box: the one with the partition that the boot loader named; one that has an archive only where there is
/// no other, since a firmware goes on to an archive disk when the medium itself does not start, and the keys are on the medium all the same.
pub(crate) fn boot_medium(
    disks: &[(Disk, Content)],
    loader_partition: Option<&str>,
) -> Option<usize> {
    let has = |content: &Content, wanted: &dyn Fn(&Partition) -> bool| matches!(content, Content::Coffer(table) if table.partitions.iter().any(wanted));
    let position = |holds: &dyn Fn(&Content) -> bool| disks.iter().position(|it| holds(&it.1));
    let has_state = |content: &Content| has(content, &|it| it.kind == Guid::STATE);
    let has_archive = |content: &Content| has(content, &|it| it.kind == Guid::ARCHIVE);
    let is_named = |it: &Partition| {
        loader_partition.is_some_and(|uuid| it.guid.to_string().eq_ignore_ascii_case(uuid))
    };
    let is_medium = |content: &Content| has_state(content) && !has_archive(content);
    position(&|content| is_medium(content) && has(content, &is_named))
        .or_else(|| position(&is_medium))
        .or_else(|| position(&|content| has_state(content) && has(content, &is_named)))
        .or_else(|| position(&has_state))
}

#[cfg(test)]
mod tests {
    use super::*;
    use update::gpt::Table;

    #[test]
    fn mappings_are_named_with_the_disk_below_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let blocks = folder.path().join("block");
        for (mapping, name, partition) in [("dm-0", "a.1\n", "vdb3"), ("dm-1", "b.2\n", "vdc3")] {
            let slaves = blocks.join(mapping).join("slaves");
            fs::create_dir_all(&slaves).expect("a folder");
            fs::create_dir(blocks.join(mapping).join("dm")).expect("a folder");
            fs::write(blocks.join(mapping).join("dm/name"), name).expect("a file");
            let device = folder.path().join("pci/block").join(&partition[..3]);
            std::os::unix::fs::symlink(device.join(partition), slaves.join(partition))
                .expect("a link");
        }
        fs::create_dir_all(folder.path().join("pci/block/vdb/vdb3")).expect("a folder");
        fs::create_dir(blocks.join("vdb")).expect("a folder");
        // The disk below the second one was pulled.
        let expected = [
            ("a.1".to_owned(), Some("vdb".to_owned())),
            ("b.2".to_owned(), None),
        ];
        assert_eq!(mappings(&blocks), expected);
        assert!(mappings(&folder.path().join("nothing")).is_empty());
    }

    #[test]
    fn disks_are_what_has_a_device() {
        let folder = tempfile::tempdir().expect("a folder");
        let make = |name: &str, values: &[(&str, &str)]| {
            for (file, value) in values {
                let path = folder.path().join(name).join(file);
                fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
                fs::write(path, value).expect("a file");
            }
        };
        make(
            "sda",
            &[
                ("size", "1000000\n"),
                ("device/vendor", "ATA     \n"),
                ("device/model", "Disk  7\u{1}\n"),
                ("device/wwid", "naa.5000\n"),
            ],
        );
        make(
            "vda",
            &[
                ("size", "200000"),
                ("device/vendor", "0x1af4"),
                ("serial", "D1-AB12"),
                ("queue/logical_block_size", "4096\n"),
            ],
        );
        make("loop0", &[("size", "1000000")]);
        make("mmcblk0boot0", &[("size", "8192"), ("device/type", "MMC")]);
        let disks = list(folder.path());
        let seen: Vec<_> = disks
            .iter()
            .map(|disk| {
                (
                    disk.name.as_str(),
                    disk.model.as_str(),
                    disk.serial.as_str(),
                    disk.confirmation(),
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("sda", "ATA Disk 7", "naa.5000", "5000"),
                ("vda", "virtual disk", "D1-AB12", "AB12"),
            ]
        );
        assert_eq!(disks[1].bytes, 102_400_000);
        let sectors: Vec<_> = disks
            .iter()
            .map(|disk| disk.sector_bytes(folder.path()))
            .collect();
        assert_eq!(sectors, [None, Some(4096)]);
    }

    #[test]
    fn a_disk_without_serial_is_confirmed_by_its_name() {
        for (serial, expected) in [
            ("", "sdb"),
            ("abc", "sdb"),
            ("abcd", "abcd"),
            ("xäöüß", "äöüß"),
        ] {
            let disk = Disk {
                name: "sdb".to_owned(),
                model: String::new(),
                serial: serial.to_owned(),
                bytes: 1,
            };
            assert_eq!(disk.confirmation(), expected);
        }
    }

    #[test]
    fn the_boot_medium_is_the_one_the_loader_named() {
        let table = |kinds: &[(Guid, u128)]| {
            let partitions = kinds.iter().map(|(kind, guid)| Partition {
                kind: *kind,
                guid: Guid::new(*guid),
                first: 2048,
                sectors: 1,
                name: String::new(),
            });
            Content::Coffer(Table {
                disk: Guid::new(1),
                sectors: 10_000,
                partitions: partitions.collect(),
            })
        };
        let disk = |content| {
            let disk = Disk {
                name: "a".to_owned(),
                model: String::new(),
                serial: String::new(),
                bytes: 1,
            };
            (disk, content)
        };
        let archive = table(&[(Guid::EFI, 0xa), (Guid::STATE, 2), (Guid::ARCHIVE, 3)]);
        let stick = table(&[(Guid::EFI, 0xb), (Guid::STATE, 5)]);
        let named = |uuid: u128| Guid::new(uuid).to_string().to_uppercase();
        for (disks, loader, expected) in [
            (vec![Content::Blank], None, None),
            (vec![archive.clone(), stick.clone()], None, Some(1)),
            (
                vec![archive.clone(), stick.clone()],
                Some(named(0xa)),
                Some(1),
            ),
            (
                vec![table(&[(Guid::STATE, 6)]), stick.clone()],
                Some(named(0xb)),
                Some(1),
            ),
            (
                vec![Content::Blank, archive.clone(), archive.clone()],
                Some(named(0xa)),
                Some(1),
            ),
            (
                vec![archive.clone(), stick.clone()],
                Some(named(0xc)),
                Some(1),
            ),
            (vec![Content::Blank, archive], None, Some(1)),
            (vec![table(&[(Guid::EFI, 0xb)])], Some(named(0xb)), None),
        ] {
            let disks: Vec<_> = disks.into_iter().map(disk).collect();
            assert_eq!(boot_medium(&disks, loader.as_deref()), expected);
        }
    }
}
