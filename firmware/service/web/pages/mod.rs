//! The pages, one file a subject: each handler takes a visit and gives a response.

pub(super) mod account;
pub(super) mod certificate;
pub(super) mod claim;
pub(super) mod layout;
pub(super) mod log;
pub(super) mod message;
pub(super) mod outgoing;
pub(super) mod people;
mod release;
pub(super) mod search;
pub(super) mod second_factor;
pub(super) mod setup;
pub(super) mod sign_in;
pub(super) mod state;
pub(super) mod trust;
