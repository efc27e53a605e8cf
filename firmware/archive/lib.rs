//! The rules of the archive: what is kept and how it is named, who may see it, what a query means.
//!
//! Pure values and decisions: no clock, no file, no hashing. The `store` room makes them last, the `service` room asks them.

mod alarm;
mod digest;
mod event;
mod message;
mod reception;

pub mod access;
pub mod calendar;
pub mod people;
pub mod query;
pub mod words;

pub use access::Asker;
pub use alarm::AlarmKind;
pub use digest::{Digest, NotADigest};
pub use event::{Event, EventKind};
pub use message::{Base64Shape, ContentRef, Message, MessageForm, StoredPiece};
pub use reception::{
    Direction, Envelope, Journal, Reception, Recipient, ReportForm, SourceKey, SourceKind, Trust,
};
