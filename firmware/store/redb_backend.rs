//! Lets redb keep its databases on a [`Disk`].
//!
//! It takes no locks: exactly one process owns a data directory and holds the lock of it. It decides nothing about
//! caches, durability or repair; that is up to whoever brings the [`Builder`].
//!
//! redb believes pages that it reads: on damaged ones it panics, or asks for so much memory that the process ends. So what it wrote is
//! read again and compared when it is synced, before a commit counts.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::{Builder, Database, DatabaseError, StorageBackend, StorageError};

use crate::disk::{Disk, DiskFile, Open, beside, folder_of};

/// Opens a database, or makes an empty one whose name is durable before it is given out.
///
/// A new one is made beside and renamed, since redb refuses a file whose making was broken off by a crash. So an error here
/// means damage, never an unfinished start; no file is thrown away.
pub(crate) fn open_database(
    builder: &Builder,
    disk: &dyn Disk,
    name: &Path,
) -> Result<OpenDatabase, DatabaseError> {
    let io = |error| DatabaseError::Storage(StorageError::Io(error));
    if !disk.exists(name).map_err(io)? {
        let beside = beside(name);
        let file = disk.open(&beside, Open::Create).map_err(io)?;
        file.set_len(0).map_err(io)?;
        let file = Arc::new(LookedAt::new(file));
        drop(builder.create_with_backend(RedbBackend(file.clone()))?);
        file.look().map_err(io)?;
        disk.rename(&beside, name).map_err(io)?;
        disk.sync_dir(folder_of(name)).map_err(io)?;
    }
    let file = disk.open(name, Open::Write).map_err(io)?;
    let file = Arc::new(LookedAt::new(file));
    let backend = RedbBackend(file.clone());
    let database = unless_it_panics(|| builder.create_with_backend(backend))??;
    Ok(OpenDatabase {
        database: Some(database),
        file,
    })
}

/// Looks at every checksum of a database.
pub(crate) fn check_integrity(database: &mut OpenDatabase) -> Result<(), DatabaseError> {
    let is_whole = unless_it_panics(|| database.get_mut().check_integrity())??;
    if !is_whole {
        tracing::warn!("a database was repaired");
    }
    Ok(())
}

/// Does what redb 4.5 may panic at when pages are damaged: that is damage, too. Nothing that it was given is used after a panic but the file.
pub(crate) fn unless_it_panics<T>(does: impl FnOnce() -> T) -> Result<T, DatabaseError> {
    catch_unwind(AssertUnwindSafe(does)).map_err(|_| {
        let why = "redb panicked on a damaged page".to_owned();
        DatabaseError::Storage(StorageError::Corrupted(why))
    })
}

/// Why an open database is never none.
const THERE: &str = "it is there until it is closed";

/// An open database whose closing panics nobody: redb's own closing believes the pages, too.
pub(crate) struct OpenDatabase {
    /// None once it is closed.
    database: Option<Database>,
    file: Arc<LookedAt>,
}

impl OpenDatabase {
    /// Closes it, as the last thing that is done with it; tells whether that went in order.
    pub(crate) fn close(&mut self) -> bool {
        let database = self.database.take();
        let closed = catch_unwind(AssertUnwindSafe(|| drop(database)));
        let is_whole = closed.is_ok() && self.file.look().is_ok();
        if !is_whole {
            tracing::error!("a damaged database could not be closed in order");
        }
        is_whole
    }

    fn get_mut(&mut self) -> &mut Database {
        self.database.as_mut().expect(THERE)
    }
}

impl Deref for OpenDatabase {
    type Target = Database;

    fn deref(&self) -> &Database {
        self.database.as_ref().expect(THERE)
    }
}

impl Drop for OpenDatabase {
    fn drop(&mut self) {
        self.close();
    }
}

/// A file that is read again where it was written.
struct LookedAt {
    file: Box<dyn DiskFile>,
    /// What was written since the last look, by its offset; no two of them overlap.
    written: Mutex<BTreeMap<u64, Written>>,
}

/// What was written at one place.
struct Written {
    length: usize,
    /// CRC32C.
    checksum: u32,
}

impl LookedAt {
    fn new(file: Box<dyn DiskFile>) -> Self {
        Self {
            file,
            written: Mutex::default(),
        }
    }

    fn written(&self) -> MutexGuard<'_, BTreeMap<u64, Written>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut written = self.written();
        let end = offset + bytes.len() as u64;
        let covered =
            |(at, what): (&u64, &Written)| (at + what.length as u64 > offset).then_some(*at);
        // None overlaps another, so those that this one touches follow each other.
        let touched: Vec<u64> = written.range(..end).rev().map_while(covered).collect();
        for at in touched {
            written.remove(&at);
        }
        let checksum = crc32c::crc32c(bytes);
        let length = bytes.len();
        written.insert(offset, Written { length, checksum });
        self.file.write_all_at(offset, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let is_left = |at: &u64, what: &mut Written| at + what.length as u64 <= len;
        self.written().retain(is_left);
        self.file.set_len(len)
    }

    /// Reads what was written since the last look.
    ///
    /// # Errors
    /// `InvalidData` when other bytes are there.
    fn look(&self) -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut written = self.written();
        for (offset, Written { length, checksum }) in &*written {
            bytes.resize(*length, 0);
            self.file.read_exact_at(*offset, &mut bytes)?;
            if crc32c::crc32c(&bytes) != *checksum {
                let how = format!("other bytes are there than were written, at {offset}");
                return Err(io::Error::new(io::ErrorKind::InvalidData, how));
            }
        }
        written.clear();
        Ok(())
    }
}

/// An open file as redb wants it.
struct RedbBackend(Arc<LookedAt>);

impl StorageBackend for RedbBackend {
    fn len(&self) -> io::Result<u64> {
        self.0.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.file.read_exact_at(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.file.sync_data()?;
        self.0.look()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

impl fmt::Debug for RedbBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedbBackend")
    }
}

#[cfg(test)]
mod tests {
    use redb::{Durability, ReadableDatabase, TableDefinition};

    use super::*;
    use crate::disk::RealDisk;
    use crate::faulty_disk::{Crash, Fault, FaultKind, SimDisk};

    type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

    const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("table");
    /// Commits of a scenario; every third is durable.
    const COMMITS: u64 = 9;

    fn open(disk: &dyn Disk) -> Result<OpenDatabase, DatabaseError> {
        open_database(&Builder::new(), disk, Path::new("folder/test.redb"))
    }

    /// Writes entry `number`, and says whether it outlasts a power cut.
    fn commit(database: &Database, number: u64) -> Outcome<bool> {
        let durable = number.is_multiple_of(3);
        let mut transaction = database.begin_write()?;
        transaction.set_two_phase_commit(true);
        transaction.set_quick_repair(durable);
        transaction.set_durability(if durable {
            Durability::Immediate
        } else {
            Durability::None
        })?;
        transaction
            .open_table(TABLE)?
            .insert(number, [number as u8; 3_000].as_slice())?;
        transaction.commit()?;
        Ok(durable)
    }

    /// Counts the entries, which must be the first ones, each whole.
    fn entries(database: &Database) -> Outcome<u64> {
        let Ok(table) = database.begin_read()?.open_table(TABLE) else {
            return Ok(0);
        };
        let mut count = 0;
        for entry in table.range::<u64>(..)? {
            let (number, bytes) = entry?;
            count += 1;
            assert_eq!(number.value(), count);
            assert_eq!(bytes.value(), [count as u8; 3_000]);
        }
        Ok(count)
    }

    /// Makes a database and commits to it; keeps in `durable` what a power cut must not take.
    fn scenario(disk: &dyn Disk, durable: &mut u64) -> Outcome {
        disk.create_dir(Path::new("folder"))?;
        let database = open(disk)?;
        for number in 1..=COMMITS {
            if commit(&database, number)? {
                *durable = number;
            }
        }
        Ok(())
    }

    fn written_and_opened_again(disk: &dyn Disk) -> Outcome {
        scenario(disk, &mut 0)?;
        assert_eq!(entries(&*open(disk)?)?, COMMITS);
        assert_eq!(
            disk.list(Path::new("folder"))?,
            [Path::new("folder/test.redb")]
        );
        Ok(())
    }

    #[test]
    fn a_database_lives_on_every_disk() -> Outcome {
        let folder = tempfile::tempdir()?;
        written_and_opened_again(&RealDisk::new(folder.path()))?;
        written_and_opened_again(&SimDisk::new())
    }

    #[test]
    fn a_crash_leaves_the_last_durable_commit() -> Outcome {
        let disk = SimDisk::new();
        disk.create_dir(Path::new("folder"))?;
        let database = open(&disk)?;
        for number in 1..=5 {
            commit(&database, number)?;
        }
        disk.crash(Crash::LoseUnsynced);
        drop(database);
        assert_eq!(entries(&*open(&disk)?)?, 3);
        Ok(())
    }

    fn fails_well(fault: Fault, seed: u64) -> Outcome<bool> {
        let disk = SimDisk::new();
        disk.set_fault(Some(fault));
        let mut durable = 0;
        let finished = scenario(&disk, &mut durable).is_ok();
        let hit = disk.fault_was_hit();
        assert!(finished || hit, "{fault:?}");
        disk.crash(Crash::KeepSome { seed });
        disk.create_dir(Path::new("folder"))?;
        let database = open(&disk).map_err(|error| format!("{fault:?}, seed {seed}: {error}"))?;
        let found = entries(&database)?;
        assert!(
            found >= durable,
            "{fault:?}, seed {seed}: {found} of {durable}"
        );
        commit(&database, found + 1)?;
        assert_eq!(entries(&database)?, found + 1);
        Ok(hit)
    }

    /// A page with a flipped bit was believed at the next start, and redb panicked.
    #[test]
    fn no_flipped_bit_is_believed() -> Outcome {
        let whole = SimDisk::new();
        scenario(&whole, &mut 0)?;
        let mut seen = 0;
        for at_step in 1..=whole.steps() {
            let disk = SimDisk::new();
            let kind = FaultKind::FlippedBit;
            disk.set_fault(Some(Fault { at_step, kind }));
            disk.create_dir(Path::new("folder"))?;
            let Ok(mut database) = open(&disk) else {
                seen += 1;
                continue;
            };
            let committed =
                (1..=COMMITS).try_for_each(|number| commit(&database, number).map(drop));
            let closed = database.close();
            disk.reopen();
            if closed && committed.is_ok() {
                let mut again = open(&disk)?;
                check_integrity(&mut again)?;
                assert_eq!(entries(&again)?, COMMITS, "at step {at_step}");
            } else {
                seen += 1;
            }
        }
        assert!(seen > 10, "{seen}");
        Ok(())
    }

    #[test]
    fn what_is_written_over_is_not_missed() -> Outcome {
        let disk = SimDisk::new();
        let file = LookedAt::new(disk.open(Path::new("file"), Open::Create)?);
        for (offset, length) in [(0, 8), (8, 8), (16, 8), (6, 4), (20, 30), (0, 2), (40, 1)] {
            file.write(offset, &vec![offset as u8; length])?;
        }
        file.look()?;
        file.write(30, &[9; 20])?;
        file.write(10, &[9; 4])?;
        file.set_len(35)?;
        file.look()?;
        file.write(4, b"abc")?;
        file.file.write_all_at(5, b"x")?;
        let looked = file.look().map_err(|error| error.kind());
        assert_eq!(looked, Err(io::ErrorKind::InvalidData));
        Ok(())
    }

    #[test]
    fn durable_commits_outlast_every_fault_at_every_step() -> Outcome {
        use FaultKind::*;
        let disk = SimDisk::new();
        scenario(&disk, &mut 0)?;
        let steps = disk.steps();
        assert!(steps > 20);
        for kind in [Error, ErrorOnce, Full, TornWrite, LostUnsynced] {
            let mut hits = 0;
            for at_step in 1..=steps {
                hits += u64::from(fails_well(Fault { at_step, kind }, at_step)?);
            }
            assert!(hits > 0, "{kind:?}");
        }
        Ok(())
    }
}
