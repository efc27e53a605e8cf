//! The EFI partition: FAT32 in which each version has a fixed extent (slot), so that installing is plain sector writes and one sector decides.
//!
//! Offsets in sectors of 512 bytes from the start of the partition, which is 304 MiB long. Clusters have 8 sectors; cluster 2 lies at sector 4096.
//!
//! | sector | clusters | what |
//! |---|---|---|
//! | 0, 6 | – | boot sector and its copy |
//! | 1, 7 | – | FSInfo and its copy: free clusters are not counted |
//! | 2886, 3491 | – | the two FATs, 605 sectors each |
//! | 4096 | 2 | root: `EFI`, `loader`, `COFFER.TXT`, and what people put there (`request`) |
//! | 4104 | 3 | `EFI` |
//! | 4112 | 4 | `EFI/BOOT` |
//! | 4120 | 5 | `EFI/Linux`; **its first sector decides which versions there are** |
//! | 4128 | 6 | `loader` |
//! | 4136 | 7 | `loader/loader.conf` |
//! | 4144 | 8 | `COFFER.TXT`: a note for people, 512 bytes filled up with spaces |
//! | 4152 | 9 | `loader/entries` |
//! | 4160 | 10 | `loader/entries/reset.conf`: what a person chooses in the boot loader's menu who cannot get in any more |
//! | 4168 | 11–1023 | `EFI/BOOT/BOOTX64.EFI` or `BOOTAA64.EFI` |
//! | 12272 | 1024–25599 | recovery slot |
//! | 208880 | 25600–50175 | slot A |
//! | 405488 | 50176–74751 | slot B |
//! | 602096 | 74752–77313 | free; what others put there is left alone |
//!
//! A version is one file (a unified kernel image) from the first cluster of its slot on. Slots begin at a sector of the FAT, so that no other
//! file's chain shares a sector with theirs. `EFI/Linux` has at most three files with names of at most 13 characters, that is `.`, `..` and six
//! more entries of 32 bytes; a loader or a firmware that renames one stays within the first sector. Firmware may move entries within it: a slot is
//! known by the first cluster, never by the place of its entry. Files in `EFI/Linux` that lie in no slot vanish at the next commit.
//!
//! **Installing**: (1) the sector without the slot's entry, flush; (2) both chains and the bytes, flush; (3) all bytes are read back and compared;
//! (4) the sector with the entry, flush. A power cut leaves the other versions whole, and the new one whole or absent, since a sector is written
//! as a whole or not at all. Renaming and removing are step 4 alone.
//!
//! Deliberately not here: which version goes where and what is trusted. Source: Microsoft FAT specification 1.03.

mod directory;
mod entry_name;
mod format;
mod install;
mod layout;
mod request;
mod said;
#[cfg(test)]
pub(crate) mod test_medium;
#[cfg(test)]
mod tests;

pub use directory::{Version, Versions};
pub use entry_name::{EntryName, Tries};
pub use format::{Boot, format, write_note};
pub use install::{install, read, reader, remove, rename};
pub(crate) use layout::put;
pub use layout::{NOTE_BYTES, PARTITION_BYTES, SLOT_BYTES, Slot};
pub use said::version_number;

pub use request::{cross_out_request, read_request};

use std::io;

/// The word in the kernel's command line with which the boot loader's menu asks for a reset.
pub const RESET_WORD: &str = "coffer.reset";

/// What an EFI partition lies on; offsets in bytes from its start, always whole sectors.
pub trait Medium {
    /// Reads bytes; after a flush they come from the medium itself, never from a cache of what was written.
    ///
    /// # Errors
    /// That of the medium.
    fn read(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// Writes bytes, which need not be there before the next flush.
    ///
    /// # Errors
    /// That of the medium.
    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Returns once all that was written lies on the medium.
    ///
    /// # Errors
    /// That of the medium.
    fn flush(&mut self) -> io::Result<()>;
}
