//! A file that a person puts into the root of the EFI partition on another computer, to ask the box for something: found, read, and crossed out.
//!
//! Only the root's first cluster is looked through (128 entries) and only the file's first sector is read. Of long names (VFAT) nothing is read; computers give such a
//! file its short name, too. Crossing out frees no clusters: the next check of the file system does.

use super::Medium;
use super::layout::{CLUSTER_BYTES, ROOT, SECTOR_BYTES, cluster_offset, is_laid_out_so};
use crate::error::EspError;

const ENTRY_BYTES: usize = 32;
const REMOVED: u8 = 0xe5;
/// Attributes of folders, labels and pieces of long names: no files.
const NO_FILE: u8 = 0x18;
/// The first cluster that holds data.
const CLUSTER_MIN: u32 = 2;

/// Gives what a file of that short name (8 and 3 characters, filled up with spaces) begins with, at most 512 bytes; none if there is no such file.
///
/// # Errors
/// `NotOurs` where the partition is laid out otherwise; `Read`.
pub fn read_request(medium: &mut dyn Medium, name: &[u8; 11]) -> Result<Option<Vec<u8>>, EspError> {
    let Some((_, entry)) = find(medium, name)? else {
        return Ok(None);
    };
    let short = |at: usize| u32::from(u16::from_le_bytes([entry[at], entry[at + 1]]));
    let cluster = short(20) << 16 | short(26);
    let size_bytes = (short(30) << 16 | short(28)) as usize;
    if size_bytes == 0 || cluster < CLUSTER_MIN {
        return Ok(Some(Vec::new()));
    }
    let mut sector = [0; SECTOR_BYTES];
    medium
        .read(cluster_offset(cluster), &mut sector)
        .map_err(EspError::Read)?;
    Ok(Some(sector[..size_bytes.min(SECTOR_BYTES)].to_vec()))
}

/// Removes the file of that short name, by one sector.
///
/// # Errors
/// As for reading; `Write`.
pub fn cross_out_request(medium: &mut dyn Medium, name: &[u8; 11]) -> Result<(), EspError> {
    let Some((offset, _)) = find(medium, name)? else {
        return Ok(());
    };
    let sector_at = offset / SECTOR_BYTES as u64 * SECTOR_BYTES as u64;
    let mut sector = [0; SECTOR_BYTES];
    medium
        .read(sector_at, &mut sector)
        .map_err(EspError::Read)?;
    sector[(offset - sector_at) as usize] = REMOVED;
    medium
        .write(sector_at, &sector)
        .and_then(|()| medium.flush())
        .map_err(EspError::Write)
}

/// The entry of a file, and its offset in the partition.
fn find(
    medium: &mut dyn Medium,
    name: &[u8; 11],
) -> Result<Option<(u64, [u8; ENTRY_BYTES])>, EspError> {
    let mut sector = [0; SECTOR_BYTES];
    medium.read(0, &mut sector).map_err(EspError::Read)?;
    if !is_laid_out_so(&sector) {
        return Err(EspError::NotOurs);
    }
    let mut root = [0; CLUSTER_BYTES];
    let root_at = cluster_offset(ROOT);
    medium.read(root_at, &mut root).map_err(EspError::Read)?;
    let (entries, _) = root.as_chunks::<ENTRY_BYTES>();
    let offsets = (root_at..).step_by(ENTRY_BYTES);
    let mut used = offsets.zip(entries).take_while(|(_, entry)| entry[0] != 0);
    let found = used.find(|(_, entry)| entry[..11] == *name && entry[11] & NO_FILE == 0);
    Ok(found.map(|(offset, entry)| (offset, *entry)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::esp::{Boot, format};
    use std::io;

    /// The first 8 MiB of a partition, in memory.
    struct Beginning(Vec<u8>);

    impl Medium for Beginning {
        fn read(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
            let from = offset as usize;
            bytes.copy_from_slice(&self.0[from..from + bytes.len()]);
            Ok(())
        }

        fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            let from = offset as usize;
            self.0[from..from + bytes.len()].copy_from_slice(bytes);
            Ok(())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const NAME: &[u8; 11] = b"RESET   TXT";
    /// A cluster that our layout leaves alone would lie behind 8 MiB; the boot loader's last one will do.
    const CLUSTER: u32 = 1000;

    /// Puts a file into the root as another computer would.
    fn with_file(attributes: u8, content: &[u8]) -> Beginning {
        let mut medium = Beginning(vec![0; 8 << 20]);
        let boot = Boot {
            file_name: "BOOTX64.EFI",
            loader: b"loader",
            settings: b"",
            reset_entry: b"",
        };
        format(&mut medium, &boot, "").expect("formatted");
        let root_at = cluster_offset(ROOT) as usize;
        let root = &mut medium.0[root_at..root_at + CLUSTER_BYTES];
        let (entries, _) = root.as_chunks_mut::<ENTRY_BYTES>();
        let free = entries.iter_mut().find(|entry| entry[0] == 0);
        let entry = free.expect("room");
        entry[..11].copy_from_slice(NAME);
        entry[11] = attributes;
        entry[26..28].copy_from_slice(&(CLUSTER as u16).to_le_bytes());
        entry[28..32].copy_from_slice(&(content.len() as u32).to_le_bytes());
        let at = cluster_offset(CLUSTER) as usize;
        medium.0[at..at + content.len()].copy_from_slice(content);
        medium
    }

    #[test]
    fn a_request_is_read_until_it_is_crossed_out() {
        let long = [b'x'; 600];
        for (content, expected) in [
            (&b"chef\r\n"[..], &b"chef\r\n"[..]),
            (b"", b""),
            (&long, &long[..512]),
        ] {
            let mut medium = with_file(0x20, content);
            let read = read_request(&mut medium, NAME).expect("read");
            assert_eq!(read.as_deref(), Some(expected));
            cross_out_request(&mut medium, NAME).expect("written");
            assert_eq!(read_request(&mut medium, NAME).expect("read"), None);
            cross_out_request(&mut medium, NAME).expect("nothing to do");
        }
    }

    #[test]
    fn other_names_folders_and_partitions_are_no_request() {
        let mut medium = with_file(0x20, b"x");
        let other = read_request(&mut medium, b"OTHER   TXT");
        assert_eq!(other.expect("read"), None);
        let mut folder = with_file(0x10, b"x");
        assert_eq!(read_request(&mut folder, NAME).expect("read"), None);
        let mut foreign = Beginning(vec![0; 8 << 20]);
        assert!(read_request(&mut foreign, NAME).is_err());
    }
}
