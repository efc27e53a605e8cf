//! The room of mail: what stands in a mail, a journal report or a mailbox file, told from its bytes alone.
//!
//! Nothing here opens a file, asks for the time or computes a digest.

mod oddities;

pub use oddities::Oddities;
