//! Room on the disk: mail is refused before it would fill the disk, and a reserve lets events be written when mail no longer fits.

use crate::disk::{Disk, DiskFile, Open, Room};
use crate::error::{DiskContext, Error, Result};
use std::path::Path;
use std::sync::Arc;

const FILE: &str = "reserve";

/// What is kept for events and checkpoints, in bytes: some hundred thousand entries with their places in the catalog.
const RESERVE_BYTES: u64 = 256 << 20;

/// On a small disk the reserve is this part of it.
const RESERVE_PART: u64 = 20;

/// What mail leaves free for the catalog and the index, in bytes; a merge of the index needs the most.
const MARGIN_BYTES: u64 = 64 << 20;

/// On a small disk the margin is this part of it.
const MARGIN_PART: u64 = 20;

/// The reserve is given back to the disk in steps of this many bytes.
const STEP_BYTES: u64 = 1 << 20;

/// Zeros that are written ahead of small batches in the open volume, in bytes: some hundred messages, and written in a millisecond.
const AHEAD_BYTES: u64 = 1 << 20;

/// On a small disk no more than this part of it is written ahead.
const AHEAD_PART: u64 = 1024;

/// A file that keeps room, and the rules by which it is used.
pub(crate) struct Reserve {
    disk: Arc<dyn Disk>,
    file: Box<dyn DiskFile>,
    length_bytes: u64,
}

impl Reserve {
    /// Opens the reserve and fills it up if there is room.
    pub(crate) fn open(disk: Arc<dyn Disk>) -> Result<Self> {
        let file = disk.open(Path::new(FILE), Open::Create).on("open", FILE)?;
        let length_bytes = file.len().on("read", FILE)?;
        let mut reserve = Self {
            disk,
            file,
            length_bytes,
        };
        // The archive opens without it, too: a disk may be full just because nobody could open it.
        if let Err(error) = reserve.refill() {
            tracing::warn!(%error, "the reserve could not be filled up");
        }
        Ok(reserve)
    }

    /// Tells how much room there is on the disk.
    pub(crate) fn room(&self) -> Result<Room> {
        self.disk.room().on("ask for the room of", "the disk")
    }

    /// Takes back what events have used, as far as there is plenty of room.
    pub(crate) fn refill(&mut self) -> Result<()> {
        let room = self.room()?;
        let wanted = RESERVE_BYTES.min(room.total_bytes / RESERVE_PART);
        let missing = wanted.saturating_sub(self.length_bytes);
        if missing == 0 || room.available_bytes < missing + 2 * margin(&room) {
            return Ok(());
        }
        self.file.allocate(wanted).on("keep room for", FILE)?;
        self.length_bytes = wanted;
        Ok(())
    }

    /// Tells how many bytes may be written ahead of mail; none on a disk that is nearly full.
    pub(crate) fn ahead_bytes(&self) -> Result<u64> {
        let room = self.room()?;
        let ahead_bytes = AHEAD_BYTES.min(room.total_bytes / AHEAD_PART);
        let has_plenty = room.available_bytes >= ahead_bytes + 2 * margin(&room);
        Ok(if has_plenty { ahead_bytes } else { 0 })
    }

    /// Makes room for events of this weight, out of the reserve if need be.
    ///
    /// # Errors
    /// `Full` when the reserve is used up, too.
    pub(crate) fn for_events(&mut self, weight_bytes: u64) -> Result<()> {
        let needed_bytes = weight_bytes + STEP_BYTES;
        loop {
            let available_bytes = self.room()?.available_bytes;
            if available_bytes >= needed_bytes {
                return Ok(());
            }
            if self.length_bytes == 0 {
                return Err(Error::Full {
                    available_bytes,
                    needed_bytes,
                });
            }
            self.length_bytes = self
                .length_bytes
                .saturating_sub(STEP_BYTES.max(needed_bytes));
            self.file.set_len(self.length_bytes).on("shorten", FILE)?;
        }
    }
}

/// Tells whether mail of this weight fits.
///
/// # Errors
/// `Full` when it does not.
pub(crate) fn for_mail(room: &Room, weight_bytes: u64) -> Result<()> {
    let needed_bytes = weight_bytes + margin(room);
    if room.available_bytes < needed_bytes {
        return Err(Error::Full {
            available_bytes: room.available_bytes,
            needed_bytes,
        });
    }
    Ok(())
}

/// Tells whether a file that is to take a volume's place fits beside it, and mail still does then.
///
/// # Errors
/// `Full` when it does not.
pub(crate) fn for_beside(disk: &dyn Disk, length_bytes: u64) -> Result<()> {
    let room = disk.room().on("ask for the room of", "the disk")?;
    for_mail(&room, length_bytes + margin(&room))
}

/// What mail leaves free on this disk, in bytes.
pub(crate) fn margin(room: &Room) -> u64 {
    MARGIN_BYTES.min(room.total_bytes / MARGIN_PART)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faulty_disk::SimDisk;

    #[test]
    fn zeros_are_written_ahead_only_where_there_is_plenty_of_room() {
        let check = |total_bytes: u64, used_bytes: u64, expected: u64| {
            let disk = Arc::new(SimDisk::with_capacity(total_bytes));
            let reserve = Reserve::open(disk.clone()).expect("opened");
            let file = disk.open(Path::new("mail"), Open::Create).expect("made");
            file.set_len(used_bytes).expect("room");
            assert_eq!(reserve.ahead_bytes().expect("known"), expected);
        };
        check(1 << 40, 0, AHEAD_BYTES);
        check(100 << 20, 0, 100 << 10);
        check(100 << 20, 80 << 20, 100 << 10);
        check(100 << 20, 86 << 20, 0);
    }
}
