//! What can go wrong in the store, sorted by who is to blame: the disk, the bytes on it, or the caller.

use std::io;

/// A failed operation of the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk under the archive failed.
    #[error("cannot {operation} {name}")]
    Disk {
        /// A verb: what was tried.
        operation: &'static str,
        /// The file, relative to the data directory.
        name: String,
        /// What the disk said.
        source: io::Error,
    },
    /// There is no room; nothing was written.
    #[error("the disk is full: {available_bytes} bytes are left, {needed_bytes} are needed")]
    Full {
        /// Room that is left for mail.
        available_bytes: u64,
        /// Room that the batch and the reserve need.
        needed_bytes: u64,
    },
    /// Bytes of the archive do not hold what they promise.
    #[error("{name} is damaged at byte {offset}: {how}")]
    Damaged {
        /// The file, relative to the data directory.
        name: String,
        /// Where in it.
        offset: u64,
        /// What does not hold.
        how: String,
    },
    /// The bytes were written by a newer version.
    #[error("{name} needs a newer version of Coffer: {what}")]
    TooNew {
        /// The file, relative to the data directory.
        name: String,
        /// What is not known here.
        what: String,
    },
    /// Another process owns the data directory.
    #[error("the archive is in use by another program; stop it, or let this command speak to it")]
    InUse,
    /// The archive is not one, or not this one.
    #[error("not a Coffer archive: {0}")]
    NotAnArchive(String),
    /// The second disk failed, or cannot be a copy.
    #[error("the copy cannot follow: {0}")]
    Follower(String),
    /// A write or sync failed before; nothing is taken until the archive is opened again.
    #[error("the archive takes nothing until it is opened again, because a write failed: {0}")]
    Latched(String),
    /// Nothing of the batch was kept, since another part of it failed.
    #[error("nothing was kept: {0}")]
    Refused(String),
    /// The catalog and the index are being made anew.
    #[error("catalog and index are being rebuilt; come again later")]
    Rebuilding,
    /// The store is being closed.
    #[error("the archive is being closed")]
    Closed,
    /// What was asked for is not there.
    #[error("not in the archive: {0}")]
    NotFound(String),
    /// The catalog failed.
    #[error("cannot {operation} the catalog")]
    Catalog {
        /// A verb: what was tried.
        operation: &'static str,
        /// What redb said.
        source: Box<redb::Error>,
    },
    /// The state file failed.
    #[error("cannot {operation} the state file")]
    State {
        /// A verb: what was tried.
        operation: &'static str,
        /// What redb said.
        source: Box<redb::Error>,
    },
    /// The full-text index failed.
    #[error("cannot {operation} the index")]
    Index {
        /// A verb: what was tried.
        operation: &'static str,
        /// What tantivy said.
        source: Box<tantivy::TantivyError>,
    },
    /// The message itself could not be read from the caller.
    #[error("cannot read the message to be stored")]
    Body(#[source] io::Error),
    /// A note, key or proof does not hold.
    #[error("{0}")]
    Proof(String),
}

fn index_is_full(error: &tantivy::TantivyError) -> bool {
    use tantivy::TantivyError::{IoError, OpenReadError, OpenWriteError};
    use tantivy::directory::error::{OpenReadError as Read, OpenWriteError as Write};
    let source = match error {
        IoError(source)
        | OpenWriteError(Write::IoError {
            io_error: source, ..
        })
        | OpenReadError(Read::IoError {
            io_error: source, ..
        }) => source,
        _ => return false,
    };
    source.kind() == io::ErrorKind::StorageFull
}

/// The result of a store operation.
pub type Result<T> = std::result::Result<T, Error>;

/// Names the operation and file of a disk error.
pub(crate) trait DiskContext<T> {
    /// Adds what was tried on which file.
    fn on(self, operation: &'static str, name: impl ToString) -> Result<T>;
}

impl<T> DiskContext<T> for io::Result<T> {
    fn on(self, operation: &'static str, name: impl ToString) -> Result<T> {
        self.map_err(|source| Error::Disk {
            operation,
            name: name.to_string(),
            source,
        })
    }
}

impl Error {
    /// Returns true when the catalog does not hold what it should: it is made again from the volumes.
    pub(crate) fn is_catalog_damage(&self) -> bool {
        match self {
            Self::Damaged { name, .. } => *name == crate::catalog::file_name(),
            Self::Catalog { source, .. } => match &**source {
                redb::Error::Io(error) => matches!(
                    error.kind(),
                    io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
                ),
                redb::Error::PreviousIo
                | redb::Error::DatabaseClosed
                | redb::Error::LockPoisoned(_)
                | redb::Error::TransactionInProgress => false,
                _ => true,
            },
            _ => false,
        }
    }

    /// Returns true when a database failed for want of room: it goes on once there is some and it was opened again.
    pub(crate) fn is_full_database(&self) -> bool {
        let (Self::Catalog { source, .. } | Self::State { source, .. }) = self else {
            return false;
        };
        matches!(&**source, redb::Error::Io(error) if error.kind() == io::ErrorKind::StorageFull)
    }

    /// Returns true when other bytes were found than a database wrote: it goes on once it was opened again, before that commit.
    pub(crate) fn is_spoiled_database(&self) -> bool {
        let (Self::Catalog { source, .. } | Self::State { source, .. }) = self else {
            return false;
        };
        matches!(&**source, redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData)
    }

    /// Returns true when a database refuses everything because something failed before.
    pub(crate) fn is_database_latched(&self) -> bool {
        let (Self::Catalog { source, .. } | Self::State { source, .. }) = self else {
            return false;
        };
        matches!(&**source, redb::Error::PreviousIo)
    }

    /// Returns true when a file is not there.
    pub(crate) fn is_missing_file(&self) -> bool {
        matches!(self, Self::Disk { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Returns true when the same may succeed later without anybody's doing anything wrong.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
            || matches!(self, Self::Disk { source, .. } if source.kind() == io::ErrorKind::StorageFull)
            || matches!(self, Self::Index { source, .. } if index_is_full(source))
    }
}

/// An error with all its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
