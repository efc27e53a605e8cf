//! Room update: which version is trusted. A client of The Update Framework (TUF), whose core asks for files and does no I/O itself.
//!
//! Here is a repository somewhere, gimme a file that its owners vouch for: `updater`. What the client believes and refuses, and in
//! which order: `client`. How versions lie on the EFI partition, and the one sector
//! that decides: `esp`; the partitions around it: `gpt`. Deliberately absent yet: which slot a version goes to, and when to call it good.
//! Source: theupdateframework.github.io/specification 1.0.34; numbers as §5.3.4 are its sections.

mod canonical;
pub mod client;
#[cfg(test)]
mod client_tests;
mod digest;
mod download;
pub mod error;
pub mod esp;
pub mod folder;
pub mod folder_repository;
pub mod gpt;
mod hex;
pub mod http;
mod key;
mod metadata;
mod name;
mod pattern;
pub mod repository;
mod signed;
#[cfg(test)]
mod test_repository;
pub mod time;
pub mod updater;
#[cfg(test)]
mod updater_tests;

pub use client::{Answer, Client, Limits, Options, Stale, Step};
pub use error::{EspError, Fault, FetchError, GptError, UpdateError};
pub use key::KeyTypes;
pub use metadata::Target;
pub use time::Time;
