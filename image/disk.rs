//! The disk image: a partition table, the EFI partition with one version in slot A and in the recovery slot, and an empty state partition.
//!
//! | offset | what |
//! |---|---|
//! | 0 | GPT |
//! | 1 MiB | EFI partition, 304 MiB: see `update::esp` |
//! | 305 MiB | state partition, 64 MiB of zeros: the box writes its records at its first start |
//! | 369 MiB | nothing, and the GPT's copy in the last 33 sectors of the 370 MiB |
//!
//! The file has holes where nothing is written. On a larger medium the copy of the GPT does not lie at the end, which nobody needs.

use crate::error::ImageError;
use crate::files::{read_error, write_error};
use aws_lc_rs::digest::{SHA256, digest};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use update::esp::{self, Boot, EntryName, Medium, PARTITION_BYTES, Slot};
use update::gpt::{ALIGNMENT_SECTORS, Guid, Partition, SECTOR_BYTES, Table};

/// 64 MiB: two records of some kilobytes, apart by more than a block of any flash medium, and room for what comes.
const STATE_SECTORS: u64 = (64 << 20) / SECTOR_BYTES as u64;
const EFI_SECTORS: u64 = PARTITION_BYTES / SECTOR_BYTES as u64;
/// 370 MiB: both partitions, and a mebibyte before and behind them.
pub(crate) const IMAGE_SECTORS: u64 = EFI_SECTORS + STATE_SECTORS + 2 * ALIGNMENT_SECTORS;

/// What the note on the EFI partition says until the box writes its own.
const NOTE: &str = "Coffer has not started from this medium yet.\r\n\
                    Coffer ist von diesem Medium noch nicht gestartet.\r\n";
/// The newest version starts at once; nothing on the console changes that.
pub(crate) const LOADER_SETTINGS: &str =
    "timeout 0\nauto-entries no\nauto-firmware no\neditor no\nrandom-seed-mode off\n";

/// What stands in the boot loader's menu for whoever cannot get in any more. It comes last, and starts what never moves.
pub(crate) fn reset_entry(command_line: &str) -> String {
    format!(
        "title Reset network and password / Netz und Passwort zurücksetzen\n\
         efi /EFI/Linux/{}\noptions {command_line} {}\n",
        EntryName::RECOVERY,
        esp::RESET_WORD,
    )
}

/// Writes the image of a version; `name` is what its GUIDs are made of.
pub(crate) fn write(
    path: &Path,
    name: &str,
    boot: &Boot<'_>,
    version: &[u8],
) -> Result<(), ImageError> {
    let file = File::create_new(path)
        .and_then(|file| {
            file.set_len(IMAGE_SECTORS * SECTOR_BYTES as u64)
                .map(|()| file)
        })
        .map_err(write_error(path))?;
    let table = table(name);
    let tail = table.tail();
    let tail_at = IMAGE_SECTORS * SECTOR_BYTES as u64 - tail.len() as u64;
    file.write_all_at(&table.head(), 0)
        .and_then(|()| file.write_all_at(&tail, tail_at))
        .map_err(write_error(path))?;
    let mut medium = ImagePart {
        file,
        start: ALIGNMENT_SECTORS * SECTOR_BYTES as u64,
    };
    esp::format(&mut medium, boot, NOTE)?;
    let first = EntryName::good(1).expect("1 is an install counter");
    for (slot, name) in [(Slot::A, first), (Slot::Recovery, EntryName::RECOVERY)] {
        esp::install(
            &mut medium,
            slot,
            name,
            version.len() as u64,
            &mut &*version,
        )?;
    }
    Ok(())
}

/// Reads the names of the versions that an image has, to be told.
pub(crate) fn versions(path: &Path) -> Result<Vec<String>, ImageError> {
    let file = File::open(path).map_err(read_error(path))?;
    let start = ALIGNMENT_SECTORS * SECTOR_BYTES as u64;
    let versions = esp::read(&mut ImagePart { file, start })?;
    Ok(Slot::ALL
        .into_iter()
        .filter_map(|slot| Some(versions.at(slot)?.name.to_string()))
        .collect())
}

fn table(name: &str) -> Table {
    let partition = |kind, role: &str, first, sectors| Partition {
        kind,
        guid: guid(name, role),
        first,
        sectors,
        name: format!("coffer-{role}"),
    };
    Table {
        disk: guid(name, "disk"),
        sectors: IMAGE_SECTORS,
        partitions: vec![
            partition(Guid::EFI, "efi", ALIGNMENT_SECTORS, EFI_SECTORS),
            partition(
                Guid::STATE,
                "state",
                ALIGNMENT_SECTORS + EFI_SECTORS,
                STATE_SECTORS,
            ),
        ],
    }
}

/// A GUID (version 8, RFC 9562) that follows from what the image is.
fn guid(name: &str, role: &str) -> Guid {
    let digest = digest(&SHA256, format!("coffer image {name} {role}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_ref()[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Guid::new(u128::from_be_bytes(bytes))
}

/// A part of an image, from an offset on.
struct ImagePart {
    file: File,
    start: u64,
}

impl Medium for ImagePart {
    fn read(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(bytes, self.start + offset)
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.start + offset)
    }

    /// Nothing to wait for: an image that was cut short is built again.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(name: &str, version: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("works");
        let path = folder.path().join("image");
        let boot = Boot {
            file_name: "BOOTX64.EFI",
            loader: &[0xe9; 5000],
            settings: LOADER_SETTINGS.as_bytes(),
            reset_entry: b"title Reset\n",
        };
        write(&path, name, &boot, version).expect("works");
        (folder, path)
    }

    #[test]
    fn an_image_has_its_partitions_and_versions() {
        let (_folder, path) = written("0.1.0", &[3; 70_000]);
        assert_eq!(versions(&path).expect("works"), ["cf0.efi", "cf1.efi"]);
        let file = File::open(&path).expect("works");
        assert_eq!(file.metadata().expect("works").len(), 370 << 20);
        let read = Table::read(IMAGE_SECTORS, |sector, bytes| {
            file.read_exact_at(bytes, sector * SECTOR_BYTES as u64)
        });
        assert_eq!(read.expect("works"), table("0.1.0"));
    }

    /// What an image says of itself: table, chains and directories, in its first 4 MiB.
    fn beginning(name: &str) -> Vec<u8> {
        let (_folder, path) = written(name, &[3; 70_000]);
        let mut bytes = vec![0; 4 << 20];
        let file = File::open(&path).expect("an image");
        file.read_exact_at(&mut bytes, 0).expect("its beginning");
        bytes
    }

    #[test]
    fn the_same_version_is_the_same_image() {
        assert!(beginning("0.1.0") == beginning("0.1.0"));
        assert!(beginning("0.1.0") != beginning("0.1.1"));
    }
}
