//! The note on the EFI partition of the boot medium, `COFFER.TXT`: where the page is, and the claim code while nobody has used it, so that it
//! can be read or printed on any computer.
//!
//! Whoever holds the medium may know the code: it opens nothing that the medium itself does not.

use crate::efi_partition::EfiPartition;
use std::io;
use std::path::Path;
use update::esp;

/// What the note says; without a code once somebody has claimed the box.
pub(crate) fn text(hostname: &str, code: Option<&str>) -> String {
    let code = match code {
        Some(code) => format!(
            "Code: {code}\r\n\r\n\
             The page asks for this code when the box is set up.\r\n\
             Die Seite fragt bei der Einrichtung nach diesem Code.\r\n"
        ),
        None => "The box is set up.\r\nDie Box ist eingerichtet.\r\n".to_owned(),
    };
    format!("Coffer\r\n\r\nhttps://{hostname}.local\r\n{code}")
}

/// Writes the note to an EFI partition that is laid out as ours.
///
/// # Errors
/// When it is not, or cannot be written.
pub(crate) fn write(partition: &Path, note: &str) -> io::Result<()> {
    let mut medium = EfiPartition::open(partition)?;
    esp::read(&mut medium).map_err(io::Error::other)?;
    esp::write_note(&mut medium, note).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::efi_partition::tests::formatted;
    use std::os::unix::fs::FileExt;
    use update::esp::{NOTE_BYTES, PARTITION_BYTES};

    #[test]
    fn the_note_fits_and_has_the_code_only_until_it_is_used() {
        let hostname = "x".repeat(63);
        let code = "12345-ABCDE";
        for (code, is_in) in [(Some(code), true), (None, false)] {
            let note = text(&hostname, code);
            assert!(note.len() <= NOTE_BYTES && note.contains(&hostname));
            assert_eq!(note.contains("12345-ABCDE"), is_in);
        }
    }

    #[test]
    fn only_a_partition_of_ours_is_written_to() {
        let foreign = tempfile::NamedTempFile::new().expect("a file");
        foreign.as_file().set_len(PARTITION_BYTES).expect("room");
        assert!(write(foreign.path(), "note").is_err());
        let file = formatted("before");
        write(file.path(), "the new note").expect("written");
        let mut bytes = vec![0; 4 << 20]; // the note lies in them
        file.as_file()
            .read_exact_at(&mut bytes, 0)
            .expect("readable");
        let has = |text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
        assert!(has(b"the new note ") && !has(b"before"));
    }
}
