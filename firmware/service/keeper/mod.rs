//! The keeper: the one process that owns a data directory, and what everyone else may ask of it.
//!
//! [`Keeper`] is one interface with two implementations: [`LocalKeeper`] in the process that owns the directory, [`SocketKeeper`] in
//! every other, which speaks to it over `<data>/keeper.sock`. Both take the same [`messages`]. [`EdgeKeeper`] is the second for processes that
//! speak to the network and may ask little.

mod calls;
mod certificate;
mod client;
mod documents;
mod edge_keeper;
mod edges;
mod extractor_end;
mod figures;
mod local;
mod lock;
pub mod messages;
mod outgoing;
mod seen;
mod server;
#[cfg(test)]
mod tests;
mod wire;

pub(crate) use calls::unexpected;
pub use client::SocketKeeper;
pub use documents::{StartExtractor, document_file};
pub use edge_keeper::EdgeKeeper;
pub use edges::Edge;
pub use extractor_end::{ExtractorDocument, ExtractorEnd};
pub use local::{LocalKeeper, MakeIdentity, data_disk};
pub use lock::DirectoryLock;
pub use outgoing::{OutgoingAnswer, OutgoingRequest};
pub use server::KeeperServer;

use archive::Event;
use extract::Label;
use messages::{BodyRequest, DocumentText, Request, Response};
use std::os::unix::net::UnixStream;
use store::{Body, Deposit, Receipt, Spool};

/// How far long work has come: done and total, which is 0 when nobody knows.
pub type Watch<'a> = &'a mut dyn FnMut(u64, u64);

/// What everyone may ask of the owner of a data directory. Calls block; several threads may call at once.
pub trait Keeper: Send + Sync {
    /// Where large mail waits on its way in.
    fn spool(&self) -> &Spool;

    /// Tells whether mail is taken now, so that a sender need not send it in vain.
    ///
    /// # Errors
    /// Why it is not; the sender is to come again.
    fn takes_mail(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// Hands a message over; it is durable once the answer is there. Many may be under way at once.
    fn deposit(&self, body: Body, deposit: Deposit) -> Result<Answer<Receipt>, Failure>;

    /// Checks a name and password of an account.
    fn sign_in(&self, name: &str, password: &str) -> Result<bool, Failure>;

    /// Writes an entry into the audit log and gives its number.
    fn log(&self, actor: u64, event: Event) -> Result<u64, Failure>;

    /// Asks anything but for bytes or a deposit.
    fn ask(&self, request: Request, watch: Watch) -> Result<Response, Failure> {
        let _ = watch;
        Err(Failure::BadRequest(format!(
            "this keeper cannot answer: {request:?}"
        )))
    }

    /// Has a document read that lies in a file, see [`document_file`].
    ///
    /// # Errors
    /// `Later` when nobody can read it now.
    fn read_document(&self, document: Body, label: Label) -> Result<DocumentText, Failure> {
        let _ = document;
        Err(Failure::BadRequest(format!(
            "this keeper reads no documents: {}",
            label.name
        )))
    }

    /// Takes the connection of a process that reads documents.
    fn take_extractor(&self, stream: UnixStream) {
        drop(stream);
    }

    /// Asks for exact bytes.
    fn body(&self, which: BodyRequest) -> Result<Body, Failure> {
        Err(Failure::BadRequest(format!(
            "this keeper cannot give: {which:?}"
        )))
    }
}

/// Something that the keeper answers later.
pub struct Answer<T>(Box<dyn FnOnce() -> Result<T, Failure> + Send>);

impl<T> Answer<T> {
    /// Makes an answer of what waits for it.
    pub fn new(wait: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Self {
        Self(Box::new(wait))
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// Why the keeper did not do it.
    pub fn wait(self) -> Result<T, Failure> {
        (self.0)()
    }
}

/// Why the keeper did not do what it was asked for; made so that it can cross a socket.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, thiserror::Error)]
pub enum Failure {
    /// There is no room; the sender is to come again.
    #[error("{0}")]
    Full(String),
    /// The archive could not do it now; the sender is to come again.
    #[error("{0}")]
    Later(String),
    /// It is not there, or not for the asker.
    #[error("{0}")]
    NotFound(String),
    /// What was asked makes no sense.
    #[error("{0}")]
    BadRequest(String),
    /// The archive's data is damaged.
    #[error("{0}")]
    Damaged(String),
    /// The data directory belongs to another process.
    #[error("{0}")]
    InUse(String),
    /// The keeper cannot be reached.
    #[error("{0}")]
    Unreachable(String),
}

impl From<store::Error> for Failure {
    /// Sorts by what the caller can do about it.
    fn from(error: store::Error) -> Self {
        let text = store::chain(&error);
        match error {
            full if full.is_full() => Self::Full(text),
            store::Error::NotFound(_) => Self::NotFound(text),
            store::Error::Damaged { .. } | store::Error::TooNew { .. } | store::Error::Proof(_) => {
                Self::Damaged(text)
            }
            store::Error::NotAnArchive(_) => Self::BadRequest(text),
            store::Error::InUse => Self::InUse(text),
            _ => Self::Later(text),
        }
    }
}
