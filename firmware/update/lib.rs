//! Room update: which version is trusted. A client of The Update Framework (TUF), whose core asks for files and does no I/O itself.
//!
//! What the client believes and refuses, and in which order: `client`. Deliberately absent yet: which slot a version goes to, and when to call it good. Nothing here installs.
//! Source: theupdateframework.github.io/specification 1.0.34; numbers as §5.3.4 are its sections.

mod canonical;
pub mod client;
#[cfg(test)]
mod client_tests;
mod digest;
pub mod error;
mod hex;
mod key;
mod metadata;
mod name;
mod pattern;
mod signed;
#[cfg(test)]
mod test_repository;
pub mod time;

pub use client::{Client, Limits, Options, Stale};
pub use error::{Fault, FetchError, UpdateError};
pub use key::KeyTypes;
pub use metadata::Target;
pub use time::Time;
