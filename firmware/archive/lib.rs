//! Room archive.

pub mod calendar;
pub mod query;
pub mod words;
