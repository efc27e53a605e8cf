//! An EFI partition as a medium of `update::esp`: written through the kernel's cache and flushed, read past it, so that what is read lies on the disk.

use nix::fcntl::OFlag;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use update::esp::Medium;

/// 4 KiB: what any disk takes as a piece that is read past the cache, at any such boundary of memory.
const PAGE_BYTES: usize = 4096;

/// Memory that a disk may write to by itself.
#[repr(align(4096))]
struct Page([u8; PAGE_BYTES]);

/// An open EFI partition.
pub(crate) struct EfiPartition {
    writes: File,
    reads: File,
    page: Box<Page>,
}

impl EfiPartition {
    /// Opens one, for reading past the cache where what it lies on can do that.
    ///
    /// # Errors
    /// When it cannot be opened, as when its medium is read-only.
    pub(crate) fn open(device: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let direct = options.read(true).custom_flags(OFlag::O_DIRECT.bits());
        let reads = direct.open(device).or_else(|_| File::open(device))?;
        Ok(Self {
            writes: OpenOptions::new().write(true).open(device)?,
            reads,
            page: Box::new(Page([0; PAGE_BYTES])),
        })
    }
}

impl Medium for EfiPartition {
    fn read(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        for (at, piece) in (offset..)
            .step_by(PAGE_BYTES)
            .zip(bytes.chunks_mut(PAGE_BYTES))
        {
            let page = &mut self.page.0[..piece.len()];
            self.reads.read_exact_at(page, at)?;
            piece.copy_from_slice(page);
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.writes.write_all_at(bytes, offset)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writes.sync_all()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use tempfile::NamedTempFile;
    use update::esp::{self, Boot, Slot};

    /// A file that holds an EFI partition without versions, with a note.
    pub(crate) fn formatted(note: &str) -> NamedTempFile {
        let file = NamedTempFile::new().expect("a file");
        let length = esp::PARTITION_BYTES;
        file.as_file().set_len(length).expect("room");
        let mut medium = EfiPartition::open(file.path()).expect("opened");
        let boot = Boot {
            file_name: "BOOTX64.EFI",
            loader: b"loader",
            settings: b"",
            reset_entry: b"",
        };
        esp::format(&mut medium, &boot, note).expect("formatted");
        file
    }

    #[test]
    fn a_version_is_installed_into_a_file() {
        let file = formatted("");
        let mut medium = EfiPartition::open(file.path()).expect("opened");
        let version = vec![7; 70_001];
        let name = "cf1+3.efi".parse().expect("a name");
        let length = version.len() as u64;
        esp::install(&mut medium, Slot::B, name, length, &mut &*version).expect("installed");
        let found = esp::read(&mut medium).expect("read").at(Slot::B);
        assert_eq!(found.map(|found| found.name), Some(name));
    }
}
