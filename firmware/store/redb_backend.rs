//! Lets redb keep its databases on a [`Disk`].
//!
//! It takes no locks: exactly one process owns a data directory and holds the lock of it. It decides nothing about
//! caches, durability or repair; that is up to whoever brings the [`Builder`].

use std::fmt;
use std::io;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

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
        drop(builder.create_with_backend(RedbBackend(file))?);
        disk.rename(&beside, name).map_err(io)?;
        disk.sync_dir(folder_of(name)).map_err(io)?;
    }
    let file = disk.open(name, Open::Write).map_err(io)?;
    let database = unless_it_panics(|| builder.create_with_backend(RedbBackend(file)))??;
    Ok(OpenDatabase(Some(database)))
}

/// Looks at every checksum of a database, since redb believes pages that it reads: on damaged ones it panics, or aborts the process.
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
pub(crate) struct OpenDatabase(Option<Database>);

impl OpenDatabase {
    /// Closes it, as the last thing that is done with it; tells whether that went in order.
    pub(crate) fn close(&mut self) -> bool {
        let database = self.0.take();
        let closed = catch_unwind(AssertUnwindSafe(|| drop(database)));
        if closed.is_err() {
            tracing::error!("a damaged database could not be closed in order");
        }
        closed.is_ok()
    }

    fn get_mut(&mut self) -> &mut Database {
        self.0.as_mut().expect(THERE)
    }
}

impl Deref for OpenDatabase {
    type Target = Database;

    fn deref(&self) -> &Database {
        self.0.as_ref().expect(THERE)
    }
}

impl Drop for OpenDatabase {
    fn drop(&mut self) {
        self.close();
    }
}

/// An open file as redb wants it.
struct RedbBackend(Box<dyn DiskFile>);

impl StorageBackend for RedbBackend {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(offset, data)
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
