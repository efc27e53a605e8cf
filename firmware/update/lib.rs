//! Room update: which version is trusted. A client of The Update Framework (TUF), whose core asks for files and does no I/O itself.
//!
//! Here is a repository somewhere, gimme a file that its owners vouch for: `updater`. What the client believes and refuses, and in
//! which order: `client`. What somebody brings in a file: `by_hand`. How versions lie on the EFI partition, and the one sector
//! that decides: `esp`; the partitions around it: `gpt`. What a release says of itself: `release`; which one comes next and when: `choose`;
//! what whoever writes a slot finds out itself: `second_check`; from a file to a slot: `installation`; when to call a version good: `trial`; what is remembered of all that: `memory`.
//! Source: theupdateframework.github.io/specification 1.0.34; numbers as §5.3.4 are its sections.

pub mod by_hand;
pub mod canonical;
pub mod choose;
pub mod client;
#[cfg(test)]
mod client_tests;
mod digest;
mod download;
pub mod error;
pub mod esp;
pub mod file_repository;
pub mod folder;
pub mod folder_repository;
pub mod gpt;
mod hex;
pub mod http;
pub mod installation;
#[cfg(test)]
mod installation_tests;
mod key;
pub mod memory;
mod metadata;
mod name;
mod pattern;
pub mod plain_fallback;
pub mod release;
pub mod repository;
pub mod second_check;
mod signed;
#[cfg(test)]
mod test_repository;
pub mod time;
pub mod trial;
pub mod updater;
#[cfg(test)]
mod updater_tests;

pub use client::{Answer, Client, Limits, Options, Stale, Step};
pub use error::{CheckError, EspError, Fault, FetchError, GptError, InstallError, UpdateError};
pub use key::KeyTypes;
pub use metadata::Target;
pub use release::{Release, VersionNumber};
pub use time::Time;
