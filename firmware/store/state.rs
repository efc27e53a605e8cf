//! `state.redb`: ground that is not mail: settings, accounts and keys. Every commit is durable.
//!
//! Nothing of it ever enters a volume. What is written here is on the follower, too, before the call returns. Want of room passes: redb then
//! refuses everything until the file is opened again, which the next call does.

use crate::copies::Copies;
use crate::disk::Disk;
use crate::error::{DiskContext, Error, Result};
use crate::redb_backend::{OpenDatabase, check_integrity, open_database};
use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction,
};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

const FILE: &str = "state.redb";

/// A state file that is being made beside.
const FRESH: &str = "state-fresh.redb";

/// Memory that redb may use for pages in bytes; the file is small.
const CACHE_BYTES: usize = 1 << 20;

/// A table of the state file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateTable {
    /// Settings: text to bytes.
    Settings,
    /// Accounts of SMTP senders: name to record.
    Accounts,
    /// Keys: name to secret bytes.
    Keys,
    /// The register of people as the audit log has it: name to record.
    People,
    /// What proves who somebody is: passwords (hashed), second factors, sessions (hashed).
    Secrets,
}

impl StateTable {
    fn definition(self) -> TableDefinition<'static, &'static str, &'static [u8]> {
        TableDefinition::new(match self {
            Self::Settings => "settings",
            Self::Accounts => "accounts",
            Self::Keys => "keys",
            Self::People => "people",
            Self::Secrets => "secrets",
        })
    }
}

const ALL: [StateTable; 5] = [
    StateTable::Settings,
    StateTable::Accounts,
    StateTable::Keys,
    StateTable::People,
    StateTable::Secrets,
];

/// The open state file.
pub struct State {
    /// None when it could not be opened again.
    database: RwLock<Option<OpenDatabase>>,
    /// A commit failed for want of room, or other bytes were found than it wrote, and the file is to be opened again.
    is_to_be_opened: AtomicBool,
    /// The disks of the archive; none for the file on a follower.
    copies: Option<Arc<Copies>>,
}

/// A value to be written, or without one to be removed.
pub type StateChange = (StateTable, String, Option<Vec<u8>>);

/// All that a state file holds.
pub(crate) type Values = Vec<(StateTable, String, Vec<u8>)>;

/// Names the operation of a redb error.
trait StateContext<T> {
    fn doing(self, operation: &'static str) -> Result<T>;
}

impl<T, E: Into<redb::Error>> StateContext<T> for std::result::Result<T, E> {
    fn doing(self, operation: &'static str) -> Result<T> {
        self.map_err(|error| Error::State {
            operation,
            source: Box::new(error.into()),
        })
    }
}

impl State {
    pub(crate) fn open(disk: &dyn Disk, copies: Option<Arc<Copies>>) -> Result<Self> {
        Self::open_named(disk, FILE, copies)
    }

    fn open_named(disk: &dyn Disk, name: &str, copies: Option<Arc<Copies>>) -> Result<Self> {
        let state = Self {
            database: RwLock::new(Some(open_file(disk, name)?)),
            is_to_be_opened: AtomicBool::new(false),
            copies,
        };
        state.make_tables()?;
        Ok(state)
    }

    /// Does something with the file, which is opened again first if it had no room before.
    fn with<T>(&self, act: impl FnOnce(&Database) -> Result<T>) -> Result<T> {
        self.open_again_if_due()?;
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let done = act(database.as_ref().ok_or(Error::Closed)?);
        done.inspect_err(|error| {
            if error.is_full_database() || error.is_spoiled_database() {
                self.is_to_be_opened.store(true, Ordering::SeqCst);
            }
        })
    }

    /// Only the own file: a follower that fails is detached, and opened anew when it comes back.
    fn open_again_if_due(&self) -> Result<()> {
        let Some(copies) = &self.copies else {
            return Ok(());
        };
        if !self.is_to_be_opened.load(Ordering::SeqCst) {
            return Ok(());
        }
        let mut database = self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if self.is_to_be_opened.load(Ordering::SeqCst) {
            // There is one at a time.
            drop(database.take());
            *database = Some(open_file(&**copies.own(), FILE)?);
            self.is_to_be_opened.store(false, Ordering::SeqCst);
        }
        Ok(())
    }

    fn reading<T>(&self, read: impl FnOnce(&ReadTransaction) -> Result<T>) -> Result<T> {
        self.with(|database| read(&database.begin_read().doing("read")?))
    }

    /// Commits what `write` did, unless that failed.
    fn writing<T>(&self, write: impl FnOnce(&WriteTransaction) -> Result<T>) -> Result<T> {
        self.with(|database| {
            let mut transaction = database.begin_write().doing("write")?;
            transaction.set_two_phase_commit(true);
            let written = write(&transaction)?;
            transaction.commit().doing("write")?;
            Ok(written)
        })
    }

    /// Makes the file anew with these values, whatever was there: after a failed sync nobody knows what of it is durable.
    pub(crate) fn replace(disk: &dyn Disk, values: &Values) -> Result<()> {
        if disk.exists(Path::new(FRESH)).on("look for", FRESH)? {
            disk.remove(Path::new(FRESH)).on("remove", FRESH)?;
        }
        let fresh = Self::open_named(disk, FRESH, None)?;
        fresh.hold(values)?;
        drop(fresh);
        disk.rename(Path::new(FRESH), Path::new(FILE))
            .on("rename", FRESH)?;
        disk.sync_dir(Path::new("")).on("sync", "the directory")
    }

    fn make_tables(&self) -> Result<()> {
        self.writing(|transaction| {
            for table in ALL {
                transaction.open_table(table.definition()).doing("write")?;
            }
            Ok(())
        })
    }

    /// Reads a value.
    pub fn get(&self, table: StateTable, name: &str) -> Result<Option<Vec<u8>>> {
        self.reading(|transaction| {
            let table = transaction.open_table(table.definition()).doing("read")?;
            let value = table.get(name).doing("read")?;
            Ok(value.map(|value| value.value().to_vec()))
        })
    }

    /// Lists the names of a table, in order.
    pub fn names(&self, table: StateTable) -> Result<Vec<String>> {
        self.reading(|transaction| {
            let table = transaction.open_table(table.definition()).doing("read")?;
            let entries = table.iter().doing("read")?;
            entries
                .map(|entry| Ok(entry.doing("read")?.0.value().to_owned()))
                .collect()
        })
    }

    /// Writes a value, or removes it; durable afterwards. Tells whether there was one before.
    pub fn put(&self, table: StateTable, name: &str, value: Option<&[u8]>) -> Result<bool> {
        self.put_all(&[(table, name.to_owned(), value.map(<[u8]>::to_vec))])
    }

    /// Writes and removes values together, all of them or none; durable afterwards. Tells whether any had a value before.
    pub fn put_all(&self, changes: &[StateChange]) -> Result<bool> {
        let Some(copies) = &self.copies else {
            return self.put_here(changes);
        };
        let mut turn = copies.turn();
        let existed = self.put_here(changes)?;
        turn.put(changes);
        turn.settle()?;
        Ok(existed)
    }

    /// Reads all values of a table with their names, in order.
    pub fn entries(&self, table: StateTable) -> Result<Vec<(String, Vec<u8>)>> {
        self.reading(|transaction| {
            let open = transaction.open_table(table.definition()).doing("read")?;
            let entries = open.iter().doing("read")?;
            entries
                .map(|entry| {
                    let (name, value) = entry.doing("read")?;
                    Ok((name.value().to_owned(), value.value().to_vec()))
                })
                .collect()
        })
    }

    /// Reads everything.
    pub(crate) fn values(&self) -> Result<Values> {
        let mut values = Values::new();
        for table in ALL {
            let entries = self.entries(table)?.into_iter();
            values.extend(entries.map(|(name, value)| (table, name, value)));
        }
        Ok(values)
    }

    /// Holds these values and no others afterwards; durable, or as before.
    pub(crate) fn hold(&self, values: &Values) -> Result<()> {
        if self.values()? == *values {
            return Ok(());
        }
        self.writing(|transaction| {
            for table in ALL {
                let definition = table.definition();
                transaction.delete_table(definition).doing("write")?;
                let mut open = transaction.open_table(definition).doing("write")?;
                for (_, name, value) in values.iter().filter(|(of, ..)| *of == table) {
                    open.insert(name.as_str(), value.as_slice())
                        .doing("write")?;
                }
            }
            Ok(())
        })
    }

    fn put_here(&self, changes: &[StateChange]) -> Result<bool> {
        self.writing(|transaction| {
            let mut existed = false;
            for (table, name, value) in changes {
                let mut table = transaction.open_table(table.definition()).doing("write")?;
                existed |= match value {
                    Some(value) => table
                        .insert(name.as_str(), value.as_slice())
                        .doing("write")?
                        .is_some(),
                    None => table.remove(name.as_str()).doing("write")?.is_some(),
                };
            }
            Ok(existed)
        })
    }

    /// Reads a value, or makes and keeps it the first time; tells whether it was made.
    pub(crate) fn get_or_make(
        &self,
        table: StateTable,
        name: &str,
        make: impl FnOnce() -> Vec<u8>,
    ) -> Result<(Vec<u8>, bool)> {
        if let Some(value) = self.get(table, name)? {
            return Ok((value, false));
        }
        let value = make();
        self.put(table, name, Some(&value))?;
        Ok((value, true))
    }
}

fn open_file(disk: &dyn Disk, name: &str) -> Result<OpenDatabase> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    let mut database = open_database(&builder, disk, Path::new(name)).doing("open")?;
    // It is small, and nothing could make it again.
    check_integrity(&mut database).doing("check")?;
    Ok(database)
}
