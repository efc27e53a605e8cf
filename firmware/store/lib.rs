//! The room that makes it durable: volumes, catalog and index of the archive, and the only code that writes its disks.
//!
//! FORMAT.md gives the bytes. Read `store` for what an open archive can do, then `prepare` (what happens to a message before),
//! `committer` and `batch` (the one order of everything), `recovery` (after a crash), `verify`, `recompress` and `mend`.
//!
//! It holds no sockets and decides nothing about retention or access: those are rules of the `archive` room.

pub mod disk;
#[cfg(any(test, feature = "simulated-disk"))]
pub mod faulty_disk;
#[cfg(any(test, feature = "simulated-disk"))]
mod pages;
mod room;

mod digest;
mod encoding;
mod frame;
mod identity;
mod leaf;
mod record;
mod volume;
mod volume_files;

pub mod checkpoint;
pub mod merkle;
pub mod note;
pub mod proof;

mod catalog;
pub mod index;
mod redb_backend;
mod state;

mod batch;
mod catching_up;
mod changes;
mod committer;
mod copies;
mod derived;
mod engine;
mod facts;
mod follower;
mod indexer;
mod joining;
mod known_damage;
mod lost;
mod membership;
mod mend;
mod patient;
mod prepare;
mod queue;
mod reader;
mod recently_used;
mod recompress;
mod recovery;
mod repacking;
mod shipping;
mod spool;
mod survey;
mod tip;
mod upkeep;
mod verify;
mod volume_check;
mod workroom;

mod error;
mod store;

#[cfg(test)]
mod copies_fault_tests;
#[cfg(test)]
mod copies_tests;
#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod format_tests;
#[cfg(test)]
mod journal_tests;
#[cfg(test)]
mod lost_tests;
#[cfg(test)]
mod mend_tests;
#[cfg(test)]
mod recompress_tests;
#[cfg(test)]
mod rollback_tests;
#[cfg(test)]
mod store_tests;

pub use batch::random;
pub use catalog::{HourOfSource, Source, Summary, Totals};
pub use copies::{CopyState, FOLLOWER_PATIENCE};
pub use digest::{Hasher, sha256};
pub use engine::{Clock, Options, VOLUME_BYTES_MAX, WhenUpkeep};
pub use error::{Error, Result, chain};
pub use identity::{Id, Identity, hex};
pub use joining::Opening;
pub use known_damage::Damaged;
pub use leaf::{
    Leaf, LeafBody, LeafHead, Moment, decode_event, decode_reception, encode_event,
    encode_reception,
};
pub use mend::{MendReport, Mended, Side};
pub use prepare::Deposit;
pub use queue::{Novelty, Pending, Receipt};
pub use reader::StoredLeaf;
pub use record::CheckpointRecord;
pub use spool::{Body, BodyReader, MEMORY_BYTES_MAX, Spool, SpoolWriter};
pub use state::{State, StateChange, StateTable};
pub use store::{DiskUse, ProvenLeaf, Store, VolumesRead};
pub use survey::{Piece, RecordPiece, survey};
pub use upkeep::Recompressed;
pub use verify::{Finding, VerifyOptions, VerifyReport};
