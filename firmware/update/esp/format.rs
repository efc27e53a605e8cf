//! Makes the partition, and writes the note on it.

use super::Medium;
use super::directory::{Versions, dots, file, folder, label};
use super::layout::{
    BOOT, BOOT_LOADER, BOOT_LOADER_BYTES_MAX, CLUSTER_BYTES, EFI, ENTRIES, LINUX, LOADER,
    LOADER_CONF, NOTE, NOTE_BYTES, RESET_ENTRY, ROOT, boot_sector, cluster_offset, fat_offsets,
    first_fat, fs_info, put,
};
use crate::error::EspError;

/// What the firmware starts.
#[derive(Clone, Copy, Debug)]
pub struct Boot<'a> {
    /// Name in `EFI/BOOT`, 8.3: `BOOTX64.EFI` or `BOOTAA64.EFI`.
    pub file_name: &'a str,
    /// The boot loader itself, at most about 4 MiB.
    pub loader: &'a [u8],
    /// `loader/loader.conf`, at most 4 KiB.
    pub settings: &'a [u8],
    /// `loader/entries/reset.conf`, at most 4 KiB.
    pub reset_entry: &'a [u8],
}

/// Makes the partition anew, without any version; what was on it is lost. The slots' own sectors are left as they are.
///
/// # Errors
/// `TooLong`, before anything is written; `Write`.
pub fn format(medium: &mut dyn Medium, boot: &Boot<'_>, note: &str) -> Result<(), EspError> {
    for (bytes, bytes_max) in [
        (boot.loader, BOOT_LOADER_BYTES_MAX),
        (boot.settings, CLUSTER_BYTES),
        (boot.reset_entry, CLUSTER_BYTES),
    ] {
        if bytes.len() > bytes_max {
            return Err(EspError::TooLong(bytes.len() as u64));
        }
    }
    let note = note_sector(note)?;
    for copy in [0, 6] {
        write_sector(medium, copy, &boot_sector())?;
        write_sector(medium, copy + 1, &fs_info())?;
    }
    let fat = first_fat(boot.loader.len());
    for offset in fat_offsets(0) {
        medium.write(offset, &fat).map_err(EspError::Write)?;
    }
    for (cluster, bytes) in directories(boot) {
        write_clusters(medium, cluster, &bytes)?;
    }
    write_clusters(medium, LINUX, &Versions::default().sector())?;
    write_clusters(medium, LOADER_CONF, boot.settings)?;
    write_clusters(medium, RESET_ENTRY, boot.reset_entry)?;
    write_clusters(medium, NOTE, &note)?;
    write_clusters(medium, BOOT_LOADER, boot.loader)?;
    medium.flush().map_err(EspError::Write)
}

/// Replaces the note for people, `COFFER.TXT`: one sector, and so the old one or the new.
///
/// # Errors
/// `TooLong` above 512 bytes; `Write`.
pub fn write_note(medium: &mut dyn Medium, text: &str) -> Result<(), EspError> {
    let sector = note_sector(text)?;
    medium
        .write(cluster_offset(NOTE), &sector)
        .and_then(|()| medium.flush())
        .map_err(EspError::Write)
}

fn note_sector(text: &str) -> Result<[u8; NOTE_BYTES], EspError> {
    let mut sector = [b' '; NOTE_BYTES];
    if text.len() > NOTE_BYTES {
        return Err(EspError::TooLong(text.len() as u64));
    }
    put(&mut sector, 0, text.as_bytes());
    Ok(sector)
}

/// What stands in each directory but `EFI/Linux`, by its cluster.
fn directories(boot: &Boot<'_>) -> [(u32, Vec<u8>); 5] {
    let mut root = vec![label(b"COFFER     ")];
    root.extend(folder("EFI", b"EFI        ", EFI));
    root.extend(folder("loader", b"LOADER     ", LOADER));
    root.extend(file("COFFER.TXT", b"COFFER  TXT", NOTE, NOTE_BYTES as u32));
    let mut efi = dots(EFI, 0);
    efi.extend(folder("BOOT", b"BOOT       ", BOOT));
    efi.extend(folder("Linux", b"LINUX      ", LINUX));
    let mut boot_folder = dots(BOOT, EFI);
    let short = eight_three(boot.file_name);
    let size_bytes = boot.loader.len() as u32;
    boot_folder.extend(file(boot.file_name, &short, BOOT_LOADER, size_bytes));
    let mut loader = dots(LOADER, 0);
    let size_bytes = boot.settings.len() as u32;
    loader.extend(file("loader.conf", b"LOADER~1CON", LOADER_CONF, size_bytes));
    loader.extend(folder("entries", b"ENTRIES    ", ENTRIES));
    let mut entries = dots(ENTRIES, LOADER);
    let size_bytes = boot.reset_entry.len() as u32;
    entries.extend(file("reset.conf", b"RESET~1 CON", RESET_ENTRY, size_bytes));
    [
        (ROOT, root),
        (EFI, efi),
        (BOOT, boot_folder),
        (LOADER, loader),
        (ENTRIES, entries),
    ]
    .map(|(cluster, entries)| (cluster, entries.into_flattened()))
}

/// The short form of a name that fits it.
fn eight_three(name: &str) -> [u8; 11] {
    let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
    let mut short = [b' '; 11];
    put(&mut short, 0, stem.as_bytes());
    put(&mut short, 8, extension.as_bytes());
    short
}

fn write_sector(medium: &mut dyn Medium, sector: u64, bytes: &[u8; 512]) -> Result<(), EspError> {
    medium.write(sector * 512, bytes).map_err(EspError::Write)
}

/// Writes from a cluster on, and zeros to the end of the last one.
fn write_clusters(medium: &mut dyn Medium, cluster: u32, bytes: &[u8]) -> Result<(), EspError> {
    let mut whole = bytes.to_vec();
    whole.resize(bytes.len().next_multiple_of(CLUSTER_BYTES), 0);
    medium
        .write(cluster_offset(cluster), &whole)
        .map_err(EspError::Write)
}
