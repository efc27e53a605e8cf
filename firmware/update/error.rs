//! What can go wrong, sorted by who is to blame: what was received, the way it came, or the folder it is kept in.

use crate::esp::Slot;
use crate::hex;
use crate::release::{Refusal, VersionNumber};
use crate::time::Time;
use std::error::Error;
use std::io;
use std::path::PathBuf;

/// Why an update did not come about. Whatever it is, what is trusted stays as it was, and the next update may begin.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// Metadata is not to be believed.
    #[error("metadata is refused: {role}")]
    Refused {
        /// Role that it is of.
        role: String,
        /// Why.
        source: Fault,
    },
    /// A target is not what the metadata say.
    #[error("target is refused: {path}")]
    Target {
        /// Path of the target.
        path: String,
        /// Why.
        source: Fault,
    },
    /// The repository has no file that it must have.
    #[error("the repository lacks a file: {0}")]
    Missing(String),
    /// A file does not come.
    #[error("cannot fetch: {name}")]
    Fetch {
        /// Name of the file in the repository.
        name: String,
        /// Why.
        source: FetchError,
    },
    /// No role that may provide the target does.
    #[error("no such target: {0}")]
    NoSuchTarget(String),
    /// More roles than [`Limits::roles`](crate::Limits::roles) would have to be asked for a target.
    #[error("too many roles to ask for a target, more than: {0}")]
    TooManyRoles(usize),
    /// A role or target whose name cannot be that of a file.
    #[error("unusable name: {0:?}")]
    UnusableName(String),
    /// The folder has no root to begin with.
    #[error("no trusted root metadata in: {}", .0.display())]
    NoRoot(PathBuf),
    /// A root would take the place of one that is trusted.
    #[error("there is a trusted root already in: {}", .0.display())]
    RootPresent(PathBuf),
    /// A file cannot be read.
    #[error("cannot read: {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written or removed.
    #[error("cannot write: {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Why metadata or a target is not believed.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Metadata is not JSON, or not what the specification prescribes.
    #[error("malformed")]
    Malformed(#[from] serde_json::Error),
    /// A number has a fraction or more than 64 bits, so that nobody can have signed it.
    #[error("number that cannot be signed: {0}")]
    NotAnInteger(String),
    /// Two signatures name the same key.
    #[error("two signatures by one key: {0}")]
    TwoSignatures(String),
    /// Not enough keys signed.
    #[error("signed by {valid} of the {threshold} keys that are needed")]
    TooFewSignatures {
        /// Different keys whose signatures hold.
        valid: usize,
        /// How many are needed.
        threshold: usize,
    },
    /// Metadata of another kind.
    #[error("of another type: {0:?}")]
    WrongType(String),
    /// Written to a specification that this client does not know.
    #[error("of an unknown version of the specification: {0:?}")]
    UnknownSpecification(String),
    /// Not the version that it has to be.
    #[error("version is {found} instead of {expected}")]
    WrongVersion {
        /// What was asked for.
        expected: u64,
        /// What it says.
        found: u64,
    },
    /// Older than what was seen already.
    #[error("version of {what} goes back from {trusted} to {found}")]
    RolledBack {
        /// Whose version.
        what: String,
        /// What is trusted.
        trusted: u64,
        /// What it says.
        found: u64,
    },
    /// What was said of a file before is gone.
    #[error("no longer lists: {0}")]
    Removed(String),
    /// Other content under a version that was seen already.
    #[error("changed without a new version: {0}")]
    Changed(u64),
    /// The snapshot says nothing of a role.
    #[error("not listed in the snapshot")]
    NotListed,
    /// Too old to be believed.
    #[error("expired: {0}")]
    Expired(Time),
    /// Not as long as it has to be, in bytes.
    #[error("longer or shorter than it must be, in bytes: {0}")]
    WrongLength(u64),
    /// Longer than was signed.
    #[error("longer than was signed")]
    TooLong,
    /// Other content than was signed for.
    #[error("wrong digest, expected: {}", hex::encode(.0))]
    WrongDigest(Vec<u8>),
}

/// Why a file does not come. That there is none is no error, but an answer.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address is none that is understood.
    #[error("only addresses with https:// or http:// are understood: {0}")]
    Address(String),
    /// The file that should name authorities has none.
    #[error("no certificate of an authority is in the file")]
    Authority,
    /// The server answers something else than the file.
    #[error("server answers with status: {0}")]
    Status(u16),
    /// The file does not end where it must, in bytes.
    #[error("longer than it may be, in bytes: {0}")]
    TooLong(u64),
    /// The way to the server or the server itself.
    #[error("transport fails")]
    Transport(#[source] Box<dyn Error + Send + Sync>),
}

/// Why a version is not written that another process wants written.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// What that process trusts is not trusted here.
    #[error("metadata are not believed")]
    Metadata(#[from] UpdateError),
    /// No targets name it for this board.
    #[error("nobody vouches for this version: {0}")]
    Unknown(VersionNumber),
    /// It is not for this box.
    #[error("this box does not take it")]
    Refused(#[source] Refusal),
}

/// Tells an error with its causes, in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Why a version could not be read from, written to or named on an EFI partition.
#[derive(Debug, thiserror::Error)]
pub enum EspError {
    /// The partition is laid out otherwise; nothing was written.
    #[error("not an EFI partition of Coffer")]
    NotOurs,
    /// What is to be written does not fit, or is empty; nothing was written.
    #[error("does not fit its place on the EFI partition: {0} bytes")]
    TooLong(u64),
    /// The slot is empty.
    #[error("no version in the slot: {0:?}")]
    NoVersion(Slot),
    /// What was written reads back otherwise: the medium is worn or a fake.
    #[error("the slot reads otherwise than it was written: {0:?}")]
    ReadsOtherwise(Slot),
    /// What is to be installed cannot be read, or is shorter than was said.
    #[error("cannot read the version that is to be installed")]
    Source(#[source] io::Error),
    /// The partition cannot be read.
    #[error("cannot read the EFI partition")]
    Read(#[source] io::Error),
    /// The partition cannot be written.
    #[error("cannot write the EFI partition")]
    Write(#[source] io::Error),
}

/// Why a version was not installed, marked or left.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The file that was fetched cannot be read.
    #[error("cannot read what was fetched")]
    Read(#[source] io::Error),
    /// The file is not what was signed; nothing was written.
    #[error("what was fetched is refused")]
    Packed(#[source] Fault),
    /// It cannot be unpacked, or is not what was signed then; nothing was written.
    #[error("what was fetched cannot be unpacked")]
    Unpack(#[source] io::Error),
    /// The EFI partition.
    #[error("the EFI partition fails")]
    Esp(#[source] EspError),
}

/// Why there is no partition table to go by.
#[derive(Debug, thiserror::Error)]
pub enum GptError {
    /// Neither the table at the start nor the one at the end holds.
    #[error("no valid partition table")]
    NoTable,
    /// The disk cannot be read.
    #[error("cannot read the partition table")]
    Read(#[source] io::Error),
}
