//! Lets tantivy keep an index in a folder of a [`Disk`].
//!
//! Locks are kept in memory, shared by the clones of one directory: exactly one process owns the folder, and opens it once.
//! Nothing is cached. A thread of tantivy's that dies does not tell why, so whether a write found no room, or a checksum did not hold, is kept here.
//!
//! Tantivy gets no file whose checksum was not looked at since it was written. What an earlier process wrote is believed if
//! that process ended in order, and else looked at as well: a mark in the folder tells, which stands there while the index is open.

use std::collections::HashSet;
use std::fmt;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    AntiCallToken, Directory, DirectoryLock, FileHandle, Lock, TerminatingWrite, WatchCallback,
    WatchCallbackList, WatchHandle, WritePtr,
};

use super::checksum;
use crate::disk::{Disk, DiskFile, Open};

/// The empty file that stands in the folder while the index is open, or is a copy that nobody has opened.
pub(crate) const IN_USE: &str = "in-use";

/// The file whose replacement is a commit.
const META: &str = "meta.json";

/// Bytes gathered before they are written: a segment has about ten files open at once, so this is half a megabyte.
const WRITE_BUFFER_BYTES: usize = 64 << 10;

/// Bytes from the start of a file that are read ahead: a slow disk reads them in a tenth of a second.
const READ_AHEAD_BYTES_MAX: u64 = 16 << 20;

/// How long a blocking lock is waited for; tantivy holds it while it opens or lists files, so longer means a deadlock.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(10);

/// An index folder; clones are the same folder.
#[derive(Clone)]
pub struct DiskDirectory {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    locks: Arc<Locks>,
    watchers: Arc<WatchCallbackList>,
    lacked_room: Arc<AtomicBool>,
    is_damaged: Arc<AtomicBool>,
    /// Names of files whose checksums were not looked at.
    unchecked: Arc<Mutex<HashSet<PathBuf>>>,
}

impl DiskDirectory {
    /// Takes a folder of the disk, and makes it where it is missing; in one that was not closed in order each file is checked before it is read.
    pub fn open(disk: Arc<dyn Disk>, folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = folder.into();
        disk.create_dir(&folder)?;
        let mark = folder.join(IN_USE);
        let mut unchecked = HashSet::new();
        if disk.exists(&mark)? {
            let files = disk.list(&folder)?;
            unchecked.extend(
                files
                    .iter()
                    .filter_map(|name| Some(name.file_name()?.into())),
            );
        } else if let Err(error) = disk.open(&mark, Open::Create) {
            // On a full disk: then the next start checks nothing.
            tracing::debug!(%error, "the index is not marked as in use");
        }
        Ok(Self {
            disk,
            folder,
            locks: Arc::default(),
            watchers: Arc::default(),
            lacked_room: Arc::default(),
            is_damaged: Arc::default(),
            unchecked: Arc::new(Mutex::new(unchecked)),
        })
    }

    /// Says that all was written and read without a fault, so that the next start need not check it.
    pub(crate) fn close(&self) {
        if !self.is_damaged()
            && let Err(error) = self.disk.remove(&self.name(Path::new(IN_USE)))
        {
            tracing::debug!(%error, "the index stays marked as in use");
        }
    }

    /// Tells whether a file did not hold.
    pub(crate) fn is_damaged(&self) -> bool {
        self.is_damaged.load(Ordering::SeqCst)
    }

    /// Tells whether a write has found no room since this was asked last.
    pub(crate) fn take_want_of_room(&self) -> bool {
        self.lacked_room.swap(false, Ordering::SeqCst)
    }

    fn name(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    /// Looks at the checksum of a file, unless that was done.
    fn check(&self, path: &Path) -> Result<(), OpenReadError> {
        if !self.unchecked().contains(path) {
            return Ok(());
        }
        let file = self.disk.open(&self.name(path), Open::Read);
        let holds = file.and_then(|file| checksum::holds(&*file));
        if !holds.map_err(|error| read_error(error, path))? {
            return Err(self.damage(path));
        }
        self.unchecked().remove(path);
        Ok(())
    }

    fn unchecked(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.unchecked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps that a file does not hold.
    fn damage(&self, path: &Path) -> OpenReadError {
        self.is_damaged.store(true, Ordering::SeqCst);
        let error = io::Error::new(io::ErrorKind::InvalidData, "its checksum does not hold");
        OpenReadError::wrap_io_error(error, path.to_owned())
    }
}

impl Directory for DiskDirectory {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        self.check(path)?;
        let name = self.name(path);
        if is_read_by_every_search(path) {
            self.disk.read_ahead(&name, READ_AHEAD_BYTES_MAX);
        }
        let mapped = self.disk.map(&name);
        Ok(Arc::new(mapped.map_err(|error| read_error(error, path))?))
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        let removed = self.disk.remove(&self.name(path));
        self.unchecked().remove(path);
        removed.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => DeleteError::FileDoesNotExist(path.to_owned()),
            _ => DeleteError::IoError {
                io_error: Arc::new(error),
                filepath: path.to_owned(),
            },
        })
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        let found = self.disk.exists(&self.name(path));
        found.map_err(|error| OpenReadError::wrap_io_error(error, path.to_owned()))
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        let opened = self.disk.open(&self.name(path), Open::CreateNew);
        let opened = note_room(opened, &self.lacked_room);
        self.unchecked().insert(path.to_owned());
        let file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => OpenWriteError::FileAlreadyExists(path.to_owned()),
            _ => OpenWriteError::wrap_io_error(error, path.to_owned()),
        })?;
        let writer = Box::new(Writer {
            file,
            offset: 0,
            lacked_room: Arc::clone(&self.lacked_room),
        });
        Ok(BufWriter::with_capacity(WRITE_BUFFER_BYTES, writer))
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        let bytes = self.disk.read(&self.name(path));
        let bytes = bytes.map_err(|error| read_error(error, path))?;
        checksum::without_line(bytes).ok_or_else(|| self.damage(path))
    }

    fn atomic_write(&self, path: &Path, data: &[u8]) -> io::Result<()> {
        let text = checksum::with_line(data);
        let replaced = self.disk.replace(&self.name(path), &text);
        note_room(replaced, &self.lacked_room)?;
        if path == Path::new(META) {
            // Whoever waits for the callbacks does so in them; the commit does not.
            drop(self.watchers.broadcast());
        }
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.disk.sync_dir(&self.folder)
    }

    fn acquire_lock(&self, lock: &Lock) -> Result<DirectoryLock, LockError> {
        let wait = if lock.is_blocking {
            LOCK_WAIT_MAX
        } else {
            Duration::ZERO
        };
        let held = Locks::acquire(&self.locks, &lock.filepath, wait);
        let held = held.ok_or(LockError::LockBusy)?;
        Ok(DirectoryLock::from(Box::new(held)))
    }

    fn watch(&self, watch_callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(self.watchers.subscribe(watch_callback))
    }
}

impl fmt::Debug for DiskDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DiskDirectory({})", self.folder.display())
    }
}

/// Dictionaries and columns: a first search would fetch them page by page, each time waiting for the disk.
fn is_read_by_every_search(path: &Path) -> bool {
    path.extension()
        .is_some_and(|kind| kind == "term" || kind == "fast" || kind == "fieldnorm")
}

fn read_error(error: io::Error, path: &Path) -> OpenReadError {
    match error.kind() {
        io::ErrorKind::NotFound => OpenReadError::FileDoesNotExist(path.to_owned()),
        _ => OpenReadError::wrap_io_error(error, path.to_owned()),
    }
}

/// Keeps whether there was no room.
fn note_room<T>(done: io::Result<T>, lacked_room: &AtomicBool) -> io::Result<T> {
    done.inspect_err(|error| {
        if error.kind() == io::ErrorKind::StorageFull {
            lacked_room.store(true, Ordering::SeqCst);
        }
    })
}

/// Writes a new file from its start to its end.
struct Writer {
    file: Box<dyn DiskFile>,
    offset: u64,
    lacked_room: Arc<AtomicBool>,
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write_all_at(self.offset, bytes);
        note_room(written, &self.lacked_room)?;
        self.offset += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TerminatingWrite for Writer {
    fn terminate_ref(&mut self, _: AntiCallToken) -> io::Result<()> {
        note_room(self.file.sync_data(), &self.lacked_room)
    }
}

/// The locks of a folder that are held.
#[derive(Default)]
struct Locks {
    held: Mutex<HashSet<PathBuf>>,
    released: Condvar,
}

impl Locks {
    /// Takes a lock, after waiting for it at most so long.
    fn acquire(locks: &Arc<Self>, name: &Path, wait: Duration) -> Option<Held> {
        let held = locks.held.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = locks
            .released
            .wait_timeout_while(held, wait, |held| held.contains(name));
        let (mut held, _) = waited.unwrap_or_else(PoisonError::into_inner);
        held.insert(name.to_owned()).then(|| Held {
            locks: Arc::clone(locks),
            name: name.to_owned(),
        })
    }
}

/// A lock that is held until it is dropped.
struct Held {
    locks: Arc<Locks>,
    name: PathBuf,
}

impl Drop for Held {
    fn drop(&mut self) {
        let held = self.locks.held.lock();
        held.unwrap_or_else(PoisonError::into_inner)
            .remove(&self.name);
        self.locks.released.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tantivy::collector::Count;
    use tantivy::directory::{INDEX_WRITER_LOCK, META_LOCK};
    use tantivy::merge_policy::NoMergePolicy;
    use tantivy::query::TermQuery;
    use tantivy::schema::{Field, IndexRecordOption, Schema, TEXT};
    use tantivy::{Index, IndexWriter, TantivyDocument, Term};

    use super::*;
    use crate::disk::RealDisk;
    use crate::faulty_disk::{Crash, Fault, FaultKind, SimDisk};

    type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

    /// Bytes that tantivy demands at least for one thread.
    const MEMORY_BYTES: usize = 15_000_000;
    const COMMITS: u64 = 2;

    fn directory(disk: &SimDisk) -> io::Result<DiskDirectory> {
        DiskDirectory::open(Arc::new(disk.clone()), "index")
    }

    fn open(directory: DiskDirectory) -> tantivy::Result<(Index, Field)> {
        let mut schema = Schema::builder();
        let field = schema.add_text_field("body", TEXT);
        Ok((Index::open_or_create(directory, schema.build())?, field))
    }

    fn writer(index: &Index) -> tantivy::Result<IndexWriter> {
        let writer = index.writer_with_num_threads(1, MEMORY_BYTES)?;
        writer.set_merge_policy(Box::new(NoMergePolicy));
        Ok(writer)
    }

    /// Commits one document more, with the count of commits as the payload.
    fn commit(writer: &mut IndexWriter, field: Field, number: u64) -> tantivy::Result<()> {
        let mut document = TantivyDocument::default();
        document.add_text(field, format!("mail number{number}"));
        writer.add_document(document)?;
        let mut commit = writer.prepare_commit()?;
        commit.set_payload(&number.to_string());
        commit.commit().map(|_| ())
    }

    fn count(index: &Index, field: Field, word: &str) -> tantivy::Result<usize> {
        let term = Term::from_field_text(field, word);
        let query = TermQuery::new(term, IndexRecordOption::Basic);
        index.reader()?.searcher().search(&query, &Count)
    }

    /// Gives the number of the last commit; each one's document must be there, and no other.
    fn commits(directory: DiskDirectory) -> Outcome<u64> {
        let (index, field) = open(directory)?;
        let last = index.load_metas()?.payload.unwrap_or("0".to_owned());
        let last: u64 = last.parse()?;
        assert_eq!(count(&index, field, "mail")? as u64, last);
        for number in 1..=last {
            assert_eq!(count(&index, field, &format!("number{number}"))?, 1);
        }
        assert!(index.validate_checksum()?.is_empty());
        Ok(last)
    }

    fn scenario(directory: DiskDirectory, committed: &mut u64) -> Outcome {
        let (index, field) = open(directory)?;
        let mut writer = writer(&index)?;
        for number in 1..=COMMITS {
            commit(&mut writer, field, number)?;
            *committed = number;
        }
        Ok(writer.wait_merging_threads()?)
    }

    #[test]
    fn an_index_lives_on_every_disk() -> Outcome {
        let folder = tempfile::tempdir()?;
        let disks: [Arc<dyn Disk>; 2] = [
            Arc::new(RealDisk::new(folder.path())),
            Arc::new(SimDisk::new()),
        ];
        for disk in disks {
            let directory = || DiskDirectory::open(Arc::clone(&disk), "some/index");
            scenario(directory()?, &mut 0)?;
            assert_eq!(commits(directory()?)?, COMMITS);
        }
        Ok(())
    }

    #[test]
    fn files_are_written_once_and_errors_have_tantivys_names() -> Outcome {
        let disk = SimDisk::new();
        let directory = directory(&disk)?;
        let (name, other) = (Path::new("name"), Path::new("other"));
        let mut writer = directory.open_write(name)?;
        writer.write_all(b"abc")?;
        writer.terminate()?;
        assert!(directory.exists(name)? && !directory.exists(other)?);
        assert_eq!(disk.read(&directory.name(name))?, b"abc");
        let unfinished = directory.open_read(name);
        assert!(matches!(unfinished, Err(OpenReadError::IoError { .. })));
        assert!(directory.is_damaged(), "it has no footer");
        let again = directory.open_write(name);
        assert!(matches!(again, Err(OpenWriteError::FileAlreadyExists(_))));
        directory.delete(name)?;
        let gone = directory.delete(name);
        assert!(matches!(gone, Err(DeleteError::FileDoesNotExist(_))));
        let found = directory.open_read(name);
        assert!(matches!(found, Err(OpenReadError::FileDoesNotExist(_))));
        let found = directory.atomic_read(other);
        assert!(matches!(found, Err(OpenReadError::FileDoesNotExist(_))));
        Ok(())
    }

    #[test]
    fn a_lock_is_held_by_one_until_dropped() -> Outcome {
        let directory = directory(&SimDisk::new())?;
        let clone = directory.clone();
        let first = directory.acquire_lock(&INDEX_WRITER_LOCK)?;
        let second = clone.acquire_lock(&INDEX_WRITER_LOCK);
        assert!(matches!(second, Err(LockError::LockBusy)));
        let meta = directory.acquire_lock(&META_LOCK)?;
        drop(first);
        drop(clone.acquire_lock(&INDEX_WRITER_LOCK)?);
        let waiting = std::thread::spawn(move || clone.acquire_lock(&META_LOCK).is_ok());
        drop(meta);
        assert!(waiting.join().expect("the waiting thread does not panic"));
        Ok(())
    }

    #[test]
    fn a_commit_is_told_to_those_who_watch() -> Outcome {
        let directory = directory(&SimDisk::new())?;
        let (sender, receiver) = mpsc::channel();
        let callback = WatchCallback::new(move || {
            // The receiver is gone when the test failed.
            let _ = sender.send(());
        });
        let handle = directory.watch(callback)?;
        directory.atomic_write(Path::new("other.json"), b"{}")?;
        directory.clone().atomic_write(Path::new(META), b"{}")?;
        receiver.recv_timeout(Duration::from_secs(10))?;
        assert!(receiver.try_recv().is_err());
        drop(handle);
        Ok(())
    }

    #[test]
    fn a_finished_file_outlasts_a_crash_once_the_folder_is_synced() -> Outcome {
        let disk = SimDisk::new();
        let name = Path::new("name");
        for sync in [false, true] {
            let directory = directory(&disk)?;
            let mut writer = directory.open_write(name)?;
            writer.write_all(b"abc")?;
            writer.terminate()?;
            if sync {
                directory.sync_directory()?;
            }
            disk.crash(Crash::LoseUnsynced);
            assert_eq!(directory.exists(name)?, sync);
        }
        assert_eq!(disk.read(&directory(&disk)?.name(name))?, b"abc");
        Ok(())
    }

    #[test]
    fn finished_commits_outlast_every_fault_at_every_step() -> Outcome {
        let disk = SimDisk::new();
        scenario(directory(&disk)?, &mut 0)?;
        let steps = disk.steps();
        let again = SimDisk::new();
        scenario(directory(&again)?, &mut 0)?;
        assert_eq!(again.steps(), steps, "every run takes the same steps");
        for kind in [FaultKind::Error, FaultKind::TornWrite, FaultKind::Full] {
            let mut hits = 0;
            for at_step in 1..=steps {
                hits += u64::from(fails_well(Fault { at_step, kind })?);
            }
            assert!(hits > steps / 4, "{kind:?}: {hits} of {steps}");
        }
        Ok(())
    }

    fn fails_well(fault: Fault) -> Outcome<bool> {
        let disk = SimDisk::new();
        disk.set_fault(Some(fault));
        let mut committed = 0;
        let run = directory(&disk)
            .map_err(Into::into)
            .and_then(|directory| scenario(directory, &mut committed));
        let hit = disk.fault_was_hit();
        assert!(run.is_ok() || hit, "{fault:?}: {run:?}");
        let seed = fault.at_step;
        disk.crash(Crash::KeepSome { seed });
        let found = commits(directory(&disk)?);
        let found = found.map_err(|error| format!("{fault:?}: {error}"))?;
        assert!(found >= committed, "{fault:?}: {found} of {committed}");
        Ok(hit)
    }
}
