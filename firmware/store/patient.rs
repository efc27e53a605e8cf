//! A disk that nobody waits for longer than a time: a second disk that hangs must not take along who only wants to look at it.
//!
//! Each call is done by a thread of its own and answered, or fails with `TimedOut`; from then on every call fails so. A thread that
//! hangs is left behind, and what it was asked for may still happen: whoever must know that nothing does writes through a lane
//! (`follower`). It is for reading and for small writes; each call costs two changes of thread.

use crate::disk::{Bytes, Disk, DiskFile, Open, Room};
use crate::error::{DiskContext, Result};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

type Call = Box<dyn FnOnce() + Send>;

/// The disk; cheap to clone.
#[derive(Clone)]
pub(crate) struct Patient {
    disk: Arc<dyn Disk>,
    calls: Calls,
}

/// The way to the thread.
#[derive(Clone)]
struct Calls {
    /// None once a call was not answered in time.
    thread: Arc<Mutex<Option<Sender<Call>>>>,
    patience: Duration,
}

impl Patient {
    /// Lets a thread call a disk.
    pub(crate) fn new(disk: Arc<dyn Disk>, patience: Duration) -> Result<Self> {
        let (sender, calls) = channel::<Call>();
        std::thread::Builder::new()
            .name("second disk".to_owned())
            .spawn(move || calls.into_iter().for_each(|call| call()))
            .on("start the thread", "second disk")?;
        let thread = Arc::new(Mutex::new(Some(sender)));
        let calls = Calls { thread, patience };
        Ok(Self { disk, calls })
    }

    fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn Disk) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let disk = self.disk.clone();
        self.calls.call(move || call(&*disk))
    }

    fn call_with<T: Send + 'static>(
        &self,
        name: &Path,
        call: impl FnOnce(&dyn Disk, &Path) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let name = PathBuf::from(name);
        self.call(move |disk| call(disk, &name))
    }
}

impl Calls {
    fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let late = || io::Error::new(io::ErrorKind::TimedOut, "it did not answer in time");
        let thread = self.thread();
        let thread = thread.ok_or_else(late)?;
        let (answer, answered) = sync_channel(1);
        let call = move || {
            // Nobody listens once the time is over.
            let _ = answer.send(call());
        };
        let ended = || io::Error::other("its thread has ended");
        thread.send(Box::new(call)).map_err(|_| ended())?;
        match answered.recv_timeout(self.patience) {
            Ok(result) => result,
            Err(RecvTimeoutError::Disconnected) => Err(ended()),
            Err(RecvTimeoutError::Timeout) => {
                self.give_up();
                Err(late())
            }
        }
    }

    fn thread(&self) -> Option<Sender<Call>> {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.clone()
    }

    fn give_up(&self) {
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Disk for Patient {
    fn create_dir(&self, name: &Path) -> io::Result<()> {
        self.call_with(name, |disk, name| disk.create_dir(name))
    }

    fn open(&self, name: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        let file = self.call_with(name, move |disk, name| disk.open(name, how))?;
        Ok(Box::new(PatientFile {
            file: file.into(),
            calls: self.calls.clone(),
        }))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        self.call_with(folder, |disk, folder| disk.list(folder))
    }

    fn exists(&self, name: &Path) -> io::Result<bool> {
        self.call_with(name, |disk, name| disk.exists(name))
    }

    fn remove(&self, name: &Path) -> io::Result<()> {
        self.call_with(name, |disk, name| disk.remove(name))
    }

    fn remove_dir_all(&self, folder: &Path) -> io::Result<()> {
        self.call_with(folder, |disk, folder| disk.remove_dir_all(folder))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let to = PathBuf::from(to);
        self.call_with(from, move |disk, from| disk.rename(from, &to))
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        self.call_with(folder, |disk, folder| disk.sync_dir(folder))
    }

    fn map(&self, name: &Path) -> io::Result<Bytes> {
        self.call_with(name, |disk, name| disk.map(name))
    }

    fn room(&self) -> io::Result<Room> {
        self.call(|disk| disk.room())
    }
}

/// An open file of such a disk.
struct PatientFile {
    file: Arc<dyn DiskFile>,
    calls: Calls,
}

impl PatientFile {
    fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn DiskFile) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let file = self.file.clone();
        self.calls.call(move || call(&*file))
    }
}

impl DiskFile for PatientFile {
    fn len(&self) -> io::Result<u64> {
        self.call(|file| file.len())
    }

    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let mut read = vec![0; bytes.len()];
        let read = self.call(move |file| file.read_exact_at(offset, &mut read).map(|()| read))?;
        bytes.copy_from_slice(&read);
        Ok(())
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let bytes = bytes.to_vec();
        self.call(move |file| file.write_all_at(offset, &bytes))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.call(move |file| file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.call(|file| file.sync_data())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.call(move |file| file.allocate(len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{RealDisk, contract};
    use crate::faulty_disk::SimDisk;

    const PATIENCE: Duration = Duration::from_millis(200);

    fn patient(disk: impl Disk, patience: Duration) -> Patient {
        Patient::new(Arc::new(disk), patience).expect("a thread")
    }

    #[test]
    fn it_is_a_disk_like_the_one_below() {
        let folder = tempfile::tempdir().expect("a folder");
        let long = Duration::from_secs(60);
        contract::check(&patient(RealDisk::new(folder.path()), long)).expect("kept");
        contract::check(&patient(SimDisk::new(), long)).expect("kept");
    }

    #[test]
    fn a_disk_that_hangs_is_not_waited_for() {
        let below = SimDisk::new();
        let disk = patient(below.clone(), PATIENCE);
        let file = disk.open(Path::new("a"), Open::Create).expect("made");
        below.hang();
        let late = |result: io::Result<()>| {
            assert_eq!(
                result.map_err(|error| error.kind()),
                Err(io::ErrorKind::TimedOut)
            );
        };
        late(file.write_all_at(0, b"late"));
        late(disk.exists(Path::new("a")).map(drop));
        below.release();
        late(file.sync_data());
    }
}
