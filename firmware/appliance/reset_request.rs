//! What a person asks for who cannot get in any more: a file `RESET.TXT` in the EFI partition of the boot medium, put there on another computer.
//!
//! The network's settings are forgotten. When the file names an operator of the page, he gets a new password, which the console shows and which
//! is good for one sign-in. Nothing of the archive is touched, and disks stay as they are. Whoever can write the medium can do no more by it than by changing what starts.

use crate::efi_partition::EfiPartition;
use std::io;
use std::path::Path;
use update::esp;

/// The file's name as FAT keeps it.
const FILE: &[u8; 11] = b"RESET   TXT";

/// 64 characters of a name are read; longer ones there are none.
const NAME_CHARS_MAX: usize = 64;

/// Gives the operator's name, which may be empty; none if there is no such file.
///
/// # Errors
/// When the partition cannot be read.
pub(crate) fn asked(partition: &Path) -> io::Result<Option<String>> {
    let mut medium = EfiPartition::open(partition)?;
    let content = esp::read_request(&mut medium, FILE).map_err(io::Error::other)?;
    Ok(content.map(|content| name(&content)))
}

/// Removes the file, so that it asks for nothing the next time.
///
/// # Errors
/// When the partition cannot be written.
pub(crate) fn cross_out(partition: &Path) -> io::Result<()> {
    let mut medium = EfiPartition::open(partition)?;
    esp::cross_out_request(&mut medium, FILE).map_err(io::Error::other)
}

/// The first line, as editors of all kinds write it.
fn name(content: &[u8]) -> String {
    let text = String::from_utf8_lossy(content);
    let line = text.trim_start_matches('\u{feff}').lines().next();
    let line = line.unwrap_or_default().trim();
    let printable = line.chars().filter(|c| !c.is_control());
    printable.take(NAME_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_first_line() {
        let long = "x".repeat(100);
        for (content, expected) in [
            ("chef", "chef"),
            ("\u{feff} chef \r\nsomething else", "chef"),
            ("\r\nchef", ""),
            ("", ""),
            ("ch\u{7}ef\n", "chef"),
            (&long, &long[..NAME_CHARS_MAX]),
        ] {
            assert_eq!(name(content.as_bytes()), expected, "{content:?}");
        }
    }

    #[test]
    fn a_partition_that_is_not_ours_asks_for_nothing() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        file.as_file().set_len(8 << 20).expect("room");
        assert!(asked(file.path()).is_err() && cross_out(file.path()).is_err());
    }
}
