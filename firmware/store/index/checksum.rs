//! Checksums of the index's files, since tantivy believes what it reads: a length with a flipped bit ends the process.
//!
//! The files of a segment end with tantivy's footer, which holds a CRC-32 of all before it. `meta.json` and `.managed.json`, which are
//! replaced as a whole, have none from tantivy: a line behind their text holds its CRC32C as eight hexadecimal digits. When a
//! file is looked at is up to `directory`.

use std::io;

use tantivy::HasLen;
use tantivy::directory::FileSlice;
use tantivy::directory::footer::Footer;

use crate::disk::DiskFile;

/// Length of what ends a footer: its length and its mark. In a file that is shorter tantivy 0.27 panics.
const FOOTER_BYTES_MIN: u64 = 8;

/// Bytes from the end of a file among which the footer is sought; it has about a hundred.
const FOOTER_BYTES_MAX: u64 = 4 << 10;

/// Bytes read at once: they stay in the processor's cache. A map would count a whole segment as our memory.
const PIECE_BYTES: u64 = 128 << 10;

/// Length of the line behind a text.
const LINE_BYTES: usize = 9;

/// Tells whether the footer of a segment's file is there, and its checksum holds.
pub(super) fn holds(file: &dyn DiskFile) -> io::Result<bool> {
    let length = file.len()?;
    if length < FOOTER_BYTES_MIN {
        return Ok(false);
    }
    let mut end = vec![0; length.min(FOOTER_BYTES_MAX) as usize];
    let begin = length - end.len() as u64;
    file.read_exact_at(begin, &mut end)?;
    let Ok((footer, before)) = Footer::extract_footer(FileSlice::from(end)) else {
        return Ok(false);
    };
    Ok(sum(file, begin + before.len() as u64)? == footer.crc)
}

/// Reckons the CRC-32 of so many bytes from the start.
fn sum(file: &dyn DiskFile, length: u64) -> io::Result<u32> {
    let mut hasher = crc32fast::Hasher::new();
    let mut piece = vec![0; length.min(PIECE_BYTES) as usize];
    let mut offset = 0;
    while offset < length {
        let piece = &mut piece[..(length - offset).min(PIECE_BYTES) as usize];
        file.read_exact_at(offset, piece)?;
        hasher.update(piece);
        offset += piece.len() as u64;
    }
    Ok(hasher.finalize())
}

/// Gives a text with the line of its checksum.
pub(super) fn with_line(text: &[u8]) -> Vec<u8> {
    [text, line(text).as_bytes()].concat()
}

/// Gives the text before the line of its checksum; none when that does not hold.
pub(super) fn without_line(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let found = bytes.split_off(bytes.len().checked_sub(LINE_BYTES)?);
    (found == line(&bytes).as_bytes()).then_some(bytes)
}

fn line(text: &[u8]) -> String {
    format!("{:08x}\n", crc32c::crc32c(text))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::Path;
    use std::sync::Arc;

    use tantivy::directory::{Directory, ManagedDirectory, TerminatingWrite};

    use super::*;
    use crate::disk::{Disk, Open};
    use crate::faulty_disk::SimDisk;
    use crate::index::DiskDirectory;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    /// Whatever bit flips, and wherever the bytes end: what is read is what was written, or nothing.
    fn check_every_bit(bytes: &[u8], read: impl Fn(&[u8]) -> Option<Vec<u8>>) {
        let whole = read(bytes).expect("it holds");
        for bit in 0..8 * bytes.len() {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&flipped).is_none_or(|text| text == whole), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_none(), "{length} bytes");
        }
    }

    #[test]
    fn a_flipped_bit_of_a_text_is_seen() {
        check_every_bit(&with_line(b"{\"opstamp\": 7}\n"), |bytes| {
            without_line(bytes.to_vec())
        });
    }

    #[test]
    fn a_flipped_bit_of_a_file_is_seen() -> Outcome {
        let disk = SimDisk::new();
        let name = Path::new("index/file");
        let directory = DiskDirectory::open(Arc::new(disk.clone()), "index")?;
        let managed = ManagedDirectory::wrap(Box::new(directory))?;
        let mut writer = managed.open_write(Path::new("file"))?;
        writer.write_all(b"some postings")?;
        writer.terminate()?;
        let whole = disk.read(name)?;
        check_every_bit(&whole, |bytes| {
            disk.replace(name, bytes).expect("there is room");
            let file = disk.open(name, Open::Read).expect("it is there");
            let holds = holds(&*file).expect("readable");
            // Of the versions in the footer that of the format counts, which tantivy looks at itself.
            let body = || managed.open_read(Path::new("file")).ok()?.read_bytes().ok();
            holds.then(body).flatten().map(|body| body.to_vec())
        });
        Ok(())
    }
}
