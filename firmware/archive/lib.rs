//! Room archive.

pub mod access;
pub mod calendar;
pub mod query;
pub mod words;
