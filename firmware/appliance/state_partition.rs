//! Reading and writing the state partition (FORMAT.md): the record that counts, and the next one into the other place.

use crate::state_record::{PLACE_BYTES, StateRecord};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// An open state partition.
pub(crate) struct StatePartition {
    file: File,
    /// The place of the record that counts.
    place: usize,
    /// What counts.
    record: StateRecord,
}

impl StatePartition {
    /// Opens one; where no record is valid, it is that of a new box.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let [mut a, mut b] = [vec![0; PLACE_BYTES], vec![0; PLACE_BYTES]];
        file.read_exact_at(&mut a, 0)?;
        file.read_exact_at(&mut b, PLACE_BYTES as u64)?;
        let (record, place) = StateRecord::newest([&a, &b]);
        Ok(Self {
            file,
            place,
            record,
        })
    }

    /// What counts.
    pub(crate) fn record(&self) -> &StateRecord {
        &self.record
    }

    /// Changes the record; once this returns the change is durable, else it was not made.
    ///
    /// # Errors
    /// When it cannot be written, or is not what is read afterwards.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut StateRecord)) -> io::Result<()> {
        let mut changed = self.record.clone();
        change(&mut changed);
        if changed == self.record {
            return Ok(());
        }
        let too_long = || io::Error::other("the state of the box has become too long");
        let bytes = changed.next().ok_or_else(too_long)?;
        let place = 1 - self.place;
        let offset = (place * PLACE_BYTES) as u64;
        self.file.write_all_at(&bytes, offset)?;
        self.file.sync_all()?;
        let mut read = vec![0; bytes.len()];
        self.file.read_exact_at(&mut read, offset)?;
        if read != bytes {
            return Err(io::Error::other("the state of the box was not kept"));
        }
        self.place = place;
        self.record = changed;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_there_after_it_was_opened_again() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        file.as_file().set_len(1 << 20).expect("room");
        for floor_s in 1..5 {
            let mut state = StatePartition::open(file.path()).expect("opened");
            assert_eq!(state.record().clock_floor_s(), floor_s - 1);
            state
                .change(|record| record.set_clock_floor_s(floor_s))
                .expect("written");
            assert_eq!(state.record().clock_floor_s(), floor_s);
        }
        let before = std::fs::read(file.path()).expect("bytes");
        let mut state = StatePartition::open(file.path()).expect("opened");
        state.change(|_| {}).expect("nothing to write");
        assert_eq!(std::fs::read(file.path()).expect("bytes"), before);
    }

    #[test]
    fn one_that_is_too_short_is_refused() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        file.as_file().set_len(PLACE_BYTES as u64).expect("room");
        assert!(StatePartition::open(file.path()).is_err());
    }
}
