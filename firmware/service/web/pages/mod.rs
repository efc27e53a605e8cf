//! The pages, one file a subject: each handler takes a visit and gives a response.

pub(super) mod account;
mod arrivals;
pub(super) mod certificate;
pub(super) mod claim;
pub(super) mod exports;
pub(super) mod layout;
pub(super) mod log;
pub(super) mod log_file;
mod log_words;
pub(super) mod machine;
pub(super) mod machine_log;
pub(super) mod message;
pub(super) mod metrics;
pub(super) mod network;
pub(super) mod outgoing;
pub(super) mod people;
mod people_account;
pub(super) mod people_table;
mod release;
pub(super) mod search;
pub(super) mod second_factor;
pub(super) mod setup;
pub(super) mod sign_in;
pub(super) mod state;
pub(super) mod tokens;
pub(super) mod trust;
pub(super) mod updates;
