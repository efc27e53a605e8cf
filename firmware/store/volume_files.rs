//! The open files of the volumes: whoever holds a view of the catalog goes on reading the files that its places point into, also after
//! a volume was swapped for one with the same records in other frames.
//!
//! A view holds a [`VolumeSet`]. Sets form a chain: a swap ends the newest one by noting which volume changed, its old file and the next
//! set. A reader walks from its own set to the newest; the first swap of the volume that it meets names the file to read. The chain is
//! held from its old end only, so that files that nobody can read any more are closed with the last view of them.
//!
//! It does not know what frames hold, and it does not write.

use crate::disk::Disk;
use crate::error::Result;
use crate::volume::Volume;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Most volumes kept open.
const OPEN_VOLUMES_MAX: usize = 64;

/// An open volume with a number of its own: the file that takes its name later has another one.
pub(crate) struct OpenVolume {
    pub(crate) volume: Volume,
    /// Tells files of the same volume apart; never used again in this process.
    pub(crate) generation: u64,
}

impl std::ops::Deref for OpenVolume {
    type Target = Volume;

    fn deref(&self) -> &Volume {
        &self.volume
    }
}

/// The files as they were at one moment.
#[derive(Default)]
pub(crate) struct VolumeSet(OnceLock<Swapped>);

/// What ended a set.
struct Swapped {
    number: u64,
    /// The file that the set's places point into.
    file: Arc<OpenVolume>,
    next: Arc<VolumeSet>,
}

/// All open volume files.
pub(crate) struct VolumeFiles {
    disk: Arc<dyn Disk>,
    newest: Mutex<Newest>,
    generations: AtomicU64,
}

#[derive(Default)]
struct Newest {
    set: Arc<VolumeSet>,
    open: HashMap<u64, Arc<OpenVolume>>,
    /// Old files of volumes of which the new one has the name but the catalog could not be told.
    kept: HashMap<u64, Arc<OpenVolume>>,
}

impl VolumeFiles {
    /// The disk that they lie on.
    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    pub(crate) fn new(disk: Arc<dyn Disk>) -> Self {
        Self {
            disk,
            newest: Mutex::default(),
            generations: AtomicU64::new(0),
        }
    }

    fn newest(&self) -> MutexGuard<'_, Newest> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a view of the catalog together with the files that belong to it; no swap comes between.
    pub(crate) fn with_set<T>(&self, take: impl FnOnce() -> T) -> (T, Arc<VolumeSet>) {
        let newest = self.newest();
        (take(), newest.set.clone())
    }

    /// Gives the file of a volume that the places of a set point into.
    pub(crate) fn file(&self, set: &VolumeSet, number: u64) -> Result<Arc<OpenVolume>> {
        let mut newest = self.newest();
        if let Some(file) = swapped_since(set, number).or_else(|| newest.kept.get(&number)) {
            return Ok(file.clone());
        }
        if let Some(file) = newest.open.get(&number) {
            return Ok(file.clone());
        }
        if newest.open.len() >= OPEN_VOLUMES_MAX {
            newest.open.clear();
        }
        let file = self.open(number)?;
        newest.open.insert(number, file.clone());
        Ok(file)
    }

    /// As [`VolumeFiles::file`], but opens it by its name again, so that a file that is gone is seen to be gone.
    pub(crate) fn file_by_name(&self, set: &VolumeSet, number: u64) -> Result<Arc<OpenVolume>> {
        let newest = self.newest();
        match swapped_since(set, number).or_else(|| newest.kept.get(&number)) {
            Some(file) => Ok(file.clone()),
            None => self.open(number),
        }
    }

    /// Swaps a volume: `rename` gives the new file its name, `commit` the catalog the new places; nobody takes a view meanwhile.
    ///
    /// # Errors
    /// Those of both. When the file has its name and the catalog its old places, the old file is read on until the archive is closed.
    pub(crate) fn swap(
        &self,
        number: u64,
        rename: impl FnOnce() -> Result<()>,
        commit: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let old = match self.file(&self.with_set(|| ()).1, number) {
            Ok(file) => Some(file),
            // Nobody could read a file that was missing.
            Err(error) if error.is_missing_file() => None,
            Err(error) => return Err(error),
        };
        let mut newest = self.newest();
        newest.open.remove(&number);
        if let Err(error) = rename().and_then(|()| commit()) {
            newest.kept.extend(old.map(|old| (number, old)));
            return Err(error);
        }
        let Some(old) = old else {
            return Ok(());
        };
        let next = Arc::new(VolumeSet::default());
        let swapped = Swapped {
            number,
            file: old,
            next: next.clone(),
        };
        // Only this line ends a set, and the newest one has not ended.
        let _ = newest.set.0.set(swapped);
        newest.set = next;
        Ok(())
    }

    fn open(&self, number: u64) -> Result<Arc<OpenVolume>> {
        let volume = Volume::open_for_frames(&*self.disk, number)?;
        let generation = self.generations.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(OpenVolume { volume, generation }))
    }
}

/// The file that a volume had in this set, if it was swapped since.
fn swapped_since(set: &VolumeSet, number: u64) -> Option<&Arc<OpenVolume>> {
    let mut set = set;
    while let Some(swapped) = set.0.get() {
        if swapped.number == number {
            return Some(&swapped.file);
        }
        set = &swapped.next;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faulty_disk::SimDisk;
    use crate::volume::{self, VolumeHeader};
    use std::path::Path;

    fn header(number: u64, created_us: i64) -> VolumeHeader {
        VolumeHeader {
            archive_id: [1; 16],
            number,
            created_us,
            previous_digest: [0; 32],
            first_sequence: 1,
            first_batch: 1,
            recompressed: false,
        }
    }

    #[test]
    fn each_set_reads_the_files_of_its_own_moment() {
        let disk = Arc::new(SimDisk::new());
        disk.create_dir(Path::new(volume::FOLDER)).expect("made");
        for number in 1..=3 {
            Volume::create(&*disk, header(number, 0)).expect("made");
        }
        let files = VolumeFiles::new(disk.clone());
        let set = || files.with_set(|| ()).1;
        let times = |set: &VolumeSet| {
            [1, 2, 3].map(|number| files.file(set, number).expect("there").header.created_us)
        };
        let swap = |number: u64, created_us: i64, fails: bool| {
            let rename = || {
                disk.remove(Path::new(&volume::file_name(number)))
                    .expect("removed");
                Volume::create(&*disk, header(number, created_us)).map(drop)
            };
            let commit = || match fails {
                true => Err(crate::Error::Closed),
                false => Ok(()),
            };
            assert_eq!(files.swap(number, rename, commit).is_err(), fails);
        };
        let first = set();
        swap(2, 20, false);
        let second = set();
        swap(3, 30, false);
        swap(2, 21, false);
        assert_eq!(times(&first), [0, 0, 0]);
        assert_eq!(times(&second), [0, 20, 0]);
        assert_eq!(times(&set()), [0, 21, 30]);
        swap(1, 10, true);
        assert_eq!(times(&set()), [0, 21, 30], "the catalog still means this");
    }
}
